//! From a URL to an open link: whom it believes, what it shows, and why it gives up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use common::{
    Link, config, loss,
    pki::{Pki, Shown},
    refusal, server,
};
use terminal_agent::link::{LinkConfig, LinkEvent, ProxyConfig, VerificationClock};
use terminal_core::{
    engine::LinkEnd,
    protocol::{ENROL_SUBPROTOCOL, SUBPROTOCOL},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio_rustls::TlsAcceptor;

/// The time of a clock that runs ahead: the year 2100.
const YEAR_2100: Duration = Duration::from_secs(4_102_444_800);

fn trusting(pki: &Pki, port: u16) -> LinkConfig {
    let trust = Some(pki.trust());
    LinkConfig { trust, ..config(&format!("wss://localhost:{port}/ops")) }
}

/// How a link ends at a server that shows this certificate.
async fn end_at(shown: Shown, change: impl Fn(&mut LinkConfig), clock: VerificationClock) -> Link {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor = pki.acceptor(&shown);
    let mut config = trusting(&pki, port);
    change(&mut config);
    tokio::spawn(async move {
        let _pki = pki;
        loop {
            if let Ok(stream) = acceptor.accept(server::accept(&listener).await).await {
                let (mut socket, _) = server::upgrade(stream).await;
                let _ = socket.get_mut().read(&mut [0; 16]).await;
            }
        }
    });
    let link = Link::open_by(config, clock);
    tokio::task::yield_now().await;
    link
}

#[tokio::test]
async fn a_link_shows_its_certificate_and_its_token() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor = pki.acceptor_demanding(&Shown::name("localhost"), Some(&pki));
    let token_file = Some(pki.write("token", "s3cret\n"));
    let identity = Some(pki.client());
    let link = Link::open(LinkConfig { identity, token_file, ..trusting(&pki, port) });
    let stream = acceptor.accept(server::accept(&listener).await).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap().len(), 1);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (_socket, headers) = server::upgrade(stream).await;
    link.opened().await;
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["sec-websocket-protocol"], SUBPROTOCOL);
    assert_eq!(headers["host"], format!("localhost:{port}"));
}

#[tokio::test]
async fn the_end_that_enrols_is_asked_for_its_own_protocol_with_the_certificate_of_the_factory() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor = pki.acceptor_demanding(&Shown::name("localhost"), Some(&pki));
    let identity = Some(pki.client());
    let link = Link::open_to_enrol(LinkConfig { identity, ..trusting(&pki, port) });
    let stream = acceptor.accept(server::accept(&listener).await).await.unwrap();
    let (_socket, headers) = server::upgrade(stream).await;
    assert_eq!(headers["sec-websocket-protocol"], ENROL_SUBPROTOCOL);
    assert!(!headers.contains_key("authorization"));
    // That server speaks the other one.
    let end = link.refused().await;
    assert!(refusal(&end).contains(ENROL_SUBPROTOCOL), "{end:?}");
}

#[tokio::test]
async fn a_link_without_the_certificate_that_the_server_wants_is_refused() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor = pki.acceptor_demanding(&Shown::name("localhost"), Some(&pki));
    let link = Link::open(trusting(&pki, port));
    let _ = acceptor.accept(server::accept(&listener).await).await;
    let end = link.refused().await;
    assert!(refusal(&end).contains("this terminal's certificate"), "{end:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let link = end_at(Shown::name("cloud.example"), |_| {}, VerificationClock::default()).await;
    let end = link.refused().await;
    assert!(refusal(&end).contains("is for another name"), "{end:?}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_refused() {
    let other = Pki::new();
    let trust_other = |config: &mut LinkConfig| config.trust = Some(other.trust());
    let link = end_at(Shown::name("localhost"), trust_other, VerificationClock::default()).await;
    let end = link.refused().await;
    assert!(refusal(&end).contains("is from an unknown CA"), "{end:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let shown = || Shown::name("localhost").years(2010, 2012);
    for synchronised in [true, false] {
        let clock = VerificationClock::default();
        clock.set_synchronised(synchronised);
        let end = end_at(shown(), |_| {}, clock).await.refused().await;
        assert!(refusal(&end).contains("has expired"), "{end:?}");
    }
}

#[tokio::test]
async fn a_clock_that_runs_ahead_is_doubted_unless_it_is_synchronised() {
    let ahead = || VerificationClock::with_system(|| YEAR_2100);
    end_at(Shown::name("localhost"), |_| {}, ahead()).await.opened().await;
    let sure = ahead();
    sure.set_synchronised(true);
    let end = end_at(Shown::name("localhost"), |_| {}, sure).await.refused().await;
    assert!(refusal(&end).contains("has expired"), "{end:?}");
}

#[tokio::test]
async fn the_second_look_at_an_expired_certificate_still_checks_its_name() {
    let ahead = VerificationClock::with_system(|| YEAR_2100);
    let end = end_at(Shown::name("cloud.example"), |_| {}, ahead).await.refused().await;
    assert!(refusal(&end).contains("is for another name"), "{end:?}");
}

#[tokio::test]
async fn a_lost_clock_is_lifted_but_a_certificate_of_the_future_stays_refused() {
    let lost = || VerificationClock::with_system(|| Duration::ZERO);
    end_at(Shown::name("localhost"), |_| {}, lost()).await.opened().await;
    let future = Shown::name("localhost").years(2080, 2090);
    let end = end_at(future, |_| {}, lost()).await.refused().await;
    assert!(refusal(&end).contains("is not valid yet"), "{end:?}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_another_of_the_same_ca_is_not() {
    for (serial, revoked) in [(7, true), (8, false)] {
        let pki = Pki::new();
        let (listener, port) = server::listen().await;
        let acceptor = pki.acceptor(&Shown { serial, ..Shown::name("localhost") });
        let trust = Some(pki.trust_revoking(7));
        let link = Link::open(LinkConfig { trust, ..trusting(&pki, port) });
        let stream = acceptor.accept(server::accept(&listener).await).await;
        if revoked {
            let end = link.refused().await;
            assert!(refusal(&end).contains("has been revoked"), "{end:?}");
        } else {
            let _socket = server::upgrade(stream.unwrap()).await;
            link.opened().await;
        }
    }
}

#[tokio::test]
async fn a_revocation_list_of_another_ca_covers_nothing() {
    let other = Pki::new();
    let crl_file = other.trust_revoking(1).crl_file;
    let change =
        |config: &mut LinkConfig| config.trust.as_mut().unwrap().crl_file.clone_from(&crl_file);
    let end = end_at(Shown::name("localhost"), change, VerificationClock::default()).await;
    let end = end.refused().await;
    assert!(refusal(&end).contains("no revocation list covers"), "{end:?}");
}

#[tokio::test]
async fn rotated_files_take_effect_at_the_next_connect() {
    let (old, new) = (Pki::new(), Pki::new());
    let (listener, port) = server::listen().await;
    let acceptor = new.acceptor(&Shown::name("localhost"));
    let config = trusting(&old, port);
    let link = Link::open(config.clone());
    let _ = acceptor.accept(server::accept(&listener).await).await;
    refusal(&link.refused().await);
    std::fs::copy(new.trust().ca_file, old.trust().ca_file).unwrap();
    let link = Link::open(config);
    let stream = acceptor.accept(server::accept(&listener).await).await.unwrap();
    let _socket = server::upgrade(stream).await;
    link.opened().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let pki = Pki::new();
    let missing = pki.folder.path().join("gone");
    let link = Link::open(LinkConfig { token_file: Some(missing), ..trusting(&pki, 1) });
    assert!(refusal(&link.refused().await).contains("gone"));
    pki.write("ca.pem", "rubbish");
    let end = Link::open(trusting(&pki, 1)).refused().await;
    assert!(refusal(&end).contains("no CA certificate"), "{end:?}");
}

/// How a link ends at a server on loopback that answers the upgrade with this.
async fn end_after(response: &'static str) -> LinkEnd {
    let (listener, port) = server::listen().await;
    tokio::spawn(async move { server::answer(server::accept(&listener).await, response).await });
    Link::open(config(&format!("ws://127.0.0.1:{port}/"))).refused().await
}

#[tokio::test]
async fn an_http_answer_tells_whether_and_when_to_come_back() {
    for response in ["HTTP/1.1 401 Unauthorized\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n"] {
        let end = end_after(response).await;
        let LinkEnd::Unauthorized { reason } = &end else { panic!("unexpected {end:?}") };
        assert!(reason.contains("status 40"), "{end:?}");
    }
    let end = end_after("HTTP/1.1 503 Busy\r\nRetry-After: 17\r\n\r\n").await;
    assert_eq!(end, LinkEnd::RetryAfter { seconds: 17 });
    let end = end_after("HTTP/1.1 429 Slow\r\nRetry-After: Sun, 01 Jan 2090 00:00:00 GMT\r\n\r\n");
    assert_eq!(end.await, LinkEnd::RetryAfter { seconds: 3600 });
    let end = end_after("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Log in").await;
    assert!(loss(&end).contains("status 200"), "{end:?}");
    let end = end_after("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n").await;
    assert!(loss(&end).contains("status 302"), "{end:?}");
    let end = end_after("SSH-2.0-OpenSSH\r\n\r\n").await;
    assert!(loss(&end).contains("upgrade"), "{end:?}");
}

#[tokio::test]
async fn an_upgrade_to_no_protocol_or_another_is_refused() {
    for protocol in [None, Some("chat")] {
        let (listener, port) = server::listen().await;
        let link = Link::open(config(&format!("ws://127.0.0.1:{port}/")));
        let mut stream = server::accept(&listener).await;
        let (head, _) = server::read_head(&mut stream).await;
        let accept = accept_key(&head);
        let protocol =
            protocol.map_or(String::new(), |p| format!("Sec-WebSocket-Protocol: {p}\r\n"));
        let response = format!(
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
        );
        stream.write_all(response.as_bytes()).await.unwrap();
        let end = link.refused().await;
        assert!(refusal(&end).contains(SUBPROTOCOL), "{end:?}");
    }
}

fn accept_key(head: &str) -> String {
    let head = head.to_ascii_lowercase().find("sec-websocket-key: ").map(|at| &head[at + 19..]);
    let key = head.and_then(|rest| rest.lines().next()).unwrap();
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_or_nothing_at_all_is_a_loss() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let link = Link::open(trusting(&pki, port));
    let mut stream = server::accept(&listener).await;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    assert!(loss(&link.refused().await).contains("does not speak TLS"));

    let mut impatient = trusting(&pki, port);
    impatient.timeouts.tls = Duration::from_millis(50);
    let link = Link::open(impatient);
    let _silent = server::accept(&listener).await;
    assert!(loss(&link.refused().await).contains("took longer"));

    drop(listener);
    assert!(loss(&Link::open(trusting(&pki, port)).refused().await).contains("cannot connect"));
}

#[tokio::test]
async fn a_link_that_is_closed_before_it_is_open_ends_at_once() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let link = Link::open(trusting(&pki, port));
    let _silent = server::accept(&listener).await;
    link.handle.close(1000, "changed our mind");
    assert!(loss(&link.refused().await).contains("before it was open"));
}

/// A proxy that wants this login and then connects everything to `port`.
async fn proxy(login: &'static str, port: u16) -> ProxyConfig {
    let (listener, proxy_port) = server::listen().await;
    tokio::spawn(async move {
        let mut client = server::accept(&listener).await;
        let (head, _) = server::read_head(&mut client).await;
        assert!(head.starts_with("CONNECT cloud.test:443 HTTP/1.1\r\nHost: cloud.test:443\r\n"));
        if !head.contains(&format!("Proxy-Authorization: Basic {login}\r\n")) {
            let _ = client.write_all(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        client.write_all(b"HTTP/1.1 200 Go\r\nVia: x\r\n\r\n").await.unwrap();
        let mut target = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut target).await;
    });
    ProxyConfig { host: "127.0.0.1".into(), port: proxy_port, credentials_file: None }
}

fn through(proxy: ProxyConfig, pki: &Pki) -> LinkConfig {
    let (trust, identity) = (Some(pki.trust()), Some(pki.client()));
    LinkConfig { trust, identity, proxy: Some(proxy), ..config("wss://cloud.test/ops") }
}

#[tokio::test]
async fn a_proxy_with_a_login_carries_both_certificates() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor: TlsAcceptor = pki.acceptor_demanding(&Shown::name("cloud.test"), Some(&pki));
    let mut proxy = proxy("dXNlcjpodXNo", port).await;
    proxy.credentials_file = Some(pki.write("proxy", "user:hush\n"));
    let link = Link::open(through(proxy, &pki));
    let stream = acceptor.accept(server::accept(&listener).await).await.unwrap();
    assert!(stream.get_ref().1.peer_certificates().is_some());
    let _socket = server::upgrade(stream).await;
    link.opened().await;
}

#[tokio::test]
async fn a_proxy_that_wants_another_login_refuses() {
    let pki = Pki::new();
    let end = Link::open(through(proxy("dXNlcjpodXNo", 1).await, &pki)).refused().await;
    assert!(refusal(&end).contains("407"), "{end:?}");
}

#[tokio::test]
async fn a_proxy_cannot_make_the_terminal_read_without_end() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let proxy = ProxyConfig { host: "127.0.0.1".into(), port, credentials_file: None };
    let link = Link::open(through(proxy, &pki));
    let mut stream = server::accept(&listener).await;
    let flood = format!("HTTP/1.1 200 Go\r\nX: {}", "x".repeat(9 << 10));
    stream.write_all(flood.as_bytes()).await.unwrap();
    assert!(loss(&link.refused().await).contains("8 KiB"));
}

#[tokio::test]
async fn a_frame_that_comes_with_the_upgrade_is_not_lost() {
    let (listener, port) = server::listen().await;
    let link = Link::open(config(&format!("ws://127.0.0.1:{port}/")));
    let mut stream = server::accept(&listener).await;
    let (head, _) = server::read_head(&mut stream).await;
    let accept = accept_key(&head);
    let response = format!(
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n\x01"
    );
    let mut bytes = response.into_bytes();
    *bytes.last_mut().unwrap() = 0x81;
    bytes.extend_from_slice(b"\x02hi");
    stream.write_all(&bytes).await.unwrap();
    let mut link = link.opened().await;
    assert_eq!(link.next().await, LinkEvent::Text(b"hi".to_vec()));
}
