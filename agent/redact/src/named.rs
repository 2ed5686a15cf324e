//! Names before separators: `name=value`, `name: value`, JSON (also within JSON), XML, URLs.

use crate::{
    field::{self, Field, NAME_MAX},
    finding::{Finding, Findings},
    line::{Line, Strings},
    value::{self, Place},
};

/// Most words of a name that are put together: `track2_equivalent_data`.
const WORDS_MAX: usize = 3;
/// Backslashes of a quote in JSON within JSON within JSON.
const BACKSLASHES_MAX: usize = 8;

/// Looks at the name before and the value behind a separator, and returns how far it has looked.
pub(crate) fn look(
    line: &Line<'_>,
    separator: usize,
    strings: &mut Strings,
    findings: &mut Findings,
) -> usize {
    let next = separator + 1;
    let place = match line.at(separator) {
        b'%' if !is_escaped_separator(line, separator) => return next,
        b'%' => separator + 3,
        _ => next,
    };
    let is_element = line.at(separator) == b'>';
    let Some(field) = field_before(line, separator, is_element) else { return next };
    let place = match is_element {
        true => Place::Element(place),
        false if strings.contain(line, separator) => Place::InString(place),
        false => Place::Bare(place),
    };
    let Some((start, end)) = value::of(line, field, place) else { return next };
    findings.add(line, Finding::new(field.kind, start, end));
    end.max(next)
}

/// Whether an equals sign or a colon is written as in a URL.
fn is_escaped_separator(line: &Line<'_>, percent: usize) -> bool {
    line.has_caseless(percent, b"%3d") || line.has_caseless(percent, b"%3a")
}

/// The field whose name ends before a separator.
fn field_before(line: &Line<'_>, separator: usize, is_element: bool) -> Option<Field> {
    let mut end = separator;
    while separator - end < 2 && line.before(end) == b' ' {
        end -= 1;
    }
    if matches!(line.before(end), b'"' | b'\'') {
        end -= 1;
        let floor = end.saturating_sub(BACKSLASHES_MAX);
        end -= line.backslashes_before(end, floor);
    } else if line.before(end) == b'2' && end > 2 && line.has(end - 3, b"%22") {
        end -= 3;
    }
    if end < 2 || !field::may_end_with(line.before(end - 1), line.before(end)) {
        return None;
    }
    let mut name = Name::default();
    let mut start = end;
    let mut found = None;
    while found.is_none() && name.words < WORDS_MAX && name.push(line.before(start)) {
        start -= 1;
        let (this, before) = (line.at(start), line.before(start));
        let is_space = matches!(before, b'_' | b'-' | b'.' | b' ');
        let is_camel = this.is_ascii_uppercase() && !before.is_ascii_uppercase();
        if is_space || is_camel || begins_word(line, start) {
            name.words += 1;
            found = field::by_name(name.text());
            start -= usize::from(is_space);
        }
    }
    found.filter(|_| !is_element || is_tag_name(line, start))
}

/// Whether what is before a position is no letter or digit, or that of an escape.
fn begins_word(line: &Line<'_>, start: usize) -> bool {
    let back = |count: usize| start.checked_sub(count).map_or(0, |position| line.at(position));
    match back(1) {
        b'n' | b'r' | b't' | b'b' | b'f' if back(2) == b'\\' => true,
        byte if byte.is_ascii_hexdigit() => {
            back(3) == b'%' || (back(5) == b'u' && back(6) == b'\\')
        }
        byte => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether a name is that of an XML element, maybe with a prefix.
fn is_tag_name(line: &Line<'_>, start: usize) -> bool {
    let mut before = start;
    while start - before < NAME_MAX && !matches!(line.before(before), b'<' | b'>' | b' ' | 0) {
        before -= 1;
    }
    line.before(before) == b'<' && line.at(before) != b'/'
}

/// A name, put together from its end.
#[derive(Default)]
struct Name {
    reversed: [u8; NAME_MAX],
    length: usize,
    words: usize,
}

impl Name {
    /// Puts a character before the others; tells whether it belongs to a name and has room.
    fn push(&mut self, byte: u8) -> bool {
        let place = NAME_MAX.checked_sub(self.length + 1);
        let place = place.and_then(|place| self.reversed.get_mut(place));
        match place {
            Some(place) if byte.is_ascii_alphanumeric() => {
                *place = byte.to_ascii_lowercase();
                self.length += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn text(&self) -> &[u8] {
        self.reversed.get(NAME_MAX - self.length..).unwrap_or_default()
    }
}
