//! What the types of a frame cannot say: lengths, ranges, and which fields go together.
//!
//! A frame that breaks one of these limits is as invalid as one that lacks a field. Each stands
//! beside its type, and once more in the JSON Schema of that type, from the same constant.

use std::ops::RangeInclusive;

use terminal_hal::text::line_problem;

/// A frame whose fields have been read.
pub(super) trait Check {
    /// Says which field is wrong, what it holds and what it should hold.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<T: Check> Check for Box<T> {
    fn check(&self) -> Result<(), String> {
        T::check(self)
    }
}

/// Refuses text outside `chars` or with control characters.
pub(super) fn check_line(
    path: &str,
    text: &str,
    chars: RangeInclusive<usize>,
) -> Result<(), String> {
    match line_problem(text, *chars.start(), *chars.end()) {
        Some(problem) => Err(format!("{path} {problem}")),
        None => Ok(()),
    }
}

/// Refuses a number or a length outside `range`.
pub(super) fn check_range(
    path: &str,
    value: impl TryInto<u64>,
    range: RangeInclusive<u64>,
) -> Result<(), String> {
    let value = value.try_into().unwrap_or(u64::MAX);
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(match max {
        u64::MAX => format!("{path} is {value}, want at least {min}"),
        _ => format!("{path} is {value}, want {min} to {max}"),
    })
}

/// Refuses what is not SHA-256 in lower-case hex.
pub(super) fn check_sha256(path: &str, text: &str) -> Result<(), String> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_hex) {
        return Ok(());
    }
    Err(format!("{path} is not 64 lower-case hex digits"))
}
