//! When to try to connect again: full jitter, exponential, capped, never in step with others.

use super::{LinkEnd, Moment, limits::RECONNECT_S_MAX};
use crate::protocol::close_code;

/// How long to wait between connection attempts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Range of the first wait; doubles with every failure.
    pub base_ms: u64,
    /// The range never grows beyond this.
    pub cap_ms: u64,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { base_ms: 2_000, cap_ms: 300_000 }
    }
}

/// A link that stayed up this long, in milliseconds, counts as good: the range starts again.
pub(super) const RESET_AFTER_MS: u64 = 60_000;
/// Least wait after a refusal that trying again does not cure, in milliseconds.
pub(super) const REFUSED_MIN_MS: u64 = 60_000;
/// Most wait after such a refusal, in milliseconds.
pub(super) const REFUSED_CAP_MS: u64 = 3_600_000;
/// Least wait of a link that lost to another of the same terminal, in milliseconds: cloned
/// images must not fight.
pub(super) const REPLACED_MIN_MS: u64 = 300_000;

/// Counts failures in a row.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: BackoffSettings,
    failures: u32,
}

/// How long to wait, and whether news of a better network may shorten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Milliseconds.
    pub ms: u64,
    /// Whether [`super::Event::NetworkUp`] ends it early.
    pub ends_early: bool,
}

impl Backoff {
    /// No failure yet.
    pub const fn new(settings: BackoffSettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// Before the first attempt of the process: a whole street may have got its power back.
    pub fn first(&self, moment: &Moment) -> Wait {
        Wait { ms: moment.jitter(self.settings.base_ms), ends_early: true }
    }

    /// The link stayed up for `up_ms`.
    pub const fn link_was_up(&mut self, up_ms: u64) {
        if up_ms >= RESET_AFTER_MS {
            self.failures = 0;
        }
    }

    /// After a link has ended or could not be made.
    pub fn after(&mut self, end: &LinkEnd, moment: &Moment) -> Wait {
        let range = self.range(self.settings.base_ms, self.settings.cap_ms);
        let refused = self.range(2 * REFUSED_MIN_MS, REFUSED_CAP_MS);
        self.failures = self.failures.saturating_add(1);
        match end {
            LinkEnd::Lost { .. } => Wait { ms: moment.jitter(range), ends_early: true },
            LinkEnd::RetryAfter { seconds } => {
                let least = u64::from((*seconds).min(RECONNECT_S_MAX)) * 1000;
                Wait { ms: least + moment.jitter(range.max(least / 2)), ends_early: false }
            }
            LinkEnd::Refused { .. } => refused_wait(moment, refused),
            LinkEnd::Closed { code, .. } => match *code {
                close_code::POLICY | close_code::UNAUTHENTICATED | close_code::FORBIDDEN => {
                    refused_wait(moment, refused)
                }
                close_code::REPLACED => {
                    Wait { ms: REPLACED_MIN_MS + moment.jitter(REPLACED_MIN_MS), ends_early: false }
                }
                _ => Wait { ms: moment.jitter(range), ends_early: true },
            },
        }
    }

    /// As the cloud asked with `reconnect`.
    pub fn asked(&self, after_s: u32, spread_s: u32, moment: &Moment) -> Wait {
        let after = u64::from(after_s.min(RECONNECT_S_MAX)) * 1000;
        let spread = u64::from(spread_s.min(RECONNECT_S_MAX)) * 1000;
        Wait { ms: after + moment.jitter(spread), ends_early: false }
    }

    /// When the network has come up: soon, but not all at once.
    pub fn network_up(&self, moment: &Moment) -> u64 {
        moment.jitter(self.settings.base_ms)
    }

    fn range(&self, base_ms: u64, cap_ms: u64) -> u64 {
        let factor = 1u64.checked_shl(self.failures.min(32)).unwrap_or(u64::MAX);
        base_ms.saturating_mul(factor).min(cap_ms)
    }
}

fn refused_wait(moment: &Moment, range: u64) -> Wait {
    Wait {
        ms: REFUSED_MIN_MS + moment.jitter(range.saturating_sub(REFUSED_MIN_MS)),
        ends_early: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Monotonic;
    use terminal_hal::Timestamp;

    fn moment(entropy: u128) -> Moment {
        Moment { monotonic: Monotonic(0), wall: Timestamp::default(), wall_trusted: true, entropy }
    }

    fn lost() -> LinkEnd {
        LinkEnd::Lost { reason: String::new() }
    }

    #[test]
    fn waits_are_jittered_from_the_first_try_and_double_up_to_the_cap() {
        let most = moment(u128::MAX);
        let mut backoff = Backoff::new(BackoffSettings::default());
        assert_eq!(backoff.first(&most).ms, 2_000);
        assert_eq!(backoff.first(&moment(0)).ms, 0);
        let waits: Vec<u64> = (0..9).map(|_| backoff.after(&lost(), &most).ms).collect();
        let want = [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000];
        assert_eq!(waits, want);
        for _ in 0..100 {
            assert_eq!(backoff.after(&lost(), &most).ms, 300_000);
        }
    }

    #[test]
    fn only_a_link_that_stayed_up_for_a_minute_resets_the_range() {
        let most = moment(u128::MAX);
        let mut backoff = Backoff::new(BackoffSettings::default());
        backoff.after(&lost(), &most);
        backoff.link_was_up(RESET_AFTER_MS - 1);
        assert_eq!(backoff.after(&lost(), &most).ms, 4_000);
        backoff.link_was_up(RESET_AFTER_MS);
        assert_eq!(backoff.after(&lost(), &most).ms, 2_000);
    }

    #[test]
    fn retry_after_is_never_undercut_and_the_replaced_link_waits_five_minutes() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let wait = backoff.after(&LinkEnd::RetryAfter { seconds: 30 }, &moment(0));
        assert_eq!(wait, Wait { ms: 30_000, ends_early: false });
        let replaced = LinkEnd::Closed { code: close_code::REPLACED, reason: String::new() };
        assert_eq!(backoff.after(&replaced, &moment(0)).ms, REPLACED_MIN_MS);
        for code in [close_code::POLICY, close_code::UNAUTHENTICATED, close_code::FORBIDDEN] {
            let refused = LinkEnd::Closed { code, reason: String::new() };
            assert!(backoff.after(&refused, &moment(0)).ms >= REFUSED_MIN_MS);
        }
        for _ in 0..50 {
            let wait =
                backoff.after(&LinkEnd::Refused { reason: String::new() }, &moment(u128::MAX));
            assert!(wait.ms <= REFUSED_CAP_MS);
        }
    }

    #[test]
    fn a_drained_fleet_spreads_over_the_time_that_the_cloud_named() {
        let backoff = Backoff::new(BackoffSettings::default());
        assert_eq!(backoff.asked(10, 60, &moment(0)).ms, 10_000);
        assert_eq!(backoff.asked(10, 60, &moment(u128::MAX)).ms, 70_000);
        assert_eq!(backoff.asked(u32::MAX, 0, &moment(0)).ms, 3_600_000);
    }
}
