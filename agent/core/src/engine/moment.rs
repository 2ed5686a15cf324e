//! What the engine is told about the moment at which it is stepped.

use terminal_hal::Timestamp;
use uuid::Uuid;

use super::Calendar;

/// Milliseconds on the boot clock: monotonic, suspend included, from 0 at boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Later by `ms`, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, 0 when that is the later one.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The moment of one step. The engine reads no clock and no random source: this is all it knows.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The boot clock.
    pub monotonic: Monotonic,
    /// The wall clock.
    pub wall: Timestamp,
    /// Whether somebody vouches for the wall clock.
    pub wall_trusted: bool,
    /// What the daily schedule says; `None` without one.
    pub calendar: Option<Calendar>,
    /// 128 random bits, fresh for every step: identifiers and jitter are derived from them.
    pub entropy: u128,
}

impl Moment {
    /// The `n`-th identifier of this step.
    pub(crate) fn uuid(&self, n: u32) -> Uuid {
        Uuid::new_v5(&Uuid::from_u128(self.entropy), &n.to_be_bytes())
    }

    /// A random number.
    pub(crate) fn random(&self) -> u64 {
        u64::try_from(self.entropy & u128::from(u64::MAX)).unwrap_or(0)
    }

    /// A number in `0..=max`, even enough for jitter.
    pub(crate) fn jitter(&self, max: u64) -> u64 {
        let scaled = (u128::from(self.random()) * (u128::from(max) + 1)) >> 64;
        u64::try_from(scaled).unwrap_or(max)
    }
}
