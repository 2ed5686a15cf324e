//! The redactor: log text that anything may have written.

use serde_json::Value;
use terminal_redact::{Counts, Redactor};

/// Bytes of an input that say what is done with the rest.
const SETTINGS: usize = 4;
/// Numbers of cards, as they are planted.
const PANS: [&str; 6] = [
    "4111111111111111",
    "378282246310005",
    "6304000000000000000",
    "2223003122003222",
    "5555-5555-5555-4444",
    "3056 930902 5904",
];

/// Text in pieces of any size, with a card number somewhere in it: the pieces make no difference,
/// doing it again changes nothing, the number does not come out, JSON stays JSON.
pub fn redact(data: &[u8]) {
    let Some((settings, text)) = data.split_at_checked(SETTINGS) else { return };
    let [piece, high, low, pan] = *settings else { return };
    let piece = usize::from(piece).max(1);
    let Some((whole, _)) = masked(text, text.len().max(1)) else { return };
    assert_eq!(masked(text, piece).map(|(output, _)| output).as_ref(), Some(&whole));
    assert_eq!(
        masked(&whole, piece),
        Some((whole.clone(), Counts::default())),
        "not the same again"
    );
    assert!(whole.len() <= 3 * text.len() + 16, "{} became {}", text.len(), whole.len());
    stays_json(text);
    let place = usize::from(u16::from_be_bytes([high, low])).checked_rem(text.len() + 1);
    if let (Some(place), Some(pan)) = (place, PANS.get(usize::from(pan) % PANS.len())) {
        does_not_come_out(text, place, pan, piece);
    }
}

/// `None` when a line is too long.
fn masked(text: &[u8], piece: usize) -> Option<(Vec<u8>, Counts)> {
    let mut redactor = Redactor::new();
    let mut output = Vec::new();
    for piece in text.chunks(piece) {
        redactor.push(piece, &mut output).ok()?;
    }
    let counts = redactor.finish(&mut output);
    Some((output, counts))
}

/// The text as a line of JSON where it is one, in a string, and in a string of a string.
fn stays_json(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&text) {
        parses(&value.to_string());
    }
    let inner = serde_json::json!({ "message": text, "pin": 1234 }).to_string();
    for message in [text.as_ref(), inner.as_str()] {
        let line = serde_json::json!({ "a": [1, null], "component": "c", "message": message });
        let masked = parses(&line.to_string());
        assert!(masked.is_none_or(|masked| masked.get("a") == line.get("a")));
    }
}

fn parses(line: &str) -> Option<Value> {
    let (output, _) = masked(line.as_bytes(), line.len())?;
    let parsed = serde_json::from_slice(&output);
    assert!(parsed.is_ok(), "{parsed:?}\n{line}\n{}", String::from_utf8_lossy(&output));
    parsed.ok()
}

/// A card number between spaces at a place in a text.
fn does_not_come_out(text: &[u8], place: usize, pan: &str, piece: usize) {
    // What a text says itself may be no card number where it stands.
    let (begin, _) = pan.as_bytes().split_at(9);
    let (before, after) = text.split_at(place);
    if [before, after].iter().any(|part| contains(part, begin)) {
        return;
    }
    let planted = [before, b" ", pan.as_bytes(), b" ", after].concat();
    if let Some((output, _)) = masked(&planted, piece) {
        let said = String::from_utf8_lossy(&output);
        assert!(!contains(&output, begin), "{said}");
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
