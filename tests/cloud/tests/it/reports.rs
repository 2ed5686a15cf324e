//! Reports: acked after they are stored, once, in order, whatever happens.

use std::time::Instant;

use futures_util::SinkExt as _;
use serde_json::json;
use terminal_cloud::{Cloud, OperationStatus};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bench::{Bench, SOON, completed, epoch, event, failed, hello, verdict};

#[tokio::test]
async fn a_duplicate_is_acked_again_and_counted() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    for _ in 0..3 {
        link.send(&event(epoch(), 1)).await;
        assert_eq!(link.frame_of("ack").await["seq"], 1);
    }
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].seq, reports[0].copies), (1, 3));
    assert_eq!(reports[0].problem, None);
}

#[tokio::test]
async fn a_gap_is_recorded_and_acked_past_and_may_be_filled_later() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&event(epoch(), 1)).await;
    link.send(&event(epoch(), 5)).await;
    link.acked(5).await;
    let gaps = bench.cloud.gaps(&terminal.terminal_id).await.unwrap();
    assert_eq!((gaps[0].first_seq, gaps[0].last_seq, gaps.len()), (2, 4, 1));
    link.send(&event(epoch(), 3)).await;
    assert_eq!(link.frame_of("ack").await["seq"], 5);
    let seqs = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert_eq!(seqs.iter().map(|report| report.seq).collect::<Vec<_>>(), [1, 5, 3]);
}

#[tokio::test]
async fn each_epoch_has_its_own_sequence_and_welcome_names_its_last_report() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&event(epoch(), 1)).await;
    link.send(&event(epoch(), 2)).await;
    link.acked(2).await;

    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    let welcome = link.frame().await;
    assert_eq!(welcome["ack_seq"], 2);
    assert_eq!(welcome["ack_report_id"], json!(crate::bench::report_id(2)));
    let other = Uuid::from_u128(0xF);
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, other, &[])).await;
    let welcome = link.frame().await;
    assert_eq!((&welcome["ack_seq"], &welcome["ack_report_id"]), (&json!(0), &json!(null)));
    link.send(&event(other, 1)).await;
    let ack = link.frame_of("ack").await;
    assert_eq!((&ack["seq"], &ack["store_epoch"]), (&json!(1), &json!(other)));
}

#[tokio::test]
async fn content_that_cannot_be_used_is_quarantined_and_acked() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let other = bench.terminal("2").await;
    let foreign = bench.operate(&other.terminal_id, "end_of_day").await;
    let own = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let mut unknown_event = event(epoch(), 1);
    unknown_event["event"] = json!("abducted");
    link.send(&unknown_event).await;
    link.send(&verdict(epoch(), 2, foreign, "end_of_day", completed(json!({})))).await;
    link.send(&verdict(epoch(), 3, own, "end_of_day", json!({ "status": "FAILED" }))).await;
    link.send(&verdict(epoch(), 4, own, "reboot", completed(json!({})))).await;
    link.acked(4).await;
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert!(reports.iter().all(|report| report.problem.is_some()), "{reports:?}");
    for id in [foreign, own] {
        assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Pending);
    }
    // Without a place in a sequence there is nothing to ack.
    link.send(&json!({ "type": "report", "kind": "event" })).await;
    assert_eq!(link.frame().await["code"], "INVALID_MESSAGE");
}

#[tokio::test]
async fn the_first_verdict_wins() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&verdict(epoch(), 1, id, "end_of_day", completed(json!({ "batch_id": "B1" })))).await;
    link.send(&verdict(epoch(), 2, id, "end_of_day", failed("INTERNAL"))).await;
    link.acked(2).await;
    let operation = bench.cloud.operation(id).await.unwrap();
    assert_eq!(operation.status, OperationStatus::Completed);
    assert_eq!(operation.result.unwrap()["batch_id"], "B1");
    let timeline = bench.cloud.timeline(id).await.unwrap();
    assert!(timeline.iter().any(|entry| entry.event == "second_verdict"));
}

#[tokio::test]
async fn an_operation_that_began_on_the_terminal_is_listed() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = terminal_hal::OperationId(Uuid::from_u128(77));
    let mut link = bench.link(&terminal, epoch()).await;
    let mut report = verdict(epoch(), 1, id, "end_of_day", completed(json!({})));
    report["origin"] = json!("local");
    link.send(&report).await;
    link.acked(1).await;
    let operation = bench.cloud.operation(id).await.unwrap();
    assert_eq!(operation.status, OperationStatus::Completed);
    assert_eq!(operation.created_by, terminal.terminal_id);
}

#[tokio::test]
async fn what_was_acked_survives_a_kill_and_what_was_not_comes_again() {
    let mut bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    for seq in 1..=50 {
        link.send(&event(epoch(), seq)).await;
    }
    link.send(&verdict(epoch(), 51, id, "end_of_day", completed(json!({})))).await;
    link.acked(51).await;
    let config = bench.cloud.kill().await;
    let port = config.listen.port();
    bench.cloud = Cloud::start(config).await.unwrap();
    assert_eq!(bench.cloud.addr().port(), port);
    let mut link = bench.dial(&terminal).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    assert_eq!(link.frame().await["ack_seq"], 51);
    assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Completed);
    assert_eq!(bench.cloud.reports(&terminal.terminal_id).await.unwrap().len(), 51);
    assert!(bench.data.path().join("cloud.db").exists());
}

#[tokio::test]
async fn ten_thousand_replayed_reports_are_all_stored() {
    const COUNT: u64 = 10_000;
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let reports =
        (1..=COUNT).map(|seq| Message::text(event(epoch(), seq).to_string())).collect::<Vec<_>>();
    let begun = Instant::now();
    for report in reports {
        link.socket.feed(report).await.unwrap();
    }
    link.socket.flush().await.unwrap();
    link.acked(COUNT).await;
    println!("{COUNT} reports acked in {:?}", begun.elapsed());
    assert_eq!(bench.cloud.wait_reports(&terminal.terminal_id, COUNT, SOON).await.unwrap(), COUNT);
}
