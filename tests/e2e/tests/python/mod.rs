//! A cloud and a terminal in Python, written from PROTOCOL.md alone, work with ours and with each
//! other: so the text is enough, and both ends of ours do what it says.

mod peer;

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use terminal_harness::{Agent, Site, SiteOptions};

use self::peer::{Peer, has_python};
use crate::support::{error, has_one_verdict, result, seen, unsent};

/// A site whose terminal shows a client certificate.
async fn site() -> Result<Site> {
    Site::start(SiteOptions { client_certificate: true, ..SiteOptions::default() }).await
}

/// Our agent, linked to the cloud in Python.
async fn our_agent(site: &Site) -> Result<(Peer, u16, Agent)> {
    let (mut cloud, port) = Peer::cloud(site, 0).await?;
    let ours = format!(":{}/", site.cloud()?.addr().port());
    site.edit_config(|text| text.replace(&ours, &format!(":{port}/")))?;
    let agent = site.start_agent()?;
    cloud.says("online", site.terminal_id()).await?;
    Ok((cloud, port, agent))
}

/// One verdict of that status is stored; the effect of a close happened once.
async fn settled(cloud: &mut Peer, id: &str, status: &str) -> Result<Value> {
    let (verdict, reports) = cloud.stored(id).await?;
    assert_eq!((&verdict["status"], reports), (&json!(status), 1), "{verdict}");
    Ok(verdict)
}

/// Payments begin and end: as long as one is in progress, a close has begun and does not go on.
fn payment(site: &Site, is_active: bool) -> Result<()> {
    match is_active {
        true => {
            fs::write(site.path("payment"), "")?;
            site.script(&json!({ "payment_active": { "state": "committed" } }))
        }
        false => {
            fs::remove_file(site.path("payment"))?;
            site.script(&json!({}))
        }
    }
}

/// A close that has begun and waits for a payment.
async fn begin_to_close(site: &Site, cloud: &mut Peer) -> Result<String> {
    payment(site, true)?;
    let id = cloud.dispatch(site, "end_of_day", 900).await?;
    cloud.says("started", &id).await?;
    Ok(id)
}

/// A close during which the link is cut and comes back.
async fn close_across_a_cut(site: &Site, cloud: &mut Peer) -> Result<String> {
    let id = begin_to_close(site, cloud).await?;
    cloud.tell(&json!({ "cut": site.terminal_id() }))?;
    cloud.says("online", site.terminal_id()).await?;
    payment(site, false)?;
    cloud.report(&id).await?;
    Ok(id)
}

fn effects(site: &Site, id: &str) -> Result<u64> {
    Ok(site.mock_state()?["effects"][id]["count"].as_u64().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_agent_serves_a_cloud_in_python() -> Result<()> {
    if !has_python()? {
        return Ok(());
    }
    let site = site().await?;
    let (mut cloud, _, agent) = our_agent(&site).await?;
    for kind in ["end_of_day", "check_update", "open_menu", "lock", "unlock"] {
        let id = cloud.dispatch(&site, kind, 900).await?;
        cloud.says("accepted", &id).await?;
        cloud.report(&id).await?;
        settled(&mut cloud, &id, "COMPLETED").await?;
    }
    let late = cloud.dispatch(&site, "check_update", 0).await?;
    cloud.report(&late).await?;
    let verdict = settled(&mut cloud, &late, "FAILED").await?;
    assert_eq!(verdict["error"]["code"], "EXPIRED");
    // What waits behind a close is withdrawn.
    let running = begin_to_close(&site, &mut cloud).await?;
    let waiting = cloud.dispatch(&site, "check_update", 900).await?;
    cloud.says("accepted", &waiting).await?;
    cloud.tell(&json!({ "cancel": waiting }))?;
    cloud.report(&waiting).await?;
    let verdict = settled(&mut cloud, &waiting, "FAILED").await?;
    assert_eq!(verdict["error"]["code"], "CANCELED");
    payment(&site, false)?;
    cloud.report(&running).await?;
    assert_eq!(effects(&site, &running)?, 1);
    // This cloud takes no logs, and says so.
    let logs = cloud.dispatch(&site, "send_logs", 900).await?;
    cloud.report(&logs).await?;
    let verdict = settled(&mut cloud, &logs, "FAILED").await?;
    assert_eq!(verdict["error"]["code"], "UPLOAD_REJECTED");
    unsent(&site, &agent, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_agent_and_a_cloud_in_python_are_cut_and_killed_and_nothing_happens_twice() -> Result<()>
{
    if !has_python()? {
        return Ok(());
    }
    let site = site().await?;
    let (mut cloud, port, agent) = our_agent(&site).await?;

    let cut = close_across_a_cut(&site, &mut cloud).await?;
    let killed = begin_to_close(&site, &mut cloud).await?;
    agent.kill_9()?;
    cloud.says("online", site.terminal_id()).await?;
    payment(&site, false)?;
    let report = cloud.report(&killed).await?;
    assert_eq!(report["attempt"], 2, "{report}");

    let forgotten = begin_to_close(&site, &mut cloud).await?;
    drop(cloud);
    payment(&site, false)?;
    let (mut cloud, _) = Peer::cloud(&site, port).await?;
    cloud.report(&forgotten).await?;

    for id in [&cut, &killed, &forgotten] {
        settled(&mut cloud, id, "COMPLETED").await?;
        assert_eq!(effects(&site, id)?, 1, "{id}");
    }
    unsent(&site, &agent, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_python_serves_our_cloud_over_its_rest_api() -> Result<()> {
    if !has_python()? {
        return Ok(());
    }
    let site = site().await?;
    let port = site.cloud()?.addr().port();
    let mut agent = Peer::agent(&site, port)?;
    agent.until("a link", |event| event.get("online").is_some()).await?;
    let closed = result(&site.run("end_of_day", json!({ "operator_id": "7" })).await?)?;
    assert_eq!(closed["purchases_amount"], 20_000);
    result(&site.run("check_update", json!({})).await?)?;
    result(&site.run("open_menu", json!({})).await?)?;
    let unknown = error(&site.run("reboot", json!({})).await?)?;
    assert_eq!(unknown["code"], "UNSUPPORTED_OPERATION");
    let wrong = error(&site.run("end_of_day", json!({ "operater_id": "7" })).await?)?;
    assert_eq!(wrong["code"], "INVALID_PARAMETERS");
    let path = format!("/v1/admin/terminals/operations?terminal_id={}", site.terminal_id());
    let listed = site.rest()?.get(&path).await?;
    let listed = listed.body.as_array().context("no list")?;
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|operation| operation["status"] != "PENDING"), "{listed:?}");
    let problems = site.cloud()?.reports(site.terminal_id()).await?;
    assert!(problems.iter().all(|report| report.problem.is_none()), "{problems:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_python_and_our_cloud_are_killed_and_nothing_happens_twice() -> Result<()> {
    if !has_python()? {
        return Ok(());
    }
    let mut site = site().await?;
    let port = site.cloud()?.addr().port();
    let mut agent = Peer::agent(&site, port)?;

    payment(&site, true)?;
    let id = site.create("end_of_day", json!({})).await?;
    seen(&site, id, "started", 1).await?;
    site.kill_cloud().await?;
    payment(&site, false)?;
    agent.says("finished", &id.to_string()).await?;
    site.restart_cloud().await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(&site, id).await?;

    // Killed when the batch is closed and nobody knows yet.
    let id = site.create("end_of_day", json!({})).await?;
    agent.says("closed", &id.to_string()).await?;
    drop(agent);
    let mut agent = Peer::agent(&site, port)?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(&site, id).await?;
    let closed = id.to_string();

    // Killed before that: it is closed by the next attempt.
    payment(&site, true)?;
    let id = site.create("end_of_day", json!({})).await?;
    agent.says("started", &id.to_string()).await?;
    assert!(!agent.has_said("closed", &closed));
    drop(agent);
    payment(&site, false)?;
    let mut agent = Peer::agent(&site, port)?;
    agent.says("closed", &id.to_string()).await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(&site, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_in_python_serve_each_other() -> Result<()> {
    if !has_python()? {
        return Ok(());
    }
    let site = site().await?;
    let (mut cloud, port) = Peer::cloud(&site, 0).await?;
    let agent = Peer::agent(&site, port)?;
    cloud.says("online", site.terminal_id()).await?;

    let cut = close_across_a_cut(&site, &mut cloud).await?;
    let killed = begin_to_close(&site, &mut cloud).await?;
    drop(agent);
    drop(cloud);
    payment(&site, false)?;
    let (mut cloud, _) = Peer::cloud(&site, port).await?;
    let queued = cloud.dispatch(&site, "check_update", 900).await?;
    let _agent = Peer::agent(&site, port)?;
    let report = cloud.report(&killed).await?;
    assert_eq!(report["attempt"], 2, "{report}");
    cloud.report(&queued).await?;

    let unknown = cloud.dispatch(&site, "reboot", 900).await?;
    cloud.report(&unknown).await?;
    settled(&mut cloud, &unknown, "FAILED").await?;
    for id in [&cut, &killed, &queued] {
        settled(&mut cloud, id, "COMPLETED").await?;
    }
    Ok(())
}
