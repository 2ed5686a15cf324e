//! The bridge against the simulated application as a process of its own: what is cut off is asked
//! about by id, and nothing happens twice.

mod support;

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::{Shop, call, id};
use terminal_hal::{
    ErrorCode, SideEffects, Timestamp,
    api::{CloseState, HoldPolicy, IfPaymentActive, LogRange, Logs, Payments, Power},
    operation::{EndOfDayParameters, end_of_day::CloseOutcome, send_logs::LogLevel},
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
