//! A believable day: customers who come and pay, from nothing but the seed and the time.

use super::{
    rng::{Rng, Stream},
    state::{Payment, PaymentKind, PaymentOutcome},
};
use crate::Timestamp;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// When the shop opens, after midnight UTC.
const OPENING_MS: u64 = 6 * HOUR_MS;
/// When the batch of a day is closed, after midnight UTC.
const CLOSING_MS: u64 = 20 * HOUR_MS + 35 * MINUTE_MS;
/// A terminal that is switched on for the first time has traded at least this long, so that its
/// batch is worth closing at any time of the day.
const TRADE_MIN_MS: u64 = 4 * HOUR_MS;
/// Customers are made up for at most this long at once: a clock that leaps from 1970 to today
/// must not bring fifty years of trade.
const CATCH_UP_MAX_MS: u64 = 2 * DAY_MS;

/// How busy each hour is, UTC, in percent of the busiest.
const BUSY_PERCENT: [u64; 24] =
    [0, 0, 0, 0, 0, 0, 15, 45, 55, 60, 85, 100, 90, 65, 60, 80, 95, 85, 60, 35, 10, 0, 0, 0];

const SCHEMES: [(u64, &str); 6] = [
    (36, "visa"),
    (27, "mastercard"),
    (20, "bankaxept"),
    (11, "vipps"),
    (4, "amex"),
    (2, "diners"),
];

/// When a batch that is open at `now` was opened, on a terminal without a past.
pub(super) fn opening_before(now: Timestamp) -> Timestamp {
    let traded = now.unix_ms().saturating_sub(TRADE_MIN_MS + OPENING_MS);
    Timestamp::from_unix_ms(traded / DAY_MS * DAY_MS + OPENING_MS)
}

/// Opening and closing of the day before that opening.
pub(super) fn day_before(opening: Timestamp) -> (Timestamp, Timestamp) {
    let opened = opening.unix_ms().saturating_sub(DAY_MS);
    let closed = opened.saturating_sub(OPENING_MS) + CLOSING_MS;
    (Timestamp::from_unix_ms(opened), Timestamp::from_unix_ms(closed))
}

/// Payments of `from..to`, oldest first. Two adjoining ranges give what the whole range gives.
pub(super) fn payments(seed: u64, per_hour: u32, from: Timestamp, to: Timestamp) -> Vec<Payment> {
    let from = from.unix_ms().max(to.unix_ms().saturating_sub(CATCH_UP_MAX_MS));
    let to = to.unix_ms();
    if per_hour == 0 || from >= to {
        return Vec::new();
    }
    (from / MINUTE_MS..=(to - 1) / MINUTE_MS)
        .flat_map(|minute| of_minute(seed, per_hour, minute))
        .filter(|payment| (from..to).contains(&payment.at.unix_ms()))
        .collect()
}

fn of_minute(seed: u64, per_hour: u32, minute: u64) -> Vec<Payment> {
    let mut rng = Rng::new(seed, Stream::Payments, minute);
    let hour = usize::try_from(minute / 60 % 24).unwrap_or(0);
    let busy = BUSY_PERCENT.get(hour).copied().unwrap_or(0);
    // Expected payments of this minute, in thousandths.
    let expected = u64::from(per_hour) * busy * 1000 / 100 / 60;
    let count = expected / 1000 + u64::from(rng.below(1000) < expected % 1000);
    let mut payments: Vec<Payment> =
        (0..count).map(|_| payment(&mut rng, minute * MINUTE_MS)).collect();
    payments.sort_by_key(|payment| payment.at);
    payments
}

fn payment(rng: &mut Rng, minute_ms: u64) -> Payment {
    let at = Timestamp::from_unix_ms(minute_ms + rng.below(MINUTE_MS));
    let scheme = rng.weighted(&SCHEMES).copied().unwrap_or("visa");
    let kroner = match rng.below(10) {
        0..=5 => 39 + rng.below(120),
        6..=8 => 160 + rng.below(430),
        _ => 590 + rng.below(1_300),
    };
    let kind = if rng.percent(2) { PaymentKind::Refund } else { PaymentKind::Purchase };
    let outcome = match rng.below(100) {
        0..=4 => PaymentOutcome::Declined,
        5..=6 if kind == PaymentKind::Purchase => PaymentOutcome::Reversed,
        _ => PaymentOutcome::Approved,
    };
    let counts = outcome == PaymentOutcome::Approved && kind == PaymentKind::Purchase;
    let tips = rng.percent(18) && counts;
    let tip_percent = 5 + rng.below(11);
    let tip = if tips { kroner * tip_percent / 100 * 100 } else { 0 };
    // Vipps is paid with a phone that is online.
    let offline = rng.percent(6) && counts && scheme != "vipps";
    Payment {
        at,
        scheme: scheme.to_owned(),
        kind,
        sale: minor(kroner * 100),
        tip: minor(tip),
        outcome,
        offline,
    }
}

fn minor(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
