//! The WebSocket end: who is let in, and what a link is told.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use terminal_cloud::NewOperation;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bench::{Bench, SOON, epoch, event, hello, refusal};

#[tokio::test]
async fn an_upgrade_without_the_subprotocol_or_without_credentials_is_refused() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let bearer = format!("Bearer {}", terminal.token);
    for subprotocol in [None, Some("mqtt")] {
        let (status, body, _) = refusal(bench.try_dial(Some(&bearer), subprotocol, None).await);
        assert_eq!(status, 400);
        assert!(body["error"]["message"].as_str().unwrap().contains("terminal-ops.v1"));
    }
    for authorization in [None, Some("Bearer nobody"), Some("Basic eDp5")] {
        let refused = bench.try_dial(authorization, Some("mqtt, terminal-ops.v1"), None).await;
        assert_eq!(refusal(refused).0, 401);
    }
}

#[tokio::test]
async fn a_client_certificate_is_as_good_as_a_token_and_must_agree_with_it() {
    let bench = Bench::start().await;
    let (one, two) = (bench.terminal("1").await, bench.terminal("2").await);
    let certificate = || bench.pki.client(&one.terminal_id).ok();
    let mut link = bench.try_dial(None, Some("terminal-ops.v1"), certificate()).await.unwrap();
    link.send(&hello(&one.terminal_id, epoch(), &[])).await;
    assert_eq!(link.frame().await["type"], "welcome");

    let other = format!("Bearer {}", two.token);
    let refused = bench.try_dial(Some(&other), Some("terminal-ops.v1"), certificate()).await;
    assert_eq!(refusal(refused).0, 401);
    let stranger = bench.pki.client("P11223351-T0404").ok();
    let refused = bench.try_dial(None, Some("terminal-ops.v1"), stranger).await;
    assert_eq!(refusal(refused).0, 401);
}

#[tokio::test]
async fn hello_must_name_the_authenticated_terminal_and_come_in_time() {
    let bench = Bench::with(|config| config.hello_timeout = Duration::from_millis(200)).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.dial(&terminal).await;
    link.send(&hello("P11223351-T0404", epoch(), &[])).await;
    assert_eq!(u16::from(link.close_frame().await.code), 4403);
    let mut silent = bench.dial(&terminal).await;
    assert_eq!(u16::from(silent.close_frame().await.code), 4408);
}

#[tokio::test]
async fn a_new_link_replaces_the_old_one() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut old = bench.link(&terminal, epoch()).await;
    let mut new = bench.link(&terminal, epoch()).await;
    assert_eq!(u16::from(old.close_frame().await.code), 4409);
    let id = bench.operate(&terminal.terminal_id, "check_update").await;
    assert_eq!(new.frame_of("operation").await["id"], json!(id));
    bench.cloud.wait_online(&terminal.terminal_id, true, SOON).await.unwrap();
}

#[tokio::test]
async fn welcome_says_what_the_protocol_says() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.dial(&terminal).await;
    link.send(&json!({ "type": "accepted", "id": Uuid::nil(), "duplicate": false })).await;
    assert_eq!(link.frame().await["code"], "NOT_WELCOMED");
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    let welcome = link.frame().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["heartbeat_s"], 30);
    assert_eq!(welcome["ack_seq"], 0);
    assert_eq!(welcome["config_revision"], 0);
    assert!(welcome["session_id"].is_string() && welcome["server_time"].is_string());
}

#[tokio::test]
async fn an_unknown_frame_is_answered_and_one_that_is_no_frame_ends_the_link() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&json!({ "type": "dance" })).await;
    assert_eq!(link.frame().await["code"], "UNSUPPORTED_MESSAGE");
    link.send(&json!({ "type": "started", "id": "x" })).await;
    let error = link.frame().await;
    assert_eq!(
        (error["code"].as_str(), error["ref"].as_str()),
        (Some("INVALID_MESSAGE"), Some("x"))
    );
    link.nothing_before_pong().await;
    link.send(&json!(["no", "frame"])).await;
    assert_eq!(u16::from(link.close_frame().await.code), 1007);

    let mut link = bench.link(&terminal, epoch()).await;
    let long = json!({ "type": "error", "code": "x", "message": "x".repeat(65_536) });
    link.send(&long).await;
    assert_eq!(u16::from(link.close_frame().await.code), 1009);
}

#[tokio::test]
async fn before_hello_only_what_is_no_frame_and_an_unreadable_hello_end_the_link() {
    let bench = Bench::with(|config| config.hello_timeout = Duration::from_millis(500)).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.dial(&terminal).await;
    for (frame, code) in [
        (json!({ "type": "dance" }), "UNSUPPORTED_MESSAGE"),
        (json!({ "type": "started", "id": "x" }), "NOT_WELCOMED"),
        (json!({ "type": "dance" }), "UNSUPPORTED_MESSAGE"),
    ] {
        link.send(&frame).await;
        let error = link.frame().await;
        assert_eq!((&error["code"], &error["ref"]), (&json!(code), &json!(null)));
    }
    assert_eq!(u16::from(link.close_frame().await.code), 4408);

    let mut link = bench.dial(&terminal).await;
    link.send(&json!({ "type": "dance" })).await;
    link.send(&hello(&terminal.terminal_id, epoch(), &[])).await;
    link.frame_of("welcome").await;

    for text in ["{", "[]", "{}", r#"{"type":"hello"}"#] {
        let mut link = bench.dial(&terminal).await;
        link.socket.send(Message::text(text)).await.unwrap();
        assert_eq!(u16::from(link.close_frame().await.code), 1007, "{text}");
    }
}

#[tokio::test]
async fn the_reason_of_a_close_is_cut_to_what_a_close_frame_takes() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    for padding in 0..3 {
        let mut hello = hello(&terminal.terminal_id, epoch(), &[]);
        hello["protocol"] = json!("x".repeat(padding) + &"€".repeat(200));
        let mut link = bench.dial(&terminal).await;
        link.send(&hello).await;
        let close = link.close_frame().await;
        assert_eq!(u16::from(close.code), 1007);
        let bytes = close.reason.len();
        assert!((121..=123).contains(&bytes) && close.reason.ends_with('€'), "{bytes}: {close}");
    }
}

#[tokio::test]
async fn a_silent_link_is_dropped_and_a_ping_keeps_it() {
    let bench = Bench::with(|config| config.idle_timeout = Some(Duration::from_secs(1))).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        link.nothing_before_pong().await;
    }
    assert_eq!(u16::from(link.close_frame().await.code), 1001);
    bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_no_silence() {
    let idle = Duration::from_secs(2);
    let bench = Bench::with(|config| config.idle_timeout = Some(idle)).await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let text = event(epoch(), 1).to_string();
    // A text frame whose mask changes nothing.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    let apart = 2 * idle / u32::try_from(frame.len()).unwrap();
    for byte in frame {
        tokio::time::sleep(apart).await;
        link.socket.get_mut().write_all(&[byte]).await.unwrap();
        link.socket.get_mut().flush().await.unwrap();
    }
    link.acked(1).await;
    assert_eq!(u16::from(link.close_frame().await.code), 1001);
}

#[tokio::test]
async fn configuration_is_sent_when_the_terminal_is_behind_and_issued_above_one_that_is_ahead() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let config = json!({ "tip": { "mode": "fixed" } });
    let map = config.as_object().unwrap().clone();
    let revision = bench.cloud.set_configuration(&terminal.terminal_id, map).await.unwrap();
    assert_eq!(revision, 1);
    let mut link = bench.link(&terminal, epoch()).await;
    let frame = link.frame_of("configuration").await;
    assert_eq!((&frame["revision"], &frame["config"]), (&json!(1), &config));
    link.send(&json!({
        "type": "report", "seq": 1, "store_epoch": epoch(), "report_id": Uuid::from_u128(1),
        "kind": "configuration", "revision": 1, "status": "APPLIED", "errors": [],
    }))
    .await;
    link.acked(1).await;
    let shown = bench.cloud.terminal(&terminal.terminal_id).await.unwrap();
    assert_eq!(shown.config_report.unwrap()["status"], "APPLIED");

    let mut ahead = hello(&terminal.terminal_id, epoch(), &[]);
    ahead["config_revision"] = json!(41);
    let mut link = bench.dial(&terminal).await;
    link.send(&ahead).await;
    assert_eq!(link.frame_of("welcome").await["config_revision"], 42);
    assert_eq!(link.frame_of("configuration").await["revision"], 42);

    // While it is online a change is sent at once.
    let map = json!({}).as_object().unwrap().clone();
    bench.cloud.set_configuration(&terminal.terminal_id, map).await.unwrap();
    assert_eq!(link.frame_of("configuration").await["revision"], 43);
}

#[tokio::test]
async fn an_orderly_stop_says_goodbye_and_frees_the_port() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let stopping = tokio::spawn(bench.cloud.stop());
    assert_eq!(u16::from(link.close_frame().await.code), 1001);
    let _ = link.socket.close(None).await;
    let config = stopping.await.unwrap();
    let again = terminal_cloud::Cloud::start(config.clone()).await.unwrap();
    assert_eq!(again.addr(), config.listen);
}

#[tokio::test]
async fn operations_arrive_in_creation_order_however_many_there_are() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut ids = Vec::new();
    for _ in 0..150 {
        let new = NewOperation::new(&terminal.terminal_id, "check_update");
        ids.push(bench.cloud.create_operation(new).await.unwrap());
    }
    let mut link = bench.link(&terminal, epoch()).await;
    for id in ids {
        assert_eq!(link.frame().await["id"], json!(id));
    }
    assert!(matches!(link.socket.close(None).await, Ok(())));
    while let Some(Ok(message)) = link.message().await {
        assert!(!matches!(message, Message::Text(_)), "{message:?}");
    }
}
