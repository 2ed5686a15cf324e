//! Reboots, updates that are rolled back, and orderly stops.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use terminal_cloud::FaultSwitches;
use terminal_harness::SiteOptions;

use crate::support::{
    create, error, has_one_verdict, open, order, result, seen, slow, status, unsent,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_that_never_happens_fails_by_its_deadline() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "reboot_never_happens": true }))?;
    let mut reboot = order(&site, "reboot", json!({ "delay_s": 0 }));
    reboot.deadline_s = 1;
    let id = site.cloud()?.create_operation(reboot).await?;
    let failed = error(&site.verdict(id).await?)?;
    assert_eq!(failed["code"], "DEADLINE_EXCEEDED", "{failed}");
    assert_eq!(agent.starts(), 1);
    // The terminal is of use again.
    site.script(&json!({}))?;
    result(&site.run("check_update", json!({})).await?)?;
    has_one_verdict(&site, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_nobody_asked_for_is_an_event_and_completes_no_reboot_as_requested()
-> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let watchdog = json!({ "cause": "watchdog", "times": 1 });
    site.script(&json!({
        "methods": { "reboot": { "crash": { "times": 1 } } }, "unexpected_boot": watchdog,
    }))?;
    let rebooted = result(&site.run("reboot", json!({ "delay_s": 0 })).await?)?;
    assert_eq!(rebooted["boot_reason"], "watchdog", "{rebooted}");
    assert_ne!(rebooted["boot_id_before"], rebooted["boot_id_after"]);
    unsent(&site, &agent, 0).await?;
    let events = site.cloud()?.reports(site.terminal_id()).await?;
    let booted = events.iter().find(|report| report.body["event"] == "booted").unwrap();
    assert_eq!(booted.body["data"]["hardware_reason"], "watchdog");
    assert_eq!(booted.body["data"]["boot_id"], rebooted["boot_id_after"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_prove_itself_is_rolled_back_and_says_so() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "health_check": { "passes": false } }))?;
    let operation = site.run("update", json!({ "apply": "now" })).await?;
    let failed = error(&operation)?;
    assert_eq!(failed["code"], "ROLLED_BACK", "{failed}");
    let firmware = site.mock_state()?["firmware"].clone();
    assert_eq!((&firmware["slot"], &firmware["a"]), (&"a".into(), &"3.14.2".into()));
    has_one_verdict(&site, operation.id).await?;
    // The old system still takes the next one.
    site.script(&json!({}))?;
    assert_eq!(result(&site.run("update", json!({ "apply": "now" })).await?)?["to"], "3.15.0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waits_for_its_window_blocks_nothing_and_survives_a_kill() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "window_open": false, "window_opens_in_s": 1 }))?;
    let update = create(&site, "update", json!({})).await?;
    seen(&site, update, "started", 1).await?;
    let day = create(&site, "end_of_day", json!({})).await?;
    result(&site.verdict(day).await?)?;
    agent.kill_9()?;
    let menu = create(&site, "open_menu", json!({})).await?;
    result(&site.verdict(menu).await?)?;
    site.script(&json!({}))?;
    assert_eq!(result(&site.verdict(update).await?)?["to"], "3.15.0");
    has_one_verdict(&site, update).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_agent_with_0_and_loses_nothing() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    // Idle, with a result that has not been acked.
    site.faults(FaultSwitches { withhold_acks: Some(true), ..Default::default() }).await?;
    let unacked = site.run("check_update", json!({})).await?;
    assert_eq!(agent.stop()?, Some(0));
    site.faults(FaultSwitches { clear: true, ..Default::default() }).await?;

    // In the middle of an operation, with another one behind it.
    site.script(&slow("close_batch", 800))?;
    let agent = site.start_agent()?;
    let running = create(&site, "end_of_day", json!({})).await?;
    let waiting = create(&site, "open_menu", json!({})).await?;
    seen(&site, running, "started", 1).await?;
    seen(&site, waiting, "accepted", 1).await?;
    assert_eq!(agent.stop()?, Some(0));
    site.cloud()?.wait_online(site.terminal_id(), false, Duration::from_secs(10)).await?;
    let agent = site.start_agent()?;
    for id in [unacked.id, running, waiting] {
        result(&site.verdict(id).await?)?;
        has_one_verdict(&site, id).await?;
    }
    assert_eq!((site.effects_of(running)?, site.effects_of(waiting)?), (1, 1));
    unsent(&site, &agent, 0).await?;
    agent.signal(Signal::SIGINT)?;
    site.until("another start", async |_| Ok(agent.starts() == 2)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_given_up_at_its_deadline_and_the_rest_goes_on() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "methods": {
        "close_batch": { "hang": { "at": "after_effect", "times": 1 }, "ignore_cancel": true },
    } }))?;
    let mut day = order(&site, "end_of_day", json!({}));
    day.deadline_s = 1;
    let id = site.cloud()?.create_operation(day).await?;
    let failed = error(&site.verdict(id).await?)?;
    assert_eq!(
        (&failed["code"], &failed["side_effects"]),
        (&"DEADLINE_EXCEEDED".into(), &"unknown".into())
    );
    // Nothing else may close while nobody knows; everything else works.
    let busy = error(&site.run("end_of_day", json!({})).await?)?;
    assert_eq!(busy["code"], "HAL_UNAVAILABLE");
    result(&site.run("check_update", json!({})).await?)?;
    has_one_verdict(&site, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desired_configuration_is_applied_and_survives_a_restart() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let config = json!({ "display": { "idleMessage": "Velkommen" } });
    let config = config.as_object().cloned().unwrap_or_default();
    let revision = site.cloud()?.set_configuration(site.terminal_id(), config).await?;
    let applied = |status: &Value| status["config_revision"] == revision;
    status(&site, &agent, "the configuration", applied).await?;
    assert_eq!(site.mock_state()?["screen"]["idle_message"], "Velkommen");
    agent.kill_9()?;
    status(&site, &agent, "the configuration after a kill", applied).await?;
    let bad = json!({ "tip": { "mode": "sometimes" } }).as_object().cloned().unwrap_or_default();
    site.cloud()?.set_configuration(site.terminal_id(), bad).await?;
    let rejected = |terminal: &terminal_cloud::Terminal| {
        terminal.config_report.as_ref().is_some_and(|report| report["status"] == "REJECTED")
    };
    let patience = Duration::from_secs(20);
    let terminal = site.cloud()?.wait_terminal(site.terminal_id(), patience, rejected).await?;
    let errors = &terminal.config_report.unwrap_or_default()["errors"];
    assert_eq!(errors[0]["path"], "tip.mode", "{errors}");
    assert_eq!(agent.ask("status")?["config_revision"], revision);
    Ok(())
}
