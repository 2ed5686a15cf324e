//! What several topics share: a site whose agent is connected, and what is asked of operations.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_cloud::{
    DropHow, DropLink, FaultSwitches, NewOperation, Operation, OperationStatus, Transport,
};
use terminal_hal::OperationId;
use terminal_harness::{Agent, Site, SiteOptions};

/// What a test waits for must come within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Whose the site's terminal is.
pub(crate) const ACCOUNT: &str = "P11223351";

/// A test that this machine cannot run: said, and a failure where `E2E_REQUIRED` is set.
pub(crate) fn skipped(why: &str) -> Result<()> {
    ensure!(std::env::var_os("E2E_REQUIRED").is_none(), "E2E_REQUIRED is set, but {why}");
    println!("skipped: {why}");
    Ok(())
}

/// A site with a connected agent.
pub(crate) async fn open(options: SiteOptions) -> Result<(Site, Agent)> {
    let site = Site::start(options).await?;
    let agent = site.start_agent()?;
    site.online().await?;
    Ok((site, agent))
}

/// A site whose agent may upload to the receiver of its cloud; no agent runs yet.
pub(crate) async fn with_receiver(options: SiteOptions) -> Result<Site> {
    let site = Site::start(options).await?;
    let port = site.cloud()?.addr().port();
    let more =
        format!("\n[uploads]\nhosts = [\"localhost:{port}\"]\nallow-private-addresses = true\n");
    site.edit_config(|text| format!("{text}{more}"))?;
    Ok(site)
}

/// The cloud dies and comes up again with another certificate.
pub(crate) async fn restart_with(site: &mut Site, certificate: String, key: String) -> Result<()> {
    site.kill_cloud().await?;
    site.edit_cloud(|config| {
        if let Transport::Tls(tls) = &mut config.transport {
            (tls.cert_chain_pem, tls.key_pem) = (certificate.into_bytes(), key.into_bytes());
        }
    })?;
    site.restart_cloud().await
}

/// An operation for the site's terminal, with the defaults of its kind.
pub(crate) fn order(site: &Site, kind: &str, parameters: Value) -> NewOperation {
    let mut new = NewOperation::new(site.terminal_id(), kind);
    new.parameters = parameters.as_object().cloned().unwrap_or_default();
    new
}

/// Creates an operation beside others that are still pending.
pub(crate) async fn create(site: &Site, kind: &str, parameters: Value) -> Result<OperationId> {
    Ok(site.cloud()?.create_operation(order(site, kind, parameters)).await?)
}

/// A script under which calls of that method take so long.
pub(crate) fn slow(method: &str, latency_ms: u64) -> Value {
    json!({ "methods": { method: { "latency_ms": latency_ms } } })
}

/// Waits until a step of an operation has been seen so often.
pub(crate) async fn seen(site: &Site, id: OperationId, step: &str, times: usize) -> Result<()> {
    site.cloud()?.wait_timeline(id, step, times, PATIENCE).await?;
    Ok(())
}

/// How often a step of an operation has been seen.
pub(crate) async fn count(site: &Site, id: OperationId, step: &str) -> Result<usize> {
    let timeline = site.cloud()?.timeline(id).await?;
    Ok(timeline.iter().filter(|entry| entry.event == step).count())
}

/// The attempt that the verdict of an operation names.
pub(crate) async fn attempt(site: &Site, id: OperationId) -> Result<Value> {
    let timeline = site.cloud()?.timeline(id).await?;
    let report = timeline.iter().find(|entry| entry.event == "report");
    Ok(report.map(|entry| entry.detail["attempt"].clone()).unwrap_or_default())
}

/// The result of an operation that must have been COMPLETED.
pub(crate) fn result(operation: &Operation) -> Result<Value> {
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    operation.result.clone().context("no result")
}

/// The error of an operation that must have been FAILED.
pub(crate) fn error(operation: &Operation) -> Result<Value> {
    ensure!(operation.status == OperationStatus::Failed, "{operation:?}");
    operation.error.clone().context("no error")
}

/// Exactly one verdict of an operation has been stored, and its report came exactly once.
pub(crate) async fn has_one_verdict(site: &Site, id: OperationId) -> Result<()> {
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let of_it = reports.iter().filter(|report| report.operation_id == Some(id)).count();
    let timeline = site.cloud()?.timeline(id).await?;
    let verdicts = timeline.iter().filter(|entry| entry.event == "report").count();
    let others = timeline.iter().filter(|entry| entry.event == "second_verdict").count();
    ensure!((of_it, verdicts, others) == (1, 1, 0), "{of_it} reports of {id}: {timeline:?}");
    Ok(())
}

/// No batch has been closed by the host more than once.
pub(crate) fn no_batch_was_closed_twice(site: &Site) -> Result<()> {
    let state = site.mock_state()?;
    let batches = state["closed"].as_array().context("no closed batches")?;
    ensure!(batches.iter().all(|batch| batch["closes"] == 1), "{batches:?}");
    Ok(())
}

/// Cuts the link and refuses new ones.
pub(crate) async fn cut_off(site: &Site) -> Result<()> {
    let refused = FaultSwitches { refuse_links_ms: Some(0), ..Default::default() };
    site.faults(FaultSwitches { drop_link: Some(reset(site)), ..refused }).await
}

/// Cuts the link, once.
pub(crate) async fn drop_link(site: &Site) -> Result<()> {
    site.faults(FaultSwitches { drop_link: Some(reset(site)), ..Default::default() }).await
}

fn reset(site: &Site) -> DropLink {
    DropLink { terminal_id: site.terminal_id().to_owned(), how: DropHow::Rst, code: None }
}

/// Ends every lasting fault of the cloud.
pub(crate) async fn clear_faults(site: &Site) -> Result<()> {
    site.faults(FaultSwitches { clear: true, ..Default::default() }).await
}

/// Waits until the agent itself says that so many reports wait to be acked.
pub(crate) async fn unsent(site: &Site, agent: &Agent, reports: u64) -> Result<()> {
    let what = format!("{reports} unsent reports");
    status(site, agent, &what, |status| status["unsent_reports"] == reports).await.map(drop)
}

/// Waits until something that the agent's `status` says holds.
pub(crate) async fn status(
    site: &Site,
    agent: &Agent,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = Value::Null;
    site.until(what, async |_| {
        // While it starts again nobody answers.
        last = agent.ask("status").unwrap_or_default();
        Ok(holds(&last))
    })
    .await?;
    Ok(last)
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
