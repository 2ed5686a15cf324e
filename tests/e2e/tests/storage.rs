//! A full disk: said, survived, and nothing lost.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_harness::{Site, SiteOptions};

use crate::support::{PATIENCE, create, has_one_verdict, result, status, unsent};

const MIB: u64 = 1 << 20;
/// The least that a configuration may ask for.
const LIMITS: &str = "[store]\nballast-kb = 1536\nreserve-kb = 2048";

/// A file system of its own, in memory; given back when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with the reason printed, where that is not allowed.
    fn mount(at: &Path, bytes: u64) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Ok(Some(Self(at.to_owned())));
        }
        println!("skipped: no permission to mount a file system");
        Ok(None)
    }

    /// Down to the last page.
    fn fill(&self) -> Result<()> {
        let mut filler = fs::File::create(self.0.join("filler"))?;
        while filler.write_all(&[1; 4096]).is_ok() {}
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_operations_waiting_and_loses_none() -> Result<()> {
    let options =
        SiteOptions { heartbeat_s: 5, redispatch_delay_ms: 200, ..SiteOptions::default() };
    let site = Site::start(options).await?;
    site.edit_config(|text| text.replace("[store]", LIMITS))?;
    let Some(disk) = SmallDisk::mount(&site.path("agent/store"), 8 * MIB)? else { return Ok(()) };
    let agent = site.start_agent()?;
    site.online().await?;
    let before = site.run("end_of_day", json!({})).await?;
    result(&before)?;

    disk.fill()?;
    // Taken before anybody looked: it lives on the space that was set aside.
    let first = create(&site, "open_menu", json!({})).await?;
    result(&site.verdict(first).await?)?;
    let low = |status: &serde_json::Value| {
        status["needs_attention"].as_array().is_some_and(|all| all.contains(&"STORAGE_LOW".into()))
    };
    status(&site, &agent, "STORAGE_LOW", low).await?;
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
