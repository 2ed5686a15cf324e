//! Masks card data, PINs, keys and tokens in log text.
//!
//! The second net: nothing that writes logs should have such data in the first place. `README.md`
//! says what is found and what is not. Line by line, in time and memory that grow with the length
//! of the text only, without dependencies.
//!
//! What has been put out has been looked at once more and nothing was found in it: redacting twice
//! changes nothing.

mod digits;
mod field;
mod finding;
mod line;
mod named;
mod pan;
mod pem;
mod scan;
#[cfg(test)]
mod tests;
mod tlv;
mod token;
mod track;
mod value;

use std::fmt;

use finding::{Findings, Kind, MASK};
use line::Line;
use pem::OpenKey;

/// Longest line that is taken, without its end.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// How often a line is looked at until nothing more is found. One mask is enough for nearly all
/// lines; a line that still holds something after so many is masked as a whole.
const ROUNDS_MAX: usize = 4;

/// Masks a stream of text that comes in pieces of any size.
#[derive(Default)]
pub struct Redactor {
    /// The beginning of a line whose end has not come.
    carried: Vec<u8>,
    key: OpenKey,
    counts: Counts,
    findings: Findings,
    refused: bool,
}

/// How much was masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Card numbers, and digits that may hold one.
    pub pan: u64,
    /// Magnetic-stripe data, and what a chip has of it.
    pub track: u64,
    /// PINs, PIN blocks and card verification codes.
    pub pin: u64,
    /// Keys, tokens and passwords; a private key counts once for each of its lines.
    pub secret: u64,
}

/// A line is longer than [`LINE_BYTES_MAX`]: it cannot be looked at as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than {LINE_BYTES_MAX} bytes")
    }
}

impl std::error::Error for LineTooLong {}

impl Redactor {
    /// At the beginning of a text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the text, and appends to `output` the lines that have become complete.
    ///
    /// # Errors
    /// When a line is too long; nothing of it and nothing after it is put out, now or later.
    pub fn push(&mut self, text: &[u8], output: &mut Vec<u8>) -> Result<(), LineTooLong> {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let (line, is_whole) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            self.refused |= self.carried.len() + line.len() > LINE_BYTES_MAX;
            if self.refused {
                self.carried.clear();
                return Err(LineTooLong);
            }
            if !is_whole || !self.carried.is_empty() {
                self.carried.extend_from_slice(line);
            }
            if is_whole {
                let carried = std::mem::take(&mut self.carried);
                self.redact(if carried.is_empty() { line } else { &carried }, output);
                output.push(b'\n');
            }
        }
        Ok(())
    }

    /// Appends to `output` what is left when there is no more text: a line without its end.
    pub fn finish(mut self, output: &mut Vec<u8>) -> Counts {
        let carried = std::mem::take(&mut self.carried);
        self.redact(&carried, output);
        self.counts
    }

    /// What has been masked in what has been put out.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Masks one line until nothing more is found in it.
    fn redact(&mut self, line: &[u8], output: &mut Vec<u8>) {
        let start = output.len();
        if self.round(line, output) {
            return;
        }
        for _ in 1..ROUNDS_MAX {
            let masked = output.split_off(start);
            if self.round(&masked, output) {
                return;
            }
        }
        let whole: &[u8] = if Line::new(line).is_json { b"\"****\"" } else { MASK };
        output.truncate(start);
        self.round(whole, output);
    }

    /// Writes a line with masks where something is found, and tells whether nothing was.
    fn round(&mut self, text: &[u8], output: &mut Vec<u8>) -> bool {
        let line = Line::new(text);
        let mut key = self.key;
        self.findings.clear();
        scan::scan(&line, &mut key, &mut self.findings);
        if self.findings.is_empty() {
            self.key = key;
            output.extend_from_slice(text);
            return true;
        }
        let counts = &mut self.counts;
        self.findings.apply(&line, output, |kind| counts.add(kind));
        false
    }
}

impl Counts {
    fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Pan => &mut self.pan,
            Kind::Track => &mut self.track,
            Kind::Pin => &mut self.pin,
            Kind::Secret => &mut self.secret,
        };
        *count += 1;
    }
}
