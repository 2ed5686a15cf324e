//! A store that cannot be read any more: moved aside, reported, and nothing is run blindly.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;
use terminal_cloud::FaultSwitches;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{
    clear_faults, create, cut_off, error, no_batch_was_closed_twice, open, result, seen, slow,
    unsent,
};

/// Overwrites or cuts the files of the store of an agent that does not run.
fn damage(site: &Site, how: fn(&[u8]) -> Vec<u8>) -> Result<()> {
    let path = site.path("agent/store/store/db");
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(fs::write(path, how(&bytes))?)
}

fn garbage(bytes: &[u8]) -> Vec<u8> {
    (0..bytes.len()).map(|n| (n * 31 % 251) as u8).collect()
}

/// The event that tells of the damage.
async fn told(site: &Site) -> Result<()> {
    let what = "store_damaged at the cloud";
    site.until(what, async |site| {
        let reports = site.cloud()?.reports(site.terminal_id()).await?;
        Ok(reports.iter().any(|report| report.body["event"] == "store_damaged"))
    })
    .await
}

/// Stops an agent while an end of day runs; the batch has been closed or not.
async fn stop_in_the_middle(
    site: &Site,
    agent: Agent,
    closed: bool,
) -> Result<terminal_hal::OperationId> {
    site.script(&slow("close_batch", 1_200))?;
    let id = create(site, "end_of_day", json!({})).await?;
    seen(site, id, "started", 1).await?;
    if closed {
        site.until("the close", async |site| Ok(site.effects_of(id)? == 1)).await?;
    }
    // Like a power cut, and not started again.
    drop(agent);
    site.cloud()?.wait_online(site.terminal_id(), false, Duration::from_secs(20)).await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_memory_says_so_and_works() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let before = site.run("end_of_day", json!({})).await?;
    unsent(&site, &agent, 0).await?;
    assert_eq!(agent.stop()?, Some(0));
    damage(&site, garbage)?;
    let agent = site.start_agent()?;
    told(&site).await?;
    result(&site.run("check_update", json!({})).await?)?;
    unsent(&site, &agent, 0).await?;
    assert_eq!(site.effects_of(before.id)?, 1);
    let aside = fs::read_dir(site.path("agent/store"))?.flatten();
    let names: Vec<_> = aside.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("store.damaged-")), "{names:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_day_that_was_done_before_the_memory_was_lost_is_not_done_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let id = stop_in_the_middle(&site, agent, true).await?;
    damage(&site, |bytes| bytes[..bytes.len() / 3].to_vec())?;
    site.script(&json!({ "payments": [{ "id": "after", "sale": 100 }] }))?;
    let _agent = site.start_agent()?;
    let closed = result(&site.verdict(id).await?)?;
    assert_eq!(closed["outcome"], "closed", "{closed}");
    assert_eq!(site.effects_of(id)?, 1);
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_tell_about_is_not_run_after_the_memory_was_lost() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let day = stop_in_the_middle(&site, agent, false).await?;
    let menu = create(&site, "open_menu", json!({})).await?;
    damage(&site, garbage)?;
    site.script(&json!({ "query_close_says": "unknown" }))?;
    let _agent = site.start_agent()?;
    let failed = error(&site.verdict(day).await?)?;
    assert_eq!(
        (&failed["code"], &failed["side_effects"]),
        (&"OUTCOME_UNKNOWN".into(), &"unknown".into())
    );
    assert_eq!(site.effects_of(day)?, 0);
    // This one was never sent to the memory that is lost.
    result(&site.verdict(menu).await?)?;
    told(&site).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_that_may_have_been_shown_is_not_shown_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let menu = create(&site, "open_menu", json!({})).await?;
    site.verdict(menu).await?;
    // The verdict exists on the terminal only.
    site.faults(FaultSwitches { withhold_acks: Some(true), ..Default::default() }).await?;
    site.script(&slow("open_menu", 500))?;
    let cut = create(&site, "open_menu", json!({})).await?;
    seen(&site, cut, "started", 1).await?;
    cut_off(&site).await?;
    site.until("the menu", async |site| Ok(site.effects_of(cut)? == 1)).await?;
    drop(agent);
    damage(&site, garbage)?;
    clear_faults(&site).await?;
    let _agent = site.start_agent()?;
    let failed = error(&site.verdict(cut).await?)?;
    assert_eq!(failed["code"], "OUTCOME_UNKNOWN");
    assert_eq!(site.effects_of(cut)?, 1);
    told(&site).await
}
