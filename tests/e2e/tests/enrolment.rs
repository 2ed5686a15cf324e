//! A terminal comes to its identity by itself, keeps it through kills, renews it, and says when the
//! cloud has given it up.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_harness::{Agent, Answer, EnrolmentOptions, Site, SiteOptions};

use crate::support::{ACCOUNT, result, status};

const ACTIVATE: &str = "/v1/terminals/activate";

async fn site(enrolment: EnrolmentOptions) -> Result<Site> {
    Site::start(SiteOptions { enrolment: Some(enrolment), ..SiteOptions::default() }).await
}

/// The code in `status`, once there is one that is not `other`.
pub(crate) async fn code(site: &Site, agent: &Agent, other: &str) -> Result<String> {
    let shown = |status: &Value| code_of(status).is_some_and(|code| code != other);
    let status = status(site, agent, "an activation code", shown).await?;
    Ok(code_of(&status).context("no code")?.to_owned())
}

fn code_of(status: &Value) -> Option<&str> {
    status["membership"]["activation_code"]["code"].as_str()
}

/// What somebody does who reads the code from the screen.
pub(crate) async fn activate(site: &Site, code: &str) -> Result<Answer> {
    site.rest()?.post(ACTIVATE, &json!({ "activationCode": code })).await
}

fn error_code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or_default())
}

async fn enrolled(enrolment: EnrolmentOptions) -> Result<(Site, Agent)> {
    let site = site(enrolment).await?;
    let agent = site.start_agent()?;
    let code = code(&site, &agent, "").await?;
    let answer = activate(&site, &code).await?;
    ensure!(answer.status == 200, "{answer:?}");
    site.online().await?;
    Ok((site, agent))
}

/// Names in the folder of identities.
pub(crate) fn identities(site: &Site) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(site.path("agent/identity"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The line on the simulated terminal's screen.
fn screen(site: &Site) -> Result<Option<String>> {
    Ok(site.mock_state()?["screen"]["message"].as_str().map(str::to_owned))
}

async fn screen_shows(site: &Site, line: Option<&str>) -> Result<()> {
    let what = format!("{line:?} on the screen");
    site.until(&what, async |site| Ok(screen(site)?.as_deref() == line)).await
}

#[tokio::test]
async fn a_terminal_is_activated_by_the_code_on_its_screen_and_runs_operations() -> Result<()> {
    let site = site(EnrolmentOptions::default()).await?;
    let agent = site.start_agent()?;
    let code = code(&site, &agent, "").await?;
    screen_shows(&site, Some(&format!("Activation code {code}"))).await?;
    let shown = agent.show("status")?;
    assert!(shown.contains("not activated yet") && shown.contains(&code), "{shown}");
    assert_eq!(activate(&site, &code).await?.status, 200);
    site.online().await?;
    result(&site.run("check_update", json!({})).await?)?;
    screen_shows(&site, None).await?;
    assert_eq!(identities(&site)?, ["00000001"]);
    let shown = agent.show("status")?;
    assert!(
        shown.contains(site.terminal_id()) && shown.contains("enrolled, certificate"),
        "{shown}"
    );
    let refused = agent.show("activate").unwrap_err().to_string();
    assert!(refused.contains("ALREADY_ENROLLED"), "{refused}");
    // It finds its identity again.
    agent.stop()?;
    let agent = site.start_agent()?;
    status(&site, &agent, "the link", |status| status["link"]["state"] == "up").await?;
    let log = site.agent_log()?;
    assert!(!log.contains(&code) && !log.contains("PRIVATE KEY"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_serial_number_that_was_registered_beforehand_needs_its_secret_and_no_code() -> Result<()>
{
    let site = site(EnrolmentOptions::default()).await?;
    let terminal = format!("/v1/accounts/{ACCOUNT}/terminals/{}", site.terminal_id());
    let path = format!("{terminal}/enrolment-secret");
    let made = site.rest()?.post(&path, &json!({})).await?;
    let secret = made.body["secret"].as_str().context("no secret")?.to_owned();
    let file = site.path("agent/secret");
    let line = format!("[enrolment]\nsecret-file = {file:?}");
    site.edit_config(|text| text.replace("[enrolment]", &line))?;
    fs::write(&file, "enr_wrong")?;
    let agent = site.start_agent()?;
    code(&site, &agent, "").await?;
    let problem = agent.ask("status")?["membership"]["problem"].to_string();
    assert!(problem.contains("ACTIVATION_CODE_INVALID"), "{problem}");
    agent.stop()?;
    fs::write(&file, &secret)?;
    let _agent = site.start_agent()?;
    site.online().await?;
    assert!(!site.agent_log()?.contains(&secret));
    Ok(())
}

#[tokio::test]
async fn a_wrong_an_expired_and_a_used_code_activate_nothing() -> Result<()> {
    let code_ttl = Duration::from_secs(6);
    let site = site(EnrolmentOptions { code_ttl, ..EnrolmentOptions::default() }).await?;
    let agent = site.start_agent()?;
    let first = code(&site, &agent, "").await?;
    let wrong = activate(&site, "ACT-ZZZZ-ZZZZ").await?;
    assert_eq!(error_code(&wrong), (404, "ACTIVATION_CODE_INVALID"));
    let second = code(&site, &agent, &first).await?;
    screen_shows(&site, Some(&format!("Activation code {second}"))).await?;
    let expired = activate(&site, &first).await?;
    assert_eq!(error_code(&expired), (410, "ACTIVATION_CODE_EXPIRED"));
    assert_eq!(identities(&site)?, ["pending.key"]);
    let mut shown = second;
    while activate(&site, &shown).await?.status != 200 {
        shown = code(&site, &agent, &shown).await?;
    }
    site.online().await?;
    let used = activate(&site, &shown).await?;
    assert_eq!(used.status, 404, "{used:?}");
    Ok(())
}

/// A small generator: the same kills in every run, as far as a machine with threads allows.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[tokio::test]
async fn whatever_is_killed_during_enrolment_there_is_one_identity_in_the_end() -> Result<()> {
    for seed in 0..6 {
        let mut random = Random(seed);
        let site = site(EnrolmentOptions::default()).await?;
        let agent = site.start_agent()?;
        let mut activated = false;
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(random.below(200))).await;
            let shown = agent.ask("status").unwrap_or_default();
            if let (false, Some(code)) = (activated, code_of(&shown)) {
                let answer = activate(&site, code).await?;
                assert_eq!(answer.status, 200, "{answer:?}");
                activated = true;
            }
            // Between two of its lives there is nothing to kill.
            let _ = agent.kill_9();
        }
        if !activated {
            let code = code(&site, &agent, "").await?;
            assert_eq!(activate(&site, &code).await?.status, 200);
        }
        status(&site, &agent, "the link", |status| status["link"]["state"] == "up").await?;
        result(&site.run("check_update", json!({})).await?)?;
        site.until("one identity", async |site| Ok(identities(site)?.len() == 1)).await?;
        let terminals = site.rest()?.get(&format!("/v1/accounts/{ACCOUNT}/terminals")).await?;
        assert_eq!(terminals.body.as_array().map(Vec::len), Some(1), "{terminals:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_renewed_over_the_link_and_the_old_one_goes() -> Result<()> {
    // The cloud dates its certificates back by an hour: two thirds of this life are over at once.
    let certificate_life = Duration::from_secs(1200);
    let (site, agent) =
        enrolled(EnrolmentOptions { certificate_life, ..EnrolmentOptions::default() }).await?;
    assert_eq!(identities(&site)?, ["00000001"]);
    agent.stop()?;
    let agent = site.start_agent()?;
    let is_renewed = async |site: &Site| Ok(identities(site)? == ["00000002"]);
    site.until("one new identity", is_renewed).await?;
    status(&site, &agent, "the link", |status| status["link"]["state"] == "up").await?;
    result(&site.run("check_update", json!({})).await?)?;
    assert_eq!(agent.starts(), 1);
    Ok(())
}

#[tokio::test]
async fn a_terminal_whose_certificate_expired_in_a_drawer_comes_back_by_itself() -> Result<()> {
    let certificate_life = Duration::from_secs(4);
    let (site, agent) =
        enrolled(EnrolmentOptions { certificate_life, ..EnrolmentOptions::default() }).await?;
    let before = agent.ask("status")?["membership"]["certificate"].clone();
    agent.stop()?;
    tokio::time::sleep(certificate_life).await;
    let agent = site.start_agent()?;
    let is_back = |status: &Value| {
        status["link"]["state"] == "up" && status["membership"]["certificate"] != before
    };
    status(&site, &agent, "a link with a new certificate", is_back).await?;
    Ok(())
}

#[tokio::test]
async fn a_deactivated_terminal_says_so_and_delivers_what_it_kept_once_it_is_activated_again()
-> Result<()> {
    let (site, agent) = enrolled(EnrolmentOptions::default()).await?;
    site.script(&json!({ "methods": { "check_update": { "latency_ms": 1500 } } }))?;
    let id = site.create("check_update", json!({})).await?;
    let runs = |status: &Value| status["operations"][0]["state"] == "running";
    status(&site, &agent, "a running operation", runs).await?;
    let listed = site.rest()?.get("/v1/terminals").await?;
    let terminal = listed.body["data"][0]["id"].as_str().context("no terminal")?.to_owned();
    let path = format!("/v1/terminals/{terminal}/deactivate");
    assert_eq!(site.rest()?.post(&path, &json!({})).await?.status, 200);
    let waits = |status: &Value| {
        status["membership"]["state"] == "deactivated" && status["unsent_reports"] == 1
    };
    let status_then = status(&site, &agent, "deactivation and an unsent report", waits).await?;
    assert_eq!(status_then["link"]["state"], "waiting");
    screen_shows(&site, Some("This terminal has been deactivated")).await?;
    let shown = agent.show("status")?;
    assert!(shown.contains("DEACTIVATED"), "{shown}");

    agent.show("activate")?;
    let code = code(&site, &agent, "").await?;
    assert_eq!(activate(&site, &code).await?.status, 200);
    let sent = |status: &Value| status["link"]["state"] == "up" && status["unsent_reports"] == 0;
    status(&site, &agent, "everything sent", sent).await?;
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let is_of =
        |report: &terminal_cloud::StoredReport| format!("{report:?}").contains(&id.to_string());
    assert!(reports.iter().any(is_of), "{reports:?}");
    assert_eq!(agent.starts(), 1);
    Ok(())
}
