//! A real agent and a real cloud, with the simulated application behind the bridge.

mod support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::device::{Device, result};
use terminal_cloud::{Operation, OperationStatus};
use terminal_hal::OperationId;
use terminal_harness::Site;
use tokio::time::timeout;

async fn started(device: &Device, id: OperationId) -> Result<()> {
    let patience = Duration::from_secs(30);
    device.site.cloud()?.wait_timeline(id, "started", 1, patience).await?;
    Ok(())
}

/// Completed, reported once, and closed once.
async fn closed_once(device: &Device, id: OperationId) -> Result<Operation> {
    let operation = device.site.verdict(id).await?;
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    let timeline = device.site.cloud()?.timeline(id).await?;
    let events = |name| timeline.iter().filter(|entry| entry.event == name).count();
    ensure!((events("report"), events("second_verdict")) == (1, 0), "{timeline:?}");
    ensure!(device.site.effects_of(id)? == 1, "it took effect more than once, or never");
    let state = device.site.mock_state()?;
    let batches = state["closed"].as_array().context("no batches")?;
    ensure!(batches.iter().all(|batch| batch["closes"] == 1), "{batches:?}");
    Ok(operation)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_killed_in_the_middle_of_a_close_is_asked_and_closes_once() -> Result<()> {
    let slow = json!({ "methods": { "close_batch": { "latency_ms": 1_500 } } });
    let device = Device::start(&slow, None).await?;
    device.site.online().await?;
    for (number, closed_before_the_kill) in [(1, false), (2, true)] {
        let payment = json!({ "id": format!("p{number}"), "sale": 24_900 });
        let script = json!({ "payments": [payment], "methods": slow["methods"].clone() });
        device.site.script(&script)?;
        let id = device.site.create("end_of_day", json!({})).await?;
        started(&device, id).await?;
        let reached = async |site: &Site| {
            let state = site.mock_state()?;
            let of_it = |close: &&Value| close["id"] == id.to_string();
            let close = state["closes"].as_array().and_then(|all| all.iter().find(of_it).cloned());
            let progress = close.map(|close| close["progress"].clone()).unwrap_or_default();
            Ok(progress == if closed_before_the_kill { "finished" } else { "started" })
        };
        device.site.until("the close is where it shall be cut off", reached).await?;
        device.app()?.kill_9()?;
        let operation = closed_once(&device, id).await?;
        assert_eq!(result(&operation)?["outcome"], "closed");
    }
    let log = device.site.agent_log()?;
    assert_eq!(log.matches("asking by id").count(), 2, "{log}");
    assert_eq!((device.agent.starts(), device.app()?.starts()), (1, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_in_the_middle_of_a_close_finds_it_at_the_application() -> Result<()> {
    let slow = json!({ "methods": { "close_batch": { "latency_ms": 2_000 } } });
    let device = Device::start(&slow, None).await?;
    device.site.online().await?;
    let id = device.site.create("end_of_day", json!({})).await?;
    started(&device, id).await?;
    let begun = async |site: &Site| {
        let state = site.mock_state()?;
        Ok(state["closes"].as_array().is_some_and(|all| !all.is_empty()))
    };
    device.site.until("the application has begun to close", begun).await?;
    device.agent.kill_9()?;
    closed_once(&device, id).await?;
    assert_eq!((device.agent.starts(), device.app()?.starts()), (2, 1));
    // The hold of the agent that died has been given back, long before its lease of a minute.
    let next = device.site.run("end_of_day", json!({}));
    let next =
        timeout(Duration::from_secs(40), next).await.context("payments are still held")??;
    result(&next)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_runs_through_the_bridge() -> Result<()> {
    let device = Device::start(&json!({}), None).await?;
    let site = &device.site;
    site.online().await?;
    assert_eq!(result(&site.run("end_of_day", json!({})).await?)?["outcome"], "closed");
    let previous = site.run("end_of_day", json!({ "mode": "previous" })).await?;
    assert_eq!(result(&previous)?["outcome"], "already_closed");
    assert_eq!(result(&site.run("open_menu", json!({ "menu": "reports" })).await?)?["shown"], true);
    assert_eq!(result(&site.run("check_update", json!({})).await?)?["available"], true);
    let logs = result(&site.run("send_logs", json!({})).await?)?;
    assert!(logs["lines"].as_u64() > Some(1_000), "{logs}");
    assert_eq!(result(&site.run("lock", json!({})).await?)?["locked"], true);
    assert_eq!(result(&site.run("unlock", json!({})).await?)?["locked"], false);
    let tip = json!({ "mode": "percentage", "suggestions": [5, 10] });
    let config = json!({ "revision": 3, "config": { "tip": tip } });
    assert_eq!(result(&site.run("configure", config).await?)?["revision"], 3);
    let application = site.run("reboot", json!({ "scope": "application", "delay_s": 0 })).await?;
    assert_eq!(result(&application)?["boot_reason"], "requested");
    let update = result(&site.run("update", json!({ "apply": "now" })).await?)?;
    assert_eq!((&update["installed"], &update["to"]), (&json!(true), &json!("3.15.0")));
    let reboot = result(&site.run("reboot", json!({ "delay_s": 0 })).await?)?;
    assert_ne!(reboot["boot_id_before"], reboot["boot_id_after"]);
    // The device has restarted for the update and for the reboot.
    assert_eq!((device.agent.starts(), device.app()?.starts()), (3, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_application_the_agent_stays_online_and_says_what_is_missing() -> Result<()> {
    let mut device =
        Device::start(&json!({}), Some("payments = \"vendor\"\nscreen = \"vendor\"")).await?;
    device.site.online().await?;
    device.app = None;
    let operation = device.site.run("end_of_day", json!({})).await?;
    let error = operation.error.clone().context("no error")?;
    assert_eq!(error["code"], "HAL_UNAVAILABLE");
    assert!(error["failure_reason"].to_string().contains("not connected"), "{error}");
    let unsupported = device.site.run("check_update", json!({})).await?;
    let error = unsupported.error.clone().context("no error")?;
    assert_eq!(error["code"], "UNSUPPORTED_OPERATION");
    device.start_app()?;
    let connected = async |site: &Site| {
        Ok(site.agent_log()?.matches("payment application connected").count() == 2)
    };
    device.site.until("the application is found again", connected).await?;
    let operation = device.site.run("end_of_day", json!({})).await?;
    assert_eq!(result(&operation)?["outcome"], "closed");
    Ok(())
}
