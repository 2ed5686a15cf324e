//! Randomness of one terminal: seeded, so that every run can be repeated, and breakable, so that
//! what is measured can be seen to depend on it.

use terminal_core::engine::{Moment, Monotonic};
use terminal_hal::Timestamp;

/// Weyl constant of the SplitMix64 generator; also keeps the seeds of neighbours apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the engine's jitter is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Random, as in the product.
    Full,
    /// The same for everybody: the middle of every range. A fault, to see that it is found.
    None,
}

/// A generator of entropy: 16 bytes, so that a million of them fit.
#[derive(Clone, Debug)]
pub(crate) struct Entropy {
    state: u64,
    jitter: Jitter,
}

impl Entropy {
    /// That of one terminal of a fleet.
    pub(crate) const fn new(seed: u64, terminal: u32, jitter: Jitter) -> Self {
        let state = mix(seed ^ mix((terminal as u64).wrapping_mul(GOLDEN)));
        Self { state, jitter }
    }

    /// A moment with fresh entropy.
    pub(crate) fn moment(&mut self, at_ms: u64) -> Moment {
        let random = u128::from(self.next()) << 64;
        let jitter = self.jitter();
        Moment {
            monotonic: Monotonic(at_ms),
            wall: Timestamp::from_unix_ms(at_ms),
            wall_trusted: true,
            calendar: None,
            entropy: random | u128::from(jitter),
        }
    }

    /// A number in `0..limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let scaled = (u128::from(self.jitter()) * u128::from(limit)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    const fn jitter(&mut self) -> u64 {
        match self.jitter {
            Jitter::Full => self.next(),
            Jitter::None => 1 << 63,
        }
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }
}

/// The finaliser of SplitMix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
