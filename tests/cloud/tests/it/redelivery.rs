//! What a link is sent again after a reconnect, a refusal, a withdrawal.

use std::time::Duration;

use serde_json::json;
use terminal_cloud::{NewOperation, OperationStatus};
use uuid::Uuid;

use crate::bench::{Bench, SOON, completed, epoch, failed, hello, verdict};

#[tokio::test]
async fn what_has_no_verdict_comes_again_with_its_first_epoch_unless_hello_lists_it() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let new = || NewOperation::new(&terminal.terminal_id, "check_update");
    let known = bench.cloud.create_operation(new()).await.unwrap();
    let lost = bench.cloud.create_operation(new()).await.unwrap();
    let mut link = bench.link(&terminal, epoch()).await;
    assert_eq!(link.frame().await["id"], json!(known));
    assert_eq!(link.frame().await["id"], json!(lost));

    let later = Uuid::from_u128(0xF);
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, later, &[(known, "accepted")])).await;
    assert_eq!(link.frame().await["type"], "welcome");
    let again = link.frame().await;
    assert_eq!(again["id"], json!(lost));
    assert_eq!(again["first_epoch"], json!(epoch()));
    assert!(again["ttl_s"].as_u64().unwrap() <= 300);
    link.nothing_before_pong().await;
    let timeline = bench.cloud.timeline(known).await.unwrap();
    assert_eq!(timeline.iter().filter(|entry| entry.event == "dispatched").count(), 1);

    link.send(&verdict(later, 1, lost, "check_update", completed(json!({})))).await;
    link.acked(1).await;
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, later, &[(known, "started")])).await;
    assert_eq!(link.frame().await["type"], "welcome");
    link.nothing_before_pong().await;
}

#[tokio::test]
async fn an_overloaded_terminal_is_asked_again_later_and_the_error_is_kept() {
    let bench = Bench::with(|config| config.redispatch_delay = Duration::from_millis(50)).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = bench.operate(&terminal.terminal_id, "send_logs").await;
    for code in ["OVERLOADED", "STORAGE_FULL"] {
        assert_eq!(link.frame_of("operation").await["id"], json!(id));
        link.send(&json!({ "type": "error", "code": code, "message": "full", "ref": id })).await;
    }
    assert_eq!(link.frame_of("operation").await["id"], json!(id));
    let operation = bench.cloud.operation(id).await.unwrap();
    assert_eq!(operation.last_error.unwrap()["code"], "STORAGE_FULL");
    assert_eq!(operation.status, OperationStatus::Pending);
    // Another error is kept, but asks for nothing.
    let error = json!({ "type": "error", "code": "INVALID_MESSAGE", "message": "?", "ref": id });
    link.send(&error).await;
    bench
        .cloud
        .wait_operation(id, SOON, |one| {
            one.last_error.as_ref().is_some_and(|error| error["code"] == "INVALID_MESSAGE")
        })
        .await
        .unwrap();
    link.nothing_before_pong().await;
}

#[tokio::test]
async fn a_withdrawal_outlives_the_link_and_follows_its_operation() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    link.frame_of("operation").await;
    drop(link);
    bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
    assert!(bench.cloud.cancel_operation(id).await.unwrap());

    let mut link = bench.link(&terminal, epoch()).await;
    assert_eq!(link.frame().await["type"], "operation");
    let cancel = link.frame().await;
    assert_eq!((&cancel["type"], &cancel["id"]), (&json!("cancel"), &json!(id)));
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[(id, "accepted")])).await;
    assert_eq!(link.frame().await["type"], "welcome");
    assert_eq!(link.frame().await["type"], "cancel");
    link.send(&verdict(epoch(), 1, id, "end_of_day", failed("CANCELED"))).await;
    link.acked(1).await;
    assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Failed);
    assert!(!bench.cloud.cancel_operation(id).await.unwrap());
}

#[tokio::test]
async fn what_was_never_dispatched_is_withdrawn_without_the_terminal() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let path = format!("/v1/admin/terminals/operations/{id}/cancel");
    assert_eq!(bench.post(&path, json!({})).await.status(), 202);
    assert_eq!(bench.post(&path, json!({})).await.status(), 409);
    let operation = bench.cloud.operation(id).await.unwrap();
    assert_eq!(operation.status, OperationStatus::Failed);
    assert_eq!(operation.error.unwrap()["code"], "CANCELED");
    let mut link = bench.link(&terminal, epoch()).await;
    link.nothing_before_pong().await;
}

#[tokio::test]
async fn what_waited_beyond_its_ttl_is_not_sent_for_the_first_time() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut new = NewOperation::new(&terminal.terminal_id, "reboot");
    new.ttl_s = 1;
    new.deadline_s = 3600;
    let stale = bench.cloud.create_operation(new).await.unwrap();
    let created = bench.cloud.operation(stale).await.unwrap().created_at;
    while terminal_hal::Timestamp::from_unix_ms(unix_ms()).ms_since(created) < 1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fresh = bench
        .cloud
        .create_operation(NewOperation::new(&terminal.terminal_id, "lock"))
        .await
        .unwrap();
    let mut link = bench.link(&terminal, epoch()).await;
    assert_eq!(link.frame().await["id"], json!(fresh));
    assert_eq!(bench.cloud.operation(stale).await.unwrap().status, OperationStatus::Pending);
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn a_timeout_without_a_verdict_is_sent_again_without_time_to_start_until_not_after() {
    let bench = Bench::with(|config| config.timeout_max = Some(Duration::from_millis(50))).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let new = || NewOperation::new(&terminal.terminal_id, "check_update");
    let settled = bench.cloud.create_operation(new()).await.unwrap();
    let dead = bench.cloud.create_operation(new()).await.unwrap();
    for id in [settled, dead] {
        while link.frame_of("operation").await["id"] != json!(id) {}
        bench.cloud.wait_status(id, OperationStatus::Timeout, SOON).await.unwrap();
    }
    bench.sql(&format!("UPDATE operations SET not_after = 1 WHERE id = '{dead}'"));

    let mut link = bench.link(&terminal, epoch()).await;
    let again = link.frame().await;
    assert_eq!((&again["type"], &again["id"]), (&json!("operation"), &json!(settled)));
    assert_eq!((&again["ttl_s"], &again["first_epoch"]), (&json!(0), &json!(epoch())));
    let cancel = link.frame().await;
    assert_eq!((&cancel["type"], &cancel["id"]), (&json!("cancel"), &json!(settled)));
    link.nothing_before_pong().await;
    link.send(&verdict(epoch(), 1, settled, "check_update", completed(json!({})))).await;
    link.acked(1).await;
    let operation = bench.cloud.operation(settled).await.unwrap();
    assert_eq!(operation.status, OperationStatus::Timeout);
    assert_eq!(operation.late_result.unwrap().status, OperationStatus::Completed);
    let mut link = bench.link(&terminal, epoch()).await;
    link.nothing_before_pong().await;
}

#[tokio::test]
async fn what_can_no_longer_be_sent_holds_back_nothing_behind_it() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    for _ in 0..70 {
        let stale = NewOperation::new(&terminal.terminal_id, "check_update");
        bench.cloud.create_operation(stale).await.unwrap();
    }
    bench.sql("UPDATE operations SET created_at = created_at - 1000 * ttl_s");
    let lock = NewOperation::new(&terminal.terminal_id, "lock");
    let lock = bench.cloud.create_operation(lock).await.unwrap();
    let mut link = bench.link(&terminal, epoch()).await;
    assert_eq!(link.frame().await["id"], json!(lock));
    link.nothing_before_pong().await;
}
