//! The simulated trade.

use super::*;
use crate::{
    api::Health,
    mock::{
        day::payments,
        state::{PAYMENTS_MAX, PaymentKind, PaymentOutcome},
    },
    status::PowerSource,
};

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_time_give_the_same_day_and_another_seed_another() {
    let (a, b) = (terminal().state(), terminal().state());
    assert_eq!(a, b);
    let other = MockTerminal::open(MockConfig { seed: 2, ..config() }).unwrap().state();
    assert_ne!(a.batch.payments, other.batch.payments);
}

#[test]
fn two_adjoining_ranges_give_what_the_whole_range_gives() {
    let (from, to) = (afternoon(), afternoon().plus_ms(7_200_000));
    let middle = afternoon().plus_ms(1_234_567);
    let mut parts = payments(7, 40, from, middle);
    parts.extend(payments(7, 40, middle, to));
    assert_eq!(parts, payments(7, 40, from, to));
    assert!(parts.is_sorted_by_key(|payment| payment.at));
}

#[test]
fn a_day_has_everything_that_a_shop_sees_and_nothing_at_night() {
    let midnight = Timestamp::parse("2026-06-29T00:00:00Z").unwrap();
    let day = payments(1, 60, midnight, midnight.plus_ms(24 * 3_600_000));
    assert!(day.len() > 300, "{}", day.len());
    assert!(day.iter().any(|p| p.tip > 0));
    assert!(day.iter().any(|p| p.offline));
    assert!(day.iter().any(|p| p.kind == PaymentKind::Refund));
    assert!(day.iter().any(|p| p.outcome == PaymentOutcome::Declined));
    assert!(day.iter().any(|p| p.outcome == PaymentOutcome::Reversed));
    for scheme in ["visa", "mastercard", "amex", "vipps"] {
        assert!(day.iter().any(|p| p.scheme == scheme), "{scheme}");
    }
    assert!(payments(1, 60, midnight, midnight.plus_ms(5 * 3_600_000)).is_empty());
}

#[test]
fn a_clock_that_leaps_by_years_brings_two_days_of_trade_at_most() {
    let leap = payments(1, 60, Timestamp::from_unix_ms(0), afternoon());
    let two_days = Timestamp::from_unix_ms(afternoon().unix_ms() - 2 * 24 * 3_600_000);
    assert_eq!(leap, payments(1, 60, two_days, afternoon()));
}

#[tokio::test(start_paused = true)]
async fn new_payments_arrive_as_time_passes_and_stop_at_the_limit_of_the_batch() {
    let terminal = terminal();
    let before = terminal.state().batch.payments.len();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(terminal.state().batch.payments.len() > before + 5);
    terminal.set_script(Script::parse(r#"{"payments_per_hour":10000}"#).unwrap());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(terminal.state().batch.payments.len(), PAYMENTS_MAX);
}

#[tokio::test(start_paused = true)]
async fn payments_taken_offline_are_forwarded_by_themselves_after_a_while() {
    let terminal =
        scripted(r#"{"payments_per_hour":0,"payments":[{"id":"a","sale":100,"offline":true}]}"#);
    assert!(!terminal.state().offline.is_empty());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(terminal.state().offline.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_scripted_payment_is_taken_once_also_after_a_restart() {
    let terminal = scripted(r#"{"payments_per_hour":0,"payments":[{"id":"a","sale":777}]}"#);
    let count = |terminal: &MockTerminal| {
        terminal.state().batch.payments.iter().filter(|p| p.sale == 777).count()
    };
    assert_eq!(count(&terminal), 1);
    terminal.restart().unwrap();
    assert_eq!(count(&terminal), 1);
}

#[tokio::test(start_paused = true)]
async fn the_battery_drains_on_the_road_and_fills_in_the_dock() {
    let terminal = terminal();
    let (mut falls, mut rises, mut last) = (0, 0, None);
    for _ in 0..12 * 6 {
        let health = terminal.health().await.unwrap();
        let level = health.battery_level.unwrap();
        if health.power == Some(PowerSource::Battery) {
            falls += u32::from(last.is_some_and(|last| level < last));
        } else {
            rises += u32::from(last.is_some_and(|last| level > last));
        }
        assert!((50..=100).contains(&level));
        last = Some(level);
        tokio::time::advance(Duration::from_secs(300)).await;
    }
    assert!(falls > 10 && rises > 5, "{falls} {rises}");
}

#[tokio::test(start_paused = true)]
async fn health_says_what_the_script_says() {
    let terminal = scripted(
        r#"{"battery_level":12,"printer":"no_paper","network":null,"tampered":true,
            "payment_active":{"state":"committed"}}"#,
    );
    let health = terminal.health().await.unwrap();
    assert_eq!((health.battery_level, health.power), (Some(12), Some(PowerSource::Battery)));
    assert!(health.tampered && health.payment_active && !health.locked);
    assert_eq!((health.network, health.storage_free_bytes), (None, None));
    terminal.set_script(Script::parse(r#"{"no_battery":true}"#).unwrap());
    assert_eq!(terminal.health().await.unwrap().battery_level, None);
}
