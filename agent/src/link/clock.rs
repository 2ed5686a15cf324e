//! The time that certificates are checked against.
//!
//! A terminal that lost its clock must still reach the cloud, and one whose clock runs ahead must
//! not believe that everything has expired. Neither may skip a check: only the time differs.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
use terminal_hal::Timestamp;

/// What is known about the time, shared by everything that checks certificates.
#[derive(Debug)]
pub struct VerificationClock {
    system: fn() -> Duration,
    last_good_s: AtomicU64,
    synchronised: AtomicBool,
}

impl Default for VerificationClock {
    fn default() -> Self {
        Self::with_system(system_time)
    }
}

impl VerificationClock {
    /// A clock with another source of system time since 1970, for tests.
    pub const fn with_system(system: fn() -> Duration) -> Self {
        Self { system, last_good_s: AtomicU64::new(0), synchronised: AtomicBool::new(false) }
    }

    /// Remembers the latest time that a synchronised system clock has shown, also from before a
    /// restart. Never goes back.
    pub fn remember_last_good(&self, time: Timestamp) {
        self.last_good_s.fetch_max(time.unix_ms() / 1000, Ordering::Relaxed);
    }

    /// Tells whether the system clock is synchronised.
    pub fn set_synchronised(&self, synchronised: bool) {
        self.synchronised.store(synchronised, Ordering::Relaxed);
    }

    /// The time of the sources that this program was built from.
    pub fn build_time() -> Timestamp {
        let seconds = option_env!("TERMINAL_AGENT_SOURCE_TIME_S").and_then(|s| s.parse().ok());
        Timestamp::from_unix_ms(seconds.unwrap_or(0_u64).saturating_mul(1000))
    }

    /// The latest of system time, build time and last good time.
    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch((self.system)().max(self.floor()))
    }

    /// Another time worth one more try when everything seems to have expired: only while nobody
    /// vouches for the system clock, and only when it is not the same again.
    pub(super) fn second_opinion(&self) -> Option<UnixTime> {
        let doubtful = !self.synchronised.load(Ordering::Relaxed) && (self.system)() > self.floor();
        doubtful.then(|| UnixTime::since_unix_epoch(self.floor()))
    }

    fn floor(&self) -> Duration {
        let build = Duration::from_millis(Self::build_time().unix_ms());
        build.max(Duration::from_secs(self.last_good_s.load(Ordering::Relaxed)))
    }
}

/// A time that stands still for one handshake, so that every check of it sees the same.
#[derive(Debug)]
pub(super) struct FixedTime(pub(super) UnixTime);

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn system_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: u64 = 4_000_000_000;

    #[test]
    fn a_lost_clock_is_lifted_to_the_build_time_and_to_the_last_good_time() {
        let clock = VerificationClock::with_system(|| Duration::ZERO);
        let build_s = VerificationClock::build_time().unix_ms() / 1000;
        assert!(build_s > 1_700_000_000, "the build names no time");
        assert_eq!(clock.now().as_secs(), build_s);
        clock.remember_last_good(Timestamp::from_unix_ms((build_s + 60) * 1000));
        clock.remember_last_good(Timestamp::from_unix_ms(build_s * 1000));
        assert_eq!(clock.now().as_secs(), build_s + 60);
        assert_eq!(clock.second_opinion(), None);
    }

    #[test]
    fn only_an_unsynchronised_clock_that_runs_ahead_has_a_second_opinion() {
        let clock = VerificationClock::with_system(|| Duration::from_secs(LATE));
        assert_eq!(clock.now().as_secs(), LATE);
        assert!(clock.second_opinion().is_some_and(|time| time.as_secs() < LATE));
        clock.set_synchronised(true);
        assert_eq!(clock.second_opinion(), None);
    }
}
