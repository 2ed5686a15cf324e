//! Without a link, or without a cloud, nothing is lost and nothing runs twice.

use anyhow::Result;
use serde_json::json;
use terminal_cloud::{FaultSwitches, ForgetAcks, OperationStatus};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{
    PATIENCE, clear_faults, count, create, cut_off, error, has_one_verdict,
    no_batch_was_closed_twice, open, order, result, seen, slow, unsent,
};

/// A payment that does not end keeps an end of day waiting, until the script drops it.
fn payment_in_progress() -> serde_json::Value {
    json!({ "payment_active": { "state": "committed" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_waits_on_the_terminal_while_it_is_cut_off() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&payment_in_progress())?;
    let id = site.create("end_of_day", json!({})).await?;
    seen(&site, id, "started", 1).await?;
    cut_off(&site).await?;
    site.script(&json!({}))?;
    unsent(&site, &agent, 1).await?;
    assert_eq!(site.effects_of(id)?, 1);
    assert_eq!(site.cloud()?.operation(id).await?.status, OperationStatus::Pending);
    // It waits on the medium, not in the process.
    agent.kill_9()?;
    clear_faults(&site).await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(&site, id).await?;
    assert_eq!(site.effects_of(id)?, 1);
    unsent(&site, &agent, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn several_results_are_replayed_in_the_order_in_which_they_came_about() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&payment_in_progress())?;
    let mut ids = Vec::new();
    for kind in ["end_of_day", "check_update", "open_menu", "send_logs", "check_update"] {
        let parameters = if kind == "send_logs" {
            json!({ "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z" })
        } else {
            json!({})
        };
        ids.push(create(&site, kind, parameters).await?);
    }
    for id in &ids {
        seen(&site, *id, "accepted", 1).await?;
    }
    cut_off(&site).await?;
    site.script(&json!({}))?;
    unsent(&site, &agent, 5).await?;
    clear_faults(&site).await?;
    for id in &ids {
        site.verdict(*id).await?;
        has_one_verdict(&site, *id).await?;
    }
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let order: Vec<_> = reports.iter().filter_map(|report| report.operation_id).collect();
    assert_eq!(order, ids);
    assert!(reports.is_sorted_by_key(|report| report.seq));
    assert!(site.cloud()?.gaps(site.terminal_id()).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_without_a_cloud_works_as_soon_as_there_is_one() -> Result<()> {
    let mut site = Site::start(SiteOptions::default()).await?;
    let id = site.create("end_of_day", json!({})).await?;
    site.kill_cloud().await?;
    let agent = site.start_agent()?;
    site.until("an attempt", async |site| Ok(site.agent_log()?.contains("no link"))).await?;
    site.restart_cloud().await?;
    result(&site.verdict(id).await?)?;
    assert_eq!((site.effects_of(id)?, agent.starts()), (1, 1));
    Ok(())
}

/// Kills the cloud, starts it again, and expects one verdict.
async fn survives_a_killed_cloud(site: &mut Site, id: terminal_hal::OperationId) -> Result<()> {
    site.kill_cloud().await?;
    site.restart_cloud().await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(site, id).await?;
    assert_eq!(site.effects_of(id)?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_killed_at_any_stage_keeps_what_it_acked_and_gets_the_verdict() -> Result<()>
{
    let mut site = Site::start(SiteOptions::default()).await?;
    let created = site.create("end_of_day", json!({})).await?;
    site.kill_cloud().await?;
    site.restart_cloud().await?;
    let agent = site.start_agent()?;
    survives_a_killed_cloud(&mut site, created).await?;

    for (n, stage) in ["dispatched", "accepted", "started"].into_iter().enumerate() {
        let mut script = slow("close_batch", 400);
        script["payments"] = json!([{ "id": stage, "sale": 100 + n }]);
        site.script(&script)?;
        let id = site.create("end_of_day", json!({})).await?;
        seen(&site, id, stage, 1).await?;
        survives_a_killed_cloud(&mut site, id).await?;
    }

    site.script(&json!({ "payments": [{ "id": "stored", "sale": 700 }] }))?;
    site.faults(FaultSwitches { withhold_acks: Some(true), ..Default::default() }).await?;
    let stored = site.create("end_of_day", json!({})).await?;
    seen(&site, stored, "report", 1).await?;
    survives_a_killed_cloud(&mut site, stored).await?;
    unsent(&site, &agent, 0).await?;
    assert_eq!(agent.starts(), 1);
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_ack_was_lost_is_stored_once() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.faults(FaultSwitches { withhold_acks: Some(true), ..Default::default() }).await?;
    let first = site.run("check_update", json!({})).await?;
    let second = site.run("end_of_day", json!({})).await?;
    assert_eq!(agent.ask("status")?["unsent_reports"], 2);
    cut_off(&site).await?;
    clear_faults(&site).await?;
    unsent(&site, &agent, 0).await?;
    for operation in [&first, &second] {
        result(operation)?;
        has_one_verdict(&site, operation.id).await?;
    }
    assert_eq!(site.effects_of(second.id)?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_sent_into_a_dead_link_is_sent_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&slow("apply_settings", 1_500))?;
    let config = json!({ "display": { "idleMessage": "Hei" } });
    let config = config.as_object().cloned().unwrap_or_default();
    // Nobody asks for the report of a configuration, as a repeated dispatch does for a verdict.
    let revision = site.cloud()?.set_configuration(site.terminal_id(), config).await?;
    site.cloud()?
        .wait_timeline(create(&site, "lock", json!({})).await?, "report", 1, PATIENCE)
        .await?;
    site.faults(FaultSwitches { black_hole: Some(true), ..Default::default() }).await?;
    unsent(&site, &agent, 1).await?;
    cut_off(&site).await?;
    clear_faults(&site).await?;
    unsent(&site, &agent, 0).await?;
    let terminal = site.cloud()?.terminal(site.terminal_id()).await?;
    let report = terminal.config_report.unwrap_or_default();
    assert_eq!((&report["status"], &report["revision"]), (&json!("APPLIED"), &json!(revision)));
    assert!(site.cloud()?.gaps(site.terminal_id()).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_lost_a_verdict_gets_it_again_and_nothing_runs_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let before = site.run("end_of_day", json!({})).await?;
    unsent(&site, &agent, 0).await?;
    let terminal_id = site.terminal_id().to_owned();
    let forget_acks = Some(ForgetAcks { terminal_id, seq: 0 });
    site.faults(FaultSwitches { forget_acks, ..Default::default() }).await?;
    let again = site.verdict(before.id).await?;
    assert_eq!(result(&again)?, result(&before)?);
    assert_eq!(site.effects_of(before.id)?, 1);
    assert_eq!(count(&site, before.id, "started").await?, 1);
    // The same after it has lost its link and its process.
    let terminal_id = site.terminal_id().to_owned();
    let forget_acks = Some(ForgetAcks { terminal_id, seq: 0 });
    agent.kill_9()?;
    site.faults(FaultSwitches { forget_acks, ..Default::default() }).await?;
    assert_eq!(result(&site.verdict(before.id).await?)?, result(&before)?);
    assert_eq!(site.effects_of(before.id)?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_dispatched_twice_runs_once() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let twice = FaultSwitches { duplicate_dispatch: Some(true), ..Default::default() };
    site.faults(twice).await?;
    for kind in ["end_of_day", "open_menu", "lock"] {
        let id = site.create(kind, json!({})).await?;
        result(&site.verdict(id).await?)?;
        assert_eq!(count(&site, id, "started").await?, 1, "{kind}");
        assert_eq!(site.effects_of(id)?, 1, "{kind}");
        has_one_verdict(&site, id).await.or_else(|error| {
            // The second frame may find the verdict already there, and is then answered with it.
            let again = error.to_string().contains("report_again");
            if again { Ok(()) } else { Err(error) }
        })?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn late_acks_hold_nothing_up() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.faults(FaultSwitches { delay_acks_ms: Some(700), ..Default::default() }).await?;
    let mut ids = Vec::new();
    for kind in ["check_update", "open_menu", "end_of_day", "lock", "unlock"] {
        ids.push(create(&site, kind, json!({})).await?);
    }
    for id in ids {
        result(&site.verdict(id).await?)?;
        has_one_verdict(&site, id).await?;
    }
    unsent(&site, &agent, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_time_ran_out_while_the_terminal_was_away_never_starts() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&payment_in_progress())?;
    let running = create(&site, "end_of_day", json!({})).await?;
    seen(&site, running, "started", 1).await?;
    let mut soon = order(&site, "open_menu", json!({}));
    (soon.ttl_s, soon.deadline_s) = (3, 1);
    // Taken, and waiting for its turn on the terminal.
    let taken = site.cloud()?.create_operation(soon.clone()).await?;
    seen(&site, taken, "accepted", 1).await?;
    cut_off(&site).await?;
    // Never sent.
    let unsent_one = site.cloud()?.create_operation(soon).await?;
    for id in [taken, unsent_one] {
        site.cloud()?.wait_status(id, OperationStatus::Timeout, PATIENCE).await?;
    }
    // The terminal knows by itself: nobody can tell it.
    unsent(&site, &agent, 1).await?;
    clear_faults(&site).await?;
    site.online().await?;
    let told = |operation: &terminal_cloud::Operation| operation.late_result.is_some();
    let late = site.cloud()?.wait_operation(taken, PATIENCE, told).await?;
    assert_eq!(late.status, OperationStatus::Timeout);
    let late = late.late_result.unwrap();
    assert_eq!(late.status, OperationStatus::Failed);
    assert_eq!(late.error.unwrap()["code"], "EXPIRED");
    site.script(&json!({}))?;
    result(&site.verdict(running).await?)?;
    unsent(&site, &agent, 0).await?;
    for id in [taken, unsent_one] {
        assert_eq!((site.effects_of(id)?, count(&site, id, "started").await?), (0, 0));
    }
    assert_eq!(count(&site, unsent_one, "dispatched").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_comes_after_the_timeout_is_kept_beside_it() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "host": "unreachable" }))?;
    let mut soon = order(&site, "end_of_day", json!({}));
    (soon.ttl_s, soon.deadline_s) = (1, 4);
    let failed = late(&site, &agent, soon.clone()).await?;
    assert_eq!(failed.late_result.unwrap().error.unwrap()["code"], "HOST_UNREACHABLE");
    site.script(&json!({}))?;
    let done = late(&site, &agent, soon).await?;
    assert_eq!(site.effects_of(done.id)?, 1);
    let late_result = done.late_result.unwrap();
    assert_eq!(late_result.status, OperationStatus::Completed);
    assert_eq!(late_result.result.unwrap()["outcome"], "closed");
    Ok(())
}

/// Runs an operation whose verdict the cloud hears only after its TIMEOUT.
async fn late(
    site: &Site,
    agent: &Agent,
    order: terminal_cloud::NewOperation,
) -> Result<terminal_cloud::Operation> {
    site.online().await?;
    let mut script: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.path("agent/mock-script.json"))?)?;
    script["methods"] = json!({ "close_batch": { "latency_ms": 2_000 } });
    site.script(&script)?;
    let id = site.cloud()?.create_operation(order).await?;
    seen(site, id, "started", 1).await?;
    cut_off(site).await?;
    unsent(site, agent, 1).await?;
    let timed_out = site.cloud()?.wait_status(id, OperationStatus::Timeout, PATIENCE).await?;
    assert_eq!((timed_out.result, timed_out.error), (None, None));
    clear_faults(site).await?;
    let told = |operation: &terminal_cloud::Operation| operation.late_result.is_some();
    let operation = site.cloud()?.wait_operation(id, PATIENCE, told).await?;
    assert_eq!(operation.status, OperationStatus::Timeout);
    unsent(site, agent, 0).await?;
    Ok(operation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_operation_is_not_run_and_one_that_ran_is_not_undone() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    site.script(&payment_in_progress())?;
    let running = create(&site, "end_of_day", json!({})).await?;
    seen(&site, running, "started", 1).await?;
    let queued = create(&site, "open_menu", json!({})).await?;
    seen(&site, queued, "accepted", 1).await?;
    assert!(site.cloud()?.cancel_operation(queued).await?);
    assert_eq!(error(&site.verdict(queued).await?)?["code"], "CANCELED");
    assert!(site.cloud()?.cancel_operation(running).await?);
    let failed = error(&site.verdict(running).await?)?;
    assert_eq!((&failed["code"], &failed["side_effects"]), (&"CANCELED".into(), &"none".into()));
    for id in [queued, running] {
        assert_eq!(site.effects_of(id)?, 0);
        assert!(!site.cloud()?.cancel_operation(id).await?);
    }
    Ok(())
}
