//! The second dialect beyond what its pages show: limits, cursors, errors, configuration.

use reqwest::Method;
use serde_json::{Value, json};
use terminal_cloud::NewTerminal;
use uuid::Uuid;

use crate::bench::{ACCOUNT, Bench, FakeTerminal, SOON, epoch, hello, new_token};

async fn id_of(bench: &Bench, terminal: &NewTerminal) -> String {
    let shown = bench.get(&format!("/v1/admin/terminals/{}", terminal.terminal_id)).await;
    let serial = shown["terminal"]["device_serial_number"].clone();
    let listed = bench.get("/v1/terminals?limit=100").await;
    let found = listed["data"].as_array().unwrap().iter().find(|it| it["serialNumber"] == serial);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn location(bench: &Bench) -> String {
    let made: Value = bench.post("/v1/locations", json!({})).await.json().await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

async fn put(bench: &Bench, path: &str, body: Value) -> (u16, Value) {
    let response = bench.request(Method::PUT, path).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn post(bench: &Bench, path: &str, body: Value) -> (u16, Value) {
    let response = bench.post(path, body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

fn paths(error: &Value) -> Vec<&str> {
    let errors = error["error"]["errors"].as_array().unwrap();
    errors.iter().map(|error| error["path"].as_str().unwrap()).collect()
}

/// A heartbeat in which something needs attention.
async fn needs(link: &mut FakeTerminal, codes: &[&str]) {
    link.send(&json!({
        "type": "status", "observed_at": "2026-06-29T09:00:00Z", "boot_id": Uuid::from_u128(9),
        "uptime_ms": 5, "state": "idle", "needs_attention": codes, "software_version": "3.15.0",
        "queued": 0, "unacked": 0, "config_revision": 0, "battery_level": 7,
        "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "system" },
    }))
    .await;
}

#[tokio::test]
async fn lists_have_a_cursor_a_default_and_a_limit_and_the_newest_comes_first() {
    let bench = Bench::start().await;
    for n in 0..12 {
        bench.terminal(&format!("SN-{n}")).await;
    }
    let page = bench.get("/v1/terminals").await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (10, &json!(true)));
    assert_eq!(page["data"][0]["serialNumber"], "SN-11");
    let last = page["data"][9]["id"].as_str().unwrap();
    let rest = bench.get(&format!("/v1/terminals?starting_after={last}")).await;
    let serials: Vec<&Value> =
        rest["data"].as_array().unwrap().iter().map(|it| &it["serialNumber"]).collect();
    assert_eq!((serials, &rest["has_more"]), (vec![&json!("SN-1"), &json!("SN-0")], &json!(false)));
    let wrong =
        "/v1/terminals?limit=101&status=asleep&starting_after=x&colour=red&locationId=loc_1";
    let response = bench.request(Method::GET, wrong).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.unwrap();
    assert_eq!(paths(&error), ["locationId", "status", "starting_after", "limit", "colour"]);
    assert_eq!(bench.get("/v1/terminals?limit=100").await["data"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn actions_are_filtered_and_paged_and_other_operations_are_no_actions() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    bench.operate(&terminal.terminal_id, "end_of_day").await;
    for n in 0..21 {
        let action = if n % 2 == 0 { "lock" } else { "unlock" };
        let path = format!("/v1/terminals/{id}/actions");
        assert_eq!(post(&bench, &path, json!({ "action": action })).await.0, 200);
    }
    let page = bench.get("/v1/terminal/actions").await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (20, &json!(true)));
    let last = page["data"][19]["id"].as_str().unwrap();
    let rest = bench.get(&format!("/v1/terminal/actions?starting_after={last}")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    let locks = bench.get("/v1/terminal/actions?action=lock&status=queued&limit=100").await;
    assert_eq!(locks["data"].as_array().unwrap().len(), 11);
    assert_eq!(bench.get("/v1/terminal/actions?status=failed").await["data"], json!([]));
    let wrong = "/v1/terminal/actions?limit=0&action=dance&status=done&terminalId=1";
    let error: Value =
        bench.request(Method::GET, wrong).send().await.unwrap().json().await.unwrap();
    assert_eq!(paths(&error), ["terminalId", "action", "status", "limit"]);
    let listed = bench.get("/v1/admin/terminals/operations?limit=1000").await;
    assert_eq!(listed.as_array().unwrap().len(), 22, "one database");
}

#[tokio::test]
async fn an_action_takes_a_form_or_json_with_parameters_that_are_checked_at_once() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let path = format!("/v1/terminals/{}/actions", id_of(&bench, &terminal).await);
    let form = |text: &'static str| {
        let request = bench.request(Method::POST, &path).body(text);
        request.header("content-type", "application/x-www-form-urlencoded").send()
    };
    assert_eq!(form("action=lock&ttlSeconds=60").await.unwrap().status(), 200);
    assert_eq!(form("action=lock&action=lock").await.unwrap().status(), 400);
    assert_eq!(form("action=lock&ttlSeconds=many").await.unwrap().status(), 400);
    let odd = bench.request(Method::POST, &path).header("content-type", "text/csv").body("a");
    assert_eq!(odd.send().await.unwrap().status(), 415);
    let (status, error) = post(&bench, &path, json!({ "action": "end_of_day" })).await;
    assert_eq!((status, paths(&error)), (400, vec!["action"]));
    let long = json!({ "action": "lock", "parameters": { "message": "x".repeat(61) } });
    let (status, error) = post(&bench, &path, long).await;
    assert_eq!((status, paths(&error)), (400, vec!["message"]));
    let body = json!({ "action": "lock", "parameters": { "clearOnReboot": true } });
    assert_eq!(post(&bench, &path, body).await.0, 200);
    let mut link = bench.link(&terminal, epoch()).await;
    assert!(link.frame_of("operation").await["ttl_s"].as_u64().unwrap() <= 60);
    let second = link.frame_of("operation").await;
    assert_eq!(second["parameters"], json!({ "clear_on_reboot": true }));
}

#[tokio::test]
async fn a_key_creates_an_action_once() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let path = format!("/v1/terminals/{}/actions", id_of(&bench, &terminal).await);
    let send = |action: &'static str| {
        let request = bench.request(Method::POST, &path).json(&json!({ "action": action }));
        request.header("Idempotency-Key", Uuid::from_u128(7).to_string()).send()
    };
    let first: Value = send("lock").await.unwrap().json().await.unwrap();
    let second: Value = send("lock").await.unwrap().json().await.unwrap();
    assert_eq!(first, second);
    assert_eq!(send("unlock").await.unwrap().status(), 422);
}

#[tokio::test]
async fn a_bulk_action_tells_which_terminals_could_not_take_it() {
    let bench = Bench::start().await;
    let place = location(&bench).await;
    let mut ids = Vec::new();
    for serial in ["1", "2", "3"] {
        let terminal = bench.terminal(serial).await;
        let id = id_of(&bench, &terminal).await;
        post(&bench, &format!("/v1/terminals/{id}"), json!({ "locationId": place })).await;
        ids.push(id);
    }
    for _ in 0..100 {
        let path = format!("/v1/terminals/{}/actions", ids[0]);
        assert_eq!(post(&bench, &path, json!({ "action": "lock" })).await.0, 200);
    }
    let path = format!("/v1/terminals/{}/actions", ids[0]);
    let (status, error) = post(&bench, &path, json!({ "action": "lock" })).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("QUEUE_FULL")));
    post(&bench, &format!("/v1/terminals/{}/deactivate", ids[2]), json!({})).await;

    let bulk = format!("/v1/locations/{place}/terminal-actions");
    let (status, answer) = post(&bench, &bulk, json!({ "action": "reboot" })).await;
    assert_eq!(status, 200);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["data"][0]["terminalId"], ids[1]);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (&errors[0]["terminalId"], &errors[0]["code"]),
        (&json!(ids[0]), &json!("QUEUE_FULL"))
    );
}

#[tokio::test]
async fn a_key_creates_the_actions_of_a_location_once_and_for_a_terminal_that_came_since() {
    let bench = Bench::start().await;
    let (one, two) = (bench.terminal("1").await, bench.terminal("2").await);
    let place = bench.get("/v1/locations").await["data"][0]["id"].clone();
    let path = format!("/v1/locations/{}/terminal-actions", place.as_str().unwrap());
    let send = async |key: &str, action: &str| {
        let request = bench.request(Method::POST, &path).header("Idempotency-Key", key);
        let response = request.json(&json!({ "action": action })).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let (status, error) = send("monday", "lock").await;
    assert_eq!((status, paths(&error)), (400, vec!["Idempotency-Key"]));
    let key = Uuid::new_v4().to_string();
    let (_, first) = send(&key, "lock").await;
    let ids = [first["data"][0]["terminalId"].clone(), first["data"][1]["terminalId"].clone()];
    assert_eq!(ids, [id_of(&bench, &one).await, id_of(&bench, &two).await].map(Value::from));
    assert_ne!(first["data"][0]["id"], first["data"][1]["id"]);
    assert_eq!(send(&key, "lock").await, (200, first.clone()));
    bench.terminal("3").await;
    let (status, error) = send(&key, "unlock").await;
    assert_eq!((status, &error["error"]["code"]), (422, &json!("IDEMPOTENCY_KEY_REUSED")));
    let (_, third) = send(&key, "lock").await;
    assert_eq!(third["data"].as_array().unwrap()[..2], first["data"].as_array().unwrap()[..]);
    let all = bench.get("/v1/terminal/actions").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 3, "one for each terminal");
}

#[tokio::test]
async fn a_configuration_is_applied_as_long_as_the_terminal_says_so() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let path = format!("/v1/terminals/{}", id_of(&bench, &terminal).await);
    let config = json!({ "display": { "idleMessage": "Hello" } });
    assert_eq!(post(&bench, &format!("{path}/configure"), config).await.0, 200);
    let mut link = bench.link(&terminal, epoch()).await;
    link.frame_of("configuration").await;
    link.send(&json!({
        "type": "report", "seq": 1, "store_epoch": epoch(), "report_id": Uuid::from_u128(1),
        "kind": "configuration", "revision": 1, "status": "APPLIED",
    }))
    .await;
    link.acked(1).await;
    let shown = bench.get(&format!("{path}/configuration")).await;
    assert_eq!((&shown["status"], &shown["revisionInForce"]), (&json!("applied"), &json!(1)));
    // Its store was lost, and with it the configuration.
    let _link = bench.link(&terminal, Uuid::from_u128(0xF)).await;
    let shown = bench.get(&format!("{path}/configuration")).await;
    assert_eq!((&shown["status"], &shown["revisionInForce"]), (&json!("pending"), &json!(0)));
}

#[tokio::test]
async fn what_is_unknown_or_of_another_account_is_not_there_and_a_key_is_wanted() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    let stranger = terminal_cloud::NewToken {
        account_id: "P99999999".into(),
        subject: "other".into(),
        scopes: vec!["admin:checkout".into()],
    };
    let stranger = bench.cloud.create_token(stranger).await.unwrap();
    let read_only = new_token(&bench.cloud, &["read:checkout:/admin/terminals"]).await;
    let status = async |method: Method, path: &str, key: Option<&str>| {
        let url = format!("{}{path}", bench.cloud.base_url());
        let request = bench.http.request(method, url);
        let request = if let Some(key) = key { request.header("X-Api-Key", key) } else { request };
        request.send().await.unwrap().status().as_u16()
    };
    let path = format!("/v1/terminals/{id}");
    assert_eq!(status(Method::GET, &path, Some(&read_only)).await, 200);
    let other = format!("/v1/terminals/{}", terminal.terminal_id);
    assert_eq!(status(Method::GET, &other, Some(&read_only)).await, 200, "its other id");
    assert_eq!(status(Method::GET, &path, Some(&stranger)).await, 404);
    assert_eq!(status(Method::GET, "/v1/terminals/term_4Kx9", Some(&read_only)).await, 404);
    assert_eq!(status(Method::GET, "/v1/terminal/actions/tact_7Yp2", Some(&read_only)).await, 404);
    assert_eq!(status(Method::GET, "/v1/locations/loc_7Yz4", Some(&read_only)).await, 404);
    assert_eq!(status(Method::POST, &path, Some(&read_only)).await, 403);
    assert_eq!(status(Method::GET, &path, None).await, 401);
    assert_eq!(status(Method::GET, &path, Some("wrong")).await, 401);
    let both = bench.request(Method::GET, &path).header("X-Api-Key", "another");
    assert_eq!(both.send().await.unwrap().status(), 401);
    let nowhere = json!({ "locationId": "loc_0000000000000000000000" });
    let (status, error) = post(&bench, &path, nowhere).await;
    assert_eq!((status, paths(&error)), (400, vec!["locationId"]));
}

#[tokio::test]
async fn what_a_terminal_reports_makes_its_status_in_both_dialects() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    let both = async || {
        let one = bench.get(&format!("/v1/terminals/{id}")).await;
        let other = bench.get(&format!("/v1/accounts/{ACCOUNT}/terminals")).await;
        [one["status"].clone(), other[0]["status"].clone(), other[0]["status_reason"].clone()]
    };
    assert_eq!(both().await, [json!("offline"), json!("PENDING"), Value::Null]);
    let mut link = bench.link(&terminal, epoch()).await;
    assert_eq!(both().await, [json!("online"), json!("ACTIVE"), Value::Null]);
    for (codes, status) in [
        (&["NO_PAPER"][..], json!("ACTION_REQUIRED")),
        (&["LOW_BATTERY", "TAMPERED"], json!("ERROR")),
    ] {
        needs(&mut link, codes).await;
        let wanted = codes.len();
        let seen = move |it: &terminal_cloud::Terminal| it.needs_attention().len() == wanted;
        bench.cloud.wait_terminal(&terminal.terminal_id, SOON, seen).await.unwrap();
        assert_eq!(both().await, [json!("needs_attention"), status, Value::Null]);
        let shown = bench.get(&format!("/v1/terminals/{id}")).await;
        assert_eq!((&shown["needsAttention"], &shown["batteryLevel"]), (&json!(codes), &json!(7)));
    }
    let listed = bench.get("/v1/terminals?status=needs_attention").await;
    assert_eq!(listed["data"][0]["id"], id);
    assert_eq!(bench.get("/v1/terminals?status=online").await["data"], json!([]));

    needs(&mut link, &[]).await;
    let check = bench.operate(&terminal.terminal_id, "check_update").await;
    let updates = json!({ "available": true, "updates": [{ "mandatory": true }] });
    let outcome = crate::bench::completed(updates);
    link.send(&crate::bench::verdict(epoch(), 1, check, "check_update", outcome)).await;
    link.acked(1).await;
    assert_eq!(
        both().await,
        [json!("needs_attention"), json!("ACTION_REQUIRED"), json!("CHECK_UPDATE")]
    );
    drop(link);
    bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
    assert_eq!(both().await, [json!("offline"), json!("INACTIVE"), Value::Null]);
    let gone = format!("/v1/accounts/{ACCOUNT}/terminals/{}", terminal.terminal_id);
    let gone = bench.request(Method::DELETE, &gone).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap()["status"], "DELETED");
    assert_eq!(both().await, [json!("deactivated"), json!("DELETED"), Value::Null]);
}

#[tokio::test]
async fn a_terminal_inherits_overrides_and_gives_back_and_its_refusal_is_shown() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    let place = location(&bench).await;
    let mut link = bench.link(&terminal, epoch()).await;
    let template = format!("/v1/locations/{place}/terminal-config");
    let configure = format!("/v1/terminals/{id}/configure");
    let own = json!({ "tip": { "suggestions": [5, 10] }, "display": { "idleMessage": "Bar" } });
    let (status, error) = post(&bench, &configure, own.clone()).await;
    assert_eq!((status, paths(&error)), (400, vec!["tip.mode"]), "nothing to inherit it from");

    let config = json!({ "tip": { "mode": "percentage", "suggestions": [10] } });
    assert_eq!(put(&bench, &template, config.clone()).await.0, 200);
    assert_eq!(bench.get(&template).await["config"], config);
    link.nothing_before_pong().await;
    post(&bench, &format!("/v1/terminals/{id}"), json!({ "locationId": place })).await;
    let first = link.frame_of("configuration").await;
    assert_eq!(first["config"], config);
    assert_eq!(post(&bench, &configure, own).await.0, 200);
    let second = link.frame_of("configuration").await;
    let merged = json!({
        "tip": { "mode": "percentage", "suggestions": [5, 10] },
        "display": { "idleMessage": "Bar" },
    });
    assert_eq!((&second["config"], &second["revision"]), (&merged, &json!(2)));

    // What the template changes below an override changes nothing for the terminal.
    let other = json!({ "tip": { "mode": "percentage", "suggestions": [20] } });
    assert_eq!(put(&bench, &template, other).await.0, 200);
    link.nothing_before_pong().await;
    let bad = json!({ "tip": { "mode": "fixed", "suggestions": [0] } });
    let (status, error) = put(&bench, &template, bad).await;
    assert_eq!((status, paths(&error)), (400, vec!["tip.suggestions[0]"]));
    let none = json!({});
    let (status, error) = put(&bench, &template, none).await;
    assert_eq!((status, paths(&error)), (400, vec![format!("tip.mode@{id}").as_str()]));

    let back = json!({ "tip": null });
    assert_eq!(post(&bench, &configure, back).await.0, 200);
    let third = link.frame_of("configuration").await;
    assert_eq!(third["config"]["tip"]["suggestions"], json!([20]));
    let path = format!("/v1/terminals/{id}/configuration");
    assert_eq!(bench.get(&path).await["status"], "pending");
    let errors = json!([{ "path": "display.idleMessage", "code": "TOO_LONG", "message": "no" }]);
    link.send(&json!({
        "type": "report", "seq": 1, "store_epoch": epoch(), "report_id": Uuid::from_u128(1),
        "kind": "configuration", "revision": 3, "status": "REJECTED", "errors": errors,
    }))
    .await;
    link.acked(1).await;
    let shown = bench.get(&path).await;
    assert_eq!((&shown["status"], &shown["errors"]), (&json!("rejected"), &errors));
    assert_eq!((&shown["revision"], &shown["revisionInForce"]), (&json!(3), &json!(0)));
    assert_eq!(shown["overrides"], json!({ "display": { "idleMessage": "Bar" } }));

    // What is known to be rejected is not sent again; the next revision is.
    let mut link = bench.dial(&terminal).await;
    let mut said = hello(&terminal.terminal_id, epoch(), &[]);
    said["outbox"] = json!({ "first_seq": 2, "last_seq": 1 });
    link.send(&said).await;
    assert_eq!(link.frame().await["type"], "welcome");
    link.nothing_before_pong().await;
    let good = json!({ "display": { "idleMessage": "Bar 2" } });
    assert_eq!(post(&bench, &configure, good).await.0, 200);
    assert_eq!(link.frame_of("configuration").await["revision"], 4);
}

#[tokio::test]
async fn a_configuration_that_met_a_full_storage_comes_again() {
    let bench = Bench::with(|config| {
        config.redispatch_delay = std::time::Duration::from_millis(50);
    })
    .await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    let mut link = bench.link(&terminal, epoch()).await;
    let config = json!({ "display": { "idleMessage": "Hello" } });
    assert_eq!(post(&bench, &format!("/v1/terminals/{id}/configure"), config).await.0, 200);
    for _ in 0..3 {
        assert_eq!(link.frame_of("configuration").await["revision"], 1);
        let full = json!({ "type": "error", "code": "STORAGE_FULL", "message": "", "ref": "1" });
        link.send(&full).await;
    }
    assert_eq!(link.frame_of("configuration").await["revision"], 1);
}

#[tokio::test]
async fn a_terminal_that_was_offline_gets_its_action_and_configuration_when_it_comes() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = id_of(&bench, &terminal).await;
    let config = json!({ "display": { "idleMessage": "Hello" } });
    assert_eq!(post(&bench, &format!("/v1/terminals/{id}/configure"), config.clone()).await.0, 200);
    let path = format!("/v1/terminals/{id}/actions");
    let (_, action) = post(&bench, &path, json!({ "action": "update" })).await;
    assert_eq!(action["status"], "queued");
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    assert_eq!(link.frame_of("configuration").await["config"], config);
    let frame = link.frame_of("operation").await;
    assert!((604_000..=604_800).contains(&frame["ttl_s"].as_u64().unwrap()), "{frame}");
}
