//! A full disk: said, survived, and nothing lost.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use terminal_cloud::OperationStatus;
use terminal_harness::{Site, SiteOptions};

use crate::{
    disks::{MIB, SmallDisk},
    support::{PATIENCE, create, has_one_verdict, result, seen, skipped, slow, status, unsent},
};

/// The least that a configuration may ask for.
const LIMITS: &str = "[store]\nballast-kb = 1536\nreserve-kb = 2048";

async fn site() -> Result<Site> {
    let options =
        SiteOptions { heartbeat_s: 5, redispatch_delay_ms: 200, ..SiteOptions::default() };
    let site = Site::start(options).await?;
    site.edit_config(|text| text.replace("[store]", LIMITS))?;
    Ok(site)
}

fn is_low(status: &Value) -> bool {
    status["needs_attention"].as_array().is_some_and(|all| all.contains(&"STORAGE_LOW".into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_operations_waiting_and_loses_none() -> Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    let site = site().await?;
    let disk = SmallDisk::memory(&site.path("agent/store"), 8 * MIB)?;
    let agent = site.start_agent()?;
    site.online().await?;
    let before = site.run("end_of_day", json!({})).await?;
    result(&before)?;

    disk.fill()?;
    // Taken before anybody looked: it lives on the space that was set aside.
    let first = create(&site, "open_menu", json!({})).await?;
    result(&site.verdict(first).await?)?;
    status(&site, &agent, "STORAGE_LOW", is_low).await?;
    assert!(agent.show("status")?.contains("STORAGE_LOW"));

    let waiting = create(&site, "end_of_day", json!({})).await?;
    let refused = |operation: &terminal_cloud::Operation| operation.last_error.is_some();
    let operation = site.cloud()?.wait_operation(waiting, PATIENCE, refused).await?;
    assert_eq!(operation.status, OperationStatus::Pending);
    assert_eq!(operation.last_error.unwrap()["code"], "STORAGE_FULL");
    // A full disk outlives a restart.
    agent.kill_9()?;
    site.cloud()?.wait_timeline(waiting, "error", 3, PATIENCE).await?;
    assert_eq!(site.effects_of(waiting)?, 0);

    disk.empty()?;
    result(&site.verdict(waiting).await?)?;
    for id in [before.id, first, waiting] {
        has_one_verdict(&site, id).await?;
    }
    unsent(&site, &agent, 0).await?;
    assert!(!agent.show("status")?.contains("STORAGE_LOW"));
    assert_eq!(agent.starts(), 2);
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_that_fills_up_under_running_operations_costs_no_verdict() -> Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    let site = site().await?;
    let disk = SmallDisk::ext4(&site.path("agent/store"), &site.path("disk.img"), 16 * MIB)?;
    let agent = site.start_agent()?;
    site.online().await?;
    // One runs and five wait, of the other lanes too, when the last block goes.
    site.script(&slow("close_batch", 700))?;
    let mut ids = vec![create(&site, "end_of_day", json!({})).await?];
    seen(&site, ids[0], "started", 1).await?;
    for kind in ["open_menu", "check_update", "send_logs", "update", "lock"] {
        let parameters = if kind == "update" { json!({ "apply": "now" }) } else { json!({}) };
        ids.push(create(&site, kind, parameters).await?);
    }
    for id in &ids {
        seen(&site, *id, "accepted", 1).await?;
    }
    disk.fill()?;
    // Some come while nobody has looked yet, and some are refused.
    for _ in 0..6 {
        ids.push(create(&site, "unlock", json!({})).await?);
    }
    status(&site, &agent, "STORAGE_LOW", is_low).await?;
    let refused = create(&site, "end_of_day", json!({})).await?;
    site.cloud()?.wait_timeline(refused, "error", 1, PATIENCE).await?;
    // What was accepted gets its verdict without a free block, kills and the update's restart
    // included.
    for _ in 0..3 {
        agent.kill_9()?;
        for id in ids.iter().take(6) {
            site.verdict(*id).await?;
        }
    }
    assert_eq!(site.effects_of(refused)?, 0);

    disk.empty()?;
    ids.push(refused);
    for id in &ids {
        assert_ne!(site.verdict(*id).await?.status, OperationStatus::Timeout);
        has_one_verdict(&site, *id).await?;
    }
    let day = *ids.first().context("no operation")?;
    for id in [day, refused] {
        result(&site.verdict(id).await?)?;
        assert_eq!(site.effects_of(id)?, u64::from(id == day));
    }
    unsent(&site, &agent, 0).await?;
    let told = site.cloud()?.reports(site.terminal_id()).await?;
    assert!(!told.iter().any(|report| report.body["event"] == "store_damaged"), "{told:?}");
    assert!(agent.ends().iter().all(|end| end.code().is_none_or(|code| code == 0)));
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}
