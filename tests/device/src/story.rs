//! A terminal's bad day: switched on, cut off from power while it closes a batch, hung, restarted
//! by the cloud. What the cloud was told must be true, and nothing may have happened twice.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use terminal_cloud::{Operation, OperationStatus};
use terminal_hal::OperationId;
use terminal_harness::Site;

use crate::{
    settings::{self, MEMORY},
    system::System,
};

/// Everything that is waited for must come within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A cloud, and the system of a terminal that it knows.
pub(crate) struct Day<S> {
    pub(crate) site: Site,
    pub(crate) system: S,
}

impl<S: System> Day<S> {
    /// The whole day. It ends with the terminal online.
    pub(crate) async fn tell(&mut self) -> Result<()> {
        self.boot("switched on").await?;
        let began = Instant::now();
        self.completed("check_update").await?;
        let waited = began.elapsed().as_millis();
        println!("ok  first verdict {waited} ms after it was asked for");
        self.power_is_cut().await?;
        self.the_agent_hangs().await?;
        self.the_journal_hangs().await?;
        self.restarted_by_the_cloud().await
    }

    /// Switches the system on and waits until the terminal is online.
    pub(crate) async fn boot(&mut self, why: &str) -> Result<()> {
        self.system.boot()?;
        let began = Instant::now();
        self.online(true).await?;
        println!("ok  {why}: online {} ms after", began.elapsed().as_millis());
        Ok(())
    }

    async fn power_is_cut(&mut self) -> Result<()> {
        let cut = self.site.create("end_of_day", json!({})).await?;
        self.site.cloud()?.wait_timeline(cut, "started", 1, PATIENCE).await?;
        self.system.cut_power()?;
        self.online(false).await?;
        self.boot("power cut while a batch was closed").await?;
        let verdict = self.true_verdict(cut).await?;
        println!("ok  its verdict, {verdict:?}, is true, the batch was closed at most once");
        Ok(())
    }

    async fn the_agent_hangs(&mut self) -> Result<()> {
        self.system.shell("systemctl kill --kill-who=main --signal=STOP terminal-agent")?;
        let began = Instant::now();
        self.online(false).await?;
        self.online(true).await?;
        let away = began.elapsed().as_millis();
        println!("ok  hung: restarted by the watchdog, online {away} ms after");
        let journal = "journalctl --output=cat _PID=1 UNIT=terminal-agent.service";
        let manager = self.system.shell(journal)?;
        let watchdog = manager.matches("Watchdog timeout").count();
        ensure!(watchdog == 1, "{watchdog} restarts by the watchdog: {manager}");
        Ok(())
    }

    async fn the_journal_hangs(&mut self) -> Result<()> {
        self.system.shell("systemctl kill --kill-who=main --signal=STOP systemd-journald")?;
        self.completed("check_update").await?;
        self.system.shell("systemctl kill --kill-who=main --signal=CONT systemd-journald")?;
        println!("ok  the journal stood still: operations went on");
        Ok(())
    }

    /// The device is restarted by an operation, which the next boot reports.
    pub(crate) async fn restarted_by_the_cloud(&mut self) -> Result<()> {
        let reboot = self.site.create("reboot", json!({})).await?;
        self.system.shut_down(PATIENCE).await?;
        self.online(false).await?;
        self.boot("shut down by the cloud").await?;
        self.completes(reboot).await?;
        println!("ok  the restart is reported by the next boot");
        self.found_in_the_journal(reboot).await
    }

    /// Waits until the terminal has a link, or has none.
    pub(crate) async fn online(&self, is_online: bool) -> Result<()> {
        self.site.cloud()?.wait_online(self.site.terminal_id(), is_online, PATIENCE).await?;
        Ok(())
    }

    async fn completed(&self, kind: &str) -> Result<()> {
        let id = self.site.create(kind, json!({})).await?;
        self.completes(id).await
    }

    async fn completes(&self, id: OperationId) -> Result<()> {
        let operation = self.verdict(id).await?;
        ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
        Ok(())
    }

    /// What became of an operation.
    pub(crate) async fn verdict(&self, id: OperationId) -> Result<Operation> {
        let ended = |operation: &Operation| operation.status != OperationStatus::Pending;
        Ok(self.site.cloud()?.wait_operation(id, PATIENCE, ended).await?)
    }

    /// One verdict, and what it says of the batch is what the simulated terminal remembers.
    async fn true_verdict(&mut self, id: OperationId) -> Result<OperationStatus> {
        let operation = self.verdict(id).await?;
        let closes = settings::closes(&self.system.shell(&format!("cat /{MEMORY}"))?, id)?;
        let closed = operation.status == OperationStatus::Completed;
        ensure!(closes == if closed { vec![1] } else { vec![] }, "{closes:?}, but {operation:?}");
        let reports = self.site.cloud()?.reports(self.site.terminal_id()).await?;
        let of_it = reports.iter().filter(|report| report.operation_id == Some(id)).count();
        ensure!(of_it == 1, "{of_it} reports of one operation");
        Ok(operation.status)
    }

    /// Its life began in one boot and ended in the next.
    async fn found_in_the_journal(&mut self, id: OperationId) -> Result<()> {
        for (boot, wanted) in [("-1", "operation accepted"), ("0", "operation completed")] {
            let journal =
                format!("journalctl --sync; journalctl -b {boot} -o cat OPERATION_ID={id}");
            let lines = self.system.shell(&journal)?;
            ensure!(
                lines.lines().any(|line| line == wanted),
                "no {wanted:?} in boot {boot}: {lines}"
            );
        }
        println!("ok  found in the journal by OPERATION_ID");
        Ok(())
    }
}
