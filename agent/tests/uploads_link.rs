//! Uploads over the link, from log lines to a cloud that stores, answers and goes away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use common::{
    Link, config,
    logs::{ATTEMPT, ID, MemoryLogs, new_call, now, sha256, unpack},
    server,
};
use futures_util::StreamExt;
use terminal_agent::uploads::{UploadLimits, Uploads, send_logs};
use terminal_core::protocol::{
    AgentFrame, LOG_CHUNKS_IN_FLIGHT_MAX, LogAck, LogChunk, LogEnd, decode_agent_frame,
};
use terminal_hal::{
    ErrorCode, Failure,
    operation::{
        SendLogsParameters, SendLogsResult,
        send_logs::{LogFormat, Redactions},
    },
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

fn limits() -> UploadLimits {
    UploadLimits { hosts: Vec::new(), bytes_max: 64 << 20, allow_private_addresses: false }
}

fn start(
    logs: &Arc<MemoryLogs>,
    uploads: &Arc<Uploads>,
    parameters: SendLogsParameters,
) -> JoinHandle<Result<SendLogsResult, Failure>> {
    let (logs, uploads) = (Arc::clone(logs), Arc::clone(uploads));
    tokio::spawn(async move {
        let (call, _handle) = new_call();
        send_logs(&call, &parameters, logs.as_ref(), &uploads, now(), &limits()).await
    })
}

fn hub() -> Arc<Uploads> {
    Arc::new(Uploads::new(None))
}

/// A link that is ready for log data, and the cloud's end of it.
async fn up(uploads: &Uploads) -> (Link, WebSocketStream<TcpStream>) {
    let (listener, port) = server::listen().await;
    let link = Link::open(config(&format!("ws://127.0.0.1:{port}/")));
    let (peer, _) = server::upgrade(server::accept(&listener).await).await;
    let link = link.opened().await;
    uploads.link_up(link.handle.bulk());
    (link, peer)
}

/// Stores up to the end or up to `chunks_max` chunks, acking each.
async fn store(
    peer: &mut WebSocketStream<TcpStream>,
    stored: &mut Vec<u8>,
    uploads: &Uploads,
    chunks_max: usize,
) -> Option<LogEnd> {
    for _ in 0..=chunks_max {
        match peer.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => {
                let chunk = LogChunk::decode(&bytes).unwrap();
                assert_eq!((chunk.id, chunk.attempt), (ID, ATTEMPT));
                let known = stored.len() - chunk.offset as usize;
                stored.extend_from_slice(chunk.data.get(known..).unwrap_or_default());
                uploads.acked(ack(stored.len(), false));
            }
            Message::Text(text) => {
                let AgentFrame::LogEnd(end) = decode_agent_frame(text.as_bytes()).unwrap() else {
                    panic!("unexpected {text}")
                };
                return Some(end);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    None
}

fn ack(offset: usize, complete: bool) -> LogAck {
    LogAck { id: ID, attempt: ATTEMPT, offset: offset as u64, complete }
}

#[tokio::test]
async fn the_result_describes_exactly_what_arrived() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(5000)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    let mut stored = Vec::new();
    let end = store(&mut peer, &mut stored, &uploads, usize::MAX - 1).await.unwrap();
    assert_eq!((end.length, &end.sha256), (stored.len() as u64, &sha256(&stored)));
    assert!(!sending.is_finished(), "finished before the cloud has verified");
    uploads.acked(ack(stored.len(), true));
    let result = sending.await.unwrap().unwrap();

    let text = unpack(&stored);
    assert_eq!(result.log_id, ID.to_string());
    assert_eq!(result.sha256, sha256(&stored));
    assert_eq!(result.bytes_compressed, stored.len() as u64);
    assert_eq!((result.bytes_raw, result.lines), (text.len() as u64, 5000));
    assert_eq!(
        (result.covered_from, result.covered_to),
        (logs.lines[0].time, logs.lines[4999].time)
    );
    assert!(!result.truncated);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], logs.lines[0].message.as_str());
    let ranges = logs.ranges.lock().unwrap();
    assert_eq!(ranges.len(), 2);
    assert_eq!(ranges[0].to.ms_since(ranges[0].from), 24 * 3600 * 1000);
}

#[tokio::test]
async fn an_upload_goes_on_where_the_cloud_is_after_links_were_lost() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(8000)), hub());
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    let mut stored = Vec::new();
    let mut lost = 0;
    let end = loop {
        let (link, mut peer) = up(&uploads).await;
        if let Some(end) = store(&mut peer, &mut stored, &uploads, 3).await {
            break end;
        }
        uploads.link_down();
        drop((link, peer));
        lost += 1;
    };
    assert!(lost > 3, "only {lost} links were lost");
    assert_eq!(end.length, stored.len() as u64);
    uploads.acked(ack(stored.len(), true));
    let result = sending.await.unwrap().unwrap();
    assert_eq!(result.sha256, sha256(&stored));
    assert_eq!(unpack(&stored).lines().count(), 8000);
}

#[tokio::test]
async fn the_newest_lines_are_kept_below_the_limit() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(6000)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let format = LogFormat::Text;
    let parameters =
        SendLogsParameters { max_bytes: 400_000, format, ..SendLogsParameters::default() };
    let sending = start(&logs, &uploads, parameters);
    let mut stored = Vec::new();
    store(&mut peer, &mut stored, &uploads, usize::MAX - 1).await.unwrap();
    uploads.acked(ack(stored.len(), true));
    let result = sending.await.unwrap().unwrap();
    assert!(result.truncated);
    assert!(stored.len() <= 400_000 && stored.len() > 200_000, "{}", stored.len());
    let text = unpack(&stored);
    assert_eq!(text.lines().count() as u64, result.lines);
    assert!(text.lines().last().unwrap().contains("line 5999 "));
    assert!(text.starts_with(&result.covered_from.to_string()));
}

#[tokio::test]
async fn a_wrong_digest_fails_the_upload_and_it_may_be_tried_again() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(10)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    store(&mut peer, &mut Vec::new(), &uploads, 100).await.unwrap();
    uploads.refused(ID, "DIGEST_MISMATCH");
    let failure = sending.await.unwrap().unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::UploadFailed, true));
    // Nobody listens any more, and that is fine.
    uploads.acked(ack(1, false));
}

#[tokio::test]
async fn acks_of_another_attempt_do_not_count() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(10)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    let mut stored = Vec::new();
    store(&mut peer, &mut stored, &uploads, 100).await.unwrap();
    uploads.acked(LogAck { attempt: ATTEMPT - 1, ..ack(stored.len(), true) });
    uploads.acked(LogAck { attempt: ATTEMPT - 1, ..ack(1 << 30, false) });
    tokio::task::yield_now().await;
    assert!(!sending.is_finished());
    uploads.acked(ack(stored.len(), true));
    assert!(sending.await.unwrap().is_ok());
}

#[tokio::test]
async fn no_lines_are_a_failure_of_their_own() {
    let logs = Arc::new(MemoryLogs::new(0));
    let failure = start(&logs, &hub(), SendLogsParameters::default()).await.unwrap().unwrap_err();
    assert_eq!(failure.code, ErrorCode::LogRangeEmpty);
}

#[tokio::test]
async fn logs_that_change_while_they_are_sent_fail_the_upload() {
    let logs = Arc::new(MemoryLogs { lost_later: 1, ..MemoryLogs::new(5000) });
    let uploads = hub();
    let (_link, mut peer) = up(&uploads).await;
    let reading = tokio::spawn(async move { while peer.next().await.is_some() {} });
    let failure = start(&logs, &uploads, SendLogsParameters::default()).await.unwrap();
    let failure = failure.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UploadFailed);
    assert!(failure.failure_reason.contains("changed"), "{failure}");
    reading.abort();
}

#[tokio::test]
async fn cancelling_ends_an_upload_that_waits_for_a_link() {
    let (logs, uploads) = (MemoryLogs::new(10), hub());
    let (call, handle) = new_call();
    let parameters = SendLogsParameters::default();
    let limits = limits();
    let sending = send_logs(&call, &parameters, &logs, &uploads, now(), &limits);
    let (result, ()) = tokio::join!(sending, async {
        tokio::task::yield_now().await;
        handle.cancel();
    });
    assert_eq!(result.unwrap_err().code, ErrorCode::Canceled);
}

#[tokio::test]
async fn cancelling_in_the_middle_ends_an_upload_before_its_end() {
    let (logs, uploads) = (MemoryLogs::new(8000), hub());
    let (link, mut peer) = up(&uploads).await;
    let (call, handle) = new_call();
    let hub = Arc::clone(&uploads);
    let sending = tokio::spawn(async move {
        send_logs(&call, &SendLogsParameters::default(), &logs, &hub, now(), &limits()).await
    });
    let mut stored = Vec::new();
    assert_eq!(store(&mut peer, &mut stored, &uploads, 3).await, None);
    assert!(!stored.is_empty());
    handle.cancel();
    assert_eq!(sending.await.unwrap().unwrap_err().code, ErrorCode::Canceled);
    // Nothing but chunks was on its way.
    drop((link, uploads));
    while let Some(Ok(message)) = peer.next().await {
        assert!(!message.is_text(), "{message:?}");
    }
}

#[tokio::test]
async fn no_more_is_read_than_the_cloud_takes() {
    const LINES: usize = 20_000;
    let (logs, uploads) = (Arc::new(MemoryLogs::new(LINES as u64)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    for _ in 0..LOG_CHUNKS_IN_FLIGHT_MAX {
        assert!(peer.next().await.unwrap().unwrap().is_binary());
    }
    tokio::task::yield_now().await;
    // Everything once for the plan; then chunks in flight, one more and one block, of half-empty
    // lines of some 300 bytes.
    let again = logs.taken.load(Ordering::Relaxed) - LINES;
    assert!(again < LINES / 4, "{again} lines are in memory");
    sending.abort();
}

#[tokio::test]
async fn what_is_masked_is_in_the_result_and_not_in_what_arrives() {
    let mut logs = MemoryLogs::new(3000);
    for line in logs.lines.iter_mut().step_by(100) {
        line.message = "pan 4111111111111111 pin=1234 token=a1b2 4111111111111111=2512".into();
    }
    let (logs, uploads) = (Arc::new(logs), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    let mut stored = Vec::new();
    store(&mut peer, &mut stored, &uploads, usize::MAX - 1).await.unwrap();
    uploads.acked(ack(stored.len(), true));
    let result = sending.await.unwrap().unwrap();
    assert_eq!(result.redactions, Redactions { pan: 30, track: 30, pin: 30, secret: 30 });
    let text = unpack(&stored);
    assert_eq!(text.matches("pan ****1111 pin=**** token=**** ****1111\"").count(), 30);
    assert_eq!(result.bytes_raw, text.len() as u64);
}

#[tokio::test]
async fn what_is_masked_in_lines_that_are_left_out_is_not_counted() {
    let mut logs = MemoryLogs::new(6000);
    logs.lines[0].message = "pin=1234".into();
    logs.lines[5999].message = "token=a1b2".into();
    let (logs, uploads) = (Arc::new(logs), hub());
    let (_link, mut peer) = up(&uploads).await;
    let parameters = SendLogsParameters { max_bytes: 400_000, ..SendLogsParameters::default() };
    let sending = start(&logs, &uploads, parameters);
    let mut stored = Vec::new();
    store(&mut peer, &mut stored, &uploads, usize::MAX - 1).await.unwrap();
    uploads.acked(ack(stored.len(), true));
    let result = sending.await.unwrap().unwrap();
    assert!(result.truncated);
    assert_eq!(result.redactions, Redactions { secret: 1, ..Redactions::default() });
}

#[tokio::test(start_paused = true)]
async fn an_upload_ends_with_its_deadline_and_reports_how_far_it_has_come() {
    let (logs, uploads) = (MemoryLogs::new(5000), hub());
    let (mut call, mut handle) = new_call();
    call.time_left = Duration::from_secs(90);
    let parameters = SendLogsParameters::default();
    let started = tokio::time::Instant::now();
    let result = send_logs(&call, &parameters, &logs, &uploads, now(), &limits()).await;
    assert_eq!(result.unwrap_err().code, ErrorCode::DeadlineExceeded);
    assert_eq!(started.elapsed(), Duration::from_secs(90));
    let progress = handle.progress.recv().await.unwrap();
    assert_eq!((progress.phase.as_str(), progress.percent.is_some()), ("collecting", true));
}

#[tokio::test]
async fn a_cloud_that_stores_nothing_for_a_minute_fails_the_upload() {
    let (logs, uploads) = (Arc::new(MemoryLogs::new(10)), hub());
    let (_link, mut peer) = up(&uploads).await;
    let sending = start(&logs, &uploads, SendLogsParameters::default());
    while !peer.next().await.unwrap().unwrap().is_text() {}
    tokio::time::pause();
    let failure = sending.await.unwrap().unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::UploadFailed, true));
    assert!(failure.failure_reason.contains("60 s"), "{failure}");
}
