//! The way along a line: every byte that may begin or end something is handed to its rule.

use crate::{
    digits,
    finding::Findings,
    line::{Line, Strings},
    named,
    pem::OpenKey,
    tlv::{self, Hex},
    token,
};

/// Finds everything in a line that must not leave. `key` is that of the line before and becomes
/// that of the next.
pub(crate) fn scan(line: &Line<'_>, key: &mut OpenKey, findings: &mut Findings) {
    key.look(line, findings);
    let mut strings = Strings::default();
    let mut hex = HexDigits::default();
    let mut position = 0;
    loop {
        position = line.skip(position, |byte| !may_matter(byte));
        if position >= line.len() {
            return;
        }
        position = match line.at(position) {
            b'-' => key.look_for_begin(line, position, findings),
            b'J' => token::look_for_jwt(line, position, findings),
            b'B' | b'b' => token::look_for_scheme(line, position, findings),
            b'=' | b':' | b'>' | b'%' => named::look(line, position, &mut strings, findings),
            _ => {
                let in_hash = hex.look(line, position, findings);
                digits::look(line, position, in_hash, findings)
            }
        };
    }
}

/// Whether a rule begins at this byte.
const fn may_matter(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'=' | b':' | b'>' | b'%' | b'J' | b'B' | b'b')
}

/// The hexadecimal digits that were looked at last.
#[derive(Default)]
struct HexDigits {
    end: usize,
    is_hash: bool,
}

impl HexDigits {
    /// Looks at the hexadecimal digits around a place unless that has been done; tells whether
    /// they are a long number.
    fn look(&mut self, line: &Line<'_>, position: usize, findings: &mut Findings) -> bool {
        if position >= self.end {
            let hex = Hex::around(line, position, self.end);
            tlv::look(line, hex, findings);
            *self = Self { end: hex.end().max(position + 1), is_hash: hex.is_hash(line) };
        }
        self.is_hash
    }
}
