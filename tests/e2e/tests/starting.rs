//! `kill -9` while the agent starts: opening its store, connecting, saying hello; in quick
//! succession, and together with the cloud.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_hal::OperationId;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{
    create, error, has_one_verdict, no_batch_was_closed_twice, open, result, seen, slow, unsent,
};

/// Kills in a row.
const KILLS: u32 = 20;
/// By then an opening that was not seen is over.
const OPENING_TIME_MAX: Duration = Duration::from_millis(500);

/// Kills it at every 5 ms of its first 100.
async fn kill_young(site: &Site, agent: &Agent) -> Result<()> {
    for n in 0..KILLS {
        let started = agent.starts();
        agent.kill_9()?;
        site.until("another start", async |_| Ok(agent.starts() > started)).await?;
        tokio::time::sleep(Duration::from_millis(u64::from(n * 7 % KILLS) * 5)).await;
    }
    Ok(())
}

/// Kills it while it opens its store, so many times in a row.
async fn kill_while_opening(site: &Site, agent: &Agent) -> Result<()> {
    // The store's own mark of an opening that has not returned.
    let mark = site.path("agent/store/store.opening");
    let in_a_row = || fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse().ok());
    let mut most = 0;
    for _ in 0..10 * KILLS {
        let (started, before) = (agent.starts(), in_a_row().unwrap_or(0));
        agent.kill_9()?;
        site.until("another start", async |_| Ok(agent.starts() > started)).await?;
        let young_until = Instant::now() + OPENING_TIME_MAX;
        while in_a_row().is_none_or(|now| now <= before) && Instant::now() < young_until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        most = most.max(in_a_row().unwrap_or(0));
        if most == KILLS {
            return agent.kill_9();
        }
    }
    bail!("hit while it opened its store {most} times in a row only")
}

/// An end of day and two operations behind it.
async fn three(site: &Site) -> Result<Vec<OperationId>> {
    site.script(&slow("close_batch", 300))?;
    let mut ids = Vec::new();
    for kind in ["end_of_day", "check_update", "open_menu"] {
        ids.push(create(site, kind, json!({})).await?);
    }
    Ok(ids)
}

/// All have their verdicts, from a memory that was never lost.
async fn nothing_was_lost(site: &Site, agent: &Agent, ids: &[OperationId]) -> Result<()> {
    for id in ids {
        site.verdict(*id).await?;
        has_one_verdict(site, *id).await?;
        assert!(site.effects_of(*id)? <= 1);
    }
    site.script(&json!({}))?;
    result(&site.run("end_of_day", json!({})).await?)?;
    unsent(site, agent, 0).await?;
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let epochs: Vec<_> = reports.iter().map(|report| report.store_epoch).collect();
    assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "{reports:?}");
    assert!(site.cloud()?.gaps(site.terminal_id()).await?.is_empty());
    let ends = agent.ends();
    assert!(ends.iter().all(|end| end.signal() == Some(9)), "{ends:?}");
    no_batch_was_closed_twice(site)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_at_every_stage_of_its_start_forgets_nothing() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let ids = three(&site).await?;
    for id in &ids {
        seen(&site, *id, "accepted", 1).await?;
    }
    seen(&site, ids[0], "started", 1).await?;
    kill_young(&site, &agent).await?;
    nothing_was_lost(&site, &agent, &ids).await?;
    let operation = site.verdict(ids[0]).await?;
    if operation.status == OperationStatus::Completed {
        // Had it been run again blindly, the batch would be an empty one.
        assert_eq!(
            (&result(&operation)?["outcome"], site.effects_of(ids[0])?),
            (&"closed".into(), 1)
        );
    } else {
        // Each of its three attempts was cut off.
        let failed = error(&operation)?;
        let said = (&failed["code"], &failed["side_effects"]);
        assert_eq!(said, (&"INTERRUPTED".into(), &"unknown".into()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_whenever_it_opens_its_store_does_not_take_it_for_damaged()
-> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let ids = three(&site).await?;
    seen(&site, ids[0], "started", 1).await?;
    kill_while_opening(&site, &agent).await?;
    nothing_was_lost(&site, &agent, &ids).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_first_start_can_be_cut_off_anywhere() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let agent = site.start_agent()?;
    kill_young(&site, &agent).await?;
    site.online().await?;
    nothing_was_lost(&site, &agent, &three(&site).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_and_a_cloud_that_die_together_find_each_other_again() -> Result<()> {
    let (mut site, agent) = open(SiteOptions::default()).await?;
    let mut ids = Vec::new();
    for n in 0..4_u64 {
        ids.extend(three(&site).await?);
        tokio::time::sleep(Duration::from_millis(n * 70)).await;
        if n % 2 == 0 {
            agent.kill_9()?;
            site.kill_cloud().await?;
        } else {
            site.kill_cloud().await?;
            kill_young(&site, &agent).await?;
        }
        site.restart_cloud().await?;
    }
    nothing_was_lost(&site, &agent, &ids).await
}
