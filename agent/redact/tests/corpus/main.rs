//! Made-up card data in every context that it is logged in, all of which must be masked, and
//! numbers of other kinds, which must be left alone. The same in every run; prints its tables.
//! Numbers and contexts come from here: nothing in this folder knows the scanner's rules.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

mod contexts;
mod negatives;
mod rng;

use rng::Rng;
use terminal_redact::{Counts, Redactor};

/// Card numbers in each context.
const POSITIVES_EACH: usize = 6_000;
/// Numbers of each other kind.
const NEGATIVES_EACH: usize = 60_000;
/// Share of other numbers that may be masked.
const MASKED_SHARE_MAX: f64 = 0.000_1;

fn redact(text: &str) -> (String, Counts) {
    let mut redactor = Redactor::new();
    let mut output = Vec::new();
    redactor.push(text.as_bytes(), &mut output).unwrap();
    let counts = redactor.finish(&mut output);
    (String::from_utf8(output).unwrap(), counts)
}

#[test]
fn every_card_number_is_masked_in_every_context() {
    let mut rng = Rng::new(20_260_629);
    let mut all = 0;
    println!("| context | numbers | masked |\n|---|---|---|");
    for (name, context) in contexts::ALL {
        let mut shown = Vec::new();
        for _ in 0..POSITIVES_EACH {
            let pan = contexts::pan(&mut rng);
            let text = context(&mut rng, &pan);
            let (masked, _) = redact(&text);
            if shows(&masked, &pan) {
                shown.push((text, masked));
            }
            all += 1;
        }
        println!("| {name} | {POSITIVES_EACH} | {} |", POSITIVES_EACH - shown.len());
        assert_eq!(shown.first(), None, "{name}: {} of {POSITIVES_EACH}", shown.len());
    }
    assert!(contexts::ALL.len() >= 15 && all >= 100_000, "{all}");
}

/// Whether a text shows more of a card number than its last four digits, however they are written:
/// as decimal digits with anything between, or as the ASCII of decimal digits in hexadecimal.
fn shows(text: &str, pan: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let ascii: String = pan[..8].chars().map(|digit| format!("3{digit}")).collect();
    digits.contains(&pan[..8]) || digits.contains(&ascii)
}

#[test]
fn numbers_of_other_kinds_are_left_alone() {
    let mut rng = Rng::new(20_260_630);
    let (mut all, mut masked) = (0, 0);
    println!("| kind | numbers | masked |\n|---|---|---|");
    for (name, kind) in negatives::ALL {
        let mut examples = Vec::new();
        for _ in 0..NEGATIVES_EACH {
            let text = kind(&mut rng);
            let (output, _) = redact(&text);
            if output != text {
                examples.push((text, output));
            }
        }
        all += NEGATIVES_EACH;
        masked += examples.len();
        println!("| {name} | {NEGATIVES_EACH} | {} | {:?}", examples.len(), examples.first());
    }
    let share = f64::from(u32::try_from(masked).unwrap()) / f64::from(u32::try_from(all).unwrap());
    println!("| all | {all} | {masked}, {:.4} % |", share * 100.0);
    assert!(all >= 1_000_000 && share <= MASKED_SHARE_MAX, "{masked} of {all}");
}

#[test]
fn of_random_numbers_with_16_digits_only_those_of_issuers_are_masked() {
    let mut rng = Rng::new(20_260_701);
    let masked = (0..NEGATIVES_EACH).filter(|_| {
        let text = rng.digits(16);
        redact(&text).0 != text
    });
    let masked = masked.count();
    println!("| random, 16 digits | {NEGATIVES_EACH} | {masked} |");
    // One in ten has the right sum, and issuers have less than half of all.
    assert!((NEGATIVES_EACH / 50..NEGATIVES_EACH / 20).contains(&masked), "{masked}");
}

#[test]
fn a_line_of_json_stays_json_with_the_same_fields() {
    let mut rng = Rng::new(20_260_702);
    for (name, context) in contexts::ALL {
        for _ in 0..200 {
            let pan = contexts::pan(&mut rng);
            let text = context(&mut rng, &pan);
            let inner = serde_json::json!({ "m": text, "pin": 1234, "n": pan.parse::<u64>().ok() });
            let line = serde_json::json!({
                "time": "2026-06-29T09:00:00.000Z", "component": text, "message": inner.to_string(),
                "number": pan.parse::<u64>().ok(), "inner": inner, "last": [1, true, null],
            });
            let (masked, counts) = redact(&line.to_string());
            let parsed: serde_json::Value = serde_json::from_str(&masked)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{line}\n{masked}"));
            let names = |value: &serde_json::Value| {
                value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(&parsed), names(&line), "{name}");
            assert_eq!(parsed["last"], line["last"]);
            assert!(!shows(&masked, &pan), "{name}: {masked}");
            assert!(counts.pin >= 2, "{name}: {masked}");
            assert_eq!(redact(&masked), (masked.clone(), Counts::default()), "{name}");
        }
    }
}
