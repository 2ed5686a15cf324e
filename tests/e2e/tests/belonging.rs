//! Whose a terminal is: a factory's key that spares the code, a trust that turns out to be wrong, and
//! an owner who must not learn what the one before had asked for.

use std::fs;

use anyhow::{Context, Result, ensure};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use terminal_cloud::{NewToken, Pki};
use terminal_harness::{Agent, EnrolmentOptions, Rest, Site, SiteOptions};

use crate::{
    enrolment::{activate, code, identities},
    support::{ACCOUNT, result, status},
};

const OTHER_ACCOUNT: &str = "P99887766";

async fn site() -> Result<Site> {
    let enrolment = Some(EnrolmentOptions::default());
    Site::start(SiteOptions { enrolment, ..SiteOptions::default() }).await
}

fn is_up(status: &Value) -> bool {
    status["link"]["state"] == "up"
}

#[tokio::test]
async fn a_serial_number_that_was_registered_with_the_key_of_its_factory_needs_no_code()
-> Result<()> {
    let site = site().await?;
    let serial = "123456789099";
    let (certificate, key) = site.pki().client("factory device")?;
    let public_key = KeyPair::from_pem(&key)?.subject_public_key_info();
    let digest = ring::digest::digest(&ring::digest::SHA256, &public_key);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({
        "device_serial_number": serial, "store_id": "S312", "factory_key_sha256": hex,
    });
    let path = format!("/v1/accounts/{ACCOUNT}/terminals");
    let registered = site.rest()?.post(&path, &body).await?;
    ensure!(registered.status == 201, "{registered:?}");

    let (certificate_file, key_file) = (site.path("agent/factory.pem"), site.path("agent/f.key"));
    let lines = format!(
        "[enrolment]\nfactory-certificate-file = {certificate_file:?}\n\
         factory-key-file = {key_file:?}"
    );
    site.edit_config(|text| {
        text.replace("[enrolment]", &lines).replace("\"123456789012\"", &format!("{serial:?}"))
    })?;
    let (strange_certificate, strange_key) = site.pki().client("another device")?;
    fs::write(&certificate_file, strange_certificate)?;
    fs::write(&key_file, strange_key)?;
    let agent = site.start_agent()?;
    code(&site, &agent, "").await?;
    let problem = agent.ask("status")?["membership"]["problem"].to_string();
    assert!(problem.contains("ACTIVATION_CODE_INVALID"), "{problem}");
    agent.stop()?;
    fs::write(&certificate_file, certificate)?;
    fs::write(&key_file, key)?;
    let agent = site.start_agent()?;
    let shown = status(&site, &agent, "the link", is_up).await?;
    assert_eq!(shown["terminal_id"], registered.body["terminal_id"]);
    Ok(())
}

#[tokio::test]
async fn a_terminal_that_was_told_to_trust_the_wrong_authority_asks_again_and_is_not_stranded()
-> Result<()> {
    let mut site = site().await?;
    let wrong = Pki::create()?.ca_pem().to_owned();
    site.kill_cloud().await?;
    site.edit_cloud(|config| config.trust_bundle_pem = Some(wrong))?;
    site.restart_cloud().await?;
    let agent = site.start_agent()?;
    let code = code(&site, &agent, "").await?;
    ensure!(activate(&site, &code).await?.status == 200);
    // What comes of asking again is as wrong, and only two identities are kept.
    let again = async |site: &Site| Ok(identities(site)?.contains(&"00000003".to_owned()));
    site.until("an identity that was asked for again", again).await?;
    ensure!(identities(&site)?.len() <= 3, "{:?}", identities(&site)?);
    site.kill_cloud().await?;
    site.edit_cloud(|config| config.trust_bundle_pem = None)?;
    site.restart_cloud().await?;
    status(&site, &agent, "the link", is_up).await?;
    site.until("one identity", async |site| Ok(identities(site)?.len() == 1)).await?;
    result(&site.run("check_update", json!({})).await?)?;
    let folder = identities(&site)?.pop().context("no identity")?;
    let mark = site.path("agent/identity").join(folder).join("probation");
    ensure!(!mark.exists(), "it has been welcomed");
    Ok(())
}

/// A terminal that was deactivated while an operation ran, with its verdict unsent.
async fn with_an_unsent_verdict() -> Result<(Site, Agent, String)> {
    let site = site().await?;
    let agent = site.start_agent()?;
    let code = code(&site, &agent, "").await?;
    ensure!(activate(&site, &code).await?.status == 200);
    site.online().await?;
    site.script(&json!({ "methods": { "check_update": { "latency_ms": 1500 } } }))?;
    let id = site.create("check_update", json!({})).await?;
    let runs = |status: &Value| status["operations"][0]["state"] == "running";
    status(&site, &agent, "a running operation", runs).await?;
    let path = format!("/v1/accounts/{ACCOUNT}/terminals");
    let terminals = site.rest()?.get(&path).await?;
    let terminal = terminals.body[0]["terminal_id"].as_str().context("no terminal")?;
    let path = format!("/v1/terminals/{terminal}/deactivate");
    ensure!(site.rest()?.post(&path, &json!({})).await?.status == 200);
    let waits = |status: &Value| {
        status["membership"]["state"] == "deactivated" && status["unsent_reports"] == 1
    };
    status(&site, &agent, "an unsent verdict", waits).await?;
    Ok((site, agent, id.to_string()))
}

#[tokio::test]
async fn what_one_account_asked_for_never_reaches_another_and_is_kept_until_a_person_discards_it()
-> Result<()> {
    let (site, agent, id) = with_an_unsent_verdict().await?;
    agent.show("activate")?;
    let code = code(&site, &agent, "").await?;
    let token = site
        .cloud()?
        .create_token(NewToken {
            account_id: OTHER_ACCOUNT.to_owned(),
            subject: "other@example.com".to_owned(),
            scopes: vec!["admin:checkout".to_owned()],
        })
        .await?;
    let other = Rest::new(&site.cloud()?.base_url(), site.pki().ca_pem(), &token)?;
    let answer = other.post("/v1/terminals/activate", &json!({ "activationCode": code })).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let settled = |status: &Value| is_up(status) && status["unsent_reports"] == 0;
    let shown = status(&site, &agent, "a link with nothing to send", settled).await?;
    assert_eq!(shown["held_reports"], 1);
    let terminal = shown["terminal_id"].as_str().context("no id")?.to_owned();
    assert!(terminal.starts_with(OTHER_ACCOUNT), "{terminal}");

    agent.kill_9()?;
    let shown = status(&site, &agent, "the link again", settled).await?;
    assert_eq!(shown["held_reports"], 1, "it survives a crash");
    let reports = format!("{:?}", site.cloud()?.reports(&terminal).await?);
    assert!(!reports.contains(&id), "{reports}");
    assert!(agent.show("status")?.contains("1 of an owner before, never sent"));
    assert_eq!(agent.show("discard")?, "1 reports of an owner before are removed\n");
    assert_eq!(agent.ask("status")?["held_reports"], 0);
    Ok(())
}
