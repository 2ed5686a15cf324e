//! The time that certificates are checked against.
//!
//! A terminal that lost its clock must still reach the cloud, also with a certificate that was made
//! while it was in a drawer, and one whose clock runs ahead must not believe that everything has
//! expired. Neither may skip a check: only the time differs.

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
    /// When the certificate that a server has shown last expires.
    server_until_s: AtomicU64,
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
        Self {
            system,
            last_good_s: AtomicU64::new(0),
            server_until_s: AtomicU64::new(0),
            synchronised: AtomicBool::new(false),
        }
    }

    /// Remembers a time that was good before a restart. Never goes back.
    pub fn remember_last_good(&self, time: Timestamp) {
        self.last_good_s.fetch_max(time.unix_ms() / 1000, Ordering::Relaxed);
    }

    /// Remembers the time of a synchronised system clock; but only as far as the certificate that
    /// was verified last goes. Since it never goes back, a clock that was synchronised to a wrong
    /// time once would otherwise make every server's certificate look expired for ever.
    pub fn observe(&self, time: Timestamp) {
        if time.unix_ms() / 1000 <= self.server_until_s.load(Ordering::Relaxed) {
            self.remember_last_good(time);
        }
    }

    /// The latest time that is remembered.
    pub fn last_good(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.last_good_s.load(Ordering::Relaxed).saturating_mul(1000))
    }

    /// A server has shown this certificate, and it was verified.
    pub(crate) fn note_server(&self, not_after: Timestamp) {
        self.server_until_s.store(not_after.unix_ms() / 1000, Ordering::Relaxed);
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

    /// The earliest time that it may be: what has expired by it has expired.
    pub(crate) fn earliest(&self) -> UnixTime {
        let is_vouched_for = self.synchronised.load(Ordering::Relaxed);
        if is_vouched_for { self.now() } else { UnixTime::since_unix_epoch(self.floor()) }
    }

    /// Another time worth one more try: only while nobody vouches for the system clock, and only
    /// when it is not the same again.
    pub(super) fn second_opinion(&self, untimely: Untimely) -> Option<UnixTime> {
        if self.synchronised.load(Ordering::Relaxed) {
            return None;
        }
        match untimely {
            Untimely::Expired => {
                ((self.system)() > self.floor()).then(|| UnixTime::since_unix_epoch(self.floor()))
            }
            // It was not made before that: whatever the clock says, it is at least as late.
            Untimely::NotValidYet { begin } => (begin > self.now()).then_some(begin),
        }
    }

    fn floor(&self) -> Duration {
        let build = Duration::from_millis(Self::build_time().unix_ms());
        build.max(Duration::from_secs(self.last_good_s.load(Ordering::Relaxed)))
    }
}

/// What was found wrong with a certificate, when that is only a matter of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untimely {
    /// Its end has passed.
    Expired,
    /// Its begin has not come.
    NotValidYet {
        /// From when on it is valid.
        begin: UnixTime,
    },
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
        assert_eq!(clock.second_opinion(Untimely::Expired), None);
    }

    #[test]
    fn only_an_unsynchronised_clock_that_runs_ahead_has_a_second_opinion() {
        let clock = VerificationClock::with_system(|| Duration::from_secs(LATE));
        assert_eq!(clock.now().as_secs(), LATE);
        let second = clock.second_opinion(Untimely::Expired);
        assert!(second.is_some_and(|time| time.as_secs() < LATE));
        clock.set_synchronised(true);
        assert_eq!(clock.second_opinion(Untimely::Expired), None);
    }

    #[test]
    fn a_wrong_time_that_somebody_vouched_for_once_is_not_remembered() {
        let clock = VerificationClock::with_system(|| Duration::from_secs(1_900_000_000));
        let time = |s: u64| Timestamp::from_unix_ms(s * 1000);
        clock.observe(time(1_900_000_000));
        assert_eq!(clock.last_good(), time(0), "no server has shown anything yet");
        clock.note_server(time(1_930_000_000));
        clock.observe(time(LATE));
        clock.observe(time(1_900_000_000));
        assert_eq!(clock.last_good(), time(1_900_000_000));
        clock.set_synchronised(true);
        assert_eq!(clock.now().as_secs(), 1_900_000_000, "good enough for that server again");
    }

    #[test]
    fn a_clock_that_nobody_vouches_for_expires_nothing_by_being_ahead() {
        let clock = VerificationClock::with_system(|| Duration::from_secs(LATE));
        assert!(clock.earliest().as_secs() < LATE);
        clock.set_synchronised(true);
        assert_eq!(clock.earliest().as_secs(), LATE);
    }

    #[test]
    fn only_an_unsynchronised_clock_takes_a_young_certificate_at_its_begin_and_remembers_nothing() {
        let clock = VerificationClock::with_system(|| Duration::ZERO);
        let begin = UnixTime::since_unix_epoch(Duration::from_secs(LATE));
        let young = Untimely::NotValidYet { begin };
        assert_eq!(clock.second_opinion(young), Some(begin));
        assert!(clock.now() < begin, "the next certificate is checked as this one was");
        clock.set_synchronised(true);
        assert_eq!(clock.second_opinion(young), None);
    }
}
