//! Memory and CPU limits in the notation of Docker and of Kubernetes.

/// Docker starts no container with less, so a lower limit is raised to this.
pub(super) const MIN_MEMORY: i64 = 6 << 20;

/// A number from here on means nano-CPUs, as in OpenFaaS on Swarm, because nobody means that many cores.
const MIN_NANO_CPUS: f64 = 1_000_000.0;

/// Bytes, from `64m`, `64Mi`, `1.5Gi` or `1048576`; as in Docker, all units are powers of 1024.
pub(super) fn memory(text: &str) -> Result<i64, String> {
    let invalid = || format!("memory {text:?} is not a size like 64m, 64Mi or 1Gi");
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match lower.strip_prefix(number).unwrap_or_default() {
        "" | "b" => 1.0,
        "k" | "kb" | "ki" | "kib" => 1024.0,
        "m" | "mb" | "mi" | "mib" => 1_048_576.0,
        "g" | "gb" | "gi" | "gib" => 1_073_741_824.0,
        _ => return Err(invalid()),
    };
    whole(plain_number(number).ok_or_else(invalid)? * unit).ok_or_else(invalid)
}

/// Nano-CPUs, from `100m` (thousandths), `0.5` or `2` (cores), or `100000000` (nano-CPUs).
pub(super) fn nano_cpus(text: &str) -> Result<i64, String> {
    let invalid = || format!("cpu {text:?} is not a number of cores like 0.5, or of thousandths like 500m");
    let text = text.trim();
    let nano = match text.strip_suffix('m') {
        Some(thousandths) => plain_number(thousandths).ok_or_else(invalid)? * 1e6,
        None => match plain_number(text).ok_or_else(invalid)? {
            nano if nano >= MIN_NANO_CPUS => nano,
            cores => cores * 1e9,
        },
    };
    whole(nano.round()).filter(|nano| *nano >= 1_000_000).ok_or_else(|| format!("cpu {text:?} is less than 1m"))
}

/// Digits with at most one dot: no sign, no exponent, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim_end();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

#[expect(clippy::cast_possible_truncation, reason = "it is in the range of whole numbers that f64 holds exactly")]
fn whole(number: f64) -> Option<i64> {
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    (0.0..MAX_EXACT).contains(&number).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_read_in_both_notations() {
        for (text, bytes) in [
            ("20m", 20 << 20),
            ("20Mi", 20 << 20),
            ("20MB", 20 << 20),
            ("1.5Gi", 3 << 29),
            ("64k", 64 << 10),
            ("4096", 4096),
            ("128 m", 128 << 20),
        ] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for bad in ["", "m", "-1m", "1e3", "1.2.3", "20q", "ten", "inf", "NaN", "1 0m", &"9".repeat(40)] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpu_is_read_as_cores_as_thousandths_and_as_nano_cpus() {
        for (text, nano) in [
            ("100m", 100_000_000),
            ("0.5", 500_000_000),
            ("2", 2_000_000_000),
            ("1500m", 1_500_000_000),
            ("100000000", 100_000_000),
            ("1m", 1_000_000),
        ] {
            assert_eq!(nano_cpus(text), Ok(nano), "{text}");
        }
        for bad in ["", "0", "0m", "-1", "1 core", "100 %", "1e9", "0.0001"] {
            assert!(nano_cpus(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_refused(text in ".{0,40}") {
            let (_, _) = (memory(&text), nano_cpus(&text));
        }

        #[test]
        fn whole_thousandths_are_exact(thousandths in 1_i64..1_000_000) {
            prop_assert_eq!(nano_cpus(&format!("{thousandths}m")), Ok(thousandths * 1_000_000));
        }
    }
}
