//! What happens in the demo, step by step.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_cloud::{DropLink, FaultSwitches, Operation, TimelineEntry};
use terminal_hal::{OperationId, Timestamp};
use terminal_harness::{Agent, Site};

use crate::device::Device;

const OPERATIONS: &str = "/v1/admin/terminals/operations";
/// A step of an operation must be seen within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the interesting operations take on the simulated terminal.
const SLOW_MS: u64 = 900;

/// What happened.
pub(crate) struct Story {
    pub(crate) begin: Timestamp,
    pub(crate) told: Vec<Told>,
    pub(crate) operations: Vec<Done>,
    /// Unsent reports that the agent admitted to while it was cut off.
    pub(crate) unsent_while_cut_off: u64,
    /// Whether the same Idempotency-Key gave the same operation.
    pub(crate) same_key_same_operation: bool,
    /// How often the agent process was started.
    pub(crate) starts: u32,
    /// The same of the payment application.
    pub(crate) app_starts: u32,
    /// Bytes of the log that the cloud holds, and those that the terminal says it sent.
    pub(crate) log_bytes: (u64, u64),
}

/// Something that the demo did.
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// An operation that has ended.
pub(crate) struct Done {
    pub(crate) operation: Operation,
    pub(crate) timeline: Vec<TimelineEntry>,
    /// How often it took effect on the terminal.
    pub(crate) effects: u64,
}

struct Teller<'a> {
    site: &'a Site,
    agent: &'a Agent,
    device: &'a Device,
    told: Vec<Told>,
    ids: Vec<OperationId>,
}

pub(crate) async fn tell(site: &Site, device: &Device) -> Result<Story> {
    let begin = now();
    let agent = &*device.agent;
    let mut teller = Teller { site, agent, device, told: Vec::new(), ids: Vec::new() };
    site.online().await?;
    teller.tell("the agent is connected over TLS");
    teller.run("check_update", json!({})).await?;
    teller.run("open_menu", json!({ "menu": "reports" })).await?;
    let logs = teller.run("send_logs", json!({})).await?;
    let log_bytes = teller.log_bytes(&logs).await?;
    let unsent_while_cut_off = teller.cut_the_link_during_end_of_day().await?;
    teller.kill_during_end_of_day().await?;
    teller.kill_the_application_during_end_of_day().await?;
    teller.run("lock", json!({ "message": "Closed for today" })).await?;
    teller.run("unlock", json!({})).await?;
    teller.run("configure", configuration()).await?;
    teller.run("update", json!({ "apply": "now" })).await?;
    let same_key_same_operation = teller.reboot_with_the_same_key_twice().await?;
    let operations = teller.collect().await?;
    let Teller { told, .. } = teller;
    Ok(Story {
        begin,
        told,
        operations,
        unsent_while_cut_off,
        same_key_same_operation,
        starts: agent.starts(),
        app_starts: device.app.starts(),
        log_bytes,
    })
}

impl Teller<'_> {
    fn tell(&mut self, text: impl Into<String>) {
        self.told.push(Told { at: now(), text: text.into() });
    }

    async fn run(&mut self, operation: &str, parameters: Value) -> Result<Operation> {
        let id = self.create(operation, parameters).await?;
        self.site.verdict(id).await
    }

    async fn create(&mut self, operation: &str, parameters: Value) -> Result<OperationId> {
        let id = self.site.create(operation, parameters).await?;
        self.ids.push(id);
        Ok(id)
    }

    /// The cloud loses sight of the terminal while the batch is being closed.
    async fn cut_the_link_during_end_of_day(&mut self) -> Result<u64> {
        self.site.script(&json!({ "methods": { "close_batch": { "latency_ms": SLOW_MS } } }))?;
        let id = self.create("end_of_day", json!({ "operator_id": "7" })).await?;
        self.started(id).await?;
        let terminal_id = self.site.terminal_id().to_owned();
        let drop_link = Some(DropLink { terminal_id, how: Default::default(), code: None });
        let cut = FaultSwitches { refuse_links_ms: Some(0), drop_link, ..Default::default() };
        self.site.faults(cut).await?;
        self.tell("link cut while end_of_day runs, new links refused");
        let agent = self.agent;
        let unsent = async |_: &Site| Ok(agent.ask("status")?["unsent_reports"] != 0);
        self.site.until("the result waits in the agent's queue", unsent).await?;
        let unsent = agent.ask("status")?["unsent_reports"].as_u64().unwrap_or(0);
        self.tell(format!("batch closed offline, {unsent} report waits on the terminal"));
        self.site.faults(FaultSwitches { clear: true, ..Default::default() }).await?;
        self.tell("links allowed again");
        self.site.verdict(id).await?;
        Ok(unsent)
    }

    /// The process dies while the batch is being closed; what became of it is asked, not redone.
    async fn kill_during_end_of_day(&mut self) -> Result<()> {
        let payment = json!({ "id": "demo-1", "sale": 24900, "scheme": "visa" });
        self.site.script(&json!({
            "methods": { "close_batch": { "latency_ms": SLOW_MS } }, "payments": [payment],
        }))?;
        let id = self.create("end_of_day", json!({ "operator_id": "8" })).await?;
        self.started(id).await?;
        // Past the half of its time the host has closed the batch; the agent does not know yet.
        let site = self.site;
        let closed = async |_: &Site| Ok(site.effects_of(id)? == 1);
        site.until("the batch is closed at the host", closed).await?;
        self.agent.kill_9()?;
        self.tell("kill -9 of the agent after the host has closed the batch, before it said so");
        site.verdict(id).await?;
        site.script(&json!({}))
    }

    /// The payment application dies while it closes the batch; the agent asks it by id.
    async fn kill_the_application_during_end_of_day(&mut self) -> Result<()> {
        let payment = json!({ "id": "demo-2", "sale": 9900, "scheme": "mastercard" });
        self.site.script(&json!({
            "methods": { "close_batch": { "latency_ms": SLOW_MS } }, "payments": [payment],
        }))?;
        let id = self.create("end_of_day", json!({ "operator_id": "9" })).await?;
        self.started(id).await?;
        let begun = async |site: &Site| {
            let closes = site.mock_state()?["closes"].clone();
            Ok(closes.as_array().is_some_and(|all| all.iter().any(|c| c["id"] == id.to_string())))
        };
        self.site.until("the application has begun to close", begun).await?;
        self.device.app.kill_9()?;
        self.tell("kill -9 of the payment application before the host has closed the batch");
        self.site.verdict(id).await?;
        self.site.script(&json!({}))
    }

    async fn reboot_with_the_same_key_twice(&mut self) -> Result<bool> {
        let key = "9b2c5d7e-1a3f-4c6b-8d9e-0f1a2b3c4d5e";
        let body = json!({
            "terminal_id": self.site.terminal_id(), "operation": "reboot",
            "parameters": { "delay_s": 0, "reason": "demo" },
        });
        let rest = self.site.rest()?;
        let first = rest.post_once(OPERATIONS, key, &body).await?;
        let second = rest.post_once(OPERATIONS, key, &body).await?;
        ensure!(first.status == 201, "{}: {}", first.status, first.body);
        let id: OperationId = serde_json::from_value(first.body["id"].clone())?;
        self.ids.push(id);
        self.tell("reboot sent twice with one Idempotency-Key");
        self.site.verdict(id).await?;
        Ok(first.body["id"] == second.body["id"])
    }

    async fn started(&self, id: OperationId) -> Result<()> {
        self.site.cloud()?.wait_timeline(id, "started", 1, PATIENCE).await?;
        Ok(())
    }

    /// What the cloud holds of an uploaded log, and what the terminal says it sent.
    async fn log_bytes(&self, operation: &Operation) -> Result<(u64, u64)> {
        let result = operation.result.as_ref().context("send_logs has no result")?;
        let path = format!("/v1/terminals/{}/logs/{}", self.site.terminal_id(), operation.id);
        let held = self.site.rest()?.bytes(&path).await?.len();
        Ok((u64::try_from(held)?, result["bytes_compressed"].as_u64().unwrap_or(0)))
    }

    async fn collect(&self) -> Result<Vec<Done>> {
        let cloud = self.site.cloud()?;
        let mut operations = Vec::new();
        for id in &self.ids {
            operations.push(Done {
                operation: cloud.operation(*id).await?,
                timeline: cloud.timeline(*id).await?,
                effects: self.site.effects_of(*id)?,
            });
        }
        Ok(operations)
    }
}

fn configuration() -> Value {
    json!({ "revision": 1, "config": {
        "tip": { "mode": "percentage", "suggestions": [10, 15, 20] },
        "display": { "idleMessage": "Welcome to Acme Coffee" },
    } })
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_unix_ms(since.map_or(0, |since| since.as_millis() as u64))
}
