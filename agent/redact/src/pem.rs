//! Private keys in PEM: on one line with escapes or spaces, or over the lines of a log.

use crate::{
    finding::{Finding, Findings, Kind},
    line::Line,
};

const DASHES: &[u8] = b"-----";
const BEGIN: &[u8] = b"BEGIN ";
const END: &[u8] = b"-----END ";
const KEY: &[u8] = b"PRIVATE KEY";
/// So much of the name of what follows a header is looked at.
const NAME_MAX: usize = 40;
/// Lines of a log among which a key may be spread; one of 16,384 bits has 200.
const LINES_MAX: u16 = 256;
/// Shorter pieces of base64 within a key may be words and times, unless they end a line.
const PIECE_MIN: usize = 16;
/// Base64 ends at a multiple of so many characters, words three times in four do not.
const BASE64_UNIT: usize = 4;

/// Whether a private key has begun and not ended, and how many more lines it may have.
#[derive(Clone, Copy, Default)]
pub(crate) struct OpenKey {
    lines_left: u16,
}

impl OpenKey {
    /// Masks what may belong to a key that began on an earlier line.
    pub(crate) fn look(&mut self, line: &Line<'_>, findings: &mut Findings) {
        let Some(lines_left) = self.lines_left.checked_sub(1) else { return };
        self.lines_left = lines_left;
        let mut end = 0;
        while end < line.len() && !line.has(end, END) {
            end += 1;
        }
        if end < line.len() {
            self.lines_left = 0;
        }
        mask_pieces(line, end, findings);
    }

    /// Looks for a key at the `B` of its header; returns how far it has looked.
    pub(crate) fn look_for_begin(
        &mut self,
        line: &Line<'_>,
        letter: usize,
        findings: &mut Findings,
    ) -> usize {
        let Some(body) = body_after_header(line, letter) else { return letter + 1 };
        let mut end = body;
        while end < line.len() && !line.has(end, END) && !ends_string(line, end, body) {
            end += 1;
        }
        self.lines_left = if line.has(end, END) { 0 } else { LINES_MAX };
        // Less is the end of the line, whatever it looks like.
        if end - body >= PIECE_MIN / 2 {
            findings.add(line, Finding::new(Kind::Secret, body, end));
        }
        end
    }
}

/// Where the text of a private key begins whose header has its `B` at a position.
fn body_after_header(line: &Line<'_>, letter: usize) -> Option<usize> {
    let dashes = letter.checked_sub(DASHES.len())?;
    if !line.has(letter, BEGIN) || !line.has(dashes, DASHES) {
        return None;
    }
    let name = letter + BEGIN.len();
    let end = line.skip(name, |byte| byte.is_ascii_uppercase() || byte == b' ');
    let is_private = (name..end.min(name + NAME_MAX)).any(|position| line.has(position, KEY));
    (is_private && line.has(end, DASHES)).then_some(end + DASHES.len())
}

/// Whether the string of a JSON line ends at a position.
fn ends_string(line: &Line<'_>, position: usize, floor: usize) -> bool {
    line.is_json && line.at(position) == b'"' && line.backslashes_before(position, floor) % 2 == 0
}

/// Masks the long pieces of base64 before `end`, and the last one if nothing follows it.
fn mask_pieces(line: &Line<'_>, end: usize, findings: &mut Findings) {
    let mut last = None;
    let mut position = 0;
    while position < end {
        let piece_end = piece_end(line, position, end);
        if piece_end > position {
            if piece_end - position >= PIECE_MIN {
                findings.add(line, Finding::new(Kind::Secret, position, piece_end));
                last = None;
            } else {
                last = Some((position, piece_end));
            }
            position = piece_end;
        } else {
            let escape = line.at(position) == b'\\';
            if !escape && !matches!(line.at(position), b'"' | b'}' | b']' | b' ' | b'\r') {
                last = None;
            }
            position += if escape { 2 } else { 1 };
        }
    }
    if let Some((start, end)) = last.filter(|(start, end)| (end - start) % BASE64_UNIT == 0) {
        findings.add(line, Finding::new(Kind::Secret, start, end));
    }
}

/// Where base64 ends that begins at a position; slashes may be escaped.
fn piece_end(line: &Line<'_>, start: usize, limit: usize) -> usize {
    let mut end = start;
    while end < limit {
        match line.at(end) {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => end += 1,
            b'\\' if end > start && line.at(end + 1) == b'/' => end += 2,
            _ => break,
        }
    }
    end.min(limit)
}
