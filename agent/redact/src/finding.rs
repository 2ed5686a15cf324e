//! What the rules find, and what is put in its place.

use crate::{
    line::{Line, Strings},
    pan::Digits,
};

/// What stands for everything that was masked; of a card number the last four digits follow.
pub(crate) const MASK: &[u8] = b"****";

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pan,
    Track,
    Pin,
    Secret,
}

/// A part of a line that must not leave.
#[derive(Clone, Copy)]
pub(crate) struct Finding {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
    pub(crate) last_four: Option<[u8; 4]>,
}

impl Finding {
    /// Something of which nothing may be shown.
    pub(crate) const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self { start, end, kind, last_four: None }
    }

    /// Something that begins with or is a card number.
    pub(crate) fn of_pan(kind: Kind, start: usize, end: usize, pan: &Digits) -> Self {
        Self { start, end, kind, last_four: Some(pan.last_four()) }
    }
}

/// The findings of one line.
#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, unless there is nothing in it that a mask would hide.
    pub(crate) fn add(&mut self, line: &Line<'_>, finding: Finding) {
        if finding.start < finding.end && line.text(finding.start, finding.end) != MASK {
            self.0.push(finding);
        }
    }

    /// Writes the line with masks instead of the findings and tells what was masked.
    pub(crate) fn apply(
        &mut self,
        line: &Line<'_>,
        output: &mut Vec<u8>,
        mut masked: impl FnMut(Kind),
    ) {
        self.0.sort_unstable_by_key(|finding| finding.start);
        let mut strings = Strings::default();
        let mut copied = 0;
        for finding in &self.0 {
            // What overlaps the one before goes with it.
            if finding.start >= copied {
                let bare = line.is_json && !strings.contain(line, finding.start);
                let number = if bare { number_around(line, finding.start, copied) } else { None };
                let start = number.map_or(finding.start, |(start, _)| start);
                output.extend_from_slice(line.text(copied, start));
                write_mask(output, finding.last_four, number.is_some());
                masked(finding.kind);
                copied = number.map_or(start, |(_, end)| end);
            }
            copied = copied.max(finding.end);
        }
        output.extend_from_slice(line.text(copied, line.len()));
    }
}

/// In the place of a JSON number the mask becomes a string, so that the line stays JSON.
fn write_mask(output: &mut Vec<u8>, last_four: Option<[u8; 4]>, quoted: bool) {
    let quote: &[u8] = if quoted { b"\"" } else { b"" };
    let shown = last_four.as_ref().map_or(&b""[..], |digits| digits);
    for part in [quote, MASK, shown, quote] {
        output.extend_from_slice(part);
    }
}

/// The whole JSON number that a position lies in, as far as it lies behind `floor`.
fn number_around(line: &Line<'_>, position: usize, floor: usize) -> Option<(usize, usize)> {
    let in_number = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let mut start = position;
    while start > floor && in_number(line.before(start)) {
        start -= 1;
    }
    let end = line.skip(position, in_number);
    let is_number = matches!(line.at(start), b'-' | b'0'..=b'9') && position < end;
    is_number.then_some((start, end))
}
