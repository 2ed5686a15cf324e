//! A system is updated and stays; the next one cannot even be started, and the boot loader, `ab-boot`
//! in the initramfs, goes back.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_hal::OperationId;

use super::slots::{BROKEN, NEW};
use crate::{
    story::{Day, PATIENCE},
    system::System,
};

/// What `boot-attempts` gives a new system.
const ATTEMPTS: u32 = 2;

pub(super) async fn tell<S: System>(day: &mut Day<S>) -> Result<()> {
    day.boot("switched on").await?;
    let id = update_to(day, NEW).await?;
    day.boot("restarted into the other slot").await?;
    let operation = day.verdict(id).await?;
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    runs(day, NEW)?;
    println!("ok  {NEW} is committed: {}", operation.result.context("no result")?);

    let id = update_to(day, BROKEN).await?;
    for _ in 0..ATTEMPTS {
        day.system.boot()?;
        day.system.shut_down(PATIENCE).await?;
    }
    println!("ok  {BROKEN} did not come up {ATTEMPTS} times");
    day.boot("back in the slot before").await?;
    let operation = day.verdict(id).await?;
    ensure!(operation.status == OperationStatus::Failed, "{operation:?}");
    let error = operation.error.context("no error")?;
    ensure!(error["code"] == "ROLLED_BACK", "{error}");
    runs(day, NEW)?;
    println!("ok  rolled back: {error}");
    Ok(())
}

/// Orders it, and waits until the agent has restarted the machine.
async fn update_to<S: System>(day: &mut Day<S>, version: &str) -> Result<OperationId> {
    let began = Instant::now();
    let id = day.site.create("update", json!({ "version": version, "apply": "now" })).await?;
    day.system.shut_down(PATIENCE).await?;
    day.online(false).await?;
    println!("ok  {version} installed, shut down {} s after the order", began.elapsed().as_secs());
    Ok(id)
}

fn runs<S: System>(day: &mut Day<S>, version: &str) -> Result<()> {
    let marks = "cd /firmware && cat booted/VERSION && readlink active booted && ls";
    let said = day.system.shell(marks)?;
    let lines: Vec<_> = said.split_whitespace().collect();
    ensure!(lines.starts_with(&[version, "slot-b", "slot-b"]), "{said}");
    ensure!(!lines.contains(&"trial"), "still on trial: {said}");
    Ok(())
}
