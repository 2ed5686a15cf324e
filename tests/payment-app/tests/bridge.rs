//! The bridge against the simulated application as a process of its own: what is cut off is asked
//! about by id, and nothing happens twice.

mod support;

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::{Shop, call, id};
use terminal_hal::{
    ErrorCode, SideEffects, Timestamp,
    api::{
        CloseState, HoldPolicy, IfPaymentActive, LockRequest, LogRange, Logs, Payments, Power,
        Screen,
    },
    operation::{
        EndOfDayParameters, EndOfDayResult, LockParameters, OpenMenuParameters,
        end_of_day::{CloseMode, CloseOutcome},
        open_menu::Menu,
        send_logs::LogLevel,
    },
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_close_that_is_cut_off_at_any_point_closes_once() -> Result<()> {
    for at in ["before_effect", "after_effect"] {
        let shop = Shop::open(&json!({ "methods": { "close_batch": {
            "latency_ms": 50, "crash": { "at": at, "times": 1 },
        } } }))?;
        let (call, _handle) = call(1);
        let batch = shop.state()?["batch"]["number"].clone();
        let parameters = EndOfDayParameters::default();
        let result = timeout(PATIENCE, shop.vendor.close_batch(&call, &parameters)).await??;
        assert_eq!(result.outcome, CloseOutcome::Closed, "{at}");
        assert_eq!(shop.app.starts(), 2, "{at}");
        let state = shop.state()?;
        assert_eq!(state["effects"][id(1).to_string()]["count"], 1, "{at}");
        assert_eq!(state["batch"]["number"], batch.as_u64().unwrap_or(0) + 1, "{at}");
    }
    Ok(())
}

#[tokio::test]
async fn a_close_goes_on_while_the_agent_is_away_and_is_found_by_its_id() -> Result<()> {
    let shop = Shop::open(&json!({ "methods": { "close_batch": { "latency_ms": 600 } } }))?;
    let (first, _handle) = call(1);
    let parameters = EndOfDayParameters::default();
    let closing = shop.vendor.close_batch(&first, &parameters);
    assert!(timeout(Duration::from_millis(200), closing).await.is_err());
    // Another connection replaces the first, as after a crash of the agent.
    let vendor = shop.connect();
    let state = support::until(async || {
        let state = vendor.query_close(id(1)).await?;
        Ok((!matches!(state, CloseState::Running)).then_some(state))
    });
    // Dropping the call has asked it to stop, which it may or may not have done in time.
    match timeout(PATIENCE, state).await?? {
        CloseState::Finished(result) => assert_eq!(result.outcome, CloseOutcome::Closed),
        CloseState::Failed(failure) => assert_eq!(failure.code, ErrorCode::Canceled),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn an_application_that_cannot_tell_gives_an_unknown_outcome() -> Result<()> {
    let shop = Shop::open(&json!({
        "query_close_says": "unknown",
        "methods": { "close_batch": { "crash": { "at": "after_effect", "times": 1 } } },
    }))?;
    let (call, _handle) = call(1);
    let parameters = EndOfDayParameters::default();
    let failure = timeout(PATIENCE, shop.vendor.close_batch(&call, &parameters)).await?;
    let failure = failure.expect_err("nobody can tell");
    assert_eq!(failure.code, ErrorCode::OutcomeUnknown);
    assert_eq!(failure.side_effects, SideEffects::Unknown);
    assert_eq!(shop.state()?["effects"][id(1).to_string()]["count"], 1);
    Ok(())
}

#[tokio::test]
async fn an_application_restart_is_done_when_another_instance_says_hello() -> Result<()> {
    let shop = Shop::open(&json!({}))?;
    let before = shop.vendor.instance().await?;
    let (call, _handle) = call(1);
    timeout(PATIENCE, shop.vendor.restart_application(&call)).await??;
    assert_ne!(shop.vendor.instance().await?, before);
    // Also when the process dies over it.
    shop.script(&json!({ "methods": { "restart_application": { "crash": { "times": 1 } } } }))?;
    let before = shop.vendor.instance().await?;
    let (again, _handle) = support::call(2);
    timeout(PATIENCE, shop.vendor.restart_application(&again)).await??;
    assert_ne!(shop.vendor.instance().await?, before);
    Ok(())
}

#[tokio::test]
async fn logs_go_on_where_they_broke_off() -> Result<()> {
    let shop = Shop::open(&json!({}))?;
    let to = support::now();
    let from = Timestamp::from_unix_ms(to.unix_ms() - 4 * 3_600_000);
    let range = LogRange { from, to, components: Vec::new(), min_level: LogLevel::Trace };
    let (call, _handle) = call(1);
    let mut whole = Vec::new();
    let mut stream = shop.vendor.collect(&call, &range).await?;
    while let Some(line) = stream.recv().await {
        whole.push(line?);
    }
    assert!(whole.len() > 3_000, "{}", whole.len());
    let mut again = Vec::new();
    let mut stream = shop.vendor.collect(&call, &range).await?;
    while let Some(line) = stream.recv().await {
        again.push(line?);
        if again.len() == 1_000 {
            shop.app.kill_9()?;
        }
    }
    assert_eq!(again, whole);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_wait_answers_and_leaves_no_hold() -> Result<()> {
    let shop = Shop::open(&json!({ "payment_active": { "state": "committed" } }))?;
    let policy = HoldPolicy {
        lease: Duration::from_secs(60),
        if_payment_active: IfPaymentActive::Wait,
        wait_max: Duration::from_secs(50),
    };
    let (call, handle) = call(1);
    let waiting = shop.vendor.hold_payments(&call, &policy);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    handle.cancel();
    let failure = timeout(PATIENCE, waiting).await?.expect_err("it was cancelled");
    assert_eq!(failure.code, ErrorCode::Canceled);
    Ok(())
}

#[tokio::test]
async fn without_an_application_every_call_says_so_in_time() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vendor = support::connect(&directory.path().join("nobody.sock"));
    let failure = timeout(PATIENCE, vendor.activity()).await?.expect_err("nobody is there");
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert_eq!(failure.side_effects, SideEffects::None);
    assert!(failure.failure_reason.contains("not connected"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn a_capability_that_is_not_offered_is_named() -> Result<()> {
    let shop = Shop::open(&json!({ "capabilities": ["payments"] }))?;
    assert_eq!(shop.vendor.capabilities().await?.len(), 1);
    let failure = shop.vendor.boot_id().await.expect_err("no power");
    assert_eq!(failure.code, ErrorCode::UnsupportedByHardware);
    assert!(failure.failure_reason.contains("power"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn somebody_in_front_of_the_terminal_sees_what_happens() -> Result<()> {
    let shop = Shop::open(&json!({}))?;
    shop.shows("Welcome").await?;
    let (locking, _handle) = call(1);
    let message = Some("Please call support".to_owned());
    let lock = LockRequest::Lock(LockParameters { message, ..LockParameters::default() });
    shop.vendor.set_locked(&locking, &lock).await?;
    let picture = shop.shows("Please call support").await?;
    assert!(picture.contains("LOCKED"), "{picture}");
    let (opening, _handle) = call(2);
    let menu = OpenMenuParameters { menu: Menu::Reports, timeout_s: 600 };
    shop.vendor.open_menu(&opening, &menu).await?;
    shop.shows("reports").await?;
    shop.script(&json!({ "payment_active": { "state": "committed" } }))?;
    shop.shows("Payment in progress").await?;
    Ok(())
}

#[tokio::test]
async fn every_outcome_of_a_close_that_is_cut_off_is_found_by_its_id() -> Result<()> {
    for (host, guard, outcome, moves) in [
        ("reachable", false, CloseOutcome::Closed, true),
        ("mismatch", false, CloseOutcome::Mismatch, false),
        ("unconfirmed", false, CloseOutcome::Unconfirmed, false),
        ("reachable", true, CloseOutcome::AlreadyClosed, false),
    ] {
        let shop = Shop::open(&json!({ "host": host }))?;
        let last = previous(&shop, 1).await?;
        let batch = shop.state()?["batch"]["number"].clone();
        let crash = json!({ "crash": { "at": "after_effect", "times": 1 } });
        shop.script(&json!({ "host": host, "methods": { "close_batch": crash } }))?;
        let (call, _handle) = call(2);
        let batch_id = guard.then(|| last.batch_id.clone());
        let parameters = EndOfDayParameters { batch_id, ..EndOfDayParameters::default() };
        let result = timeout(PATIENCE, shop.vendor.close_batch(&call, &parameters)).await??;
        assert_eq!((result.outcome, shop.app.starts()), (outcome, 2), "{host}");
        let after = shop.state()?["batch"]["number"].clone();
        assert_eq!(after != batch, moves, "{host}: batch {batch}, then {after}");
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_batch_is_told_as_such_after_a_cut_and_the_totals_before_it_are_kept() -> Result<()>
{
    let payment = json!({ "id": "only", "sale": 9_900 });
    let quiet = json!({ "payments_per_hour": 0, "payments": [payment] });
    let shop = Shop::open(&quiet)?;
    let (first, _handle) = call(1);
    let parameters = EndOfDayParameters::default();
    let closed = shop.vendor.close_batch(&first, &parameters).await?;
    assert_eq!((closed.outcome, closed.purchases_amount), (CloseOutcome::Closed, 9_900));
    let crash = json!({ "crash": { "at": "after_effect", "times": 1 } });
    shop.script(&json!({ "payments_per_hour": 0, "methods": { "close_batch": crash } }))?;
    let (second, _handle) = call(2);
    let empty = timeout(PATIENCE, shop.vendor.close_batch(&second, &parameters)).await??;
    assert_eq!((empty.outcome, empty.next_batch_id), (CloseOutcome::Empty, None));
    let again = previous(&shop, 3).await?;
    assert_eq!(again.batch_id, closed.batch_id);
    assert_eq!(again.purchases_amount, closed.purchases_amount);
    assert_eq!(again.totals, closed.totals);
    Ok(())
}

async fn previous(shop: &Shop, number: u128) -> Result<EndOfDayResult> {
    let (call, _handle) = call(number);
    let mode = CloseMode::Previous;
    let parameters = EndOfDayParameters { mode, ..EndOfDayParameters::default() };
    Ok(shop.vendor.close_batch(&call, &parameters).await?)
}

#[tokio::test]
async fn what_could_not_be_forwarded_is_reported_by_the_close() -> Result<()> {
    let offline = |forwarding: bool| {
        json!({ "offline_forwarding": forwarding, "payments_per_hour": 0, "payments": [
            { "id": "a", "sale": 12_000, "offline": true }, { "id": "b", "sale": 500, "offline": true },
        ] })
    };
    for (forwarding, forwarded, pending) in [(false, 0, (2, 12_500)), (true, 2, (0, 0))] {
        let shop = Shop::open(&offline(forwarding))?;
        let (call, _handle) = call(1);
        let result = shop.vendor.close_batch(&call, &EndOfDayParameters::default()).await?;
        let left = &result.offline;
        assert_eq!((left.pending_count, left.pending_amount), pending);
        assert_eq!(left.forwarded + left.declined, forwarded);
    }
    Ok(())
}

#[tokio::test]
async fn a_payment_in_progress_is_rejected_waited_for_or_cancelled_by_policy() -> Result<()> {
    use IfPaymentActive::{Cancel, Reject, Wait};
    for (state, for_ms, policy, is_held) in [
        ("cancellable", 600_000, Reject, false),
        ("cancellable", 600_000, Cancel, true),
        ("committed", 600_000, Reject, false),
        // What has been sent to the acquirer is never cancelled.
        ("committed", 600_000, Cancel, false),
        ("committed", 600_000, Wait, false),
        ("committed", 300, Wait, true),
        ("committed", 300, Cancel, true),
    ] {
        let shop = Shop::open(&json!({ "payment_active": { "state": state, "for_ms": for_ms } }))?;
        let policy = HoldPolicy {
            lease: Duration::from_secs(60),
            if_payment_active: policy,
            wait_max: Duration::from_secs(if is_held { 30 } else { 1 }),
        };
        let (call, _handle) = call(1);
        let held = timeout(PATIENCE, shop.vendor.hold_payments(&call, &policy)).await?;
        let failed = held.err().map(|failure| (failure.code, failure.side_effects));
        let busy = (ErrorCode::BusyPayment, SideEffects::None);
        assert_eq!(failed, (!is_held).then_some(busy), "{state} for {for_ms} ms, {policy:?}");
    }
    Ok(())
}
