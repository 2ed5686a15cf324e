//! What else in logs is made of digits.

use crate::rng::Rng;

/// One number.
pub(crate) type Kind = fn(&mut Rng) -> String;

/// Seconds of the years 2020 to 2037: from 2039 on microseconds begin like cards of Mir.
fn seconds(rng: &mut Rng) -> u64 {
    1_577_836_800 + rng.below(568_000_000)
}

/// A number with its sum of Luhn, as IMEI and ICCID have it.
fn with_luhn(body: &str) -> String {
    let sum: u64 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| match u64::from(digit - b'0') * (2 - place as u64 % 2) {
            doubled @ 10.. => doubled - 9,
            value => value,
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

fn uuid(rng: &mut Rng) -> String {
    let variant = rng.pick(&['8', '9', 'a', 'b']);
    format!("{}-{}-4{}-{variant}{}-{}", rng.hex(8), rng.hex(4), rng.hex(3), rng.hex(3), rng.hex(12))
}

pub(crate) const ALL: &[(&str, Kind)] = &[
    ("epoch, s", |rng| seconds(rng).to_string()),
    ("epoch, ms", |rng| (seconds(rng) * 1000 + rng.below(1000)).to_string()),
    ("epoch, us", |rng| (seconds(rng) * 1_000_000 + rng.below(1_000_000)).to_string()),
    ("epoch, ns", |rng| (seconds(rng) * 1_000_000_000 + rng.below(1_000_000_000)).to_string()),
    ("epoch, s with us", |rng| format!("{}.{:06}", seconds(rng), rng.below(1_000_000))),
    ("RFC 3339", |rng| {
        let (date, time) = (rng.below(28) + 1, rng.below(60));
        format!(
            "2026-{:02}-{date:02}T{:02}:{time:02}:{:02}.{:09}Z",
            rng.below(12) + 1,
            rng.below(24),
            rng.below(60),
            rng.below(1_000_000_000)
        )
    }),
    ("date and time without marks", |rng| {
        format!(
            "2026{:02}{:02}{:02}{:02}{:02}",
            rng.below(12) + 1,
            rng.below(28) + 1,
            rng.below(24),
            rng.below(60),
            rng.below(60)
        )
    }),
    ("IMEI", |rng| {
        let begin = rng.pick(&["35", "86", "01", "99"]);
        with_luhn(&format!("{begin}{}", rng.digits(12)))
    }),
    ("ICCID", |rng| with_luhn(&format!("89{}", rng.digits(16)))),
    ("UUID", uuid),
    ("SHA-256", |rng| rng.hex(64)),
    ("git hash", |rng| rng.hex(40)),
    ("MD5", |rng| rng.hex(32)),
    ("span id", |rng| rng.hex(16)),
    ("amount", |rng| {
        format!("{}.{:02} NOK, {} minor", rng.below(100_000), rng.below(100), rng.below(10_000_000))
    }),
    ("float with 15 decimals", |rng| format!("{}.{}", rng.below(1000), rng.digits(15))),
    ("float with 16 decimals", |rng| format!("-0.{}", rng.digits(16))),
    ("IPv4", |rng| {
        format!(
            "{}.{}.{}.{}:{}",
            rng.below(256),
            rng.below(256),
            rng.below(256),
            rng.below(256),
            rng.below(65536)
        )
    }),
    ("IPv6", |rng| (0..8).map(|_| rng.hex(4)).collect::<Vec<_>>().join(":")),
    ("MAC", |rng| (0..6).map(|_| rng.hex(2)).collect::<Vec<_>>().join(":")),
    ("serial number", |rng| format!("SN{}", rng.digits(12))),
    ("order id", |rng| format!("order {}", rng.digits(10))),
    ("order id with marks", |rng| format!("{}-{}-{}", rng.digits(3), rng.digits(7), rng.digits(7))),
    ("phone", |rng| format!("+47 {} {} {}", rng.digits(3), rng.digits(2), rng.digits(3))),
    ("version", |rng| {
        format!("{}.{}.{}+{}", rng.below(20), rng.below(100), rng.below(1000), rng.hex(8))
    }),
    ("memory", |rng| {
        format!("{:#018x}-{:#018x} {} kB", rng.next(), rng.next(), rng.below(1 << 40))
    }),
    ("line of a log", |rng| {
        format!(
            "2026-06-29T09:00:00.{:03}Z INFO payment approved in {} ms, terminal {}",
            rng.below(1000),
            rng.below(4000),
            rng.digits(12)
        )
    }),
    ("line of JSON", |rng| {
        format!(
            r#"{{"time":{},"id":"{}","key_id":{},"message":"battery {} percent"}}"#,
            seconds(rng) * 1000,
            uuid(rng),
            rng.below(100),
            rng.below(100)
        )
    }),
];
