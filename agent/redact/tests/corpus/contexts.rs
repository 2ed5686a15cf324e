//! Card numbers, and how they get into logs.

use crate::rng::Rng;

/// A line with a card number in it.
pub(crate) type Context = fn(&mut Rng, &str) -> String;

/// Beginnings and lengths of numbers that are in use.
const ISSUED: &[(&str, usize)] = &[
    ("4", 16),
    ("4", 16),
    ("4", 13),
    ("4", 19),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("2720", 16),
    ("34", 15),
    ("37", 15),
    ("36", 14),
    ("305", 14),
    ("6011", 16),
    ("65", 16),
    ("644", 16),
    ("3528", 16),
    ("3589", 16),
    ("62", 16),
    ("62", 19),
    ("81", 16),
    ("5018", 16),
    ("6304", 19),
    ("6759", 18),
    ("2200", 16),
    ("9792", 16),
    ("8600", 16),
];

/// A number that passes for a card's.
pub(crate) fn pan(rng: &mut Rng) -> String {
    let (prefix, length) = rng.pick(ISSUED);
    let body = format!("{prefix}{}", rng.digits(length - prefix.len() - 1));
    let check = (0..10).find(|check| luhn(&format!("{body}{check}")));
    format!("{body}{}", check.unwrap())
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| match u32::from(digit - b'0') * (1 + place as u32 % 2) {
            doubled @ 10.. => doubled - 9,
            value => value,
        })
        .sum();
    sum % 10 == 0
}

pub(crate) const ALL: &[(&str, Context)] = &[
    ("alone", |_, pan| pan.to_owned()),
    ("in a sentence", |_, pan| format!("payment with {pan} declined, code 51")),
    ("glued to words", |rng, pan| {
        format!(
            "{}{pan}{}",
            rng.pick(&["pan_", "CARD", "x", "B", "#"]),
            rng.pick(&["", "_ok", "z", ";"])
        )
    }),
    ("in a text line", |rng, pan| {
        format!(
            "2026-06-29T09:{:02}:00.{:03}Z INFO payment card {pan} read",
            rng.below(60),
            rng.below(1000)
        )
    }),
    ("in groups", |rng, pan| {
        grouped(pan, rng.pick(&[" ", "-", ".", "_", "/", "\u{a0}", "\u{2009}", "\u{2013}", "\t"]))
    }),
    ("in groups in a sentence", |rng, pan| {
        format!("card {} ok", grouped(pan, rng.pick(&[" ", "-"])))
    }),
    ("JSON string", |_, pan| format!(r#"{{"a":1,"number":"{pan}","b":2}}"#)),
    ("JSON number", |_, pan| format!(r#"{{"a":1,"number":{pan},"b":2}}"#)),
    ("JSON in JSON", |_, pan| {
        serde_json::json!({ "message": serde_json::json!({ "number": pan }).to_string() })
            .to_string()
    }),
    ("JSON behind an escape", |rng, pan| {
        let control = char::from(rng.below(32) as u8);
        serde_json::json!({ "message": format!("{control}{pan}{control}") }).to_string()
    }),
    ("XML", |_, pan| format!("<Card><Number>{pan}</Number></Card>")),
    ("XML attribute", |_, pan| format!("<card number='{pan}' type=\"a\"/>")),
    ("URL path", |_, pan| format!("GET /v1/cards/{pan}/auth HTTP/1.1")),
    ("URL query", |_, pan| format!("https://host.example/pay?amount=100&card={pan}&x=1")),
    ("URL, escaped", |rng, pan| {
        format!("q=a%20{}{pan}%26b", rng.pick(&["%3D", "%22", "%20", "%C3%A9"]))
    }),
    ("URL, escaped groups", |_, pan| format!("card={}&x", grouped(pan, "%20"))),
    ("form", |_, pan| format!("card={}&x", grouped(pan, "+"))),
    ("key=value", |_, pan| format!("stan=000123 pan={pan} exp=2512 amt=1000")),
    ("CSV", |rng, pan| format!("{},{pan},{}", rng.digits(6), rng.digits(4))),
    ("C dump", |_, pan| format!(r"\x02{pan}\x03")),
    ("track 1", |rng, pan| format!("%B{pan}^DOE/JOHN^2512101{}?", rng.digits(12))),
    ("track 1, escaped", |rng, pan| format!("%25B{pan}%5EDOE%2FJ%5E2512101{}%3F", rng.digits(12))),
    ("track 2", |rng, pan| format!(";{pan}=2512101{}?", rng.digits(12))),
    ("track 2, chip", |rng, pan| format!("t2 {pan}D2512101{}F", rng.digits(11))),
    ("TLV 57", |rng, pan| tlv(rng, "57", &track2(pan), "9F3403420300")),
    ("TLV 5A", |rng, pan| tlv(rng, "5A", &padded(pan), "5F340101")),
    ("TLV 9F6B", |rng, pan| tlv(rng, "9F6B", &track2(pan), "9F2701809000")),
    ("TLV 56", |rng, pan| {
        let track: String =
            format!("B{pan}^A/B^2512").bytes().map(|byte| format!("{byte:02X}")).collect();
        tlv(rng, "56", &track, "9F2701809000")
    }),
    ("TLV 57 in pairs", |rng, pan| {
        pairs(rng, &tlv(&mut Rng::new(0), "57", &track2(pan), "9F340342"))
    }),
    ("TLV 5A in pairs", |rng, pan| {
        pairs(rng, &tlv(&mut Rng::new(1), "5A", &padded(pan), "5F340101"))
    }),
    ("packed in pairs", |rng, pan| pairs(rng, &padded(pan))),
    ("ASCII in hexadecimal", |_, pan| pan.bytes().map(|byte| format!("{byte:02x}")).collect()),
    ("glued to its expiry", |rng, pan| {
        let rest = rng.digits(20_usize.saturating_sub(pan.len()).max(4));
        format!("{pan}{rest}")
    }),
];

/// As it is printed on the card, or as close as its length comes.
fn grouped(pan: &str, separator: &str) -> String {
    let lengths: &[usize] = match (pan.len(), pan.as_bytes()[0]) {
        (15, _) => &[4, 6, 5],
        (14, _) => &[4, 6, 4],
        (19, b'6') => &[6, 13],
        _ => &[4, 4, 4, 4, 3],
    };
    let mut rest = pan;
    let mut groups = Vec::new();
    for length in lengths {
        let (group, after) = rest.split_at(rest.len().min(*length));
        groups.push(group);
        rest = after;
    }
    groups.retain(|group| !group.is_empty());
    groups.join(separator)
}

fn track2(pan: &str) -> String {
    padded(&format!("{pan}D2512101123456789"))
}

fn padded(digits: &str) -> String {
    let pad = if digits.len() % 2 == 1 { "F" } else { "" };
    format!("{digits}{pad}")
}

/// An object among others.
fn tlv(rng: &mut Rng, tag: &str, value: &str, after: &str) -> String {
    let before = rng.pick(&["", "82021980", "9F02060000000010008407A0000000031010", "DF"]);
    let text = format!("{before}{tag}{:02X}{value}{after}", value.len() / 2);
    if rng.below(2) == 0 { text } else { text.to_lowercase() }
}

fn pairs(rng: &mut Rng, packed: &str) -> String {
    let separator = rng.pick(&[" ", ":", "-"]);
    let pairs: Vec<&str> = (0..packed.len()).step_by(2).map(|at| &packed[at..at + 2]).collect();
    format!("dump {}", pairs.join(separator))
}
