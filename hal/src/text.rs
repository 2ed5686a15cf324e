//! Bounded text: what comes from outside is cut or refused before it is stored, shown or sent; what
//! other programs say in their own words is masked too.

use terminal_redact::Redactor;

/// Longest `failure_reason` and similar free text, in Unicode scalar values.
pub const REASON_CHARS_MAX: usize = 256;
/// Longest id, name, version, path and digest.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest reason in the parameters of an operation.
pub const NOTE_CHARS_MAX: usize = 128;
/// Letters of a currency, ISO 4217.
pub const CURRENCY_CHARS: usize = 3;

/// `text` without control characters and no longer than `chars_max` Unicode scalar values.
pub fn bounded(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

/// The same of what another program says in its own words, which may quote what it works on: card
/// data, PINs, keys and tokens are masked. Before it is cut: a part of a number is not known as one.
pub fn free(text: &str, chars_max: usize) -> String {
    bounded(&masked(text), chars_max)
}

/// `text` with card data, PINs, keys and tokens masked; empty where a line of it is longer than
/// [`terminal_redact::LINE_BYTES_MAX`].
pub fn masked(text: &str) -> String {
    let (mut redactor, mut masked) = (Redactor::new(), Vec::new());
    if redactor.push(text.as_bytes(), &mut masked).is_err() {
        return String::new();
    }
    redactor.finish(&mut masked);
    String::from_utf8_lossy(&masked).into_owned()
}

/// What is wrong with `text` as a line of `min..=max` scalar values, or `None`.
pub fn line_problem(text: &str, min: usize, max: usize) -> Option<String> {
    let chars = text.chars().count();
    if chars < min || chars > max {
        return Some(format!("has {chars} characters, want {min} to {max}"));
    }
    text.chars().any(char::is_control).then(|| "contains a control character".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_measured_in_scalar_values_at_n_and_n_plus_one() {
        assert_eq!(line_problem("ÆØÅ", 1, 3), None);
        assert!(line_problem("ÆØÅx", 1, 3).is_some());
        assert!(line_problem("", 1, 3).is_some());
        assert!(line_problem("a\nb", 1, 3).is_some());
        assert_eq!(bounded("a\nbcd", 3), "abc");
    }

    #[test]
    fn a_number_of_a_card_is_masked_also_where_it_would_be_cut_in_two() {
        assert_eq!(free("card 4111111111111111 declined", 20), "card ****1111 declin");
        assert_eq!(free("PIN\n4111 1111 1111 1111", 9), "PIN****11");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_shown() {
        let (n, number) = (terminal_redact::LINE_BYTES_MAX, "4111111111111111");
        assert_eq!(masked(&format!("{number}{}", "x".repeat(n - 15))), "");
        assert_ne!(masked(&"x".repeat(n)), "");
    }

    #[test]
    fn ids_times_amounts_and_versions_stay() {
        for text in [
            "batch 000123456789 of terminal P11223351-T0001 was closed at 2026-06-29T23:30:00.123Z",
            "operation 0190f3c4-7d2b-7a55-9a3e-1c2d3e4f5a6b: totals 1234567 and 1234568 differ",
            "/usr/bin/rauc ended with exit status: 1: no slot, 1782691200123 ms since 1970",
            "the image is 3.14.2, sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "pin pad does not answer, key changed, serial number 123456789012",
        ] {
            assert_eq!(free(text, 256), text);
        }
    }
}
