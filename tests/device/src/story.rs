//! A terminal's bad day: switched on, cut off from power while it closes a batch, hung, restarted
//! by the cloud. What the cloud was told must be true, and nothing may have happened twice.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_hal::OperationId;
use terminal_harness::{Site, SiteOptions};

use crate::{
    nspawn::{Booted, journal},
    root::{Root, package},
    settings,
};

/// Everything that is waited for must come within this.
const PATIENCE: Duration = Duration::from_secs(180);
const AGENT: &str = "/usr/bin/terminal-agent";
const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// The unit as it is, but for waits that would only make the test longer.
const SHORTER_WAITS: &str = "[Service]\nWatchdogSec=5\nRestartSec=1\n";

/// The whole day.
pub(crate) async fn tell() -> Result<()> {
    let root = Root::fresh()?;
    let site = Site::start(SiteOptions::default()).await?;
    prepare(&site, &root)?;
    let day = Day { site, root };

    let booted = Booted::boot(&day.root)?;
    let began = Instant::now();
    day.online().await?;
    println!("ok  switched on: online after {} ms", began.elapsed().as_millis());
    let began = Instant::now();
    day.completed("check_update").await?;
    println!("ok  first verdict {} ms after it was asked for", began.elapsed().as_millis());

    let cut = day.site.create("end_of_day", json!({})).await?;
    day.site.cloud()?.wait_timeline(cut, "started", 1, PATIENCE).await?;
    booted.cut_power()?;
    day.site.cloud()?.wait_online(day.site.terminal_id(), false, PATIENCE).await?;
    let booted = Booted::boot(&day.root)?;
    let began = Instant::now();
    day.online().await?;
    println!(
        "ok  power cut while a batch was closed: online {} ms after",
        began.elapsed().as_millis()
    );
    day.true_verdict(cut).await?;
    println!("ok  its verdict is true, the batch was closed at most once");

    booted.signal(AGENT, Signal::SIGSTOP)?;
    let began = Instant::now();
    day.back().await?;
    println!(
        "ok  hung: restarted by the watchdog, online {} ms after",
        began.elapsed().as_millis()
    );

    booted.signal(JOURNALD, Signal::SIGSTOP)?;
    day.completed("check_update").await?;
    booted.signal(JOURNALD, Signal::SIGCONT)?;
    println!("ok  the journal stood still: operations went on");

    let reboot = day.completed("reboot").await?;
    day.online().await?;
    println!("ok  restarted by the cloud: reported by the next boot");

    day.found_in_the_journal(reboot).await?;
    println!("ok  found in the journal by OPERATION_ID");
    drop(booted);
    Ok(())
}

/// Installs the package and makes the system a terminal of the site.
fn prepare(site: &Site, root: &Root) -> Result<()> {
    let output = root.install(&package()?)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    settings::write(site, root)?;
    let unit = "etc/systemd/system/terminal-agent.service.d";
    fs::create_dir_all(root.path(unit))?;
    fs::write(root.path(unit).join("test.conf"), SHORTER_WAITS)?;
    // Kept over a power cut, and written soon.
    fs::create_dir_all(root.path("var/log/journal"))?;
    fs::create_dir_all(root.path("etc/systemd/journald.conf.d"))?;
    let journald = "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n";
    fs::write(root.path("etc/systemd/journald.conf.d/test.conf"), journald)?;
    let identified = root.run(&["systemd-machine-id-setup"])?;
    ensure!(identified.status.success(), "{}", String::from_utf8_lossy(&identified.stderr));
    Ok(())
}

struct Day {
    site: Site,
    root: Root,
}

impl Day {
    async fn online(&self) -> Result<()> {
        self.site.cloud()?.wait_online(self.site.terminal_id(), true, PATIENCE).await?;
        Ok(())
    }

    /// Waits until the terminal has been offline and is online again.
    async fn back(&self) -> Result<()> {
        self.site.cloud()?.wait_online(self.site.terminal_id(), false, PATIENCE).await?;
        self.online().await
    }

    async fn completed(&self, kind: &str) -> Result<OperationId> {
        let id = self.site.create(kind, json!({})).await?;
        let ended =
            |operation: &terminal_cloud::Operation| operation.status != OperationStatus::Pending;
        let operation = self.site.cloud()?.wait_operation(id, PATIENCE, ended).await?;
        ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
        Ok(id)
    }

    /// One verdict, and what it says of the batch is what the simulated terminal remembers.
    async fn true_verdict(&self, id: OperationId) -> Result<()> {
        let ended =
            |operation: &terminal_cloud::Operation| operation.status != OperationStatus::Pending;
        let operation = self.site.cloud()?.wait_operation(id, PATIENCE, ended).await?;
        let closes = settings::closes(&self.root, id)?;
        let closed = operation.status == OperationStatus::Completed;
        ensure!(closes == if closed { vec![1] } else { vec![] }, "{closes:?}, but {operation:?}");
        let reports = self.site.cloud()?.reports(self.site.terminal_id()).await?;
        let of_it = reports.iter().filter(|report| report.operation_id == Some(id)).count();
        ensure!(of_it == 1, "{of_it} reports of one operation");
        Ok(())
    }

    async fn found_in_the_journal(&self, id: OperationId) -> Result<()> {
        let this = format!("OPERATION_ID={id}");
        self.site
            .until("the journal has the operation", async |_| {
                let lines = journal(&self.root, &[&this])?;
                Ok(["operation accepted", "operation completed"]
                    .iter()
                    .all(|wanted| lines.iter().any(|line| line == wanted)))
            })
            .await?;
        let unit = ["_SYSTEMD_UNIT=init.scope", "UNIT=terminal-agent.service"];
        let manager = journal(&self.root, &unit)?;
        let watchdog = manager.iter().filter(|line| line.contains("Watchdog timeout")).count();
        ensure!(watchdog == 1, "{watchdog} restarts by the watchdog: {manager:?}");
        Ok(())
    }
}
