//! Values behind names: where they begin, where they end, and whether they are what the name says.

use crate::{
    field::{Field, Likely},
    line::Line,
    token,
};

/// From this length on a value is no word.
const OPAQUE_BYTES_MIN: usize = 16;
/// So much of a value is looked at before it is believed to be one.
const PROBE_BYTES: usize = 40;

/// What a separator stands in, and where it ends.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// Between the tags of an XML element.
    Element(usize),
    /// In a string of a JSON line.
    InString(usize),
    /// Somewhere else.
    Bare(usize),
}

/// Where the value of a field is, without its quotes; `None` when there is nothing to mask.
pub(crate) fn of(line: &Line<'_>, field: Field, place: Place) -> Option<(usize, usize)> {
    let (start, ends_at) = begin(line, place)?;
    if matches!(line.at(start), b'{' | b'[') {
        return None;
    }
    if field.value == Likely::Credentials {
        let start = token::after_scheme(line, start)?;
        let end = match ends_at {
            EndsAt::Delimiter => token::credentials_end(line, start),
            EndsAt::Quote { .. } | EndsAt::Byte(_) => end(line, start, line.len(), ends_at),
        };
        return Some((start, end));
    }
    if matches!(ends_at, EndsAt::Delimiter) && !is_likely(line, field, start) {
        return None;
    }
    Some((start, end(line, start, line.len(), ends_at)))
}

/// What ends a value.
#[derive(Clone, Copy)]
enum EndsAt {
    /// A quote at that level of JSON within JSON, or of a level around it.
    Quote { level: u32 },
    /// This byte, or the end of the string around it.
    Byte(u8),
    /// Whatever ends a word.
    Delimiter,
}

/// Where a value begins, and what ends it.
fn begin(line: &Line<'_>, place: Place) -> Option<(usize, EndsAt)> {
    let (separator_end, in_string) = match place {
        Place::Element(start) => return Some((start, EndsAt::Byte(b'<'))),
        Place::InString(start) => (start, true),
        Place::Bare(start) => (start, false),
    };
    let start = line.skip(separator_end, |byte| matches!(byte, b' ' | b'=' | b'>'));
    let quote = line.skip(start, |byte| byte == b'\\');
    let escapes = quote - start;
    match line.at(quote) {
        // The end of the string in which the name stands.
        b'"' if in_string && escapes % 2 == 0 => None,
        b'"' => Some((quote + 1, EndsAt::Quote { level: escapes.trailing_ones() })),
        b'\'' if escapes == 0 => Some((quote + 1, EndsAt::Byte(b'\''))),
        b'%' if line.has(quote, b"%22") => Some((quote + 3, EndsAt::Delimiter)),
        _ => Some((start, EndsAt::Delimiter)),
    }
}

/// Whether a value without quotes is what the field is likely to hold.
fn is_likely(line: &Line<'_>, field: Field, start: usize) -> bool {
    let end = end(line, start, start + PROBE_BYTES, EndsAt::Delimiter);
    let text = line.text(start, end);
    let has_digit = || text.iter().any(u8::is_ascii_digit);
    match field.value {
        Likely::Any => !matches!(text, b"null" | b"true" | b"false"),
        Likely::Digits => has_digit(),
        Likely::Opaque => has_digit() || text.len() >= OPAQUE_BYTES_MIN,
        Likely::Credentials => false,
    }
}

/// Where a value ends, at a limit at last.
fn end(line: &Line<'_>, start: usize, limit: usize, ends_at: EndsAt) -> usize {
    if let EndsAt::Quote { level } = ends_at {
        return closing_quote(line, start, level);
    }
    let limit = limit.min(line.len());
    let mut end = start;
    while end < limit {
        let byte = line.at(end);
        let ends = match ends_at {
            EndsAt::Byte(wanted) => byte == wanted || (byte == b'"' && line.is_json),
            EndsAt::Delimiter | EndsAt::Quote { .. } => is_delimiter(line, end, byte),
        };
        let is_escape = byte == b'\\';
        if ends || (is_escape && matches!(line.at(end + 1), b'"' | b'n' | b'r' | b't' | 0)) {
            return end;
        }
        end += if is_escape { 2 } else { 1 };
    }
    end.min(limit)
}

/// Where a string ends that began with a quote at that level of JSON within JSON: at a quote of
/// its own level or of one around it. The number of backslashes before a quote at level n ends in
/// n ones when it is written in binary; what is in front of those belongs to the text.
fn closing_quote(line: &Line<'_>, start: usize, level: u32) -> usize {
    let mut escapes: usize = 0;
    let mut position = start;
    while position < line.len() {
        match line.at(position) {
            b'\\' => escapes += 1,
            b'"' if escapes.trailing_ones() <= level => {
                return position - ((1 << escapes.trailing_ones()) - 1);
            }
            _ => escapes = 0,
        }
        position += 1;
    }
    position
}

/// Whether a byte ends a word; in a URL some are escaped.
fn is_delimiter(line: &Line<'_>, position: usize, byte: u8) -> bool {
    match byte {
        b'"' | b'\'' | b',' | b';' | b'&' | b'<' | b')' | b']' | b'}' | b'|' => true,
        b'%' => [&b"%26"[..], b"%22", b"%2c", b"%7d"]
            .iter()
            .any(|escaped| line.has_caseless(position, escaped)),
        _ => byte.is_ascii_whitespace(),
    }
}
