//! `Retry-After`: seconds, or a date.

use terminal_hal::Timestamp;

/// Seconds to wait from `now` on; `None` when the value is neither form.
pub(super) fn seconds(value: &str, now: Timestamp) -> Option<u32> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(u32::MAX));
    }
    let wait_ms = http_date(value)?.ms_since(now);
    Some(u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may still send.
fn http_date(value: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = value.split_once(", ")?;
    let mut words = date.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    let position = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)?;
    let number = position / 3 + 1;
    if zone != "GMT" || words.next().is_some() {
        return None;
    }
    Timestamp::parse(&format!("{year}-{number:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_anything_else_is_not() {
        let now = Timestamp::parse("1994-11-06T08:49:30Z").unwrap();
        assert_eq!(seconds("120", now), Some(120));
        assert_eq!(seconds(" 0 ", now), Some(0));
        assert_eq!(seconds("99999999999", now), Some(u32::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        for bad in ["", "-1", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 anF 1994 0:0:0 GMT"]
        {
            assert_eq!(seconds(bad, now), None, "{bad}");
        }
    }
}
