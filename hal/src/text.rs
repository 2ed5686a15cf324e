//! Bounded text: what comes from outside is cut or refused before it is stored, shown or sent.

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
}
