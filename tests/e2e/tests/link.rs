//! The link: liveness, waits that the cloud asks for, frames that nobody should send.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use terminal_cloud::{
    DropHow, DropLink, FaultSwitches, SendBytes, SendReconnect, SendText, Unavailable,
};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{clear_faults, count, drop_link, open, result, seen, slow, status};

/// Whether the agent waits for at least so many milliseconds before it tries again.
fn waits(status: &Value, ms_min: u64) -> bool {
    let link = &status["link"];
    link["state"] == "waiting" && link["ms"].as_u64() >= Some(ms_min)
}

async fn say(site: &Site, text: impl Into<String>) -> Result<()> {
    let send_text = SendText { terminal_id: site.terminal_id().to_owned(), text: text.into() };
    site.faults(FaultSwitches { send_text: Some(send_text), ..Default::default() }).await
}

/// The session of the link that is up.
async fn session(site: &Site, agent: &Agent) -> Result<u64> {
    status(site, agent, "the link to be up", |status| status["link"]["state"] == "up").await?;
    Ok(site.agent_log()?.matches("no link").count() as u64)
}

/// Waits for the end of a link that the agent logged with these words, and for the next one.
async fn comes_back_after(site: &Site, agent: &Agent, words: &str) -> Result<()> {
    let what = format!("{words:?} in the log");
    site.until(&what, async |site| Ok(site.agent_log()?.contains(words))).await?;
    status(site, agent, "another link", |status| status["link"]["state"] == "up").await?;
    result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(agent.starts(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cloud_is_not_asked_again_before_the_time_that_it_named() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let relay = site.through_relay().await?;
    let unavailable = Some(Unavailable { retry_after_s: 1 });
    site.faults(FaultSwitches { unavailable, ..Default::default() }).await?;
    let agent = site.start_agent()?;
    site.until("three attempts", async |_| Ok(relay.attempts().len() >= 3)).await?;
    for pair in relay.attempts().windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{:?}", pair[1] - pair[0]);
    }
    clear_faults(&site).await?;
    site.online().await?;

    let unavailable = Some(Unavailable { retry_after_s: 600 });
    site.faults(FaultSwitches { unavailable, ..Default::default() }).await?;
    end_link(&site, DropHow::Rst, None).await?;
    status(&site, &agent, "a long wait", |status| waits(status, 590_000)).await?;
    let shown = agent.show("status")?;
    assert!(shown.contains("next attempt in"), "{shown}");
    Ok(())
}

async fn end_link(site: &Site, how: DropHow, code: Option<u16>) -> Result<()> {
    let drop_link = Some(DropLink { terminal_id: site.terminal_id().to_owned(), how, code });
    site.faults(FaultSwitches { drop_link, ..Default::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_drains_is_left_for_as_long_as_it_says() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let ask = async |after_s| {
        let terminal_id = Some(site.terminal_id().to_owned());
        let reconnect = Some(SendReconnect { terminal_id, after_s, spread_s: 0 });
        site.faults(FaultSwitches { reconnect, ..Default::default() }).await
    };
    ask(0).await?;
    comes_back_after(&site, &agent, "draining").await?;
    ask(300).await?;
    status(&site, &agent, "the wait", |status| waits(status, 295_000)).await?;
    assert!(!site.cloud()?.terminal(site.terminal_id()).await?.online);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_closes_as_unauthorised_is_not_stormed() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    end_link(&site, DropHow::Close, Some(1001)).await?;
    comes_back_after(&site, &agent, "1001").await?;
    end_link(&site, DropHow::Close, Some(4401)).await?;
    status(&site, &agent, "the long wait", |status| waits(status, 55_000)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_left_within_one_and_a_half_heartbeats() -> Result<()> {
    let (site, agent) = open(SiteOptions { heartbeat_s: 10, ..SiteOptions::default() }).await?;
    site.script(&slow("close_batch", 500))?;
    let id = site.create("end_of_day", json!({})).await?;
    seen(&site, id, "started", 1).await?;
    let begin = std::time::Instant::now();
    site.faults(FaultSwitches { black_hole: Some(true), ..Default::default() }).await?;
    let silent = async |site: &Site| Ok(site.agent_log()?.contains("the peer is silent"));
    site.until("the silence to be noticed", silent).await?;
    // Less than two heartbeats, with the second that closing the link may take.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    clear_faults(&site).await?;
    result(&site.verdict(id).await?)?;
    assert_eq!((site.effects_of(id)?, agent.starts()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_frames_end_the_link_and_nothing_else() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    say(&site, "{ this is not JSON").await?;
    comes_back_after(&site, &agent, "1007").await?;
    let too_big = json!({ "type": "operation", "padding": "x".repeat(70_000) });
    say(&site, too_big.to_string()).await?;
    comes_back_after(&site, &agent, "above the limit").await
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_it_does_not_understand_are_answered_and_the_link_stays() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let links = session(&site, &agent).await?;
    say(&site, json!({ "type": "dance" }).to_string()).await?;
    let id = site.create("check_update", json!({})).await?;
    result(&site.verdict(id).await?)?;
    // A known frame with a hole in it, about an operation that the cloud knows.
    let hole = json!({ "type": "operation", "id": id, "operation": "lock" });
    say(&site, hole.to_string()).await?;
    seen(&site, id, "error", 1).await?;
    let told = site.cloud()?.operation(id).await?.last_error.unwrap_or_default();
    assert_eq!(told["code"], "INVALID_MESSAGE", "{told}");
    // Log data flows one way only; what comes the other way is ignored.
    let terminal_id = site.terminal_id().to_owned();
    let send_bytes = Some(SendBytes { terminal_id, hex: "00ff".repeat(40) });
    site.faults(FaultSwitches { send_bytes, ..Default::default() }).await?;
    say(&site, json!({ "type": "ack", "store_epoch": uuid::Uuid::new_v4(), "seq": 9 }).to_string())
        .await?;
    result(&site.run("lock", json!({})).await?)?;
    assert_eq!(session(&site, &agent).await?, links);
    assert_eq!(agent.ask("status")?["unsent_reports"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_without_an_answer_ends_in_another_attempt() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    site.faults(FaultSwitches { ignore_hello: Some(true), ..Default::default() }).await?;
    let id = site.create("end_of_day", json!({})).await?;
    let agent = site.start_agent()?;
    status(&site, &agent, "an open link", |s| s["link"]["state"] == "connecting").await?;
    assert_eq!(count(&site, id, "dispatched").await?, 0);
    // The cloud ends it here; that the agent gives up by itself is proved in virtual time.
    site.until("a link to drop", async |site| Ok(drop_link(site).await.is_ok())).await?;
    clear_faults(&site).await?;
    result(&site.verdict(id).await?)?;
    Ok(())
}
