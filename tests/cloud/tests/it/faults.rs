//! The switches do what they say.

use reqwest::Method;
use serde_json::{Value, json};
use terminal_cloud::{FaultSwitches, OperationStatus, Unavailable};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::bench::{Bench, SOON, completed, epoch, event, hello, refusal, verdict};

async fn throw(bench: &Bench, switches: Value) {
    assert_eq!(bench.post("/test/faults", switches).await.status(), 204);
}

#[tokio::test]
async fn the_switches_exist_only_on_request_and_refuse_what_they_do_not_know() {
    let bench = Bench::start().await;
    assert_eq!(bench.post("/test/faults", json!({ "explode": true })).await.status(), 400);
    let nobody = json!({ "drop_link": { "terminal_id": "P11223351-T0404" } });
    assert_eq!(bench.post("/test/faults", nobody).await.status(), 409);
    let bench = Bench::with(|config| config.test_switches = false).await;
    assert_eq!(bench.post("/test/faults", json!({})).await.status(), 404);
}

#[tokio::test]
async fn a_link_is_dropped_by_reset_or_by_close() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    throw(&bench, json!({ "drop_link": { "terminal_id": terminal.terminal_id } })).await;
    match link.message().await {
        Some(Err(Error::Io(error))) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        other => panic!("want a reset, got {other:?}"),
    }
    let mut link = bench.link(&terminal, epoch()).await;
    let close = json!({ "terminal_id": terminal.terminal_id, "how": "close", "code": 1012 });
    throw(&bench, json!({ "drop_link": close })).await;
    assert_eq!(u16::from(link.close_frame().await.code), 1012);
}

#[tokio::test]
async fn new_links_are_refused_or_sent_away_until_cleared() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let bearer = format!("Bearer {}", terminal.token);
    let dial = || bench.try_dial(Some(&bearer), Some("terminal-ops.v1"), None);
    throw(&bench, json!({ "refuse_links_ms": 0 })).await;
    assert!(matches!(dial().await, Err(Error::Io(_) | Error::Protocol(_))));
    throw(&bench, json!({ "clear": true })).await;
    bench.link(&terminal, epoch()).await;
    let unavailable = Some(Unavailable { retry_after_s: 7 });
    bench.cloud.fault(FaultSwitches { unavailable, ..FaultSwitches::default() }).await.unwrap();
    let (status, _, retry_after) = refusal(dial().await);
    assert_eq!((status, retry_after.as_deref()), (503, Some("7")));
    throw(&bench, json!({ "clear": true, "ignore_hello": true })).await;
    let mut link = dial().await.unwrap();
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    // The link can be dropped as soon as its hello has been read, and not before.
    let drop_link = json!({ "terminal_id": terminal.terminal_id, "how": "close" });
    let dropped = async {
        while bench.post("/test/faults", json!({ "drop_link": drop_link })).await.status() == 409 {}
    };
    tokio::time::timeout(SOON, dropped).await.unwrap();
    assert!(matches!(link.message().await, Some(Ok(Message::Close(Some(_))))));
}

#[tokio::test]
async fn acks_are_withheld_and_delayed_while_reports_are_stored() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    throw(&bench, json!({ "withhold_acks": true })).await;
    link.send(&event(epoch(), 1)).await;
    link.send(&event(epoch(), 2)).await;
    bench.cloud.wait_reports(&terminal.terminal_id, 2, SOON).await.unwrap();
    link.nothing_before_pong().await;
    throw(&bench, json!({ "withhold_acks": false })).await;
    assert_eq!(link.frame().await["seq"], 2);

    throw(&bench, json!({ "delay_acks_ms": 300 })).await;
    let begun = std::time::Instant::now();
    link.send(&event(epoch(), 3)).await;
    link.acked(3).await;
    assert!(begun.elapsed().as_millis() >= 300);
}

#[tokio::test]
async fn frames_are_duplicated_forged_and_reconnects_ordered() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let id = &terminal.terminal_id;
    throw(&bench, json!({ "duplicate_dispatch": true })).await;
    let operation = bench.operate(id, "lock").await;
    for _ in 0..2 {
        let frame = link.frame().await;
        assert_eq!((&frame["type"], &frame["id"]), (&json!("operation"), &json!(operation)));
    }
    throw(
        &bench,
        json!({
            "send_text": { "terminal_id": id, "text": "{\"type\":\"dance\"}" },
            "send_bytes": { "terminal_id": id, "hex": "00ff" },
            "reconnect": { "after_s": 5, "spread_s": 2 },
        }),
    )
    .await;
    assert_eq!(link.frame().await["type"], "dance");
    assert_eq!(link.message().await.unwrap().unwrap(), Message::binary(vec![0, 255]));
    let reconnect = link.frame().await;
    assert_eq!(reconnect, json!({ "type": "reconnect", "after_s": 5, "spread_s": 2 }));
}

#[tokio::test]
async fn a_cloud_with_amnesia_asks_again_and_is_healed() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.frame_of("operation").await;
    link.send(&event(epoch(), 1)).await;
    let report = verdict(epoch(), 2, id, "end_of_day", completed(json!({})));
    link.send(&report).await;
    link.acked(2).await;
    let forget = json!({ "terminal_id": terminal.terminal_id, "seq": 1 });
    throw(&bench, json!({ "forget_acks": forget })).await;
    assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Pending);
    assert_eq!(link.frame_of("operation").await["id"], json!(id));
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    assert_eq!(link.frame().await["ack_seq"], 1);
    link.send(&report).await;
    link.acked(2).await;
    assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Completed);
}

#[tokio::test]
async fn a_black_hole_answers_nothing_until_it_is_cleared() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    throw(&bench, json!({ "black_hole": true })).await;
    link.send(&event(epoch(), 1)).await;
    let id = bench.operate(&terminal.terminal_id, "lock").await;
    // REST still answers, and nothing has come through the link.
    let shown = bench.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(shown.status(), 200);
    assert_eq!(bench.cloud.reports(&terminal.terminal_id).await.unwrap(), []);
    throw(&bench, json!({ "clear": true })).await;
    let (mut acked, mut dispatched) = (false, false);
    while !(acked && dispatched) {
        let frame = link.frame().await;
        acked |= frame["type"] == "ack";
        dispatched |= frame["id"] == json!(id);
    }
}
