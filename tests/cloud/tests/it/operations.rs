//! Creating and reading operations: checks, scopes, keys, timeouts.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use terminal_cloud::{NewOperation, OperationStatus};
use uuid::Uuid;

use crate::bench::{Bench, SOON, completed, epoch, failed, new_token, verdict};

const OPERATIONS: &str = "/v1/admin/terminals/operations";

#[tokio::test]
async fn without_a_token_401_and_with_the_wrong_scope_403_that_names_the_right_ones() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let url = format!("{}{OPERATIONS}", bench.cloud.base_url());
    assert_eq!(bench.http.get(&url).send().await.unwrap().status(), 401);
    let unknown = bench.http.get(&url).bearer_auth("tok_0").send().await.unwrap();
    assert_eq!(unknown.status(), 401);

    let read = new_token(&bench.cloud, &["read:checkout:/admin/terminals"]).await;
    assert_eq!(bench.http.get(&url).bearer_auth(&read).send().await.unwrap().status(), 200);
    let body = json!({ "terminal_id": terminal.terminal_id, "operation": "end_of_day" });
    let denied = bench.http.post(&url).bearer_auth(&read).json(&body).send().await.unwrap();
    assert_eq!(denied.status(), 403);
    let error: Value = denied.json().await.unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("admin:checkout"), "{message}");
    assert!(message.contains("write:checkout:/admin/terminals"), "{message}");

    let write = new_token(&bench.cloud, &["write:checkout:/admin/terminals"]).await;
    let created = bench.http.post(&url).bearer_auth(&write).json(&body).send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(bench.http.get(&url).bearer_auth(&write).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_answer_names_every_field_that_is_wrong_with_what_it_holds_and_what_is_wanted() {
    let bench = Bench::start().await;
    let body = json!({
        "terminal_id": "", "operation": "dance", "ttl_s": 0, "deadline_s": 86_401,
        "parameters": [], "policy": { "if_busy": "hope", "wait_max_s": 3601, "colour": 1 },
        "operator": 1,
    });
    let response = bench.post(OPERATIONS, body).await;
    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.unwrap();
    let errors = error["error"]["errors"].as_array().unwrap();
    let paths = errors.iter().map(|error| error["path"].as_str().unwrap()).collect::<Vec<_>>();
    for path in [
        "terminal_id",
        "operation",
        "ttl_s",
        "deadline_s",
        "parameters",
        "policy.if_busy",
        "policy.wait_max_s",
        "policy.colour",
        "operator",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    let text = error.to_string();
    assert!(text.contains("dance") && text.contains("86401") && text.contains("86400"), "{text}");
}

#[tokio::test]
async fn what_is_not_json_and_what_does_not_fit_into_a_frame_is_refused() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let broken = bench.request(Method::POST, OPERATIONS).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    let large = |n: usize| {
        json!({
            "terminal_id": terminal.terminal_id, "operation": "configure",
            "parameters": { "revision": 1, "config": { "x": "x".repeat(n) } },
        })
    };
    assert_eq!(bench.post(OPERATIONS, large(65_400)).await.status(), 400);
    assert_eq!(bench.post(OPERATIONS, large(70_000)).await.status(), 413);
    assert_eq!(bench.post(OPERATIONS, large(64_000)).await.status(), 201);
    let wrong_method = bench.request(Method::PUT, OPERATIONS).send().await.unwrap();
    assert_eq!(wrong_method.status(), 405);
    assert_eq!(wrong_method.headers()["allow"], "POST,GET,HEAD");
    let error: Value = wrong_method.json().await.unwrap();
    assert_eq!(error["error"]["code"], "METHOD_NOT_ALLOWED");
    let key = bench.request(Method::POST, OPERATIONS).header("Idempotency-Key", "7");
    assert_eq!(key.json(&large(1)).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn an_unknown_terminal_and_one_of_another_account_are_both_not_there() {
    let bench = Bench::start().await;
    let other = bench.cloud.create_terminal("T99999999", "1").await.unwrap();
    for terminal_id in ["P11223351-T0404", &other.terminal_id] {
        let body = json!({ "terminal_id": terminal_id, "operation": "end_of_day" });
        assert_eq!(bench.post(OPERATIONS, body).await.status(), 404);
    }
    let hidden = bench.cloud.create_operation(NewOperation::new(&other.terminal_id, "lock")).await;
    let path = format!("{OPERATIONS}?operation_id={}", hidden.unwrap());
    assert_eq!(bench.get(&path).await, json!([]));
}

#[tokio::test]
async fn concurrent_requests_with_one_key_create_one_operation() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let body = json!({ "terminal_id": terminal.terminal_id, "operation": "end_of_day" });
    let send = || {
        bench
            .request(Method::POST, OPERATIONS)
            .header("Idempotency-Key", "9b2c5d7e-1a3f-4c6b-8d9e-0f1a2b3c4d5e")
            .json(&body)
            .send()
    };
    let answers = futures_util::future::join_all((0..16).map(|_| send())).await;
    let mut fresh = 0;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        fresh += usize::from(answer.headers().get("idempotent-replayed").is_none());
    }
    assert_eq!(fresh, 1);
    assert_eq!(bench.get(OPERATIONS).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_is_newest_first_and_paged() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let new = NewOperation::new(&terminal.terminal_id, "check_update");
        ids.push(json!(bench.cloud.create_operation(new).await.unwrap()));
    }
    ids.reverse();
    let page = bench.get(&format!("{OPERATIONS}?limit=2")).await;
    assert_eq!((&page[0]["id"], &page[1]["id"]), (&ids[0], &ids[1]));
    let after = ids[1].as_str().unwrap();
    let page = bench.get(&format!("{OPERATIONS}?limit=1000&starting_after={after}")).await;
    let rest = page.as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(rest, ids[2..]);
    for wrong in ["limit=0", "limit=1001", "operation_id=x", "colour=red"] {
        let refused =
            bench.request(Method::GET, &format!("{OPERATIONS}?{wrong}")).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_failure_says_why_and_has_no_result() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&verdict(epoch(), 1, id, "end_of_day", failed("HOST_UNREACHABLE"))).await;
    link.acked(1).await;
    let body = &bench.get(&format!("{OPERATIONS}?operation_id={id}")).await[0];
    assert_eq!(body["status"], "FAILED");
    assert_eq!(body["error"]["code"], "HOST_UNREACHABLE");
    assert_eq!(body["error"]["failure_reason"], "for a test");
    assert_eq!(body["error"]["retryable"], true);
    assert_eq!(body["error"]["side_effects"], "none");
    assert!(body.get("result").is_none());
}

#[tokio::test]
async fn after_its_window_an_operation_is_a_timeout_that_is_withdrawn_and_keeps_a_late_result() {
    let bench = Bench::with(|config| config.timeout_max = Some(Duration::from_millis(300))).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    link.frame_of("operation").await;
    let cancel = link.frame_of("cancel").await;
    assert_eq!(cancel["id"], json!(id));
    let timed_out = bench.cloud.operation(id).await.unwrap();
    assert_eq!(timed_out.status, OperationStatus::Timeout);

    // A new one may be dispatched, and the first result is not lost.
    bench.operate(&terminal.terminal_id, "check_update").await;
    let result = json!({ "batch_id": "B7" });
    link.send(&verdict(epoch(), 1, id, "end_of_day", completed(result.clone()))).await;
    link.acked(1).await;
    let body = &bench.get(&format!("{OPERATIONS}?operation_id={id}")).await[0];
    assert_eq!(body["status"], "TIMEOUT");
    assert!(body.get("result").is_none());
    assert_eq!(body["late_result"]["status"], "COMPLETED");
    assert_eq!(body["late_result"]["result"], result);
    assert!(body["late_result"]["received_at"].is_string());
}

#[tokio::test]
async fn what_has_started_is_not_withdrawn_by_its_timeout() {
    let bench = Bench::with(|config| config.timeout_max = Some(Duration::from_secs(2))).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    link.frame_of("operation").await;
    link.send(&json!({ "type": "accepted", "id": id, "duplicate": false })).await;
    link.send(&json!({ "type": "started", "id": id, "attempt": 1 })).await;
    bench.cloud.wait_timeline(id, "started", 1, SOON).await.unwrap();
    bench.cloud.wait_status(id, OperationStatus::Timeout, SOON).await.unwrap();
    // The next operation is dispatched after whatever the timeout sent.
    let next = bench.operate(&terminal.terminal_id, "check_update").await;
    let frame = link.frame().await;
    assert_eq!((&frame["type"], &frame["id"]), (&json!("operation"), &json!(next)));
}

#[tokio::test]
async fn the_timeline_tells_the_life_of_an_operation() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    link.frame_of("operation").await;
    link.send(&json!({ "type": "accepted", "id": id, "duplicate": false })).await;
    // Twice, as after a reconnect.
    link.send(&json!({ "type": "started", "id": id, "attempt": 1 })).await;
    link.send(&json!({ "type": "started", "id": id, "attempt": 1 })).await;
    link.send(&json!({ "type": "progress", "id": id, "phase": "closing", "percent": 40 })).await;
    link.send(&verdict(epoch(), 1, id, "end_of_day", completed(json!({})))).await;
    link.acked(1).await;
    let body = bench.get(&format!("{OPERATIONS}/{id}/timeline")).await;
    let events = body["timeline"].as_array().unwrap();
    let names = events.iter().map(|entry| entry["event"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        names,
        ["created", "dispatched", "accepted", "started", "progress", "report", "acked"]
    );
}

#[tokio::test]
async fn progress_beyond_what_the_protocol_allows_is_refused() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let longest = "å".repeat(32);
    for (phase, percent) in [(format!("{longest}x"), 100), ("a\nb".into(), 1), ("a".into(), 101)] {
        link.send(&json!({ "type": "progress", "id": id, "phase": phase, "percent": percent }))
            .await;
        let error = link.frame_of("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("INVALID_MESSAGE"), &json!(id)));
    }
    link.send(&json!({ "type": "progress", "id": id, "phase": longest, "percent": 100 })).await;
    let timeline = bench.cloud.wait_timeline(id, "progress", 1, SOON).await.unwrap();
    let told = timeline.iter().filter(|entry| entry.event == "progress");
    let told: Vec<_> = told.map(|entry| &entry.detail).collect();
    assert_eq!(told, [&json!({ "phase": longest, "percent": 100 })]);
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_in_every_list() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let hook = json!({ "url": "https://a.example/hook" });
    let hook: Value = bench.post("/v1/webhook-endpoints", hook).await.json().await.unwrap();
    let deliveries = format!("/v1/webhook-endpoints/{}/deliveries", hook["id"].as_str().unwrap());
    let logs = format!("/v1/terminals/{}/logs", terminal.terminal_id);
    let zero = |prefix: &str| format!("{prefix}{}", "0".repeat(22));
    for (list, cursor) in [
        ("/v1/accounts/P11223351/terminals", Some("P11223351-T0099".to_owned())),
        (OPERATIONS, Some(Uuid::nil().to_string())),
        ("/v1/terminals", Some(zero("term_"))),
        ("/v1/terminal/actions", Some(zero("tact_"))),
        ("/v1/locations", Some(zero("loc_"))),
        ("/v1/events", Some(zero("evt_"))),
        (&deliveries, Some(zero("evt_"))),
        ("/v1/webhook-endpoints", None),
        (&logs, None),
    ] {
        let after = cursor.map(|cursor| ("starting_after", format!("starting_after={cursor}")));
        for (name, query) in [("limt", "limt=1".to_owned())].into_iter().chain(after) {
            let answer = bench.call(Method::GET, &format!("{list}?{query}"), None).await;
            assert_eq!(answer.status(), 400, "{list}?{query}");
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["error"]["errors"][0]["path"], name, "{list}: {error}");
        }
    }
}
