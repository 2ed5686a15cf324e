//! A line of a file: its time, its level, the rest.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};

use crate::{Timestamp, operation::send_logs::LogLevel};

/// Months in the old format of syslog.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How a line of a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-06-29T18:35:00.123+02:00`, then a space.
    Rfc3339,
    /// `Jun 29 18:35:00`, then a space: in UTC, and of the last year that does not make it later
    /// than the file.
    Syslog,
}

impl TimeFormat {
    /// The time that a line begins with, and what follows it. `modified` is when the file was
    /// written last.
    pub(super) fn split(self, line: &str, modified: Timestamp) -> Option<(Timestamp, &str)> {
        match self {
            Self::Rfc3339 => {
                let (time, rest) = line.split_once(' ')?;
                Some((Timestamp::parse(time)?, rest))
            }
            Self::Syslog => {
                let (time, rest) = line.split_at_checked(15)?;
                Some((syslog_time(time, modified)?, rest.strip_prefix(' ')?))
            }
        }
    }
}

fn syslog_time(text: &str, modified: Timestamp) -> Option<Timestamp> {
    let (month, rest) = text.split_once(' ')?;
    let (day, time) = rest.trim_start().split_once(' ')?;
    let month = MONTHS.iter().position(|name| *name == month)? as u32 + 1;
    let (day, time) = (day.parse().ok()?, NaiveTime::parse_from_str(time, "%H:%M:%S").ok()?);
    let modified_ms = i64::try_from(modified.unix_ms()).ok()?;
    let year = DateTime::from_timestamp_millis(modified_ms)?.year();
    // A 29th of February is of a leap year.
    (year - 4..=year + 1).rev().find_map(|year| {
        let at = NaiveDate::from_ymd_opt(year, month, day)?.and_time(time).and_utc();
        let at = Timestamp::from_unix_ms(u64::try_from(at.timestamp_millis()).ok()?);
        (at <= modified.plus_ms(DAY_MS)).then_some(at)
    })
}

/// The level that a line names with its first word.
pub(super) fn level(rest: &str) -> Option<LogLevel> {
    let word = rest.split_whitespace().next()?;
    let word = word.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_uppercase();
    match word.as_str() {
        "ERROR" | "ERR" | "FATAL" | "CRITICAL" | "CRIT" | "SEVERE" => Some(LogLevel::Error),
        "WARN" | "WARNING" => Some(LogLevel::Warn),
        "INFO" | "NOTICE" => Some(LogLevel::Info),
        "DEBUG" => Some(LogLevel::Debug),
        "TRACE" => Some(LogLevel::Trace),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_time_is_read_in_its_format_and_in_no_other() {
        let modified = at("2026-06-30T00:00:00Z");
        let split = |format: TimeFormat, line| format.split(line, modified);
        let want = at("2026-06-29T18:35:00Z");
        let line = "2026-06-29T20:35:00+02:00 INFO sale";
        assert_eq!(split(TimeFormat::Rfc3339, line), Some((want, "INFO sale")));
        assert_eq!(split(TimeFormat::Syslog, "Jun 29 18:35:00 pos a"), Some((want, "pos a")));
        for line in
            ["", "  at java.lang.Thread", "2026-06-29", "Jun 29 25:00:00 x", "Ju\u{308}n 29 18:3 x"]
        {
            assert_eq!(split(TimeFormat::Rfc3339, line), None, "{line}");
            assert_eq!(split(TimeFormat::Syslog, line), None, "{line}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_of_the_last_one_before_the_file_was_written() {
        let time = |text, modified| syslog_time(text, at(modified));
        assert_eq!(
            time("Dec 31 23:59:59", "2026-01-01T00:10:00Z"),
            Some(at("2025-12-31T23:59:59Z"))
        );
        // A clock that is a little ahead is no reason for another year.
        assert_eq!(
            time("Jan  1 00:05:00", "2025-12-31T23:58:00Z"),
            Some(at("2026-01-01T00:05:00Z"))
        );
        assert_eq!(
            time("Feb 29 12:00:00", "2026-06-01T00:00:00Z"),
            Some(at("2024-02-29T12:00:00Z"))
        );
    }

    #[test]
    fn a_level_is_the_first_word_however_it_is_dressed() {
        assert_eq!(level("[WARNING] paper"), Some(LogLevel::Warn));
        assert_eq!(level("error: host"), Some(LogLevel::Error));
        assert_eq!(level("sale of 100"), None);
        assert_eq!(level(""), None);
    }
}
