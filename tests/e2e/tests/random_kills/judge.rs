//! Whether what the cloud was told is true of what the terminal did.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use terminal_cloud::{Operation, OperationStatus};
use terminal_harness::{Agent, Site};
use uuid::Uuid;

use super::{chaos::Order, draw::upload_name, figures::Figures};
use crate::support::{ACCOUNT, has_one_verdict, result, sha256, unsent};

/// Waits until nothing is open any more, then looks at everything.
pub(super) async fn life(
    seed: u64,
    site: &Site,
    agent: &Agent,
    orders: &[Order],
    figures: &mut Figures,
) -> Result<()> {
    let mut ended = Vec::new();
    for order in orders {
        match site.verdict(order.id).await {
            Ok(operation) => ended.push(operation),
            Err(error) => {
                figures.stuck += 1;
                figures.faults.push(format!("seed {seed}: {} {error:#}", order.kind));
            }
        }
    }
    if let Err(error) = unsent(site, agent, 0).await {
        figures.faults.push(format!("seed {seed}: {error:#}"));
    }
    let mut fault = |what: String| figures.faults.push(format!("seed {seed}: {what}"));
    // It still works, whatever it has been through.
    site.script(&serde_json::json!({}))?;
    let after = site.run("check_update", serde_json::json!({})).await?;
    if let Err(error) = result(&after) {
        fault(format!("afterwards: {error:#}"));
    }
    let state = site.mock_state()?;
    for batch in state["closed"].as_array().context("no closed batches")? {
        if batch["closes"] != 1 {
            fault(format!("closed more than once: {batch}"));
        }
    }
    memory(site, &mut fault).await?;
    figures.operations += orders.len() as u64;
    for (n, order) in orders.iter().enumerate() {
        let Some(operation) = ended.iter().find(|one| one.id == order.id) else { continue };
        *figures.verdicts.entry(name(operation)).or_default() += 1;
        let attempts = one_verdict(site, operation).await.unwrap_or_else(|error| {
            figures.faults.push(format!("seed {seed}: {error:#}"));
            0
        });
        figures.rerun += u64::from(attempts > 1);
        let effects = effects(&state, order.id.0);
        let at_most = if order.kind == "update" { 2 } else { 1 };
        figures.doubled += u64::from(effects > at_most);
        let said = truth(order, operation, &state).err().map(|error| error.to_string());
        let logs = logs(site, n, order, operation).await.err().map(|error| format!("{error:#}"));
        for problem in [said, logs].into_iter().flatten() {
            let what = format!("seed {seed}: {problem}: {effects} effects, {operation:?}");
            figures.faults.push(what);
        }
    }
    Ok(())
}

/// The terminal never lost its memory, and the cloud saw all of it.
async fn memory(site: &Site, fault: &mut impl FnMut(String)) -> Result<()> {
    let gaps = site.cloud()?.gaps(site.terminal_id()).await?;
    if !gaps.is_empty() {
        fault(format!("gaps in the reports: {gaps:?}"));
    }
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    for report in &reports {
        if let Some(problem) = &report.problem {
            fault(format!("a report with a problem: {problem}: {}", report.body));
        }
        if report.body["event"] == "store_damaged" || report.body["event"] == "epoch_changed" {
            fault(format!("memory was lost: {}", report.body));
        }
    }
    if site.agent_log()?.contains("panicked") {
        fault("the agent panicked".to_owned());
    }
    Ok(())
}

/// Exactly one, whose attempt is given. What was withdrawn before it was ever sent has none of the
/// terminal's: the cloud settles that itself.
async fn one_verdict(site: &Site, operation: &Operation) -> Result<u64> {
    let timeline = site.cloud()?.timeline(operation.id).await?;
    if !timeline.iter().any(|entry| entry.event == "dispatched") {
        let code = operation.error.as_ref().map(|error| &error["code"]);
        ensure!(code.is_some_and(|code| code == "CANCELED"), "never sent: {operation:?}");
        return Ok(0);
    }
    has_one_verdict(site, operation.id).await?;
    let report = timeline.iter().find(|entry| entry.event == "report").context("no report")?;
    report.detail["attempt"].as_u64().context("no attempt")
}

fn name(operation: &Operation) -> String {
    let kind = &operation.operation;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (operation.status, &operation.error) {
        (OperationStatus::Failed, Some(error)) => {
            format!("{kind} {} ({})", word(&error["code"]), word(&error["side_effects"]))
        }
        (status, _) => format!("{kind} {}", status.as_str()),
    }
}

fn effects(state: &Value, id: Uuid) -> u64 {
    state["effects"][id.to_string()]["count"].as_u64().unwrap_or(0)
}

/// What a verdict says must be what happened.
fn truth(order: &Order, operation: &Operation, state: &Value) -> Result<(), &'static str> {
    let done = effects(state, order.id.0);
    let closed_first = effects(state, Uuid::new_v5(&order.id.0, b"close_batch_first"));
    let most = match order.kind.as_str() {
        "send_logs" | "check_update" => 0,
        // The installation and its restart.
        "update" => 2,
        _ => 1,
    };
    if done > most || closed_first > 1 {
        return Err("it took effect too often");
    }
    let hold = |holds, why| if holds { Ok(()) } else { Err(why) };
    match operation.status {
        OperationStatus::Completed => {
            let result = operation.result.as_ref().ok_or("no result")?;
            hold(done == completed(order, result, done), "not what COMPLETED says")
        }
        OperationStatus::Failed => {
            let error = operation.error.as_ref().ok_or("no error")?;
            let none = error["side_effects"] == "none";
            hold(!none || done + closed_first == 0, "not without side effects")
        }
        OperationStatus::Pending | OperationStatus::Timeout => Err("no verdict"),
    }
}

/// How often an operation took effect that was completed with that result.
fn completed(order: &Order, result: &Value, done: u64) -> u64 {
    match order.kind.as_str() {
        "end_of_day" => u64::from(result["outcome"] == "closed"),
        "open_menu" | "reboot" | "configure" => 1,
        "update" => 2 * u64::from(result["installed"] == true),
        // Run again after a crash it finds its own work, which is then no change.
        "lock" | "unlock" if result["changed"] == true => 1,
        "lock" | "unlock" => done.min(1),
        _ => 0,
    }
}

/// Logs that were sent are where the verdict says, whole.
async fn logs(site: &Site, n: usize, order: &Order, operation: &Operation) -> Result<()> {
    if order.kind != "send_logs" || operation.status != OperationStatus::Completed {
        return Ok(());
    }
    let result = result(operation)?;
    let bytes = if order.parameters["upload"].is_object() {
        site.cloud()?.upload(ACCOUNT, &upload_name(n)).await?
    } else {
        site.cloud()?.log(site.terminal_id(), order.id).await?
    };
    ensure!(result["sha256"] == sha256(&bytes), "not the logs that were sent");
    Ok(())
}
