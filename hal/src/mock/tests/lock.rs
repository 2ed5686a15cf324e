//! Locking and unlocking, and the screen.

use super::*;
use crate::{
    ErrorCode, Failure,
    api::{LockRequest, PaymentActivity, Payments, Power, Screen},
    mock::script::ScriptedPayment,
    operation::{LockParameters, LockResult, OpenMenuParameters, UnlockParameters},
    status::Showing,
};

async fn lock(terminal: &MockTerminal, number: u128, parameters: LockParameters) -> LockResult {
    let (call, _handle) = call(number);
    terminal.set_locked(&call, &LockRequest::Lock(parameters)).await.unwrap()
}

async fn unlock(terminal: &MockTerminal, number: u128) -> LockResult {
    let (call, _handle) = call(number);
    terminal.set_locked(&call, &LockRequest::Unlock(UnlockParameters::default())).await.unwrap()
}

async fn reboot(terminal: &MockTerminal) -> Result<(), Failure> {
    let (call, _handle) = call(99);
    terminal.reboot(&call).await?;
    terminal.restart().unwrap();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lock_stops_payments_is_honest_about_changes_and_survives_a_restart() {
    let directory = Directory::new();
    let config = kept_in(&directory.state());
    let terminal = MockTerminal::open(config.clone()).unwrap();
    let message = Some("Closed for audit".to_owned());
    let first = lock(&terminal, 1, LockParameters { message, ..Default::default() }).await;
    assert!(first.locked && first.changed && first.locked_at == Some(afternoon()));
    assert_eq!(terminal.screen().text, "Closed for audit");
    let payment: ScriptedPayment = serde_json::from_str(r#"{"id":"p","sale":1}"#).unwrap();
    assert_eq!(terminal.take_payment(&payment).unwrap_err().code, ErrorCode::Locked);

    let terminal = MockTerminal::open(config).unwrap();
    let again = lock(&terminal, 2, LockParameters::default()).await;
    assert_eq!(again, LockResult { changed: false, ..first });
    let open = unlock(&terminal, 3).await;
    assert!(!open.locked && open.changed && open.locked_at.is_none());
    assert!(!unlock(&terminal, 4).await.changed);
    assert!(terminal.take_payment(&payment).is_ok());
    assert_eq!(terminal.screen().showing, Showing::Idle);
    assert_eq!(terminal.effects().into_keys().collect::<Vec<_>>(), [id(1), id(3)]);
}

#[tokio::test(start_paused = true)]
async fn only_a_lock_that_says_so_is_cleared_by_a_reboot_and_a_second_one_does_not_weaken_it() {
    let clearing = || LockParameters { clear_on_reboot: true, ..Default::default() };
    let terminal = terminal();
    lock(&terminal, 1, clearing()).await;
    reboot(&terminal).await.unwrap();
    assert!(terminal.state().lock.is_none());
    lock(&terminal, 2, LockParameters::default()).await;
    lock(&terminal, 3, clearing()).await;
    reboot(&terminal).await.unwrap();
    assert!(terminal.state().lock.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lock_lets_a_payment_finish_or_cancels_it() {
    for (finish_active_payment, after_s) in [(true, 8), (false, 0)] {
        let terminal = terminal();
        let lasting = Some(Duration::from_secs(8));
        terminal.start_payment(PaymentActivity::Cancellable, lasting).unwrap();
        let begin = tokio::time::Instant::now();
        let parameters = LockParameters { finish_active_payment, ..Default::default() };
        assert!(lock(&terminal, 1, parameters).await.changed);
        assert_eq!(begin.elapsed(), Duration::from_secs(after_s));
    }
}

#[tokio::test(start_paused = true)]
async fn a_menu_is_in_front_until_its_time_is_over_and_a_message_until_it_is_taken_away() {
    let terminal = terminal();
    lock(&terminal, 1, LockParameters::default()).await;
    terminal.show_message(Some("ACT-7X9K-2M4P")).await.unwrap();
    assert_eq!(terminal.screen().text, "ACT-7X9K-2M4P");
    let (call, _handle) = call(2);
    let opened = terminal.open_menu(&call, &OpenMenuParameters::default()).await.unwrap();
    assert!(opened.shown);
    assert_eq!((terminal.screen().showing, opened.opened_at), (Showing::Menu, afternoon()));
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(terminal.screen().showing, Showing::Message);
    terminal.show_message(None).await.unwrap();
    assert_eq!(terminal.screen().showing, Showing::Locked);
}

#[tokio::test(start_paused = true)]
async fn a_menu_waits_behind_a_payment() {
    let terminal = terminal();
    terminal.start_payment(PaymentActivity::Cancellable, None).unwrap();
    let (call, _handle) = call(1);
    assert!(!terminal.open_menu(&call, &OpenMenuParameters::default()).await.unwrap().shown);
}
