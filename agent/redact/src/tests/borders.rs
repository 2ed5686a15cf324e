//! Pieces of any size, lines of any length, bytes of any value.

use super::redact;
use crate::{LINE_BYTES_MAX, LineTooLong, Redactor};

const TEXT: &[u8] = b"a 4111111111111111 b\n%B4111111111111111^DOE/J^25121011234?\n\
    {\"pin\":\"12\\\"34\",\"m\":\"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkq\"}\n\
    {\"m\":\"MIIEvQIBADANBgkqhkiG\"}\n-----END PRIVATE KEY-----\n5A 08 41 11 11 11 11 11 11 11";

#[test]
fn where_a_text_is_cut_into_pieces_makes_no_difference() {
    let whole = redact(TEXT);
    for size in 1..TEXT.len() {
        let mut redactor = Redactor::new();
        let mut output = Vec::new();
        for piece in TEXT.chunks(size) {
            redactor.push(piece, &mut output).unwrap();
        }
        let counts = redactor.finish(&mut output);
        assert_eq!((output, counts), whole, "pieces of {size}");
    }
}

#[test]
fn a_text_cut_anywhere_never_shows_the_digits_around_the_cut() {
    for cut in 0..TEXT.len() {
        let mut redactor = Redactor::new();
        let mut output = Vec::new();
        redactor.push(&TEXT[..cut], &mut output).unwrap();
        assert!(output.is_empty() || output.ends_with(b"\n"), "only whole lines come out");
        redactor.push(&TEXT[cut..], &mut output).unwrap();
        redactor.finish(&mut output);
        assert!(!output.windows(8).any(|eight| eight == b"11111111"), "cut at {cut}");
    }
}

#[test]
fn a_line_is_taken_at_its_limit_and_refused_above_it_for_good() {
    let line = vec![b'4'; LINE_BYTES_MAX];
    let (output, counts) = redact(&line);
    assert_eq!((output.as_slice(), counts.pan), (&b"****"[..], 1));
    for pieces in [vec![&line[..], b"4"], vec![&line[..], b"4\n"], vec![b"4", &line[..]]] {
        let mut redactor = Redactor::new();
        let mut output = Vec::new();
        let results: Vec<_> =
            pieces.iter().map(|piece| redactor.push(piece, &mut output)).collect();
        assert_eq!(results, [Ok(()), Err(LineTooLong)]);
        assert_eq!(redactor.push(b"harmless\n", &mut output), Err(LineTooLong));
        redactor.finish(&mut output);
        assert!(output.is_empty());
    }
}

#[test]
fn bytes_that_are_no_text_pass_and_hide_nothing() {
    let (output, counts) = redact(b"\xff\x004111111111111111\x80\xc2\n\xe2\x80");
    assert_eq!(output, b"\xff\x00****1111\x80\xc2\n\xe2\x80");
    assert_eq!(counts.pan, 1);
}

#[test]
fn a_text_never_becomes_longer_than_three_times_itself() {
    for unit in ["cvv=1 ", "<pin>1", "{\"pin\":1}\n", "pwd=a;", "5f24=1,", "[[4222222222222]]\n"] {
        let text = unit.repeat(1000);
        let (output, _) = redact(text.as_bytes());
        assert!(output.len() <= 3 * text.len(), "{unit}");
    }
    let key_lines = format!("-----BEGIN PRIVATE KEY-----\n{}", "a\n".repeat(250));
    assert!(redact(key_lines.as_bytes()).0.len() <= 3 * key_lines.len());
}
