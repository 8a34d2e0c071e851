//! Sizes as settings and annotations write them: a whole number of bytes, or with a unit (`512MiB`).

/// Reads a size of at least one byte.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("its unit must be B, KB, MB, GB, KiB, MiB or GiB".to_owned()),
    };
    let number: u64 =
        digits.trim().parse().map_err(|_| "must be a whole number with a unit, like 512MiB".to_owned())?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(|| "is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_are_more_than_nothing() {
        for (text, bytes) in [("1", 1), ("100KB", 100_000), (" 4GiB ", 4 << 30), ("2 MiB", 2 << 20), ("7B", 7)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "0MiB", "1TB", "1.5GB", "-1", "many", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
