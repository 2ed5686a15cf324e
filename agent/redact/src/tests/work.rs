//! How much is looked at: never more than so often each byte, whatever the text.

use crate::{finding::Findings, line::Line, pem::OpenKey, scan::scan};

/// Most looks at a byte, on average over a line.
const LOOKS_PER_BYTE_MAX: u64 = 64;

/// What makes a rule look far, and then makes it do so again.
const ADVERSARIAL: &[&str] = &[
    "a",
    "1",
    "4",
    "-",
    "\\",
    "\"",
    "{",
    "=",
    ":",
    ">",
    "%",
    "eyJ",
    "eyJ.",
    "B",
    "D",
    "^",
    "'",
    "4111 ",
    "4111 1111 1111 1111 ",
    "4111-",
    "411111 ",
    "12 ",
    "5A ",
    "5A",
    "57",
    "5F20205F",
    "5F202D",
    "9908",
    "9F20369F",
    "5f24",
    "5614B",
    "561442",
    "1a",
    "%4",
    "%41",
    "\\u",
    "\\u00",
    "\\u0e04",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END ",
    "-----",
    "----- ",
    "pin:",
    "pin=\"",
    "pin:'",
    "pin=\\\"",
    "pin=\\\\\\\"",
    "pin=%22",
    "<pin>",
    "<a.pin>",
    "key=",
    "key=a",
    "password:",
    "token=\\",
    "authorization:",
    "authorization:bearer ",
    "authorization:\"",
    "a.pin",
    "a_b_c_d:",
    "aB:",
    "basic ",
    "basic+",
    "bearer%20",
    "bearer+a",
    "4111111111111111^",
    "4111111111111111^a^",
    "4111111111111111=",
    "4111111111111111\\",
    "4111111111111111%5e",
    "4111111111111111e",
    "9F6B0C4111111111111111D",
    "\\t4111",
    "\u{2009}4111",
    "track2_equivalent_data ",
];

/// Looks at the bytes of a line of about so many bytes.
fn looks(unit: &str, around: (&str, &str), bytes: usize) -> (u64, usize) {
    let text = format!("{}{}{}", around.0, unit.repeat(bytes / unit.len()), around.1);
    let line = Line::new(text.as_bytes());
    let mut key = OpenKey::default();
    let mut findings = Findings::default();
    scan(&line, &mut key, &mut findings);
    // Once more on the way, as a line within a private key.
    key.look_for_begin(&Line::new(b"-----BEGIN PRIVATE KEY-----"), 5, &mut Findings::default());
    scan(&line, &mut key, &mut findings);
    findings.apply(&line, &mut Vec::new(), |_| {});
    (line.reads.get(), text.len())
}

#[test]
fn work_grows_with_the_length_of_a_line_and_not_with_its_square() {
    let mut worst = (0, "");
    for unit in ADVERSARIAL {
        for around in [("", ""), ("{", "}"), ("{\"", "\"}"), ("password=", ""), ("eyJ", ".")] {
            let (once, length) = looks(unit, around, 8 << 10);
            let (twice, double) = looks(unit, around, 16 << 10);
            let bound = 2 * once + once / 10 + 4096;
            assert!(twice <= bound, "{around:?} {unit}: {once} of {length}, {twice} of {double}");
            let per_byte = twice / double as u64;
            worst = worst.max((per_byte, unit));
        }
    }
    println!("at most {} looks at a byte, with {:?}", worst.0, worst.1);
    assert!(worst.0 <= LOOKS_PER_BYTE_MAX, "{worst:?}");
}

#[test]
fn work_on_an_ordinary_line_is_small() {
    let text = "2026-06-29T09:00:00.000Z INFO payment approved in 420 ms, terminal 123456789012";
    let line = Line::new(text.as_bytes());
    scan(&line, &mut OpenKey::default(), &mut Findings::default());
    let per_byte = line.reads.get() / text.len() as u64;
    assert!(per_byte <= 6, "{per_byte} looks at a byte");
}
