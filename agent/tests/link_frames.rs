//! On an open link: frames both ways, limits, slow peers, and every way to end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Link, config, loss, server};
use futures_util::{SinkExt, StreamExt};
use terminal_agent::link::{LinkConfig, LinkEvent};
use terminal_core::{engine::LinkEnd, protocol::TEXT_FRAME_BYTES_MAX};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

type Peer = WebSocketStream<TcpStream>;

async fn pair_with(change: impl FnOnce(&mut LinkConfig)) -> (Link, Peer) {
    let (listener, port) = server::listen().await;
    let mut config = config(&format!("ws://127.0.0.1:{port}/"));
    change(&mut config);
    let link = Link::open(config);
    let (peer, _) = server::upgrade(server::accept(&listener).await).await;
    (link.opened().await, peer)
}

async fn pair() -> (Link, Peer) {
    pair_with(|_| {}).await
}

fn text(n: usize) -> String {
    "x".repeat(n)
}

/// The close code that a peer reads, after anything else.
async fn close_code(peer: &mut Peer) -> CloseCode {
    loop {
        if let Message::Close(frame) = peer.next().await.unwrap().unwrap() {
            return frame.unwrap().code;
        }
    }
}

#[tokio::test]
async fn frames_go_both_ways_and_every_sign_of_life_is_heard() {
    let (mut link, mut peer) = pair().await;
    link.handle.send_text("up".into());
    assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("up"));
    peer.send(Message::text("down")).await.unwrap();
    assert_eq!(link.next().await, LinkEvent::Text(b"down".to_vec()));
    peer.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(link.next().await, LinkEvent::Heard);
    link.handle.ping();
    assert!(peer.next().await.unwrap().unwrap().is_ping());
    peer.flush().await.unwrap();
    assert_eq!(link.next().await, LinkEvent::Heard);
}

#[tokio::test]
async fn a_pong_leaves_although_nothing_else_happens() {
    let (mut link, mut peer) = pair().await;
    peer.send(Message::Ping(b"there?".to_vec().into())).await.unwrap();
    let pong = peer.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(b"there?".to_vec().into()));
    assert_eq!(link.next().await, LinkEvent::Heard);
}

#[tokio::test]
async fn a_frame_that_comes_slowly_is_heard_before_it_is_whole() {
    let (mut link, mut peer) = pair().await;
    // Unfinished messages are told of once a second.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    peer.get_mut().write_all(b"\x81\x04sl").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), link.next()).await;
    assert_eq!(heard.expect("half a frame is a sign of life"), LinkEvent::Heard);
    peer.get_mut().write_all(b"ow").await.unwrap();
    assert_eq!(link.next().await, LinkEvent::Text(b"slow".to_vec()));
}

#[tokio::test]
async fn a_text_frame_holds_64_kib_and_one_byte_more_closes_the_link() {
    let (mut link, mut peer) = pair().await;
    peer.send(Message::text(text(TEXT_FRAME_BYTES_MAX))).await.unwrap();
    assert!(matches!(link.next().await, LinkEvent::Text(t) if t.len() == TEXT_FRAME_BYTES_MAX));
    let _ = peer.send(Message::text(text(TEXT_FRAME_BYTES_MAX + 1))).await;
    assert_eq!(close_code(&mut peer).await, CloseCode::Size);
    assert!(loss(&link.ended().await).contains("above the limit"));
}

#[tokio::test]
async fn a_header_that_announces_gigabytes_is_refused_before_they_come() {
    let (link, mut peer) = pair().await;
    let mut header = vec![0x82, 127];
    header.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    peer.get_mut().write_all(&header).await.unwrap();
    assert_eq!(close_code(&mut peer).await, CloseCode::Size);
    loss(&link.ended().await);
}

#[tokio::test]
async fn fragments_count_together() {
    let (link, mut peer) = pair().await;
    // A first fragment and one that continues it, 40,000 bytes each.
    for first in [0x01, 0x00] {
        let mut frame = vec![first, 126];
        frame.extend_from_slice(&40_000_u16.to_be_bytes());
        frame.resize(frame.len() + 40_000, b'x');
        let _ = peer.get_mut().write_all(&frame).await;
    }
    assert_eq!(close_code(&mut peer).await, CloseCode::Size);
    loss(&link.ended().await);
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_with_1007_and_a_broken_frame_with_1002() {
    for (bytes, code) in
        [(b"\x81\x01\xff", CloseCode::Invalid), (b"\xf1\x01x", CloseCode::Protocol)]
    {
        let (link, mut peer) = pair().await;
        peer.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(close_code(&mut peer).await, code);
        loss(&link.ended().await);
    }
}

#[tokio::test]
async fn the_clouds_close_code_is_told() {
    let (link, mut peer) = pair().await;
    let close = CloseFrame { code: 4409.into(), reason: "replaced".into() };
    peer.close(Some(close)).await.unwrap();
    let end = LinkEnd::Closed { code: 4409, reason: "replaced".into() };
    assert_eq!(link.ended().await, end);
    // And answered.
    assert!(peer.next().await.unwrap().unwrap().is_close());

    let (link, mut peer) = pair().await;
    peer.close(None).await.unwrap();
    assert_eq!(link.ended().await, LinkEnd::Closed { code: 1005, reason: String::new() });
}

#[tokio::test]
async fn a_connection_that_just_ends_is_lost() {
    let (link, peer) = pair().await;
    drop(peer);
    loss(&link.ended().await);
}

#[tokio::test]
async fn closing_sends_what_waits_and_then_the_code() {
    let (link, mut peer) = pair().await;
    for n in 0..5 {
        link.handle.send_text(n.to_string());
    }
    link.handle.close(4408, "no welcome");
    link.handle.close(1000, "too late to change the reason");
    for n in 0..5 {
        assert_eq!(peer.next().await.unwrap().unwrap(), Message::text(n.to_string()));
    }
    let Message::Close(Some(frame)) = peer.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4408, "no welcome"));
    drop(peer);
    assert!(loss(&link.ended().await).contains("4408"));
}

#[tokio::test]
async fn a_silent_peer_does_not_hold_up_a_close() {
    let (link, _peer) = pair().await;
    link.handle.close(1000, "bye");
    assert!(loss(&link.ended().await).contains("closed by the terminal"));
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_hold_up_a_close_either() {
    let (link, _peer) = pair().await;
    let bulk = link.handle.bulk();
    let stuffing = tokio::spawn(async move { stuff(&bulk).await });
    while !stuffing.is_finished() && !is_stuck(&link.handle.bulk()).await {}
    link.handle.close(1000, "bye");
    assert!(loss(&link.ended().await).contains("closed by the terminal"));
    stuffing.await.unwrap();
}

/// Sends bulk data until the link is down.
async fn stuff(bulk: &terminal_agent::link::BulkSender) {
    while let Ok(permit) = bulk.ready().await {
        permit.send_binary(vec![0; 32 << 10]);
    }
}

/// Whether nothing moves any more; being wrong only makes a test easier.
async fn is_stuck(bulk: &terminal_agent::link::BulkSender) -> bool {
    tokio::time::timeout(Duration::from_millis(100), bulk.ready()).await.is_err()
}

#[tokio::test]
async fn a_peer_that_takes_no_bytes_is_lost_after_the_write_limit() {
    let (link, _peer) =
        pair_with(|config| config.timeouts.write = Duration::from_millis(100)).await;
    stuff(&link.handle.bulk()).await;
    assert!(loss(&link.ended().await).contains("too slowly"));
}

#[tokio::test]
async fn a_peer_that_asks_much_and_reads_late_gets_every_answer() {
    const QUESTIONS: usize = 1_000;
    let (mut link, peer) = pair().await;
    let (mut asking, mut reading) = peer.split();
    for _ in 0..QUESTIONS {
        asking.feed(Message::text("?")).await.unwrap();
    }
    asking.flush().await.unwrap();
    let answer = text(16 << 10);
    let answering = tokio::spawn({
        let answer = answer.clone();
        async move {
            for _ in 0..QUESTIONS {
                assert!(matches!(link.next().await, LinkEvent::Text(_)));
                link.handle.send_text(answer.clone());
            }
            link
        }
    });
    // Being wrong about it only makes the test easier.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..QUESTIONS {
        assert_eq!(reading.next().await.unwrap().unwrap(), Message::text(&answer));
    }
    drop(answering.await.unwrap());
}

#[tokio::test]
async fn a_queue_of_control_frames_that_overflows_ends_the_link() {
    let (link, _peer) = pair().await;
    // The link's task does not run in between.
    for _ in 0..=256 {
        link.handle.send_text(text(10));
    }
    assert!(loss(&link.ended().await).contains("too slowly"));
}

#[tokio::test]
async fn control_frames_overtake_bulk_data() {
    let (link, mut peer) = pair().await;
    let bulk = link.handle.bulk();
    let mut sent = 0;
    loop {
        let ready = tokio::time::timeout(Duration::from_millis(200), bulk.ready()).await;
        let Ok(permit) = ready else { break };
        permit.unwrap().send_binary(vec![0; 32 << 10]);
        sent += 1;
    }
    link.handle.send_text("urgent".into());
    for _ in 0..sent - 1 {
        assert!(peer.next().await.unwrap().unwrap().is_binary());
    }
    assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("urgent"));
    assert!(peer.next().await.unwrap().unwrap().is_binary());
}

#[tokio::test]
async fn nothing_is_read_while_nobody_takes_events_and_nothing_is_lost() {
    const FRAMES: usize = 400;
    let (mut link, mut peer) = pair().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        for n in 0..FRAMES {
            peer.send(Message::text(format!("{n} {}", text(60_000)))).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
        peer
    });
    // Until it gets no further.
    let mut before = FRAMES;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(before < FRAMES, "24 MB fit into a queue that should be bounded");
    link.handle.send_text("still writing".into());
    for n in 0..FRAMES {
        let LinkEvent::Text(frame) = link.next().await else { panic!() };
        assert!(frame.starts_with(format!("{n} x").as_bytes()));
    }
    let mut peer = sending.await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("still writing"));
}

#[tokio::test]
async fn a_link_that_nobody_holds_or_hears_goes_away() {
    let (Link { handle, mut events }, mut peer) = pair().await;
    drop(handle);
    assert_eq!(close_code(&mut peer).await, CloseCode::Away);
    drop(peer);
    assert!(matches!(events.recv().await, Some(LinkEvent::Closed(LinkEnd::Lost { .. }))));

    let (Link { handle: _handle, events }, mut peer) = pair().await;
    drop(events);
    peer.send(Message::text("anyone?")).await.unwrap();
    assert_eq!(close_code(&mut peer).await, CloseCode::Away);
}

#[tokio::test]
async fn a_flood_of_pings_does_not_keep_frames_from_leaving() {
    let (mut link, peer) = pair().await;
    let stream = peer.into_inner();
    let (mut reading, mut writing) = stream.into_split();
    let flood =
        tokio::spawn(
            async move { while writing.write_all(&b"\x89\x00".repeat(512)).await.is_ok() {} },
        );
    link.handle.send_text("out".into());
    let handle = link.handle.clone();
    let listening = tokio::spawn(async move { while link.events.recv().await.is_some() {} });
    let mut seen = Vec::new();
    while !masked_text(&seen) {
        assert!(reading.read_buf(&mut seen).await.unwrap() > 0);
    }
    flood.abort();
    handle.close(1000, "");
    drop(reading);
    listening.await.unwrap();
}

/// Whether a masked text frame of three bytes is among the pongs.
fn masked_text(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|window| window == [0x81, 0x83])
}
