//! What a person can do who has never seen it: the dashboard in Chromium, a real agent behind it.
//! What is on the dashboard's screen is what the hardware says that it shows.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use terminal_browser::Browser;
use terminal_harness::{EnrolmentOptions, Site, SiteOptions};

use crate::support::create;

/// The code that somebody in front of the simulated terminal reads.
async fn code_on_the_screen(site: &Site) -> Result<String> {
    let mut code = None;
    let shows_code = async |site: &Site| {
        let state = site.mock_state().unwrap_or_default();
        let line = state["screen"]["message"].as_str().unwrap_or_default().to_owned();
        code = line.strip_prefix("Activation code ").map(str::to_owned);
        Ok(code.is_some())
    };
    site.until("a code on the screen", shows_code).await?;
    Ok(code.unwrap_or_default())
}

/// A site whose terminal waits for somebody, and a person in front of the dashboard.
async fn opened() -> Result<Option<(Site, terminal_harness::Agent, Browser)>> {
    let enrolment = Some(EnrolmentOptions::default());
    let site = Site::start(SiteOptions { enrolment, ..SiteOptions::default() }).await?;
    let url = format!("{}/dashboard#token={}", site.cloud()?.base_url(), site.api_token());
    let Some(browser) = Browser::open(&url).await else { return Ok(None) };
    let agent = site.start_agent()?;
    Ok(Some((site, agent, browser)))
}

async fn activate(site: &Site, browser: &mut Browser) -> Result<()> {
    let code = code_on_the_screen(site).await?;
    browser.until("!document.getElementById('main').hidden").await;
    browser.submit("activate", "code", &code).await;
    browser.until_says("screen", "ReadyWelcome").await;
    Ok(())
}

#[tokio::test]
async fn a_person_activates_configures_locks_closes_and_updates_a_terminal_that_was_unplugged()
-> Result<()> {
    let Some((site, agent, mut browser)) = opened().await? else { return Ok(()) };
    activate(&site, &mut browser).await?;
    browser.submit("configure", "idleMessage", "Velkommen til Acme").await;
    browser.until_says("screen", "ReadyVelkommen til Acme").await;
    browser.until_says("configuration-state", "applied").await;
    browser.press("lock").await;
    browser.until_says("screen", "Locked").await;
    browser.press("unlock").await;
    browser.until_says("screen", "ReadyVelkommen til Acme").await;
    browser.press("end of day").await;
    browser.until_says("operations", "end of daycompleted").await;

    agent.stop()?;
    browser.until_says("screen", "No link").await;
    browser.press("update").await;
    browser.until_says("now", "Waits until the terminal is back: update").await;
    let agent = site.start_agent()?;
    browser.until_says("operations", "updatecompleted").await;
    browser.until_says("screen", "ReadyVelkommen til Acme").await;
    assert!(agent.starts() > 1, "an update restarts the device");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    Ok(())
}

#[tokio::test]
async fn a_menu_is_on_the_dashboard_only_while_it_is_on_the_screen() -> Result<()> {
    let Some((site, _agent, mut browser)) = opened().await? else { return Ok(()) };
    activate(&site, &mut browser).await?;
    create(&site, "open_menu", json!({ "menu": "reports", "timeout_s": 10 })).await?;
    browser.until_says("screen", "Menureports").await;
    // Closed on the terminal, by its own clock.
    browser.until_says("screen", "ReadyWelcome").await;

    let paying = json!({ "state": "committed", "for_ms": 6_000 });
    site.script(&json!({ "payment_active": paying }))?;
    browser.until("document.getElementById('screen').textContent === 'Payment'").await;
    let queued = create(&site, "open_menu", json!({ "menu": "network" })).await?;
    browser.until_says("now", "open menu").await;
    let screen = browser.eval("document.getElementById('screen').textContent").await;
    assert_eq!(screen, "Payment", "a menu that waits is not shown");
    browser.until_says("screen", "Menunetwork").await;
    site.cloud()?.wait_operation(queued, Duration::from_secs(20), |it| it.result.is_some()).await?;
    Ok(())
}
