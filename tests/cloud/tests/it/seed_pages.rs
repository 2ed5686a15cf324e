//! Every request of the public pages, with host and ids changed.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::{ACCOUNT, Bench, completed, epoch, verdict};

const OPERATIONS: &str = "/v1/admin/terminals/operations";

/// The nine figures of an end of day, as the page lists them.
fn totals() -> Value {
    json!({
        "batch_id": "B7", "start_of_day_at": "2026-06-29T07:00:00Z",
        "last_end_of_day_at": "2026-06-28T21:00:00Z", "purchases_count": 123,
        "purchases_amount": 1230, "reversals_count": 1, "reversals_amount": 10,
        "sale_amount": 1130, "tip_amount": 100,
    })
}

#[tokio::test]
async fn guide_a_command_is_pending_at_once_and_completed_when_the_terminal_has_answered() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let response = bench
        .post(OPERATIONS, json!({ "terminal_id": terminal.terminal_id, "operation": "end_of_day" }))
        .await;
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], "PENDING");
    assert_eq!(body["operation"], "end_of_day");
    assert_eq!(body["terminal_id"], terminal.terminal_id);
    assert_eq!(body["created_by"], "user@example.com");
    assert_eq!(body["updated_by"], "user@example.com");
    assert_eq!(body["created_at"], body["updated_at"]);
    assert_eq!(body["account_id"], ACCOUNT);
    for absent in ["result", "error", "parameters", "late_result"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }

    let mut link = bench.link(&terminal, epoch()).await;
    let frame = link.frame_of("operation").await;
    assert_eq!(frame["id"], body["id"]);
    assert!(frame.get("first_epoch").is_none());
    let id = crate::bench::id_of(&body);
    link.send(&verdict(epoch(), 1, id, "end_of_day", completed(totals()))).await;
    link.acked(1).await;

    let listed = bench.get(&format!("{OPERATIONS}?operation_id={id}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["status"], "COMPLETED");
    assert_eq!(listed[0]["result"], totals());
    assert_eq!(listed[0]["updated_by"], terminal.terminal_id);
    assert!(listed[0].get("error").is_none());

    let by_terminal =
        bench.get(&format!("{OPERATIONS}?terminal_id={}", terminal.terminal_id)).await;
    assert_eq!(by_terminal, listed);
}

#[tokio::test]
async fn guide_every_operation_that_the_page_lists_can_be_sent() {
    let bench = Bench::start().await;
    for (n, operation) in
        ["end_of_day", "send_logs", "check_update", "open_menu"].into_iter().enumerate()
    {
        let terminal = bench.terminal(&n.to_string()).await;
        bench.operate(&terminal.terminal_id, operation).await;
    }
}

#[tokio::test]
async fn guide_a_key_runs_a_command_once() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let key = "9b2c5d7e-1a3f-4c6b-8d9e-0f1a2b3c4d5e";
    let send = |operation: &'static str| {
        bench
            .request(Method::POST, OPERATIONS)
            .header("Idempotency-Key", key)
            .json(&json!({ "terminal_id": terminal.terminal_id, "operation": operation }))
            .send()
    };
    let first = send("end_of_day").await.unwrap();
    assert_eq!(first.status(), 201);
    assert!(first.headers().get("idempotent-replayed").is_none());
    let first: Value = first.json().await.unwrap();
    let second = send("end_of_day").await.unwrap();
    assert_eq!(second.status(), 201);
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.json::<Value>().await.unwrap(), first);
    let other = send("send_logs").await.unwrap();
    assert_eq!(other.status(), 422);
    let error: Value = other.json().await.unwrap();
    assert_eq!(error["error"]["code"], "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn guide_one_operation_at_a_time_and_retry_after_says_when() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    bench.operate(&terminal.terminal_id, "end_of_day").await;
    let body = json!({ "terminal_id": terminal.terminal_id, "operation": "send_logs" });
    let response = bench.post(OPERATIONS, body).await;
    assert_eq!(response.status(), 409);
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=15).contains(&seconds), "{seconds}");
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["code"], "OPERATION_PENDING");
}

#[tokio::test]
async fn reference_the_curl_without_an_operation_is_told_what_is_missing() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let response = bench.post(OPERATIONS, json!({ "terminal_id": terminal.terminal_id })).await;
    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["errors"][0]["path"], "operation");
    let message = error["error"]["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("missing") && message.contains("end_of_day"), "{message}");
}

#[tokio::test]
async fn reference_the_parameters_come_back_and_reach_the_terminal() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let body = json!({
        "terminal_id": terminal.terminal_id, "operation": "end_of_day",
        "parameters": { "operator_id": "7" },
    });
    let response = bench.post(OPERATIONS, body).await;
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["parameters"], json!({ "operator_id": "7" }));
    let mut link = bench.link(&terminal, epoch()).await;
    let frame = link.frame_of("operation").await;
    assert_eq!(frame["parameters"], json!({ "operator_id": "7" }));
    assert_eq!((frame["ttl_s"].as_u64(), frame["deadline_s"].as_u64()), (Some(900), Some(300)));
}

#[tokio::test]
async fn accounts_a_terminal_is_registered_by_serial_number_and_store() {
    let bench = Bench::start().await;
    let path = format!("/v1/accounts/{ACCOUNT}/terminals");
    let body = json!({ "device_serial_number": "123456789012", "store_id": "S312" });
    let response = bench.post(&path, body.clone()).await;
    assert_eq!(response.status(), 201);
    let terminal: Value = response.json().await.unwrap();
    assert_eq!(terminal["terminal_id"], format!("{ACCOUNT}-T0001"));
    assert_eq!(terminal["device_serial_number"], "123456789012");
    assert_eq!(terminal["store_id"], "S312");
    assert_eq!(terminal["status"], "PENDING");
    assert!(Uuid::parse_str(terminal["id"].as_str().unwrap()).is_ok());
    for present in ["created_at", "created_by", "updated_at"] {
        assert!(terminal[present].is_string(), "{present}");
    }
    assert_eq!(bench.post(&path, body).await.status(), 409);
    let next = json!({ "device_serial_number": "2", "store_id": "S312" });
    let next: Value = bench.post(&path, next).await.json().await.unwrap();
    assert_eq!(next["terminal_id"], format!("{ACCOUNT}-T0002"));
}
