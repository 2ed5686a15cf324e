//! Tokens that are known by their looks: JSON web tokens, and what follows `Bearer` and `Basic`.

use crate::{
    finding::{Finding, Findings, Kind},
    line::Line,
};

/// Shorter than any web token with two parts.
const JWT_BYTES_MIN: usize = 20;
/// Shorter words after `Bearer` and `Basic` are words.
const CREDENTIALS_BYTES_MIN: usize = 8;
/// No word is so long.
const WORD_BYTES_MAX: usize = 40;

/// Looks for a web token around the `J` of its first three letters; returns how far it has looked.
pub(crate) fn look_for_jwt(line: &Line<'_>, letter: usize, findings: &mut Findings) -> usize {
    let Some(start) = letter.checked_sub(2).filter(|start| line.has(*start, b"eyJ")) else {
        return letter + 1;
    };
    let mut parts = 1;
    let end = line.skip(start, |byte| {
        parts += usize::from(byte == b'.');
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
    });
    if parts > 1 && end - start >= JWT_BYTES_MIN {
        findings.add(line, Finding::new(Kind::Secret, start, end));
        return end;
    }
    // No other begins within what has no second part.
    if parts == 1 { end } else { letter + 1 }
}

/// Looks for credentials behind the `B` of their scheme; returns how far it has looked.
pub(crate) fn look_for_scheme(line: &Line<'_>, letter: usize, findings: &mut Findings) -> usize {
    let next = letter + 1;
    let Some(start) = after_scheme(line, letter) else { return next };
    if line.before(letter).is_ascii_alphanumeric() {
        return next;
    }
    let end = credentials_end(line, start);
    if is_no_word(line.text(start, end)) {
        findings.add(line, Finding::new(Kind::Secret, start, end));
        return end;
    }
    next
}

/// Where the credentials begin whose scheme begins at a position.
pub(crate) fn after_scheme(line: &Line<'_>, position: usize) -> Option<usize> {
    let mut schemes = [&b"bearer"[..], b"basic"].into_iter();
    let scheme = schemes.find(|scheme| line.has_caseless(position, scheme))?;
    let end = position + scheme.len();
    let start = match line.at(end) {
        b'%' if line.has(end, b"%20") => end + 3,
        b'+' => end + 1,
        _ => line.skip(end, |byte| byte == b' '),
    };
    (start > end).then_some(start)
}

/// Where credentials end; slashes may be escaped.
pub(crate) fn credentials_end(line: &Line<'_>, start: usize) -> usize {
    let mut end = start;
    loop {
        match line.at(end) {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => end += 1,
            b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b':' | b'%' => end += 1,
            b'\\' if line.at(end + 1) == b'/' => end += 2,
            _ => return end,
        }
    }
}

/// Whether it is too long for a word of a sentence, or holds what those do not.
fn is_no_word(text: &[u8]) -> bool {
    let has_digit = text.iter().any(|byte| byte.is_ascii_digit() || *byte == b'=');
    let inner_capital =
        text.iter().skip(1).any(u8::is_ascii_uppercase) && text.iter().any(u8::is_ascii_lowercase);
    match text.len() {
        0..CREDENTIALS_BYTES_MIN => false,
        CREDENTIALS_BYTES_MIN..=WORD_BYTES_MAX => has_digit || inner_capital,
        _ => true,
    }
}
