//! What makes digits a card number: the range of an issuer, a length that it uses, and Luhn's sum.

/// Fewest digits of a card number.
pub(crate) const PAN_DIGITS_MIN: usize = 13;
/// Most digits of a card number.
pub(crate) const PAN_DIGITS_MAX: usize = 19;

/// Up to 19 digits in a row, wherever they came from.
#[derive(Clone, Copy, Default)]
pub(crate) struct Digits {
    values: [u8; PAN_DIGITS_MAX],
    length: usize,
}

impl Digits {
    /// Adds an ASCII digit; tells whether there was room for it.
    pub(crate) fn push(&mut self, digit: u8) -> bool {
        let Some(place) = self.values.get_mut(self.length) else { return false };
        *place = digit.wrapping_sub(b'0');
        self.length += 1;
        true
    }

    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Only the first so many.
    pub(crate) fn first(mut self, count: usize) -> Self {
        self.length = self.length.min(count);
        self
    }

    /// The last four as ASCII, which is all that a mask may show.
    pub(crate) fn last_four(&self) -> [u8; 4] {
        let mut last = [b'*'; 4];
        let values = self.values.iter().take(self.length).rev();
        for (place, value) in last.iter_mut().rev().zip(values) {
            *place = b'0' + *value;
        }
        last
    }

    /// Whether these are the digits of a card number.
    pub(crate) fn are_pan(&self) -> bool {
        lengths(self.prefix()) >> self.length & 1 == 1 && self.luhn_sum() % 10 == 0
    }

    /// Whether some card number begins with the first four.
    pub(crate) fn begin_a_pan(&self) -> bool {
        lengths(self.prefix()) != 0
    }

    /// The first four as a number.
    fn prefix(&self) -> u16 {
        self.values.iter().take(4).fold(0, |number, value| number * 10 + u16::from(*value))
    }

    fn luhn_sum(&self) -> u32 {
        let values = self.values.iter().take(self.length).rev();
        let weighted = values.enumerate().map(|(place, value)| {
            let doubled = u32::from(*value) << (place % 2);
            doubled / 10 + doubled % 10
        });
        weighted.sum()
    }
}

/// The lengths of the numbers of issuers that begin with these four digits, as a set of bits.
///
/// Narrow on purpose where numbers of other kinds are dense: no 12-digit Maestro, and nothing that
/// begins with 1 (timestamps) beside JCB's 15 digits.
const fn lengths(prefix: u16) -> u32 {
    const FROM_16: u32 = 0b1111 << 16;
    match prefix {
        // Visa.
        4000..=4999 => 1 << 13 | 1 << 16 | 1 << 18 | 1 << 19,
        // Mastercard.
        2221..=2720 | 5100..=5599 => 1 << 16,
        // American Express.
        3400..=3499 | 3700..=3799 => 1 << 15,
        // Diners Club.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 1 << 14 | FROM_16,
        // JCB, with two old ranges.
        3528..=3589 => FROM_16,
        1800 | 2131 => 1 << 15,
        // Mir, Borica; UnionPay of 81.
        2200..=2205 | 8100..=8199 => FROM_16,
        // Maestro, UnionPay, Discover, RuPay, Verve, Elo and other national schemes.
        5000..=5099 | 5600..=6999 => 0b111 << 13 | FROM_16,
        // RuPay, UzCard, Troy, Humo.
        8200..=8299 | 8600 | 9792 | 9860 => 1 << 16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_pan(text: &str) -> bool {
        let mut digits = Digits::default();
        text.bytes().all(|byte| digits.push(byte)) && digits.are_pan()
    }

    #[test]
    fn numbers_of_every_scheme_are_card_numbers() {
        for pan in [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "30569309025904",
            "38520000023237",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
            "5018000000000009",
            "2200000000000004",
        ] {
            assert!(is_pan(pan), "{pan}");
        }
    }

    #[test]
    fn a_wrong_sum_length_or_range_is_no_card_number() {
        for number in [
            "4111111111111112",
            "41111111111111",
            "411111111111111",
            "37828224631005",
            "1111111111111117",
            "490154203237518",
            "8944500102198304826",
            "1719652800000",
            "",
        ] {
            assert!(!is_pan(number), "{number}");
        }
    }

    #[test]
    fn no_more_than_19_digits_have_room() {
        let mut digits = Digits::default();
        assert!((0..19).all(|_| digits.push(b'4')));
        assert!(!digits.push(b'4'));
        assert_eq!((digits.len(), digits.first(16).len(), digits.last_four()), (19, 16, *b"4444"));
    }
}
