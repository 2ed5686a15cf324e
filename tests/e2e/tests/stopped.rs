//! An agent that stands still for a while (SIGSTOP), as when the device is suspended or starved:
//! what it missed is made up for, and nothing runs that should not run any more.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{
    PATIENCE, create, error, has_one_verdict, no_batch_was_closed_twice, open, order, result, seen,
    slow, status, unsent,
};

/// The least that a cloud may ask for: it gives a silent link up after one and a half of it.
const HEARTBEAT_S: u32 = 5;
/// A link on which nothing was heard for so long is dead at either end.
const LINK_TIME_MAX: Duration = Duration::from_millis(1_500 * HEARTBEAT_S as u64);

fn quick() -> SiteOptions {
    SiteOptions { heartbeat_s: HEARTBEAT_S, ..SiteOptions::default() }
}

/// Until the cloud has given the link up.
async fn given_up(site: &Site) -> Result<()> {
    site.cloud()?.wait_online(site.terminal_id(), false, PATIENCE).await?;
    Ok(())
}

/// It works as if nothing had been, in the same process.
async fn works(site: &Site, agent: &Agent) -> Result<()> {
    site.script(&json!({}))?;
    result(&site.run("end_of_day", json!({})).await?)?;
    unsent(site, agent, 0).await?;
    assert_eq!(agent.starts(), 1);
    no_batch_was_closed_twice(site)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stood_still_for_longer_than_its_link_lasts_comes_back() -> Result<()> {
    let (site, agent) = open(quick()).await?;
    site.script(&slow("close_batch", 500))?;
    let day = create(&site, "end_of_day", json!({})).await?;
    seen(&site, day, "started", 1).await?;
    agent.signal(Signal::SIGSTOP)?;
    // Sent into the socket of a process that does not read, and sent again on the next link.
    let menu = create(&site, "open_menu", json!({})).await?;
    given_up(&site).await?;
    let unsent_yet = create(&site, "check_update", json!({})).await?;
    agent.signal(Signal::SIGCONT)?;
    for id in [day, menu, unsent_yet] {
        result(&site.verdict(id).await?)?;
        has_one_verdict(&site, id).await?;
    }
    assert_eq!((site.effects_of(day)?, site.effects_of(menu)?), (1, 1));
    works(&site, &agent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_it_stands_still_gives_one_verdict_that_is_true() -> Result<()>
{
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&slow("close_batch", 1_000))?;
    let mut day = order(&site, "end_of_day", json!({}));
    day.deadline_s = 2;
    let id = site.cloud()?.create_operation(day).await?;
    seen(&site, id, "started", 1).await?;
    agent.signal(Signal::SIGSTOP)?;
    // A moment, not a condition: either verdict may come of it.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    agent.signal(Signal::SIGCONT)?;
    let operation = site.verdict(id).await?;
    if operation.status == OperationStatus::Completed {
        assert_eq!((&result(&operation)?["outcome"], site.effects_of(id)?), (&"closed".into(), 1));
    } else {
        let failed = error(&operation)?;
        let codes = (&failed["code"], &failed["side_effects"]);
        assert_eq!(codes, (&"DEADLINE_EXCEEDED".into(), &"unknown".into()));
        assert!(site.effects_of(id)? <= 1);
    }
    has_one_verdict(&site, id).await?;
    site.script(&json!({}))?;
    result(&site.run("check_update", json!({})).await?)?;
    unsent(&site, &agent, 0).await?;
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_while_it_stands_still_is_not_begun() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&slow("close_batch", 3_000))?;
    let running = create(&site, "end_of_day", json!({})).await?;
    let waiting = create(&site, "open_menu", json!({})).await?;
    seen(&site, running, "started", 1).await?;
    seen(&site, waiting, "accepted", 1).await?;
    agent.signal(Signal::SIGSTOP)?;
    for id in [waiting, running] {
        assert!(site.cloud()?.cancel_operation(id).await?);
    }
    // By then the close would have ended.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    agent.signal(Signal::SIGCONT)?;
    let failed = error(&site.verdict(waiting).await?)?;
    assert_eq!((&failed["code"], &failed["side_effects"]), (&"CANCELED".into(), &"none".into()));
    assert_eq!(site.effects_of(waiting)?, 0);
    let operation = site.verdict(running).await?;
    let done = u64::from(operation.status == OperationStatus::Completed);
    assert_eq!(site.effects_of(running)?, done, "{operation:?}");
    for id in [waiting, running] {
        has_one_verdict(&site, id).await?;
    }
    works(&site, &agent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_the_queue_while_it_stands_still_is_not_begun() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&slow("close_batch", 4_000))?;
    let running = create(&site, "end_of_day", json!({})).await?;
    seen(&site, running, "started", 1).await?;
    let mut menu = order(&site, "open_menu", json!({}));
    menu.ttl_s = 3;
    let menu = site.cloud()?.create_operation(menu).await?;
    seen(&site, menu, "accepted", 1).await?;
    agent.signal(Signal::SIGSTOP)?;
    tokio::time::sleep(Duration::from_millis(4_200)).await;
    agent.signal(Signal::SIGCONT)?;
    let failed = error(&site.verdict(menu).await?)?;
    assert_eq!((&failed["code"], &failed["side_effects"]), (&"EXPIRED".into(), &"none".into()));
    assert_eq!(site.effects_of(menu)?, 0);
    result(&site.verdict(running).await?)?;
    works(&site, &agent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_into_a_link_that_died_unread_is_not_begun_after_its_time() -> Result<()> {
    let (site, agent) = open(quick()).await?;
    // The agent's own patience begins with what it heard last, here with `welcome`.
    status(&site, &agent, "the link", |status| status["link"]["state"] == "up").await?;
    agent.signal(Signal::SIGSTOP)?;
    let dead_at = tokio::time::Instant::now() + LINK_TIME_MAX;
    // It lies in the socket when the agent goes on, and its time has run out long before.
    let mut menu = order(&site, "open_menu", json!({}));
    menu.ttl_s = 3;
    let menu = site.cloud()?.create_operation(menu).await?;
    seen(&site, menu, "dispatched", 1).await?;
    given_up(&site).await?;
    tokio::time::sleep_until(dead_at).await;
    agent.signal(Signal::SIGCONT)?;
    let failed = error(&site.verdict(menu).await?)?;
    assert_eq!((&failed["code"], &failed["side_effects"]), (&"EXPIRED".into(), &"none".into()));
    assert_eq!(site.effects_of(menu)?, 0);
    works(&site, &agent).await
}
