//! Real updates into one of two folders, through the whole product.

use std::{fs, os::unix::fs::symlink, process::Command};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    support::{create, error, has_one_verdict, result, seen},
    update_site::{NEW, OLD, UpdateSite, at_once, executable, is_committed},
};

/// Slot A runs the old system; the new one is on offer.
pub(crate) async fn terminal() -> Result<UpdateSite> {
    let terminal = unpacked().await?;
    terminal.pack()?;
    Ok(terminal)
}

/// What a system consists of is still to be put into `packing`.
pub(crate) async fn unpacked() -> Result<UpdateSite> {
    let slots = "[hal.updates.ab]\ndirectory = \"SITE/slots\"";
    let terminal = UpdateSite::new("ab", "SITE/slots/booted/VERSION", slots).await?;
    let site = &terminal.site;
    fs::create_dir_all(site.path("slots/slot-a"))?;
    fs::write(site.path("slots/slot-a/VERSION"), OLD)?;
    symlink("slot-a", site.path("slots/active"))?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/ab-boot");
    let loader = format!("#!/bin/sh\nexec {script} \"$SITE/slots\"\n");
    executable(&site.path("boot-loader"), &loader)?;
    fs::create_dir(site.path("packing"))?;
    fs::write(site.path("packing/VERSION"), NEW)?;
    Ok(terminal)
}

impl UpdateSite {
    /// Packs what is in `packing`, and offers it.
    pub(crate) fn pack(&self) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(self.site.path("source/firmware.tar"));
        let packed = tar.arg("-C").arg(self.site.path("packing")).arg(".").status()?;
        ensure!(packed.success(), "tar");
        self.offer("firmware.tar")
    }
}

pub(crate) fn running(terminal: &UpdateSite) -> Result<String> {
    Ok(fs::read_to_string(terminal.site.path("slots/booted/VERSION"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_into_the_other_folder_is_completed_by_the_system_that_it_installed() -> Result<()>
{
    let terminal = terminal().await?;
    let (site, agent) = (&terminal.site, terminal.switch_on(&[]).await?);
    let check = result(&site.run("check_update", json!({})).await?)?;
    assert_eq!((&check["available"], &check["updates"][0]["version"]), (&json!(true), &json!(NEW)));
    let update = site.run("update", at_once()).await?;
    is_committed(&result(&update)?, "slot-b")?;
    assert_eq!(running(&terminal)?, NEW);
    assert_eq!(agent.starts(), 2);
    has_one_verdict(site, update.id).await?;
    // There is nothing newer now.
    let check = result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(check["available"], false, "{check}");
    assert_eq!(check["current"][0]["version"], NEW);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_fails_its_health_check_is_left_and_the_old_one_reports_it() -> Result<()> {
    let terminal = terminal().await?;
    terminal.health_check("exit 1")?;
    let (site, agent) = (&terminal.site, terminal.switch_on(&[]).await?);
    let update = site.run("update", at_once()).await?;
    let failed = error(&update)?;
    assert_eq!(failed["code"], "ROLLED_BACK", "{failed}");
    assert!(failed["failure_reason"].as_str().is_some_and(|r| r.contains("payments")), "{failed}");
    assert_eq!(running(&terminal)?, OLD);
    assert_eq!(agent.starts(), 3);
    has_one_verdict(site, update.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_the_health_check_leads_to_the_same_end() -> Result<()> {
    let terminal = terminal().await?;
    terminal.health_check(
        ": >\"${0%/*}/checking\"; while [ ! -e \"${0%/*}/go\" ]; do sleep 0.05; done",
    )?;
    let (site, agent) = (&terminal.site, terminal.switch_on(&[]).await?);
    let update = create(site, "update", at_once()).await?;
    seen(site, update, "started", 1).await?;
    site.until("the health check has begun", async |site| Ok(site.path("checking").exists()))
        .await?;
    agent.kill_9()?;
    fs::write(site.path("go"), "")?;
    is_committed(&result(&site.verdict(update).await?)?, "slot-b")?;
    assert_eq!(running(&terminal)?, NEW);
    has_one_verdict(site, update).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_version_floor_stops_updates_and_nothing_else() -> Result<()> {
    let terminal = terminal().await?;
    let site = &terminal.site;
    fs::create_dir(site.path("agent/updates"))?;
    fs::write(site.path("agent/updates/floor.json"), "{")?;
    let _agent = terminal.switch_on(&[]).await?;
    let failed = error(&site.run("update", at_once()).await?)?;
    assert_eq!(failed["code"], "DEVICE_FAULT", "{failed}");
    assert!(failed["failure_reason"].as_str().is_some_and(|r| r.contains("updates")), "{failed}");
    result(&site.run("end_of_day", json!({})).await?)?;
    assert_eq!(running(&terminal)?, OLD);
    Ok(())
}
