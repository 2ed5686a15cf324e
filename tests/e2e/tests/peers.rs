//! Who may talk to whom: tokens, certificates, and two terminals of the same name.

use std::{fs, net::Ipv4Addr};

use anyhow::Result;
use serde_json::{Value, json};
use terminal_cloud::Pki;
use terminal_harness::{Agent, Relay, Site, SiteOptions};

use crate::support::{open, result, status};

/// Waits until the agent rests after a refusal: a minute at least, with its process alive.
async fn rests(site: &Site, agent: &Agent, ms_min: u64) -> Result<Value> {
    status(site, agent, "a wait after the refusal", |status| {
        status["link"]["state"] == "waiting" && status["link"]["ms"].as_u64() >= Some(ms_min)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_as_good_as_a_token() -> Result<()> {
    let options = SiteOptions { client_certificate: true, ..SiteOptions::default() };
    let (site, agent) = open(options).await?;
    assert!(!fs::read_to_string(site.agent_config())?.contains("token-file"));
    result(&site.run("end_of_day", json!({})).await?)?;
    // Both together work when they name the same terminal.
    let token = format!("token-file = \"{}\"\n", site.path("agent/token").display());
    site.edit_config(|text| text.replace("client-key-file", &format!("{token}client-key-file")))?;
    assert_eq!(agent.stop()?, Some(0));
    let _agent = site.start_agent()?;
    result(&site.run("check_update", json!({})).await?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_leaves_a_process_that_waits_and_says_so() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let relay = site.through_relay().await?;
    let good = fs::read(site.path("agent/token"))?;
    fs::write(site.path("agent/token"), "trm_wrong")?;
    let agent = site.start_agent()?;
    rests(&site, &agent, 55_000).await?;
    assert_eq!(relay.attempts().len(), 1);
    assert_eq!(agent.starts(), 1);
    let shown = agent.show("status")?;
    assert!(shown.contains("down, next attempt in") && shown.contains("401"), "{shown}");
    assert!(site.agent_log()?.contains("HTTP status 401"));
    // It is read again with the next attempt; a person who mends it need not wait for that.
    fs::write(site.path("agent/token"), good)?;
    agent.kill_9()?;
    result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(relay.attempts().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_missing_is_named_and_does_not_end_the_process() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    fs::remove_file(site.path("agent/token"))?;
    let agent = site.start_agent()?;
    rests(&site, &agent, 55_000).await?;
    let log = site.agent_log()?;
    assert!(log.contains("agent/token"), "{log}");
    assert_eq!(agent.starts(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_nobody_vouches_for_is_told_nothing() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let relay = site.through_relay().await?;
    fs::write(site.path("agent/ca.pem"), Pki::create()?.ca_pem())?;
    let agent = site.start_agent()?;
    rests(&site, &agent, 55_000).await?;
    assert_eq!((relay.attempts().len(), agent.starts()), (1, 1));
    let terminal = site.cloud()?.terminal(site.terminal_id()).await?;
    assert!(terminal.hello.is_none() && terminal.last_seen_at.is_none(), "{terminal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_name_is_not_accepted() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    // The same machine under an address that its certificate does not name.
    let address = site.cloud()?.addr();
    let relay = Relay::listen(Ipv4Addr::new(127, 0, 0, 2), address).await?;
    let (old, new) =
        (format!("localhost:{}/", address.port()), format!("127.0.0.2:{}/", relay.port()));
    site.edit_config(|text| text.replace(&old, &new))?;
    let agent = site.start_agent()?;
    rests(&site, &agent, 55_000).await?;
    assert_eq!((relay.attempts().len(), agent.starts()), (1, 1));
    assert!(site.cloud()?.terminal(site.terminal_id()).await?.hello.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_takes_the_link_over_and_the_two_do_not_fight() -> Result<()> {
    let (site, first) = open(SiteOptions::default()).await?;
    let config = fs::read_to_string(site.agent_config())?;
    let clone =
        config.replace("/agent/store", "/agent/clone").replace("control.sock", "clone.sock");
    let clone = clone.replace("mock-state.json", "mock-clone.json");
    let clone_config = site.path("agent/clone.toml");
    fs::write(&clone_config, clone)?;
    let second = Agent::start(&clone_config, &site.path("clone.log"))?;
    let waiting = rests(&site, &first, 290_000).await?;
    assert!(waiting["link"]["ms"].as_u64() <= Some(600_000), "{waiting}");
    status(&site, &second, "the link of the clone", |s| s["link"]["state"] == "up").await?;
    let log = site.agent_log()?;
    assert!(log.contains("4409"), "{log}");
    result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(second.ask("operations")?["finished"][0]["operation"], "check_update");
    assert_eq!(first.ask("operations")?["finished"], json!([]));
    assert_eq!((first.starts(), second.starts()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_claims_another_name_than_its_token_is_refused() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    site.edit_config(|text| text.replace(site.terminal_id(), "P11223351-T0099"))?;
    let agent = site.start_agent()?;
    rests(&site, &agent, 55_000).await?;
    assert!(site.agent_log()?.contains("4403"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_do_not_share_a_store() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let output = crate::cli::run(&["run", "--config"], Some(&site.agent_config()))?;
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("another process"), "{error}");
    // The one that was there is none the worse.
    result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(agent.starts(), 1);
    assert!(agent.show("status")?.contains("up for"));
    Ok(())
}
