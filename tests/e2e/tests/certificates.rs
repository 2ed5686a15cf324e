//! Certificates that cannot be accepted: the agent stays up, says in words what is wrong, waits as
//! after a refusal, and comes back by itself once that is mended.
//!
//! A wait after a refusal takes a minute or more; the agent's boot clock is set forward instead.

use std::{fs, time::Duration};

use anyhow::Result;
use serde_json::json;
use terminal_cloud::Pki;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::{
    fake_clock::{FakeClock, now},
    support::{drop_link, restart_with, result, status},
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longer than any wait after the few refusals of a test.
const LONG_WAIT: Duration = Duration::from_secs(2 * 3600);
/// Less than the least wait after a refusal by what a slow machine may need until it is looked at.
const WAIT_MS_MIN: u64 = 30_000;

struct Refusals {
    site: Site,
    clock: FakeClock,
    agent: Agent,
    suspended: Duration,
}

impl Refusals {
    async fn open(site: Site) -> Result<Self> {
        let clock = FakeClock::new(&site)?;
        // Vouched for: there is no second look at what has expired.
        clock.set_synchronised(true)?;
        let agent = Agent::launch(clock.launch(&site)?)?;
        site.online().await?;
        Ok(Self { site, clock, agent, suspended: Duration::ZERO })
    }

    /// Another certificate at the cloud, and what the agent then says.
    async fn refuses(&mut self, certificate: (String, String), words: &str) -> Result<()> {
        restart_with(&mut self.site, certificate.0, certificate.1).await?;
        self.waits(words).await
    }

    /// In the status for people and in the log; and it waits.
    async fn waits(&self, words: &str) -> Result<()> {
        let Self { site, agent, .. } = self;
        let refused = |status: &serde_json::Value| {
            let why = status["last_link_end"].as_str().unwrap_or_default();
            let waits = status["link"]["state"] == "waiting";
            waits && status["link"]["ms"].as_u64() >= Some(WAIT_MS_MIN) && why.contains(words)
        };
        status(site, agent, &format!("a long wait because {words:?}"), refused).await?;
        let shown = agent.show("status")?;
        assert!(shown.contains("down, next attempt in") && shown.contains(words), "{shown}");
        let log = site.agent_log()?;
        assert!(log.lines().any(|line| line.contains("no link") && line.contains(words)), "{log}");
        Ok(())
    }

    /// The wait passes, and everything is as it was, in the same process.
    async fn comes_back(&mut self) -> Result<()> {
        self.suspended += LONG_WAIT;
        self.clock.set_suspended(self.suspended)?;
        let up = |status: &serde_json::Value| status["link"]["state"] == "up";
        // The question wakes it, as whatever ends a suspend would.
        status(&self.site, &self.agent, "the link", up).await?;
        result(&self.site.run("check_update", json!({})).await?)?;
        assert_eq!(self.agent.starts(), 1);
        Ok(())
    }

    async fn mended(&mut self) -> Result<()> {
        let (certificate, key) = self.site.pki().server(&["localhost"])?;
        restart_with(&mut self.site, certificate, key).await?;
        self.comes_back().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_with_a_bad_certificate_is_left_alone_until_it_has_a_good_one() -> Result<()> {
    let mut refusals = Refusals::open(Site::start(SiteOptions::default()).await?).await?;
    let now = now()?;
    let pki = refusals.site.pki();
    let bad = [
        (pki.server_valid(&["localhost"], now - 30 * DAY, now - DAY)?, "has expired"),
        (pki.server_valid(&["localhost"], now + DAY, now + 30 * DAY)?, "is not valid yet"),
        (pki.server(&["cloud.example"])?, "is for another name"),
        (Pki::create()?.server(&["localhost"])?, "is from an unknown CA"),
    ];
    for (certificate, words) in bad {
        refusals.refuses(certificate, words).await?;
        refusals.mended().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_as_soon_as_the_list_says_so() -> Result<()> {
    let mut site = Site::start(SiteOptions::default()).await?;
    let list = site.path("agent/crl.pem");
    let (certificate, key, serial) = site.pki().server_with_serial(&["localhost"])?;
    restart_with(&mut site, certificate, key).await?;
    fs::write(&list, site.pki().revocation_list(&[])?)?;
    let line = format!("[cloud]\ncrl-file = \"{}\"\n", list.display());
    site.edit_config(|text| text.replace("[cloud]\n", &line))?;
    let mut refusals = Refusals::open(site).await?;
    fs::write(&list, refusals.site.pki().revocation_list(&[serial])?)?;
    drop_link(&refusals.site).await?;
    refusals.waits("has been revoked").await?;
    refusals.mended().await?;
    // A list that cannot be read is no reason to believe everybody.
    fs::write(&list, "nothing")?;
    drop_link(&refusals.site).await?;
    refusals.waits("no revocation list in it").await?;
    fs::write(&list, refusals.site.pki().revocation_list(&[])?)?;
    refusals.comes_back().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_whose_certificate_the_cloud_refuses_waits_for_another() -> Result<()> {
    let options = SiteOptions { client_certificate: true, ..SiteOptions::default() };
    let mut refusals = Refusals::open(Site::start(options).await?).await?;
    let site = &refusals.site;
    let (now, id) = (now()?, site.terminal_id().to_owned());
    let bad = [
        (site.pki().client_valid(&id, now - 30 * DAY, now - DAY)?, "CertificateExpired"),
        (Pki::create()?.client(&id)?, "UnknownCA"),
        (site.pki().client("P11223351-T0099")?, "401"),
    ];
    for (certificate, words) in bad {
        install(&refusals.site, certificate)?;
        drop_link(&refusals.site).await?;
        refusals.waits(words).await?;
        install(&refusals.site, refusals.site.pki().client(&id)?)?;
        refusals.comes_back().await?;
    }
    Ok(())
}

/// Both are read again with the next attempt.
fn install(site: &Site, (certificate, key): (String, String)) -> Result<()> {
    fs::write(site.path("agent/client.pem"), certificate)?;
    Ok(fs::write(site.path("agent/client.key"), key)?)
}
