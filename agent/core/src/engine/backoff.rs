//! When to try to connect again: one random attempt in every window, growing, capped, never in
//! step with others.

use super::{LinkEnd, Moment, limits::RECONNECT_S_MAX};
use crate::protocol::close_code;

/// How long to wait between connection attempts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The first window; it grows by a half with every failure.
    pub base_ms: u64,
    /// No window grows beyond this.
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
/// Ranges stop growing here: 1.5^40 of anything is beyond every cap.
const GROWTHS_MAX: u32 = 40;
/// Least wait of a link that lost to another of the same terminal, in milliseconds: cloned
/// images must not fight.
pub(super) const REPLACED_MIN_MS: u64 = 300_000;

/// Waits between attempts.
///
/// There is one attempt in every window. The windows of failures in a row lie end to end and grow
/// by a half, up to the cap; where in its windows a terminal tries is drawn once and kept. A fleet
/// that lost its cloud at one moment is then spread evenly over each window, and over what is left
/// of it when the cloud is back, however long that took. The place is drawn afresh whenever
/// terminals may have come into step: after a link had come up, after a refusal, after news of the
/// network.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: BackoffSettings,
    /// In a row, since the last good link.
    failures: u32,
    /// No window is shorter: the cloud has named it.
    least_ms: u64,
    /// Where in a window the attempt is, in 2^64ths of it.
    place: Option<u64>,
    /// What follows the last attempt in its window, in milliseconds.
    rest_ms: u64,
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
        Self { settings, failures: 0, least_ms: 0, place: None, rest_ms: 0 }
    }

    /// Before the first attempt of the process: a whole street may have got its power back.
    pub fn first(&mut self, moment: &Moment) -> Wait {
        Wait { ms: self.next_window(self.settings.base_ms, moment), ends_early: true }
    }

    /// The link stayed up for `up_ms`; 0 when it did not come up.
    pub const fn link_was_up(&mut self, up_ms: u64) {
        if up_ms > 0 {
            self.least_ms = 0;
            self.begin_afresh();
        }
        if up_ms >= RESET_AFTER_MS {
            self.failures = 0;
        }
    }

    /// After a link has ended or could not be made.
    pub fn after(&mut self, end: &LinkEnd, moment: &Moment) -> Wait {
        match end {
            LinkEnd::Lost { .. } => self.lost(moment),
            LinkEnd::RetryAfter { seconds } => {
                let least = u64::from((*seconds).min(RECONNECT_S_MAX)) * 1000;
                let range = self.window_ms().max(least / 2);
                self.failures = self.failures.saturating_add(1);
                self.begin_afresh();
                Wait { ms: least + moment.jitter(range), ends_early: false }
            }
            LinkEnd::Refused { .. }
            | LinkEnd::Unauthorized { .. }
            | LinkEnd::CertificateExpired { .. } => self.refused(moment),
            LinkEnd::Closed { code, .. } => match *code {
                close_code::POLICY | close_code::UNAUTHENTICATED | close_code::FORBIDDEN => {
                    self.refused(moment)
                }
                close_code::REPLACED => {
                    self.begin_afresh();
                    Wait { ms: REPLACED_MIN_MS + moment.jitter(REPLACED_MIN_MS), ends_early: false }
                }
                _ => self.lost(moment),
            },
        }
    }

    /// As the cloud asked with `reconnect`. If it is not back then, the fleet stays spread as
    /// widely.
    pub fn asked(&mut self, after_s: u32, spread_s: u32, moment: &Moment) -> Wait {
        let after = u64::from(after_s.min(RECONNECT_S_MAX)) * 1000;
        let spread = u64::from(spread_s.min(RECONNECT_S_MAX)) * 1000;
        self.begin_afresh();
        self.least_ms = spread;
        Wait { ms: after + self.next_window(spread, moment), ends_early: false }
    }

    /// When the network has come up: soon, but not all at once.
    pub fn network_up(&mut self, moment: &Moment) -> u64 {
        self.begin_afresh();
        moment.jitter(self.settings.base_ms)
    }

    fn lost(&mut self, moment: &Moment) -> Wait {
        let ms = self.next_window(self.window_ms(), moment);
        self.failures = self.failures.saturating_add(1);
        Wait { ms, ends_early: true }
    }

    /// After what trying again soon does not cure.
    pub fn refused(&mut self, moment: &Moment) -> Wait {
        let range = self.grown(2 * REFUSED_MIN_MS).min(REFUSED_CAP_MS);
        self.failures = self.failures.saturating_add(1);
        self.begin_afresh();
        let ms = REFUSED_MIN_MS + moment.jitter(range.saturating_sub(REFUSED_MIN_MS));
        Wait { ms, ends_early: false }
    }

    /// From the last attempt to the one in the next window.
    fn next_window(&mut self, range_ms: u64, moment: &Moment) -> u64 {
        let place = *self.place.get_or_insert_with(|| moment.random());
        let until_attempt = part(place, range_ms);
        let ms = self.rest_ms.saturating_add(until_attempt);
        self.rest_ms = range_ms - until_attempt;
        ms
    }

    /// The next window begins now, and the place in it is drawn again.
    const fn begin_afresh(&mut self) {
        self.place = None;
        self.rest_ms = 0;
    }

    fn window_ms(&self) -> u64 {
        self.grown(self.settings.base_ms).min(self.settings.cap_ms).max(self.least_ms)
    }

    /// `base_ms` grown by a half for every failure.
    fn grown(&self, base_ms: u64) -> u64 {
        let n = self.failures.min(GROWTHS_MAX);
        let grown = (u128::from(base_ms) * 3u128.pow(n)) >> n;
        u64::try_from(grown).unwrap_or(u64::MAX)
    }
}

/// So many 2^64ths of `ms`.
fn part(place: u64, ms: u64) -> u64 {
    let scaled = (u128::from(place) * (u128::from(ms) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Monotonic;
    use terminal_hal::Timestamp;

    fn moment(entropy: u128) -> Moment {
        Moment {
            monotonic: Monotonic(0),
            wall: Timestamp::default(),
            wall_trusted: true,
            calendar: None,
            entropy,
        }
    }

    fn lost() -> LinkEnd {
        LinkEnd::Lost { reason: String::new() }
    }

    /// The place in the middle of a window.
    const MIDDLE: u128 = 1 << 63;

    fn default_backoff() -> Backoff {
        Backoff::new(BackoffSettings::default())
    }

    #[test]
    fn there_is_one_attempt_in_every_window_at_the_same_place() {
        // From one end of a window to the same end of the next one.
        for (place, want) in [
            (0, [0, 2_000, 2_000, 3_000, 4_500]),
            (u128::from(u64::MAX), [2_000, 2_000, 3_000, 4_500, 6_750]),
            (MIDDLE, [1_000, 2_000, 2_500, 3_750, 5_625]),
        ] {
            let mut backoff = default_backoff();
            let mut waits = vec![backoff.first(&moment(place)).ms];
            // The place was drawn once.
            waits.extend((0..4).map(|n| backoff.after(&lost(), &moment(n)).ms));
            assert_eq!(waits, want);
        }
    }

    #[test]
    fn windows_grow_up_to_the_cap() {
        let mut backoff = default_backoff();
        for _ in 0..100 {
            backoff.after(&lost(), &moment(MIDDLE));
        }
        assert_eq!(backoff.after(&lost(), &moment(0)).ms, 300_000);
    }

    #[test]
    fn whatever_may_bring_terminals_into_step_has_the_place_drawn_again() {
        let tried = || {
            let mut backoff = default_backoff();
            backoff.after(&lost(), &moment(MIDDLE));
            backoff
        };
        let mut after_a_link = tried();
        after_a_link.link_was_up(1);
        let mut after_news = tried();
        after_news.network_up(&moment(0));
        let mut after_retry = tried();
        after_retry.after(&LinkEnd::RetryAfter { seconds: 1 }, &moment(0));
        for (backoff, range) in [(after_a_link, 3_000), (after_news, 3_000), (after_retry, 4_500)] {
            let next = |entropy| backoff.clone().after(&lost(), &moment(entropy)).ms;
            assert_eq!([next(0), next(u128::MAX)], [0, range]);
        }
    }

    #[test]
    fn only_a_link_that_stayed_up_for_a_minute_begins_with_the_first_window() {
        let most = moment(u128::MAX);
        let mut backoff = default_backoff();
        backoff.after(&lost(), &most);
        backoff.link_was_up(RESET_AFTER_MS - 1);
        assert_eq!(backoff.after(&lost(), &most).ms, 3_000);
        backoff.link_was_up(RESET_AFTER_MS);
        assert_eq!(backoff.after(&lost(), &most).ms, 2_000);
    }

    #[test]
    fn retry_after_is_never_undercut_and_the_replaced_link_waits_five_minutes() {
        let mut backoff = default_backoff();
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
        let asked = |after_s, spread_s, entropy| {
            default_backoff().asked(after_s, spread_s, &moment(entropy))
        };
        assert_eq!(asked(10, 60, 0).ms, 10_000);
        assert_eq!(asked(10, 60, u128::MAX).ms, 70_000);
        assert_eq!(asked(u32::MAX, 0, 0).ms, 3_600_000);
    }

    #[test]
    fn a_drained_fleet_stays_spread_while_the_cloud_is_late() {
        for place in [0, MIDDLE, u128::MAX] {
            let mut backoff = default_backoff();
            backoff.asked(10, 600, &moment(place));
            for _ in 0..3 {
                assert_eq!(backoff.after(&lost(), &moment(1)).ms, 600_000, "above the cap as well");
            }
            backoff.link_was_up(1);
            assert!(backoff.after(&lost(), &moment(place)).ms <= 10_125);
        }
    }
}
