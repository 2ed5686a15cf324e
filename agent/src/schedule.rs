//! When the daily end of day is due, by the calendar of the terminal's time zone.
//!
//! Days and hours only: whether it begins is the engine's to decide.

use terminal_core::engine::{Calendar, Due, LocalDate};
use terminal_hal::Timestamp;
use tz::{DateTime, TimeZone, UtcDateTime};

const DAY_S: i64 = 24 * 3600;

/// A time of every day.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone: TimeZone,
    at_s: u32,
    window_ms: u64,
}

impl Schedule {
    /// Due `at_s` seconds after midnight; it may begin until `window_ms` later. `zone` is a name of
    /// the system's time zone database such as `Europe/Oslo`, `localtime` for that of the system,
    /// or a rule as POSIX has it, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    ///
    /// # Errors
    /// When the time zone cannot be had.
    pub fn new(zone: &str, at_s: u32, window_ms: u64) -> Result<Self, tz::Error> {
        Ok(Self { zone: TimeZone::from_posix_tz(zone)?, at_s, window_ms })
    }

    /// What it says at a time of the wall clock; `None` for a time that no calendar has.
    pub fn calendar(&self, wall: Timestamp) -> Option<Calendar> {
        let wall_s = i64::try_from(wall.unix_ms() / 1000).ok()?;
        let today = DateTime::from_timespec(wall_s, 0, self.zone.as_ref()).ok()?;
        let (year, month, day) = (today.year(), today.month(), today.month_day());
        let midnight = UtcDateTime::new(year, month, day, 0, 0, 0, 0).ok()?.unix_time();
        let mut last = None;
        // From yesterday on: today's may not have come yet.
        for n in -1..=2 {
            let due = self.due(midnight + n * DAY_S)?;
            if due.at > wall {
                return last.map(|last| Calendar { last, next: due.at });
            }
            last = Some(due);
        }
        None
    }

    /// That of the day that begins at `midnight`, if its zone were UTC. Of an hour that comes twice
    /// the first counts; where it is left out, the moment at which it is.
    fn due(&self, midnight: i64) -> Option<Due> {
        let date = UtcDateTime::from_timespec(midnight, 0).ok()?;
        let (year, month, day) = (date.year(), date.month(), date.month_day());
        let time = UtcDateTime::from_timespec(i64::from(self.at_s), 0).ok()?;
        let (hour, minute) = (time.hour(), time.minute());
        let zone = self.zone.as_ref();
        let found = DateTime::find(year, month, day, hour, minute, 0, 0, zone).ok()?.earliest()?;
        let at = Timestamp::from_unix_ms(u64::try_from(found.unix_time()).ok()? * 1000);
        let date = LocalDate { year: u16::try_from(year).ok()?, month, day };
        Some(Due { date, at, until: at.plus_ms(self.window_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Europe/Oslo has it.
    const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    const MINUTE_MS: u64 = 60_000;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn calendar(zone: &str, time: &str, wall: &str) -> Calendar {
        let at_s = terminal_hal::firmware::second_of_day(time).unwrap();
        Schedule::new(zone, at_s, 30 * MINUTE_MS).unwrap().calendar(at(wall)).unwrap()
    }

    fn last(zone: &str, time: &str, wall: &str) -> (String, Timestamp) {
        let last = calendar(zone, time, wall).last;
        (last.date.to_string(), last.at)
    }

    #[test]
    fn it_is_due_at_its_time_of_the_zones_day() {
        let before = calendar(OSLO, "23:30", "2026-06-29T21:29:59.999Z");
        assert_eq!(
            (before.last.date.to_string().as_str(), before.next),
            ("2026-06-28", at("2026-06-29T21:30:00Z"))
        );
        let then = calendar(OSLO, "23:30", "2026-06-29T21:30:00Z");
        assert_eq!(then.last.date.to_string(), "2026-06-29");
        assert_eq!(
            (then.last.at, then.last.until),
            (at("2026-06-29T21:30:00Z"), at("2026-06-29T22:00:00Z"))
        );
        assert_eq!(then.next, at("2026-06-30T21:30:00Z"));
    }

    #[test]
    fn the_date_is_that_of_the_due_time_also_past_midnight_and_where_the_utc_date_differs() {
        let past_midnight = last(OSLO, "23:50", "2026-01-31T23:10:00Z");
        assert_eq!(past_midnight, ("2026-01-31".to_owned(), at("2026-01-31T22:50:00Z")));
        let auckland = "NZST-12NZDT,M9.5.0,M4.1.0/3";
        let far_east = last(auckland, "23:00", "2026-06-29T11:00:00Z");
        assert_eq!(far_east, ("2026-06-29".to_owned(), at("2026-06-29T11:00:00Z")));
        let hawaii = last("HST10", "23:00", "2026-06-30T09:00:00Z");
        assert_eq!(hawaii, ("2026-06-29".to_owned(), at("2026-06-30T09:00:00Z")));
    }

    #[test]
    fn an_hour_that_comes_twice_is_due_once_the_first_time() {
        // 02:00 to 03:00 comes twice.
        for wall in ["2026-10-25T00:30:00Z", "2026-10-25T01:29:00Z", "2026-10-25T01:30:00Z"] {
            let expected = ("2026-10-25".to_owned(), at("2026-10-25T00:30:00Z"));
            assert_eq!(last(OSLO, "02:30", wall), expected, "{wall}");
        }
        assert_eq!(
            calendar(OSLO, "02:30", "2026-10-25T00:30:00Z").next,
            at("2026-10-26T01:30:00Z")
        );
    }

    #[test]
    fn an_hour_that_is_left_out_is_due_at_the_moment_at_which_it_is() {
        // 02:00 is 03:00.
        let before = calendar(OSLO, "02:30", "2026-03-29T00:59:59Z");
        assert_eq!(before.next, at("2026-03-29T01:00:00Z"));
        let expected = ("2026-03-29".to_owned(), at("2026-03-29T01:00:00Z"));
        assert_eq!(last(OSLO, "02:30", "2026-03-29T01:00:00Z"), expected);
    }

    #[test]
    fn all_through_a_year_every_moment_has_one_calendar_and_no_date_comes_twice() {
        let schedule = Schedule::new(OSLO, 9_000, MINUTE_MS).unwrap();
        let begin = at("2026-01-01T00:00:00Z");
        let mut dates = Vec::new();
        for quarter in 0..366 * 24 * 4 {
            let wall = begin.plus_ms(quarter * 15 * MINUTE_MS);
            let calendar = schedule.calendar(wall).unwrap();
            assert!(calendar.last.at <= wall && wall < calendar.next, "{wall}");
            if dates.last().is_none_or(|(date, _)| *date != calendar.last.date) {
                dates.push((calendar.last.date, calendar.last.at));
            }
        }
        assert_eq!(dates.len(), 367);
        assert!(dates.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
    }

    #[test]
    fn a_clock_that_begins_in_1970_and_one_beyond_all_calendars_do_no_harm() {
        let schedule = Schedule::new(OSLO, 0, MINUTE_MS).unwrap();
        assert_eq!(schedule.calendar(Timestamp::from_unix_ms(0)), None);
        assert_eq!(schedule.calendar(Timestamp::from_unix_ms(u64::MAX)), None);
    }

    #[test]
    fn a_zone_that_nobody_knows_is_refused() {
        for wrong in ["Europe/Olso", "", "+01:00"] {
            assert!(Schedule::new(wrong, 0, MINUTE_MS).is_err(), "{wrong:?}");
        }
    }
}
