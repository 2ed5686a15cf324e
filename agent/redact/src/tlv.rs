//! Chip data (EMV, ISO/IEC 7816 TLV) in hexadecimal: in a row, or in pairs with something between.

use std::ops::Range;

use crate::{
    finding::{Finding, Findings, Kind},
    line::Line,
    pan::Digits,
};

/// Fewest hexadecimal digits that are looked at: the shortest object is an expiry date.
const NIBBLES_MIN: usize = 12;
/// A hexadecimal number that is so long, and not decimal, is taken for a digest.
const HASH_NIBBLES_MIN: usize = 32;

/// Hexadecimal digits as they stand in a line.
#[derive(Clone, Copy)]
pub(crate) struct Hex {
    start: usize,
    nibbles: usize,
    in_pairs: bool,
}

impl Hex {
    /// Those around the digit at `position`, none of them before `floor`.
    pub(crate) fn around(line: &Line<'_>, position: usize, floor: usize) -> Self {
        let mut start = position;
        while start > floor && line.before(start).is_ascii_hexdigit() {
            start -= 1;
        }
        // The digits of an escape belong to nothing else.
        if line.before(start) == b'u' && start > 1 && line.before(start - 1) == b'\\' {
            start += 4;
        }
        let end = line.skip(start, |byte| byte.is_ascii_hexdigit());
        let in_a_row = Self { start, nibbles: end - start, in_pairs: false };
        if in_a_row.nibbles == 2 { in_a_row.extended_by_pairs(line) } else { in_a_row }
    }

    /// With the pairs that follow behind the same separator.
    fn extended_by_pairs(self, line: &Line<'_>) -> Self {
        let mut end = self.start + 2;
        let separator = line.at(end);
        while is_pair_separator(separator) && line.at(end) == separator {
            let pair_end = line.skip(end + 1, |byte| byte.is_ascii_hexdigit());
            if pair_end != end + 3 {
                break;
            }
            end = pair_end;
        }
        Self { start: self.start, nibbles: (end - self.start).div_ceil(3) * 2, in_pairs: true }
    }

    /// Where it ends in the line.
    pub(crate) const fn end(&self) -> usize {
        match self.nibbles {
            0 => self.start,
            nibbles => self.place(nibbles - 1) + 1,
        }
    }

    /// Whether it is a long hexadecimal number in which decimal digits mean nothing.
    pub(crate) fn is_hash(&self, line: &Line<'_>) -> bool {
        let has_letters = || line.skip(self.start, |byte| byte.is_ascii_digit()) < self.end();
        !self.in_pairs && self.nibbles >= HASH_NIBBLES_MIN && has_letters()
    }

    /// Where a digit stands in the line.
    const fn place(&self, nibble: usize) -> usize {
        if self.in_pairs { self.start + nibble / 2 * 3 + nibble % 2 } else { self.start + nibble }
    }

    fn nibble(&self, line: &Line<'_>, nibble: usize) -> u8 {
        if nibble < self.nibbles { line.at(self.place(nibble)).to_ascii_uppercase() } else { 0 }
    }

    fn byte(&self, line: &Line<'_>, nibble: usize) -> Option<u8> {
        Some(value(self.nibble(line, nibble))? << 4 | value(self.nibble(line, nibble + 1))?)
    }

    /// Decimal digits from a place on, 19 at most, and where they end.
    fn digits(&self, line: &Line<'_>, from: usize) -> (Digits, usize) {
        let (mut digits, mut nibble) = (Digits::default(), from);
        while self.nibble(line, nibble).is_ascii_digit() && digits.push(self.nibble(line, nibble)) {
            nibble += 1;
        }
        (digits, nibble)
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Whether decimal digits may be part of as many hexadecimal ones as are looked at.
pub(crate) fn may_begin_at(line: &Line<'_>, digits: &Range<usize>) -> bool {
    let Range { start, end } = *digits;
    let separator = line.at(end);
    match end - start {
        NIBBLES_MIN.. => true,
        2 if is_pair_separator(separator) => {
            line.at(end + 3) == separator && line.at(end + 6) == separator
        }
        _ => separator.is_ascii_hexdigit() || line.before(start).is_ascii_hexdigit(),
    }
}

const fn is_pair_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b':' | b'-')
}

/// Finds what objects of the hexadecimal digits must not leave.
pub(crate) fn look(line: &Line<'_>, hex: Hex, findings: &mut Findings) {
    if hex.nibbles < NIBBLES_MIN {
        return;
    }
    let step = if hex.in_pairs { 2 } else { 1 };
    let mut nibble = 0;
    while nibble + 4 < hex.nibbles {
        let found = object(line, hex, nibble).or_else(|| bare_pan(line, hex, nibble));
        match found {
            Some((finding, next)) => {
                findings.add(line, finding);
                nibble = next.max(nibble + step);
            }
            None => nibble += step,
        }
    }
}

/// The sensitive object whose tag is at a place, and the place behind it.
fn object(line: &Line<'_>, hex: Hex, nibble: usize) -> Option<(Finding, usize)> {
    if !matches!(hex.nibble(line, nibble), b'5' | b'9') {
        return None;
    }
    let (tag, tag_nibbles) = tag(line, hex, nibble)?;
    let length = usize::from(hex.byte(line, nibble + tag_nibbles)?);
    let start = nibble + tag_nibbles + 2;
    let value = Value { line, hex, start, length, is_aligned: nibble % 2 == 0 };
    let (kind, pan) = value.judge(tag)?;
    let end = value.end().min(hex.nibbles);
    let (from, to) = (hex.place(start), hex.place(end - 1) + 1);
    let finding = match pan {
        Some(pan) => Finding::of_pan(kind, from, to, &pan),
        None => Finding::new(kind, from, to),
    };
    Some((finding, end))
}

/// A tag that may hold card data, and how many digits it has.
fn tag(line: &Line<'_>, hex: Hex, nibble: usize) -> Option<(u16, usize)> {
    let first = hex.byte(line, nibble)?;
    match first {
        0x56 | 0x57 | 0x5a | 0x99 => Some((first.into(), 2)),
        0x5f | 0x9f => Some((u16::from_be_bytes([first, hex.byte(line, nibble + 2)?]), 4)),
        _ => None,
    }
}

/// A card number in pairs without any tag.
fn bare_pan(line: &Line<'_>, hex: Hex, nibble: usize) -> Option<(Finding, usize)> {
    let begins = nibble == 0 || !hex.nibble(line, nibble - 1).is_ascii_digit();
    if !hex.in_pairs || !begins {
        return None;
    }
    let (pan, end) = hex.digits(line, nibble);
    let ends = !hex.nibble(line, end).is_ascii_digit();
    let (from, to) = (hex.place(nibble), hex.place(end.saturating_sub(1)) + 1);
    (ends && pan.are_pan()).then(|| (Finding::of_pan(Kind::Pan, from, to, &pan), end))
}

/// The value of an object, `length` bytes by its own account.
struct Value<'a> {
    line: &'a Line<'a>,
    hex: Hex,
    start: usize,
    length: usize,
    is_aligned: bool,
}

impl Value<'_> {
    const fn end(&self) -> usize {
        self.start + 2 * self.length
    }

    /// What the value is, when it looks like what its tag says.
    fn judge(&self, tag: u16) -> Option<(Kind, Option<Digits>)> {
        match tag {
            0x5a if self.length <= 10 => self.packed_pan().map(|pan| (Kind::Pan, Some(pan))),
            0x57 | 0x9f6b if self.length <= 19 => {
                self.packed_pan().map(|pan| (Kind::Track, Some(pan)))
            }
            0x56 if self.length <= 76 => self.written_pan().map(|pan| (Kind::Track, Some(pan))),
            0x5f20 if (2..=45).contains(&self.length) => {
                self.is_text().then_some((Kind::Track, None))
            }
            0x5f24 if self.length == 3 => self.is_date().then_some((Kind::Track, None)),
            0x99 if self.length == 8 => self.is_among_objects().then_some((Kind::Pin, None)),
            0x9f1f | 0x9f20 if (1..=54).contains(&self.length) => {
                self.is_among_objects().then_some((Kind::Track, None))
            }
            _ => None,
        }
    }

    /// A card number in packed digits that ends with a separator, padding or the value.
    fn packed_pan(&self) -> Option<Digits> {
        let (digits, end) = self.hex.digits(self.line, self.start);
        let digits = digits.first(2 * self.length);
        let ends = end >= self.end() || matches!(self.hex.nibble(self.line, end), b'D' | b'F');
        (ends && digits.are_pan()).then_some(digits)
    }

    /// A card number in ASCII, as track 1 has it: `B4111…^`.
    fn written_pan(&self) -> Option<Digits> {
        let mut digits = Digits::default();
        let mut nibble = self.start;
        if self.byte(nibble) == Some(b'B') {
            nibble += 2;
        }
        while self.byte(nibble).is_some_and(|byte| byte.is_ascii_digit() && digits.push(byte)) {
            nibble += 2;
        }
        digits.are_pan().then_some(digits)
    }

    fn is_text(&self) -> bool {
        let mut bytes = (self.start..self.end()).step_by(2);
        bytes.all(|nibble| matches!(self.byte(nibble), Some(b' '..=b'~')))
    }

    /// A date as YYMMDD.
    fn is_date(&self) -> bool {
        let all = (self.start..self.end()).all(|n| self.hex.nibble(self.line, n).is_ascii_digit());
        all && matches!(self.byte(self.start + 2), Some(0x01..=0x12))
            && matches!(self.byte(self.start + 4), Some(0x00..=0x31))
    }

    /// Of a value that may be any bytes: it is all there, and what follows it is nothing or one of
    /// the tags that card and terminal exchange.
    fn is_among_objects(&self) -> bool {
        let followed = match self.byte(self.end()) {
            None => self.end() == self.hex.nibbles,
            Some(
                0x50
                | 0x57
                | 0x5a
                | 0x5f
                | 0x82
                | 0x84
                | 0x8a
                | 0x8c..=0x8e
                | 0x90
                | 0x94
                | 0x95
                | 0x9a..=0x9c
                | 0x9f
                | 0xdf,
            ) => true,
            Some(_) => false,
        };
        self.is_aligned && followed
    }

    fn byte(&self, nibble: usize) -> Option<u8> {
        self.hex.byte(self.line, nibble)
    }
}
