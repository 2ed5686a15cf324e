//! The main job: each of the nine operations, over REST, with exactly the result that is documented.

use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use terminal_cloud::{Operation, OperationStatus};
use terminal_hal::operation::{
    CheckUpdateResult, ConfigureResult, EndOfDayResult, LockResult, OpenMenuResult, RebootResult,
    UpdateResult,
    end_of_day::{CloseOutcome, TotalKind},
    reboot::{BootReason, RebootScope},
};
use terminal_harness::SiteOptions;

use crate::support::{create, error, has_one_verdict, open, result};

/// The result as the type that documents it: nothing missing, nothing beside it.
fn exact<T: DeserializeOwned + Serialize>(operation: &Operation) -> Result<T> {
    let value = result(operation)?;
    let typed: T = serde_json::from_value(value.clone())?;
    assert_eq!(serde_json::to_value(&typed)?, value);
    Ok(typed)
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_day_runs_on_the_terminal_and_its_totals_come_back() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    // A batch with something of everything, however early in the day this runs.
    site.script(&json!({ "payments": [
        { "id": "a", "sale": 10_000, "tip": 500 },
        { "id": "b", "sale": 2_000, "outcome": "reversed" },
        { "id": "c", "sale": 300, "kind": "refund" },
    ] }))?;
    let operation = site.run("end_of_day", json!({ "operator_id": "7" })).await?;
    let json = result(&operation)?;
    // What the public description of an end of day promises, and what it forgets.
    for field in [
        "batch_id",
        "start_of_day_at",
        "last_end_of_day_at",
        "end_of_day_at",
        "purchases_count",
        "purchases_amount",
        "reversals_count",
        "reversals_amount",
        "sale_amount",
        "tip_amount",
        "currency",
        "outcome",
        "totals",
        "host_totals",
        "next_batch_id",
        "offline",
    ] {
        assert!(!json[field].is_null(), "{field} in {json}");
    }
    let day: EndOfDayResult = exact(&operation)?;
    assert_eq!((day.outcome, day.currency.as_str()), (CloseOutcome::Closed, "NOK"));
    assert_eq!(day.sale_amount + day.tip_amount, day.purchases_amount);
    assert!(day.purchases_count >= 1 && day.reversals_count >= 1 && day.tip_amount >= 500);
    assert!(day.start_of_day_at < day.end_of_day_at.unwrap());
    assert!(day.totals.iter().any(|row| row.kind == TotalKind::Refund && row.count >= 1));
    let purchases = day.totals.iter().filter(|row| row.kind == TotalKind::Purchase);
    assert_eq!(purchases.map(|row| row.count).sum::<u64>(), day.purchases_count);
    assert_eq!(site.effects_of(operation.id)?, 1);

    let again = site.run("end_of_day", json!({ "mode": "previous" })).await?;
    let again: EndOfDayResult = exact(&again)?;
    assert_eq!(again, EndOfDayResult { outcome: CloseOutcome::AlreadyClosed, ..day });
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_update_and_open_menu_answer_what_the_terminal_says() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let check: CheckUpdateResult = exact(&site.run("check_update", json!({})).await?)?;
    assert!(check.available && check.updates.iter().any(|update| update.version == "3.15.0"));
    assert!(check.updates.iter().all(|update| update.sha256.len() == 64));
    assert_eq!(check.current.len(), 2);

    let operation = site.run("open_menu", json!({ "menu": "network" })).await?;
    let menu: OpenMenuResult = exact(&operation)?;
    assert!(menu.shown);
    assert_eq!(site.effects_of(operation.id)?, 1);
    assert_eq!(site.mock_state()?["screen"]["menu"]["menu"], "network");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_unlock_and_configure_change_the_terminal_and_say_what_changed() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let locked = site.run("lock", json!({ "reason": "closing", "message": "Closed" })).await?;
    let lock: LockResult = exact(&locked)?;
    assert!(lock.locked && lock.changed && lock.locked_at.is_some());
    assert_eq!(site.mock_state()?["screen"]["lock_message"], "Closed");
    let lock: LockResult = exact(&site.run("lock", json!({})).await?)?;
    assert!(lock.locked && !lock.changed);
    let lock: LockResult = exact(&site.run("unlock", json!({})).await?)?;
    assert!(!lock.locked && lock.changed);

    let wanted = json!({ "revision": 3, "config": { "display": { "idleMessage": "Hei" } } });
    let configured: ConfigureResult = exact(&site.run("configure", wanted).await?)?;
    assert_eq!((configured.revision, configured.sha256.len()), (3, 64));
    assert_eq!(configured.applied, ["display.idleMessage"]);
    assert_eq!(site.mock_state()?["screen"]["idle_message"], "Hei");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn update_and_reboot_are_reported_by_the_boot_that_follows() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let update = site.run("update", json!({ "apply": "now" })).await?;
    let update: UpdateResult = exact(&update)?;
    assert_eq!((update.from.as_str(), update.to.as_str()), ("3.14.2", "3.15.0"));
    assert!(update.installed && update.bytes_downloaded > 0);
    assert_eq!(update.slot.as_deref(), Some("b"));
    assert!(update.health_checks.iter().all(|check| check.ok));

    let before = site.mock_state()?["boot"]["id"].clone();
    let operation = site.run("reboot", json!({ "delay_s": 0, "reason": "test" })).await?;
    let reboot: RebootResult = exact(&operation)?;
    assert_eq!(reboot.scope, RebootScope::Device);
    assert_eq!(reboot.boot_reason, BootReason::Requested);
    assert_eq!(json!(reboot.boot_id_before), before);
    assert_eq!(json!(reboot.boot_id_after), site.mock_state()?["boot"]["id"]);
    assert_ne!(reboot.boot_id_before, reboot.boot_id_after);
    assert_eq!(site.effects_of(operation.id)?, 1);
    assert_eq!(agent.starts(), 3);

    let operation = site.run("reboot", json!({ "scope": "application", "delay_s": 0 })).await?;
    let application: RebootResult = exact(&operation)?;
    assert_eq!(application.scope, RebootScope::Application);
    assert_eq!(application.boot_id_before, application.boot_id_after);
    assert_eq!(agent.starts(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_make_no_sense_fail_with_the_field_that_is_wrong() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    for (kind, parameters, field) in [
        ("end_of_day", json!({ "flush_timeout_s": 301 }), "flush_timeout_s"),
        ("end_of_day", json!({ "operator": "7" }), "operator"),
        ("open_menu", json!({ "menu": "games" }), "games"),
        ("send_logs", json!({ "max_bytes": 1 }), "max_bytes"),
        ("reboot", json!({ "delay_s": -1 }), "-1"),
        ("lock", json!({ "message": "x".repeat(61) }), "message"),
        ("configure", json!({ "config": {} }), "revision"),
    ] {
        let failed = error(&site.run(kind, parameters).await?)?;
        assert_eq!(failed["code"], "INVALID_PARAMETERS", "{kind}: {failed}");
        assert_eq!(
            (&failed["retryable"], &failed["side_effects"]),
            (&false.into(), &"none".into())
        );
        assert!(failed["failure_reason"].as_str().unwrap().contains(field), "{kind}: {failed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_terminal_cannot_or_may_not_do_is_refused_by_code() -> Result<()> {
    let site = terminal_harness::Site::start(SiteOptions {
        more_config: "[operations]\nallow = [\"open_menu\", \"check_update\", \"reboot\"]\n".into(),
        ..SiteOptions::default()
    })
    .await?;
    site.script(&json!({ "capabilities": ["payments", "logs", "firmware", "power"] }))?;
    let _agent = site.start_agent()?;
    site.online().await?;
    let failed = error(&site.run("open_menu", json!({})).await?)?;
    assert_eq!(failed["code"], "UNSUPPORTED_OPERATION");
    let failed = error(&site.run("end_of_day", json!({})).await?)?;
    assert_eq!(failed["code"], "UNAUTHORIZED");
    // The REST API knows nine names; a cloud that knows more must not hang on an old terminal.
    let unknown = create(&site, "self_destruct", json!({})).await?;
    let failed = error(&site.verdict(unknown).await?)?;
    assert_eq!(failed["code"], "UNSUPPORTED_OPERATION");
    assert_eq!(site.run("check_update", json!({})).await?.status, OperationStatus::Completed);
    let hello = site.cloud()?.terminal(site.terminal_id()).await?.hello.unwrap_or_default();
    let operations = hello["operations"].as_array().unwrap();
    assert!(!operations.contains(&Value::from("open_menu")), "{operations:?}");
    has_one_verdict(&site, unknown).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_progress_is_waited_for_or_reported_as_the_policy_says() -> Result<()> {
    use terminal_core::protocol::{IfPaymentActive, Policy};
    let (site, _agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "payment_active": { "state": "committed" } }))?;
    let mut order = crate::support::order(&site, "end_of_day", json!({}));
    order.policy = Policy { if_payment_active: IfPaymentActive::Reject, ..Policy::default() };
    let rejected = site.cloud()?.create_operation(order.clone()).await?;
    assert_eq!(error(&site.verdict(rejected).await?)?["code"], "BUSY_PAYMENT");
    order.policy.if_payment_active = IfPaymentActive::Wait;
    let waiting = site.cloud()?.create_operation(order).await?;
    crate::support::seen(&site, waiting, "started", 1).await?;
    assert_eq!(site.effects_of(waiting)?, 0);
    site.script(&json!({}))?;
    let day: EndOfDayResult = exact(&site.verdict(waiting).await?)?;
    assert_eq!(day.outcome, CloseOutcome::Closed);
    Ok(())
}
