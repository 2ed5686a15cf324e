//! Registered terminals: account ids, credentials, state.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, SOON, epoch};

#[tokio::test]
async fn an_account_id_is_p_or_t_and_eight_digits_and_the_one_of_the_token() {
    let bench = Bench::start().await;
    let body = json!({ "device_serial_number": "1", "store_id": "S1" });
    for (aid, status) in
        [("X11223351", 400), ("P1122335", 400), ("P112233511", 400), ("T12233302", 403)]
    {
        let response = bench.post(&format!("/v1/accounts/{aid}/terminals"), body.clone()).await;
        assert_eq!(response.status(), status, "{aid}");
    }
    let response = bench.post(&format!("/v1/accounts/{ACCOUNT}/terminals"), json!({})).await;
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_credential_is_shown_once_and_a_new_one_ends_the_one_before() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let path = format!("/v1/accounts/{ACCOUNT}/terminals/{}/credentials", terminal.terminal_id);
    let response = bench.post(&path, json!({})).await;
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.unwrap();
    let old = format!("Bearer {}", terminal.token);
    let refused = bench.try_dial(Some(&old), Some("terminal-ops.v1"), None).await;
    assert_eq!(crate::bench::refusal(refused).0, 401);
    let new = format!("Bearer {}", body["token"].as_str().unwrap());
    assert!(bench.try_dial(Some(&new), Some("terminal-ops.v1"), None).await.is_ok());
    let unknown = path.replace("T0001", "T0002");
    assert_eq!(bench.post(&unknown, json!({})).await.status(), 404);
}

#[tokio::test]
async fn a_terminal_is_pending_then_active_then_inactive_and_shows_what_it_said() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let list = format!("/v1/accounts/{ACCOUNT}/terminals");
    assert_eq!(bench.get(&list).await[0]["status"], "PENDING");

    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&json!({
        "type": "status", "observed_at": "2026-06-29T09:00:00Z",
        "boot_id": "00000000-0000-0000-0000-000000000009", "uptime_ms": 5, "state": "idle",
        "needs_attention": [], "software_version": "3.15.0", "queued": 0, "unacked": 0,
        "config_revision": 0, "battery_level": 87,
        "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "system" },
    }))
    .await;
    bench
        .cloud
        .wait_terminal(&terminal.terminal_id, SOON, |terminal| terminal.status.is_some())
        .await
        .unwrap();
    let shown = &bench.get(&list).await[0];
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["device_model"], "mock");
    assert_eq!(shown["software_version"], "3.15.0");
    assert_eq!(shown["battery_level"], 87);

    drop(link);
    bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
    assert_eq!(bench.get(&list).await[0]["status"], "INACTIVE");
    let debug = bench.get(&format!("/v1/admin/terminals/{}", terminal.terminal_id)).await;
    assert_eq!(debug["online"], false);
    assert_eq!(debug["hello"]["model"], "mock");
}

#[tokio::test]
async fn an_upload_of_another_account_under_the_same_name_is_another_upload() {
    let bench = Bench::start().await;
    let stranger = terminal_cloud::NewToken {
        account_id: "P99999999".into(),
        subject: "other".into(),
        scopes: vec!["admin:checkout".into()],
    };
    let stranger = bench.cloud.create_token(stranger).await.unwrap();
    let tokens = [("P99999999", stranger), (ACCOUNT, bench.token.clone())];
    for (account, _) in &tokens {
        let url = bench.cloud.mint_upload(account, "a.log", SOON).url;
        let put = bench.http.put(url).body((*account).to_owned()).send().await.unwrap();
        assert_eq!(put.status(), 201);
    }
    for (account, token) in &tokens {
        let url = format!("{}/v1/uploads/a.log", bench.cloud.base_url());
        let fetched = bench.http.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(fetched.status(), 200);
        assert_eq!(fetched.text().await.unwrap(), *account);
    }
}

#[tokio::test]
async fn an_upload_url_takes_one_name_until_it_expires() {
    let bench = Bench::start().await;
    let minted = bench.post("/v1/uploads", json!({ "name": "a.log", "valid_s": 60 })).await;
    assert_eq!(minted.status(), 201);
    let minted: Value = minted.json().await.unwrap();
    assert_eq!(minted["method"], "PUT");
    let url = minted["url"].as_str().unwrap();
    let put = |url: String| bench.http.put(url).body(vec![7; 100_000]).send();
    assert_eq!(put(url.to_owned()).await.unwrap().status(), 201);
    assert_eq!(bench.cloud.upload(ACCOUNT, "a.log").await.unwrap(), vec![7; 100_000]);
    let fetched = bench.request(Method::GET, "/v1/uploads/a.log").send().await.unwrap();
    assert_eq!(fetched.bytes().await.unwrap().len(), 100_000);

    assert_eq!(put(url.replace("/a.log", "/b.log")).await.unwrap().status(), 403);
    assert_eq!(put(url.replace("account=P", "account=T")).await.unwrap().status(), 403);
    let expired = bench.cloud.mint_upload(ACCOUNT, "c.log", std::time::Duration::ZERO);
    assert_eq!(put(expired.url).await.unwrap().status(), 403);
    let bad = bench.post("/v1/uploads", json!({ "name": "../cloud.db" })).await;
    assert_eq!(bad.status(), 400);
}
