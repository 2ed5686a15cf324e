//! A store on a file system that cannot be written to: the process ends with a reason that a
//! person understands, the service manager tries again at a pace that harms nothing, and once it
//! can be written to nothing is missing.

use std::{fs, time::Duration};

use anyhow::Result;
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::{
    cli,
    disks::{MIB, SmallDisk},
    support::{
        create, has_one_verdict, no_batch_was_closed_twice, result, seen, skipped, slow, unsent,
    },
};

/// `EX_IOERR`, what the agent ends with when it cannot use its store.
const STORE: i32 = 74;
/// In place of the ten seconds of the service unit.
const PAUSE: Duration = Duration::from_millis(100);

/// An agent that is started again after a pause.
fn start(site: &Site) -> Result<Agent> {
    let mut launch = site.launch();
    launch.restart_after = PAUSE;
    Agent::launch(launch)
}

/// It has been started so often more, and every time it has ended with that code.
async fn keeps_ending(site: &Site, agent: &Agent, times: usize) -> Result<()> {
    let before = agent.ends().len();
    let what = format!("{times} ends");
    site.until(&what, async |_| Ok(agent.ends().len() >= before + times)).await?;
    let ends = agent.ends();
    assert!(ends.iter().skip(before).all(|end| end.code() == Some(STORE)), "{ends:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_read_only_at_the_start_is_named_and_used_once_it_is_not() -> Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    let site = Site::start(SiteOptions::default()).await?;
    let disk = SmallDisk::memory(&site.path("agent/store"), 8 * MIB)?;
    let agent = start(&site)?;
    site.online().await?;
    let before = site.run("end_of_day", json!({})).await?;
    unsent(&site, &agent, 0).await?;
    assert_eq!(agent.stop()?, Some(0));
    let day = site.create("end_of_day", json!({})).await?;

    disk.make_read_only()?;
    let output = cli::run(&["run", "--config"], Some(&site.agent_config()))?;
    assert_eq!(output.status.code(), Some(STORE), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("terminal-agent: read-only file system while"), "{said}");
    assert!(line.contains(&*site.path("agent/store").to_string_lossy()), "{said}");
    let agent = start(&site)?;
    keeps_ending(&site, &agent, 3).await?;
    assert_eq!(site.cloud()?.operation(day).await?.status, OperationStatus::Pending);

    disk.make_writable()?;
    site.verdict(day).await?;
    for id in [before.id, day] {
        has_one_verdict(&site, id).await?;
    }
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_becomes_read_only_ends_the_process_and_loses_nothing() -> Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    let site = Site::start(SiteOptions::default()).await?;
    let disk = SmallDisk::ext4(&site.path("agent/store"), &site.path("disk.img"), 16 * MIB)?;
    let agent = start(&site)?;
    site.online().await?;
    site.script(&slow("close_batch", 600))?;
    let day = create(&site, "end_of_day", json!({})).await?;
    let menu = create(&site, "open_menu", json!({})).await?;
    seen(&site, day, "started", 1).await?;
    seen(&site, menu, "accepted", 1).await?;

    disk.fail()?;
    // The close goes on and its outcome cannot be kept: nothing is reported that is not on record.
    keeps_ending(&site, &agent, 3).await?;
    for id in [day, menu] {
        assert_eq!(site.cloud()?.operation(id).await?.status, OperationStatus::Pending);
    }
    let log = site.agent_log()?;
    assert!(log.lines().any(|line| line.contains("ERROR stopped")), "{log}");
    assert!(log.contains("read-only file system while"), "{log}");

    // A technician stops the service, mends the disk and starts it again.
    drop(agent);
    disk.repair()?;
    let agent = start(&site)?;
    let closed = result(&site.verdict(day).await?)?;
    assert_eq!((&closed["outcome"], site.effects_of(day)?), (&"closed".into(), 1));
    result(&site.verdict(menu).await?)?;
    for id in [day, menu] {
        has_one_verdict(&site, id).await?;
    }
    unsent(&site, &agent, 0).await?;
    let told = site.cloud()?.reports(site.terminal_id()).await?;
    assert!(!told.iter().any(|report| report.body["event"] == "store_damaged"), "{told:?}");
    no_batch_was_closed_twice(&site)
}

#[test]
fn the_service_unit_never_gives_up_and_never_hurries() -> Result<()> {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd/terminal-agent.service");
    let unit = fs::read_to_string(unit)?;
    let has = |setting: &str| unit.lines().any(|line| line == setting);
    assert!(has("Restart=always") && has("StartLimitIntervalSec=0"), "{unit}");
    let pause = unit.lines().find_map(|line| line.strip_prefix("RestartSec="));
    let pause: u64 = pause.unwrap_or_default().parse()?;
    assert!((5..=60).contains(&pause), "{pause}");
    Ok(())
}
