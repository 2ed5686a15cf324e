//! Numbers that look random and are the same in every run: SplitMix64 over a seed and an index.

/// What a row of numbers is for, so that payments and log lines do not move together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    /// Payments of one minute.
    Payments = 1,
    /// One log line.
    Logs = 2,
    /// What the host says about one forwarded payment.
    Forwarding = 3,
    /// The first batch number.
    Batch = 4,
}

/// A row of numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64, stream: Stream, index: u64) -> Self {
        let mut rng = Self(seed ^ (stream as u64).rotate_left(56));
        let mixed = rng.next();
        Self(mixed ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for `n` = 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, by weight; `None` when the weights are all 0.
    pub(super) fn weighted<'a, T>(&mut self, items: &'a [(u64, T)]) -> Option<&'a T> {
        let mut left = self.below(items.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in items {
            if left < *weight {
                return Some(item);
            }
            left -= weight;
        }
        None
    }
}
