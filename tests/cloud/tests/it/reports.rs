//! Reports: acked after they are stored, once, in order, whatever happens.

use std::time::Instant;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use terminal_cloud::{Cloud, NewOperation, OperationStatus, TimelineEntry};
use terminal_hal::OperationId;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bench::{Bench, SOON, completed, epoch, event, failed, hello, report_id, verdict};

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

/// `hello` with an outbox.
fn hello_from(terminal_id: &str, first_seq: u64, last_seq: u64) -> Value {
    let mut hello = hello(terminal_id, epoch(), &[]);
    hello["outbox"] = json!({ "first_seq": first_seq, "last_seq": last_seq });
    hello
}

#[tokio::test]
async fn nothing_is_acked_past_a_report_that_may_still_come() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.cloud.create_operation(NewOperation::new(&terminal.terminal_id, "lock")).await;
    let id = id.unwrap();
    let mut link = bench.dial(&terminal).await;
    link.send(&hello_from(&terminal.terminal_id, 1, 5)).await;
    link.frame_of("operation").await;
    link.send(&event(epoch(), 1)).await;
    link.acked(1).await;
    link.send(&verdict(epoch(), 4, id, "lock", completed(json!({})))).await;
    link.send(&event(epoch(), 5)).await;
    link.send(&event(epoch(), 5)).await;
    bench.cloud.wait_reports(&terminal.terminal_id, 3, SOON).await.unwrap();
    link.nothing_before_pong().await;
    // It is stored and used, and acked once the gap is filled.
    assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Completed);
    let acked = |timeline: &[TimelineEntry]| timeline.iter().any(|entry| entry.event == "acked");
    assert!(!acked(&bench.cloud.timeline(id).await.unwrap()));
    link.send(&event(epoch(), 3)).await;
    link.nothing_before_pong().await;

    let mut link = bench.dial(&terminal).await;
    link.send(&hello_from(&terminal.terminal_id, 2, 5)).await;
    let welcome = link.frame_of("welcome").await;
    assert_eq!((&welcome["ack_seq"], &welcome["ack_report_id"]), (&json!(1), &json!(report_id(1))));
    link.send(&event(epoch(), 2)).await;
    assert_eq!(link.frame_of("ack").await["seq"], 5);
    assert!(acked(&bench.cloud.timeline(id).await.unwrap()));
    assert_eq!(bench.cloud.gaps(&terminal.terminal_id).await.unwrap(), []);
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    let seqs = reports.iter().map(|report| (report.seq, report.copies));
    assert_eq!(seqs.collect::<Vec<_>>(), [(1, 1), (4, 1), (5, 2), (3, 1), (2, 1)]);
    let mut link = bench.link(&terminal, epoch()).await;
    link.nothing_before_pong().await;
}

#[tokio::test]
async fn what_lies_below_the_announced_outbox_is_recorded_and_acked_past() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&event(epoch(), 1)).await;
    link.acked(1).await;
    link.send(&event(epoch(), 5)).await;
    link.nothing_before_pong().await;

    let mut link = bench.dial(&terminal).await;
    link.send(&hello_from(&terminal.terminal_id, 8, 9)).await;
    let welcome = link.frame_of("welcome").await;
    assert_eq!((&welcome["ack_seq"], &welcome["ack_report_id"]), (&json!(7), &json!(null)));
    let found = bench.cloud.gaps(&terminal.terminal_id).await.unwrap();
    let gaps = || found.iter().map(|gap| (gap.first_seq, gap.last_seq)).collect::<Vec<_>>();
    assert_eq!(gaps(), [(2, 4), (6, 7)]);
    link.send(&event(epoch(), 9)).await;
    link.nothing_before_pong().await;
    link.send(&event(epoch(), 8)).await;
    assert_eq!(link.frame_of("ack").await["seq"], 9);
    // What comes after all, asked for by another dispatch, is stored.
    link.send(&event(epoch(), 3)).await;
    assert_eq!(link.frame_of("ack").await["seq"], 9);
    assert_eq!(bench.cloud.reports(&terminal.terminal_id).await.unwrap().len(), 5);

    // Nothing waits at the terminal: what is stored beyond the gap is what welcome names.
    link.send(&event(epoch(), 11)).await;
    link.nothing_before_pong().await;
    let mut link = bench.dial(&terminal).await;
    link.send(&hello_from(&terminal.terminal_id, 11, 11)).await;
    let welcome = link.frame_of("welcome").await;
    let named = (&welcome["ack_seq"], &welcome["ack_report_id"]);
    assert_eq!(named, (&json!(11), &json!(report_id(11))));
    assert_eq!(bench.cloud.gaps(&terminal.terminal_id).await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_outbox_that_makes_no_sense_is_no_gap_and_ends_nothing() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    for (first, last, acked) in [(0, 0, 0), (9, 0, 0), (u64::MAX, u64::MAX, i64::MAX as u64)] {
        let mut link = bench.dial(&terminal).await;
        link.send(&hello_from(&terminal.terminal_id, first, last)).await;
        assert_eq!(link.frame_of("welcome").await["ack_seq"], acked, "{first} {last}");
    }
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
    assert_eq!(welcome["ack_report_id"], json!(report_id(2)));
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
    let mut no_time = event(epoch(), 1);
    no_time["at"] = json!(false);
    let mut number = event(epoch(), 2);
    number["kind"] = json!(5);
    let mut unkind = verdict(epoch(), 3, own, "end_of_day", completed(json!({})));
    unkind.as_object_mut().unwrap().remove("kind");
    let halfway = json!({ "status": "HALFWAY" });
    for report in [
        no_time,
        number,
        unkind,
        verdict(epoch(), 4, foreign, "end_of_day", completed(json!({}))),
        verdict(epoch(), 5, own, "end_of_day", halfway),
        verdict(epoch(), 6, own, "reboot", completed(json!({}))),
    ] {
        link.send(&report).await;
        link.acked(report["seq"].as_u64().unwrap()).await;
    }
    // JSON that no document can hold.
    let large = event(epoch(), 7).to_string().replace("{}", "1e999");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep = event(epoch(), 8).to_string().replace("{}", &deep);
    for text in [large, deep] {
        link.socket.send(Message::text(text)).await.unwrap();
    }
    link.acked(8).await;
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert_eq!(reports.len(), 8);
    assert!(reports.iter().all(|report| report.problem.is_some()), "{reports:?}");
    assert_eq!((reports[1].kind.as_str(), &reports[1].body["kind"]), ("5", &json!(5)));
    for id in [foreign, own] {
        assert_eq!(bench.cloud.operation(id).await.unwrap().status, OperationStatus::Pending);
    }
    // Without a place in a sequence there is nothing to ack.
    link.send(&json!({ "type": "report", "kind": "event" })).await;
    assert_eq!(link.frame().await["code"], "INVALID_MESSAGE");
}

#[tokio::test]
async fn a_verdict_whose_id_and_status_can_be_read_settles_whatever_else_it_says() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let strange = json!({
        "code": "FLUX_CAPACITOR_EMPTY", "failure_reason": "88 mph were not reached",
        "retryable": "perhaps", "side_effects": "time travel", "jigawatts": 1.21,
    });
    let outcomes = [
        json!({ "status": "FAILED", "error": strange }),
        json!({ "status": "FAILED", "error": "no object", "origin": 7, "attempt": -1 }),
        json!({ "status": "FAILED" }),
        json!({ "status": "COMPLETED", "result": { "a": 1 }, "boot_id": 0, "operation": null }),
        json!({ "status": "COMPLETED", "result": null, "finished_at": "later", "started_at": [] }),
    ];
    let mut link = bench.link(&terminal, epoch()).await;
    let mut ids = Vec::new();
    for (seq, outcome) in (1..).zip(outcomes) {
        let new = NewOperation::new(&terminal.terminal_id, "lock");
        let id = bench.cloud.create_operation(new).await.unwrap();
        link.frame_of("operation").await;
        link.send(&verdict(epoch(), seq, id, "lock", outcome)).await;
        link.acked(seq).await;
        ids.push(bench.cloud.operation(id).await.unwrap());
    }
    let failed = |at: usize| {
        assert_eq!(ids[at].status, OperationStatus::Failed);
        ids[at].error.clone().unwrap()
    };
    assert_eq!(failed(0), strange);
    assert_eq!(failed(1), "no object");
    assert_eq!(failed(2)["code"], "INTERNAL");
    assert_eq!(ids[3].status, OperationStatus::Completed);
    assert_eq!(ids[3].result, Some(json!({ "a": 1 })));
    assert_eq!((ids[4].status, &ids[4].result), (OperationStatus::Completed, &None));
    // They show what was wrong, and are not dispatched again.
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert!(reports.iter().all(|report| report.problem.is_some()), "{reports:?}");
    let mut link = bench.link(&terminal, epoch()).await;
    link.nothing_before_pong().await;
    let shown = bench.get("/v1/admin/terminals/operations").await;
    assert_eq!(shown[4]["error"], strange);

    // One that began on the terminal, and one that comes too late.
    let local = OperationId(Uuid::from_u128(77));
    let mut report = verdict(epoch(), 6, local, "lock", json!({ "status": "FAILED", "error": {} }));
    report["origin"] = json!("local");
    link.send(&report).await;
    link.acked(6).await;
    assert_eq!(bench.cloud.operation(local).await.unwrap().status, OperationStatus::Failed);
    let mut brief = NewOperation::new(&terminal.terminal_id, "lock");
    (brief.ttl_s, brief.deadline_s) = (1, 0);
    let late = bench.cloud.create_operation(brief).await.unwrap();
    bench.cloud.wait_status(late, OperationStatus::Timeout, SOON).await.unwrap();
    let outcome = json!({ "status": "FAILED", "error": { "code": "NEW" } });
    link.send(&verdict(epoch(), 7, late, "lock", outcome)).await;
    link.acked(7).await;
    let late = bench.cloud.operation(late).await.unwrap().late_result.unwrap();
    assert_eq!(late.error, Some(json!({ "code": "NEW" })));
}

#[tokio::test]
async fn fields_and_events_that_the_cloud_does_not_know_are_no_problem() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "end_of_day").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let mut unknown = event(epoch(), 1);
    unknown["event"] = json!("abducted");
    link.send(&unknown).await;
    let mut outcome = failed("INTERNAL");
    outcome["mood"] = json!("bad");
    outcome["error"]["hint"] = json!("try again");
    link.send(&verdict(epoch(), 2, id, "end_of_day", outcome)).await;
    link.acked(2).await;
    let reports = bench.cloud.reports(&terminal.terminal_id).await.unwrap();
    assert!(reports.iter().all(|report| report.problem.is_none()), "{reports:?}");
    assert_eq!(reports[1].body["mood"], "bad");
    assert_eq!(bench.cloud.operation(id).await.unwrap().error.unwrap()["hint"], "try again");
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
    let id = OperationId(Uuid::from_u128(77));
    let mut link = bench.link(&terminal, epoch()).await;
    let mut report = verdict(epoch(), 1, id, "end_of_day", completed(json!({})));
    report["origin"] = json!("local");
    report["created_by"] = json!("schedule");
    link.send(&report).await;
    link.acked(1).await;
    let operation = bench.cloud.operation(id).await.unwrap();
    assert_eq!(operation.status, OperationStatus::Completed);
    let listed = bench.get("/v1/admin/terminals/operations").await;
    assert_eq!(
        (&listed[0]["origin"], &listed[0]["created_by"]),
        (&json!("local"), &json!("schedule"))
    );
    let timeline = bench.cloud.timeline(id).await.unwrap();
    let adopted = json!({ "origin": "local", "by": "schedule" });
    assert!(timeline.iter().any(|entry| entry.event == "adopted" && entry.detail == adopted));
}

#[tokio::test]
async fn what_the_cloud_began_has_no_origin_and_a_verdict_that_names_nobody_is_the_terminals() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    bench.operate(&terminal.terminal_id, "end_of_day").await;
    let listed = bench.get("/v1/admin/terminals/operations").await;
    assert_eq!(listed[0].get("origin"), None);
    let mut link = bench.link(&terminal, epoch()).await;
    let id = OperationId(Uuid::from_u128(77));
    link.send(&verdict(epoch(), 1, id, "end_of_day", completed(json!({})))).await;
    link.acked(1).await;
    assert_eq!(bench.cloud.operation(id).await.unwrap().created_by, terminal.terminal_id);
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

#[tokio::test]
async fn ten_thousand_reports_that_wait_for_the_first_are_acked_with_it() {
    const COUNT: u64 = 10_000;
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let begun = Instant::now();
    for seq in (2..=COUNT).chain([1]) {
        link.socket.feed(Message::text(event(epoch(), seq).to_string())).await.unwrap();
    }
    link.socket.flush().await.unwrap();
    assert_eq!(link.frame_of("ack").await["seq"], COUNT);
    println!("{COUNT} reports acked in {:?}", begun.elapsed());
}
