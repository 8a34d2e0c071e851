//! An estimate of the bytes that wait for one function: JetStream reports the bytes of a whole stream, but only the number of calls per function.

/// What a gateway takes to be in the queue for a function.
///
/// Calls that it accepts are added as they come. When their number is looked up, the bytes follow it by the mean size:
/// calls that are gone are taken to have been like those that are left, and those that others have brought to be like the ones that are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    calls: u64,
    pub(crate) bytes: u64,
}

impl Held {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.calls += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// So many calls were seen, of which one takes `sample` bytes; that counts where nothing is known of the others.
    pub(crate) fn correct(&mut self, seen: u64, sample: u64) {
        self.bytes = match self.calls {
            0 => seen.saturating_mul(sample),
            known => {
                let bytes = u128::from(self.bytes) * u128::from(seen) / u128::from(known);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        };
        self.calls = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_the_number_of_calls() {
        let mut held = Held::default();
        for bytes in [100, 100, 400] {
            held.add(bytes);
        }
        assert_eq!(held.bytes, 600);
        held.correct(3, 1);
        assert_eq!(held.bytes, 600, "all are there");
        held.correct(2, 1);
        assert_eq!(held.bytes, 400, "one has gone");
        held.correct(4, 1);
        assert_eq!(held.bytes, 800, "others have brought two");
        held.correct(0, 0);
        assert_eq!(held.bytes, 0);
        held.correct(5, 70);
        assert_eq!(held.bytes, 350, "none of them came through this gateway");
        held.add(u64::MAX);
        held.correct(u64::MAX, 1);
        assert_eq!(held.bytes, u64::MAX);
    }
}
