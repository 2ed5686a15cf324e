//! Holding payments.

use tokio::time::Instant;

use super::*;
use crate::{
    ErrorCode, Failure,
    api::{HoldPolicy, IfPaymentActive, PaymentActivity, Payments},
    mock::script::ScriptedPayment,
};

fn policy(if_payment_active: IfPaymentActive) -> HoldPolicy {
    HoldPolicy {
        lease: Duration::from_secs(60),
        if_payment_active,
        wait_max: Duration::from_secs(30),
    }
}

async fn hold(
    terminal: &MockTerminal,
    number: u128,
    if_active: IfPaymentActive,
) -> Result<(), Failure> {
    let (call, _handle) = call(number);
    terminal.hold_payments(&call, &policy(if_active)).await
}

fn pay(terminal: &MockTerminal) -> Result<(), Failure> {
    let payment: ScriptedPayment = serde_json::from_str(r#"{"id":"p","sale":1}"#).unwrap();
    terminal.take_payment(&payment)
}

#[tokio::test(start_paused = true)]
async fn no_payment_is_taken_while_held_and_the_hold_ends_by_itself() {
    let terminal = terminal();
    hold(&terminal, 1, IfPaymentActive::Wait).await.unwrap();
    let count = terminal.state().batch.payments.len();
    assert_eq!(pay(&terminal).unwrap_err().code, ErrorCode::BusyOperation);
    let refused = terminal.start_payment(PaymentActivity::Cancellable, None);
    assert_eq!(refused.unwrap_err().code, ErrorCode::BusyOperation);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(terminal.state().batch.payments.len(), count);
    assert!(pay(&terminal).is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(pay(&terminal).is_ok());
}

#[tokio::test(start_paused = true)]
async fn holding_again_extends_and_releasing_ends_only_the_own_hold() {
    let terminal = terminal();
    hold(&terminal, 1, IfPaymentActive::Wait).await.unwrap();
    tokio::time::advance(Duration::from_secs(50)).await;
    hold(&terminal, 1, IfPaymentActive::Wait).await.unwrap();
    tokio::time::advance(Duration::from_secs(50)).await;
    terminal.release_payments(id(2)).await.unwrap();
    assert!(pay(&terminal).is_err());
    terminal.release_payments(id(1)).await.unwrap();
    assert!(pay(&terminal).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_active_payment_is_waited_for_refused_or_cancelled_by_policy() {
    use IfPaymentActive::{Cancel, Reject, Wait};
    use PaymentActivity::{Cancellable, Committed};
    let busy = Err(ErrorCode::BusyPayment);
    for (policy, activity, lasting_s, result, after_s) in [
        (Reject, Cancellable, 10, busy, 0),
        (Wait, Cancellable, 10, Ok(()), 10),
        (Wait, Committed, 31, busy, 30),
        (Cancel, Cancellable, 10, Ok(()), 0),
        (Cancel, Committed, 10, Ok(()), 10),
    ] {
        let terminal = terminal();
        terminal.start_payment(activity, Some(Duration::from_secs(lasting_s))).unwrap();
        let begin = Instant::now();
        let held = hold(&terminal, 1, policy).await.map_err(|failure| failure.code);
        assert_eq!(held, result, "{policy:?} {activity:?}");
        assert_eq!(begin.elapsed(), Duration::from_secs(after_s), "{policy:?} {activity:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_ends_well_is_booked_and_a_cancelled_one_is_not() {
    for (policy, booked) in [(IfPaymentActive::Wait, 1), (IfPaymentActive::Cancel, 0)] {
        let terminal = scripted(r#"{"payments_per_hour":0}"#);
        let before = terminal.state().batch.payments.len();
        let lasting = Some(Duration::from_secs(5));
        terminal.start_payment(PaymentActivity::Cancellable, lasting).unwrap();
        hold(&terminal, 1, policy).await.unwrap();
        assert_eq!(terminal.state().batch.payments.len(), before + booked);
    }
}

#[tokio::test(start_paused = true)]
async fn another_holder_is_waited_for_until_it_releases_or_its_lease_ends() {
    let terminal = terminal();
    hold(&terminal, 1, IfPaymentActive::Wait).await.unwrap();
    let refused = hold(&terminal, 2, IfPaymentActive::Reject).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::BusyPayment);
    let begin = Instant::now();
    let waiting = hold(&terminal, 2, IfPaymentActive::Wait);
    let (held, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        terminal.release_payments(id(1)).await.unwrap();
    });
    held.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(7));
    tokio::time::advance(Duration::from_secs(45)).await;
    hold(&terminal, 3, IfPaymentActive::Wait).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(67));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_payment_can_be_cancelled() {
    let terminal = terminal();
    terminal.start_payment(PaymentActivity::Committed, None).unwrap();
    let (call, handle) = call(1);
    let policy = policy(IfPaymentActive::Wait);
    let (held, ()) = tokio::join!(terminal.hold_payments(&call, &policy), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        handle.cancel();
    });
    assert_eq!(held.unwrap_err().code, ErrorCode::Canceled);
}

#[tokio::test(start_paused = true)]
async fn a_scripted_payment_in_progress_ends_after_its_time_or_with_the_script() {
    let directory = Directory::new();
    let config = MockConfig { script_file: Some(directory.script()), ..config() };
    fs::write(directory.script(), r#"{"payment_active":{"state":"committed","for_ms":4000}}"#)
        .unwrap();
    let terminal = MockTerminal::open(config).unwrap();
    assert_eq!(terminal.activity().await.unwrap(), PaymentActivity::Committed);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(terminal.activity().await.unwrap(), PaymentActivity::Idle);

    fs::write(directory.script(), r#"{"payment_active":{"state":"committed"}}"#).unwrap();
    let (held, ()) = tokio::join!(hold(&terminal, 1, IfPaymentActive::Wait), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        fs::write(directory.script(), "{}").unwrap();
    });
    held.unwrap();
}

#[tokio::test(start_paused = true)]
async fn customers_who_came_during_a_hold_were_turned_away_even_if_nobody_looked() {
    let terminal = scripted(r#"{"payments_per_hour":3000}"#);
    let before = terminal.state().batch.payments.len();
    hold(&terminal, 1, IfPaymentActive::Wait).await.unwrap();
    tokio::time::advance(Duration::from_secs(120)).await;
    let state = terminal.state();
    let new = &state.batch.payments[before..];
    assert!(!new.is_empty());
    assert!(new.iter().all(|payment| payment.at >= afternoon().plus_ms(60_000)));
}
