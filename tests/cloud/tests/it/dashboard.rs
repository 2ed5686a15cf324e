//! The dashboard: its files and its feed.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use terminal_browser::Browser;
use terminal_cloud::{OperationStatus, Transport};
use uuid::Uuid;

use crate::{
    bench::{Bench, SOON, completed, epoch, failed, id_of, verdict},
    enrolment::Key,
};

#[tokio::test]
async fn the_page_is_three_files_and_nothing_from_elsewhere() {
    let bench = Bench::start().await;
    for (path, content_type) in [
        ("/dashboard", "text/html; charset=utf-8"),
        ("/dashboard/app.js", "text/javascript; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
    ] {
        let url = format!("{}{path}", bench.cloud.base_url());
        let response = bench.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], content_type);
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let text = response.text().await.unwrap();
        assert!(!text.contains("http:") && !text.contains("https:"), "{path}");
        for (_, rest) in
            text.match_indices("src=\"").map(|(at, found)| (at, &text[at + found.len()..]))
        {
            assert!(rest.starts_with("/dashboard/"), "{path}: {rest:.40}");
        }
    }
}

/// Events of a feed, one after the other.
struct Feed {
    response: Response,
    text: String,
}

impl Feed {
    async fn open(bench: &Bench, query: &str) -> Self {
        let response =
            bench.request(Method::GET, &format!("/v1/feed{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix("event: state\ndata: ").map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk()).await.expect("an event");
            self.text += std::str::from_utf8(&chunk.unwrap().expect("the feed goes on")).unwrap();
        }
    }

    /// The first event that `wanted` says yes to.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let state = self.next().await;
            if wanted(&state) {
                return state;
            }
        }
    }
}

#[tokio::test]
async fn the_feed_shows_the_fleet_and_one_terminal_as_they_change() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("SN-1").await;
    let mut fleet = Feed::open(&bench, "").await;
    let state = fleet.next().await;
    assert_eq!(state["terminals"][0]["status"], "offline");
    assert_eq!(state["selected"], Value::Null);
    let id = state["terminals"][0]["id"].as_str().unwrap().to_owned();
    let mut link = bench.link(&terminal, epoch()).await;
    fleet.until(|state| state["terminals"][0]["status"] == "online").await;

    let mut one = Feed::open(&bench, &format!("?terminal={id}")).await;
    assert_eq!(one.next().await["selected"]["terminalId"], terminal.terminal_id);
    let operation = bench.operate(&terminal.terminal_id, "end_of_day").await;
    link.frame_of("operation").await;
    link.send(&json!({ "type": "started", "id": operation, "attempt": 1 })).await;
    link.send(&json!({ "type": "progress", "id": operation, "phase": "closing", "percent": 40 }))
        .await;
    let at_work =
        one.until(|state| !state["selected"]["operations"][0]["progress"].is_null()).await;
    let shown = &at_work["selected"]["operations"][0];
    assert_eq!(shown["progress"], json!({ "phase": "closing", "percent": 40 }));
    assert_eq!((&shown["started"], &shown["operation"]), (&json!(true), &json!("end_of_day")));
    let path = format!("/v1/terminals/{id}/configure");
    bench.post(&path, json!({ "display": { "idleMessage": "Hello" } })).await;
    let configured = one.until(|state| state["selected"]["configuration"]["revision"] == 1).await;
    assert_eq!(configured["selected"]["configuration"]["status"], "pending");

    let refused = bench.request(Method::GET, "/v1/feed?terminal=x").send().await.unwrap();
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn a_feed_ends_with_the_cloud_and_without_a_token_there_is_none() {
    let bench = Bench::start().await;
    let url = format!("{}/v1/feed", bench.cloud.base_url());
    assert_eq!(bench.http.get(url).send().await.unwrap().status(), 401);
    let mut feed = Feed::open(&bench, "").await;
    feed.next().await;
    bench.cloud.stop().await;
    let end = tokio::time::timeout(SOON, feed.response.chunk()).await.unwrap();
    assert!(matches!(end, Ok(None)), "an orderly end: {end:?}");
}

fn status(screen: &Value) -> Value {
    json!({
        "type": "status", "observed_at": "2026-06-29T09:00:00Z", "boot_id": Uuid::from_u128(9),
        "uptime_ms": 5, "state": "idle", "needs_attention": [], "software_version": "3.15.0",
        "queued": 0, "unacked": 0, "config_revision": 1, "screen": screen,
        "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "synchronised" },
    })
}

#[tokio::test]
async fn a_person_activates_a_terminal_locks_and_configures_it_and_sees_it_happen() {
    let bench = Bench::with(|config| config.transport = Transport::PlainHttp).await;
    let terminal = bench.terminal("SN-1").await;
    let url = format!("{}/dashboard", bench.cloud.base_url());
    let Some(mut browser) = Browser::open(&url).await else { return };
    browser.submit("sign-in", "token", &bench.token).await;
    browser.until_says("fleet", "SN-1").await;

    let mut waiting = bench.enrolment_link().await;
    waiting.send(&Key::new("SN-9").begin()).await;
    let code = waiting.frame_of("activation_code").await["code"].as_str().unwrap().to_owned();
    browser.submit("activate", "code", &code).await;
    waiting.frame_of("enrolled").await;
    browser.until_says("detail-title", "SN-9").await;

    let row = "[...document.querySelectorAll('#fleet button')].find(it => it.textContent.includes('SN-1'))";
    browser.eval(&format!("{row}.focus(); true")).await;
    browser.enter().await;
    browser.until_says("detail-title", "SN-1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    browser.until(&format!("{row}.textContent.includes('online')")).await;

    browser.press("lock").await;
    let operation = id_of(&link.frame_of("operation").await);
    browser.until_says("operations", "lockwaits").await;
    link.send(&json!({ "type": "started", "id": operation, "attempt": 1 })).await;
    browser.until_says("now", "lock runs").await;
    link.send(&verdict(epoch(), 1, operation, "lock", completed(json!({})))).await;
    browser.until_says("operations", "lockcompleted").await;
    browser.until_says("now", "Nothing runs").await;

    browser.submit("configure", "idleMessage", "Welcome to Acme Coffee").await;
    let frame = link.frame_of("configuration").await;
    assert_eq!(frame["config"], json!({ "display": { "idleMessage": "Welcome to Acme Coffee" } }));
    browser.until_says("configuration-state", "Revision 1: pending").await;
    // What is wanted is not what is shown: only the terminal says that.
    for (screen, shown) in [
        (Value::Null, "The terminal does not tell"),
        (json!({ "showing": "idle", "text": "Welcome" }), "ReadyWelcome"),
        (json!({ "showing": "menu", "text": "reports" }), "Menureports"),
        (json!({ "showing": "locked", "text": "Closed" }), "LockedClosed"),
        (json!({ "showing": "payment" }), "Payment"),
    ] {
        link.send(&status(&screen)).await;
        let text = format!("document.getElementById('screen').textContent === {}", json!(shown));
        browser.until(&text).await;
    }
    browser.eval("document.querySelector('#configure [name=mode]').value = 'fixed'; true").await;
    browser.submit("configure", "suggestions", "5, 4").await;
    browser.until_says("message", "tip.suggestions[1]").await;

    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    browser.call("Emulation.setDeviceMetricsOverride", phone).await;
    browser.until("document.documentElement.scrollWidth <= 360").await;
    // The 400 of the refused configuration is the one that there should be.
    let complaints = &browser.complaints;
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(complaints[0].to_string().contains("400"), "{complaints:#?}");
}

#[tokio::test]
async fn a_person_changes_what_is_the_terminals_own_and_sees_what_is_inherited() {
    let bench = Bench::with(|config| {
        config.transport = Transport::PlainHttp;
        config.timeout_max = Some(Duration::from_millis(50));
    })
    .await;
    let terminal = bench.terminal("SN-1").await;
    let id = bench.get("/v1/terminals").await["data"][0]["id"].as_str().unwrap().to_owned();
    let place = bench.get("/v1/locations").await["data"][0]["id"].as_str().unwrap().to_owned();
    let template = json!({
        "tip": { "mode": "percentage", "suggestions": [10, 15], "allowCustom": true },
        "display": { "idleMessage": "Welcome" },
    });
    let path = format!("/v1/locations/{place}/terminal-config");
    assert_eq!(bench.call(Method::PUT, &path, Some(template)).await.status(), 200);
    let own = json!({ "receipt": { "channels": ["print"] } });
    assert_eq!(bench.post(&format!("/v1/terminals/{id}/configure"), own).await.status(), 200);

    let url = format!("{}/dashboard", bench.cloud.base_url());
    let Some(mut browser) = Browser::open(&url).await else { return };
    browser.submit("sign-in", "token", &bench.token).await;
    browser.until_says("fleet", "battery unknown").await;
    browser.eval("document.querySelector('#fleet button').click(); true").await;
    browser.until_says("detail-title", "SN-1").await;
    for (name, inherited) in [("suggestions", "10, 15"), ("idleMessage", "Welcome")] {
        let field = format!("document.querySelector('#configure [name={name}]')");
        let shown = format!("{field}.placeholder === '{inherited}' && {field}.value === ''");
        browser.until(&shown).await;
    }
    browser.until_says("configure", "as inherited (percentage)").await;
    for (message, overrides) in [
        (
            "Bar",
            json!({ "display": { "idleMessage": "Bar" }, "receipt": { "channels": ["print"] } }),
        ),
        ("", json!({ "receipt": { "channels": ["print"] } })),
    ] {
        let before = bench.get(&format!("/v1/terminals/{id}/configuration")).await;
        browser.submit("configure", "idleMessage", message).await;
        let revision = before["revision"].as_u64().unwrap() + 1;
        browser.until_says("configuration-state", &format!("Revision {revision}:")).await;
        let after = bench.get(&format!("/v1/terminals/{id}/configuration")).await;
        assert_eq!(after["overrides"], overrides);
    }
    browser.submit("configure", "idleMessage", "").await;
    browser.until_says("message", "Nothing has been changed").await;

    let mut link = bench.link(&terminal, epoch()).await;
    let operation = bench.operate(&terminal.terminal_id, "lock").await;
    bench.cloud.wait_status(operation, OperationStatus::Timeout, SOON).await.unwrap();
    link.send(&verdict(epoch(), 1, operation, "lock", failed("DEVICE_FAULT"))).await;
    browser.until_says("operations", "late: failed, DEVICE_FAULT: for a test").await;
}

#[tokio::test]
async fn the_feed_says_when_it_shows_only_the_newest_of_the_fleet() {
    let bench = Bench::start().await;
    for number in 1..=200 {
        bench.terminal(&number.to_string()).await;
    }
    let mut feed = Feed::open(&bench, "").await;
    assert_eq!(feed.next().await["more"], false);
    bench.terminal("201").await;
    let state = feed.until(|state| state["more"] == true).await;
    assert_eq!(state["terminals"].as_array().unwrap().len(), 200);
    assert_eq!(state["terminals"][0]["serialNumber"], "201");
}
