//! Wall-clock instants as they cross the wire: RFC 3339, UTC, milliseconds.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z. Written `2026-06-29T09:00:00.000Z`; any RFC 3339
/// offset is read. Instants before 1970 and after the year 9999 are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Timestamp(
    #[cfg_attr(
        feature = "schema",
        schemars(with = "String", extend("format" = "date-time"), regex(pattern = crate::schema::TIME))
    )]
    u64,
);

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since the epoch; later than the year 9999 becomes its last millisecond.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(if ms > UNIX_MS_MAX { UNIX_MS_MAX } else { ms })
    }

    /// Milliseconds since the epoch.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Later by `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, 0 when `earlier` is the later one.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 with any offset; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let ms = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        u64::try_from(ms).ok().map(Self::from_unix_ms)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = i64::try_from(self.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
        f.write_str(&utc.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"an RFC 3339 time between 1970 and 9999, such as 2026-06-29T09:00:00.000Z",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        let time = Timestamp::parse("2026-06-29T11:00:00+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-06-29T09:00:00.000Z");
    }

    #[test]
    fn the_edges_of_the_range_survive_a_round_trip_and_what_is_beyond_is_refused() {
        for ms in [0, 1, UNIX_MS_MAX] {
            let time = Timestamp::from_unix_ms(ms);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).unix_ms(), UNIX_MS_MAX);
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59Z"), None);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
