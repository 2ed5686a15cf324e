//! The clocks and the random source that the engine is given.

use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime},
};
use terminal_core::engine::{Moment, Monotonic};
use terminal_hal::{Timestamp, durable};

use crate::{link::VerificationClock, sys};

/// A synchronised time is written down again when it has advanced by this, in milliseconds.
const LAST_GOOD_STEP_MS: u64 = 24 * 3600 * 1000;

/// This moment, with fresh entropy.
pub(super) fn moment() -> Moment {
    Moment {
        monotonic: monotonic(),
        wall: wall(),
        wall_trusted: sys::clock_is_synchronised(),
        calendar: None,
        entropy: entropy(),
    }
}

/// Milliseconds since boot, suspend included.
pub(super) fn monotonic() -> Monotonic {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| {
        // Only a kernel older than any that we support lacks the boot clock.
        clock_gettime(ClockId::CLOCK_MONOTONIC)
    });
    now.map_or(Monotonic(0), since_boot)
}

/// In 64 bits: where both are 32 bits wide, the milliseconds of 25 days do not fit into them.
#[allow(clippy::useless_conversion, reason = "both are narrower on 32-bit machines")]
fn since_boot(time: TimeSpec) -> Monotonic {
    let (s, ns) = (i64::from(time.tv_sec()), i64::from(time.tv_nsec()));
    Monotonic(u64::try_from(s * 1000 + ns / 1_000_000).unwrap_or(0))
}

/// The wall clock; before 1970 counts as 1970.
pub(super) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 128 random bits.
pub(super) fn entropy() -> u128 {
    let mut bytes = [0; 16];
    // Without a random source the clock still differs from step to step.
    if getrandom::fill(&mut bytes).is_err() {
        return u128::from(monotonic().0) << 64 | u128::from(wall().unix_ms());
    }
    u128::from_ne_bytes(bytes)
}

/// The last time that a synchronised clock has shown, kept in a file across power losses.
#[derive(Debug)]
pub(super) struct LastGoodTime {
    path: PathBuf,
    written: Timestamp,
}

impl LastGoodTime {
    /// Reads the file, if there is one, and tells the clock that certificates are checked with.
    pub(super) fn load(path: PathBuf, clock: &VerificationClock) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let written = Timestamp::parse(text.trim()).unwrap_or_default();
        clock.remember_last_good(written);
        Self { path, written }
    }

    /// Takes note of the time, if somebody vouches for it.
    pub(super) fn observe(&mut self, moment: &Moment, clock: &VerificationClock) {
        clock.set_synchronised(moment.wall_trusted);
        if !moment.wall_trusted {
            return;
        }
        clock.observe(moment.wall);
        let good = clock.last_good();
        if good.ms_since(self.written) < LAST_GOOD_STEP_MS {
            return;
        }
        self.written = good;
        if let Err(error) = durable::replace(&self.path, self.written.to_string().as_bytes()) {
            tracing::warn!(%error, path = %self.path.display(), "last good time not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_fresh_and_the_boot_clock_does_not_go_back() {
        let (first, second) = (moment(), moment());
        assert_ne!(first.entropy, second.entropy);
        assert!(second.monotonic >= first.monotonic);
    }

    #[test]
    fn a_device_that_is_up_for_months_knows_for_how_long() {
        for (s, ms) in [(0, 7), (2_200_000, 2_200_000_007), (4_400_000, 4_400_000_007)] {
            assert_eq!(since_boot(TimeSpec::new(s, 7_999_999)), Monotonic(ms));
        }
    }

    #[test]
    fn the_last_good_time_survives_a_restart_and_ignores_an_untrusted_clock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("last-good-time");
        let clock = VerificationClock::default();
        let mut last = LastGoodTime::load(path.clone(), &clock);
        let wall = Timestamp::parse("2026-06-29T09:00:00Z").unwrap();
        let moment = |wall_trusted| Moment { wall, wall_trusted, ..moment() };
        last.observe(&moment(false), &clock);
        assert!(!path.exists());
        last.observe(&moment(true), &clock);
        assert!(!path.exists(), "no server has a certificate that is valid then");
        clock.note_server(wall.plus_ms(1000));
        last.observe(&moment(true), &clock);
        assert_eq!(LastGoodTime::load(path, &clock).written, wall);
    }
}
