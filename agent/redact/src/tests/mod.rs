//! What is masked, what is left alone, and what holds for any text.

mod borders;
mod left_alone;
mod masked;
mod work;

use crate::{Counts, Redactor};

/// A text, masked, and what was masked in it.
fn redact(text: &[u8]) -> (Vec<u8>, Counts) {
    let mut redactor = Redactor::new();
    let mut output = Vec::new();
    redactor.push(text, &mut output).unwrap();
    let counts = redactor.finish(&mut output);
    (output, counts)
}

/// As [`redact`] does, of text that is text; and doing it twice has changed nothing.
fn masked(text: &str) -> (String, Counts) {
    let (output, counts) = redact(text.as_bytes());
    assert_eq!(redact(&output), (output.clone(), Counts::default()), "not the same again: {text}");
    (String::from_utf8(output).unwrap(), counts)
}
