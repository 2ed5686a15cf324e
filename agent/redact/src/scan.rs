//! The way along a line: every byte that may begin or end something is handed to its rule.

use std::ops::Range;

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
            b'J' => token::look_for_jwt(line, position, findings),
            b'b' => token::look_for_scheme(line, position, findings),
            b'B' if line.before(position) == b'-' => key.look_for_begin(line, position, findings),
            b'B' => token::look_for_scheme(line, position, findings),
            b'=' | b':' | b'>' | b'%' => named::look(line, position, &mut strings, findings),
            _ => {
                let end = line.skip(position, |byte| byte.is_ascii_digit());
                let in_hash = hex.look(line, position..end, findings);
                digits::look(line, position..end, in_hash, findings)
            }
        };
    }
}

/// Whether a rule begins at this byte.
fn may_matter(byte: u8) -> bool {
    MATTERS.get(usize::from(byte)).copied().unwrap_or(true)
}

const MATTERS: [bool; 256] = matters();

#[expect(clippy::indexing_slicing, reason = "when it is compiled, or it does not compile")]
const fn matters() -> [bool; 256] {
    let mut matters = [false; 256];
    let (bytes, mut at) = (b"0123456789=:>%JBb", 0);
    while at < bytes.len() {
        matters[bytes[at] as usize] = true;
        at += 1;
    }
    matters
}

/// The hexadecimal digits that were looked at last.
#[derive(Default)]
struct HexDigits {
    end: usize,
    is_hash: bool,
}

impl HexDigits {
    /// Looks at the hexadecimal digits around decimal ones unless that has been done or they are
    /// few; tells whether they are a long number.
    fn look(&mut self, line: &Line<'_>, digits: Range<usize>, findings: &mut Findings) -> bool {
        if digits.start >= self.end && tlv::may_begin_at(line, &digits) {
            let hex = Hex::around(line, digits.start, self.end);
            tlv::look(line, hex, findings);
            *self = Self { end: hex.end(), is_hash: hex.is_hash(line) };
        }
        self.is_hash && digits.start < self.end
    }
}
