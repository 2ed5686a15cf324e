//! The maintenance window: hours of the terminal's own day.

use chrono::{DateTime, Local, Timelike as _};

use crate::Timestamp;

const DAY_S: u32 = 24 * 3600;

/// From one time of the day to another, in local time; past midnight where the second is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from_s: u32,
    to_s: u32,
}

impl Window {
    /// Reads `02:00-05:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let window = Self { from_s: second_of_day(from)?, to_s: second_of_day(to)? };
        (window.from_s != window.to_s).then_some(window)
    }

    /// Seconds until it opens, 0 while it is open.
    pub(super) fn opens_in_s(self, now: Timestamp) -> u32 {
        self.opens_in_s_at(second_of_wall(now))
    }

    /// How long it is open.
    pub(super) const fn length_s(self) -> u32 {
        (self.to_s + DAY_S - self.from_s) % DAY_S
    }

    const fn opens_in_s_at(self, second: u32) -> u32 {
        let since_opening = (second + DAY_S - self.from_s) % DAY_S;
        if since_opening < self.length_s() { 0 } else { DAY_S - since_opening }
    }
}

/// Reads a time of the day, `23:30`, as seconds from midnight.
pub fn second_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, below: u32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| digits && *number < below)
    };
    Some(number(hour, 24)? * 3600 + number(minute, 60)? * 60)
}

/// Where the clock on the wall stands. The zone is that of `/etc/localtime`.
fn second_of_wall(now: Timestamp) -> u32 {
    let ms = i64::try_from(now.unix_ms()).unwrap_or(i64::MAX);
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    utc.with_timezone(&Local).num_seconds_from_midnight()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 3600;

    #[test]
    fn a_window_opens_and_closes_at_its_second_on_either_side_of_midnight() {
        let night = Window::parse("02:00-05:00").unwrap();
        assert_eq!(night.opens_in_s_at(2 * HOUR), 0);
        assert_eq!(night.opens_in_s_at(2 * HOUR - 1), 1);
        assert_eq!(night.opens_in_s_at(5 * HOUR - 1), 0);
        assert_eq!(night.opens_in_s_at(5 * HOUR), 21 * HOUR);
        let late = Window::parse("23:00-01:30").unwrap();
        assert_eq!(late.opens_in_s_at(0), 0);
        assert_eq!(late.opens_in_s_at(HOUR + 1800), 21 * HOUR + 1800);
        assert_eq!(late.length_s(), 2 * HOUR + 1800);
    }

    #[test]
    fn a_window_that_was_missed_is_not_made_up_for_when_the_terminal_is_switched_on() {
        let night = Window::parse("02:00-05:00").unwrap();
        // Off all night, on at nine: the next one is at two.
        assert_eq!(night.opens_in_s_at(9 * HOUR), 17 * HOUR);
    }

    #[test]
    fn anything_else_is_no_window() {
        for text in ["", "02:00", "2:00-5:00", "02:00-02:00", "24:00-01:00", "02:60-03:00", "a-b"] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }
}
