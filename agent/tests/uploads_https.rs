//! Uploads to a URL: what is sent, where it may go, and what answers mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{
    logs::{MemoryLogs, new_call, now, sha256, unpack},
    pki::{Pki, Shown},
    server,
};
use terminal_agent::{
    link::{ProxyConfig, Timeouts, VerificationClock},
    uploads::{HttpsUploads, UploadLimits, Uploads, send_logs},
};
use terminal_hal::{
    ErrorCode, Failure,
    operation::{
        SendLogsParameters, SendLogsResult,
        send_logs::{Upload, UploadMethod},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    sync::mpsc,
};

/// A receiver that gives these answers, one per connection, and what it received.
struct Receiver {
    pki: Pki,
    port: u16,
    requests: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    connections: Arc<AtomicU32>,
}

/// When a receiver answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    After(&'static str),
    AtOnce(&'static str),
    HangUp,
}

impl Receiver {
    async fn answering(answers: &[Answer]) -> Self {
        let answers = answers.to_vec();
        let pki = Pki::new();
        let (listener, port) = server::listen().await;
        let acceptor = pki.acceptor(&Shown {
            names: vec!["localhost".into(), "logs.test".into()],
            ..Shown::name("")
        });
        let (sender, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            for answer in answers {
                let stream = server::accept(&listener).await;
                counter.fetch_add(1, Ordering::Relaxed);
                let mut stream = acceptor.accept(stream).await.unwrap();
                assert!(stream.get_ref().1.peer_certificates().is_none());
                let (head, mut body) = server::read_head(&mut stream).await;
                let response = match answer {
                    Answer::HangUp => continue,
                    Answer::AtOnce(response) => response,
                    Answer::After(response) => {
                        while body.len() < content_length(&head) {
                            assert!(stream.read_buf(&mut body).await.unwrap() > 0);
                        }
                        response
                    }
                };
                let response = format!("HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(response.as_bytes()).await.unwrap();
                let _ = sender.send((head, body));
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        Self { pki, port, requests, connections }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/bucket/key?signature=x", self.port)
    }

    fn limits(&self) -> UploadLimits {
        let hosts = vec![format!("localhost:{}", self.port), "logs.test".into()];
        UploadLimits { hosts, bytes_max: 64 << 20, allow_private_addresses: true }
    }

    fn https(&self) -> HttpsUploads {
        HttpsUploads {
            trust: self.pki.trust(),
            proxy: None,
            timeouts: Timeouts::default(),
            clock: Arc::new(VerificationClock::default()),
            retry_delay: Duration::from_millis(1),
        }
    }

    async fn send(&self, upload: Upload) -> Result<SendLogsResult, Failure> {
        self.send_by(upload, self.https(), self.limits()).await
    }

    async fn send_by(
        &self,
        upload: Upload,
        https: HttpsUploads,
        limits: UploadLimits,
    ) -> Result<SendLogsResult, Failure> {
        let (call, _handle) = new_call();
        let logs = MemoryLogs::new(1500);
        let parameters =
            SendLogsParameters { upload: Some(upload), ..SendLogsParameters::default() };
        send_logs(&call, &parameters, &logs, &Uploads::new(Some(https)), now(), &limits).await
    }

    /// How often something has connected.
    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

fn content_length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.unwrap().parse().unwrap()
}

fn put(url: String) -> Upload {
    Upload { url, method: UploadMethod::Put, headers: BTreeMap::new(), expires_at: None }
}

#[tokio::test]
async fn a_receiver_gets_the_announced_bytes_and_the_given_headers() {
    let mut receiver = Receiver::answering(&[Answer::After("201 Created")]).await;
    let headers = BTreeMap::from([("X-Amz-Tagging".to_owned(), "a=b".to_owned())]);
    let result = receiver.send(Upload { headers, ..put(receiver.url()) }).await.unwrap();
    let (head, body) = receiver.requests.recv().await.unwrap();
    assert!(head.starts_with("PUT /bucket/key?signature=x HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}\r\n", receiver.port)), "{head}");
    assert!(head.contains("x-amz-tagging: a=b\r\n"), "{head}");
    assert!(head.contains("content-type: application/gzip\r\n"), "{head}");
    assert!(!head.contains("authorization") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(body.len(), content_length(&head));
    assert_eq!((result.bytes_compressed, result.sha256), (body.len() as u64, sha256(&body)));
    assert_eq!(unpack(&body).lines().count(), 1500);
}

#[tokio::test]
async fn a_redirect_or_a_refusal_is_final() {
    let cases: [(&'static [Answer], &str); 3] = [
        (&[Answer::After("307 Elsewhere\r\nLocation: https://localhost/")], "307"),
        (&[Answer::After("403 Forbidden")], "403"),
        (&[Answer::AtOnce("413 Too Large")], "413"),
    ];
    for (answers, status) in cases {
        let receiver = Receiver::answering(answers).await;
        let failure = receiver.send(put(receiver.url())).await.unwrap_err();
        assert_eq!((failure.code, failure.retryable), (ErrorCode::UploadRejected, false));
        assert!(failure.failure_reason.contains(status), "{failure}");
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn what_breaks_off_is_tried_three_times() {
    let first = Answer::After("500 Oops");
    let mut receiver = Receiver::answering(&[first, Answer::HangUp, Answer::After("200 OK")]).await;
    receiver.send(put(receiver.url())).await.unwrap();
    assert_eq!(receiver.connections(), 3);
    receiver.requests.recv().await.unwrap();
    let (_, body) = receiver.requests.recv().await.unwrap();
    assert_eq!(unpack(&body).lines().count(), 1500);

    let receiver = Receiver::answering(&[first, first, first, first]).await;
    let failure = receiver.send(put(receiver.url())).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::UploadFailed, true));
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn an_answer_before_everything_has_arrived_is_no_success() {
    let early = Answer::AtOnce("200 OK");
    let receiver = Receiver::answering(&[early, early, early]).await;
    let failure = receiver.send(put(receiver.url())).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UploadFailed);
}

#[tokio::test]
async fn a_url_that_has_expired_is_not_used() {
    let receiver = Receiver::answering(&[Answer::After("200 OK")]).await;
    let upload = Upload { expires_at: Some(now()), ..put(receiver.url()) };
    let failure = receiver.send(upload).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UploadUrlExpired);
    assert_eq!(receiver.connections(), 0);
    let upload = Upload { expires_at: Some(now().plus_ms(60_000)), ..put(receiver.url()) };
    receiver.send(upload).await.unwrap();
}

#[tokio::test]
async fn a_host_or_port_that_is_not_on_the_list_is_never_connected_to() {
    let receiver = Receiver::answering(&[Answer::After("200 OK")]).await;
    let port = receiver.port;
    for url in [format!("https://127.0.0.1:{port}/"), "https://localhost/".to_owned()] {
        let failure = receiver.send(put(url)).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::UploadRejected);
        assert!(failure.failure_reason.contains("list"), "{failure}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_never_connected_to() {
    let receiver = Receiver::answering(&[Answer::After("200 OK")]).await;
    let limits = UploadLimits { allow_private_addresses: false, ..receiver.limits() };
    let result = receiver.send_by(put(receiver.url()), receiver.https(), limits).await;
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UploadRejected);
    assert!(failure.failure_reason.contains("no address"), "{failure}");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_receiver_of_an_unknown_ca_gets_nothing() {
    let receiver = Receiver::answering(&[Answer::After("200 OK")]).await;
    let other = Pki::new();
    let https = HttpsUploads { trust: other.trust(), ..receiver.https() };
    let result = receiver.send_by(put(receiver.url()), https, receiver.limits()).await;
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UploadRejected);
    assert!(failure.failure_reason.contains("unknown CA"), "{failure}");
}

#[tokio::test]
async fn without_a_ca_there_are_no_uploads_to_urls() {
    let receiver = Receiver::answering(&[]).await;
    let (call, _handle) = new_call();
    let upload = Some(put(receiver.url()));
    let parameters = SendLogsParameters { upload, ..SendLogsParameters::default() };
    let (logs, uploads, limits) = (MemoryLogs::new(5), Uploads::new(None), receiver.limits());
    let result = send_logs(&call, &parameters, &logs, &uploads, now(), &limits).await;
    assert_eq!(result.unwrap_err().code, ErrorCode::UploadRejected);
}

#[tokio::test]
async fn an_upload_goes_through_the_proxy() {
    let receiver = Receiver::answering(&[Answer::After("200 OK")]).await;
    let (listener, port) = server::listen().await;
    let target = receiver.port;
    tokio::spawn(async move {
        let mut client = server::accept(&listener).await;
        let (head, _) = server::read_head(&mut client).await;
        assert!(head.starts_with("CONNECT logs.test:443 "), "{head}");
        client.write_all(b"HTTP/1.1 200 Go\r\n\r\n").await.unwrap();
        let mut upstream = tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut upstream).await;
    });
    let proxy = ProxyConfig { host: "127.0.0.1".into(), port, credentials_file: None };
    let https = HttpsUploads { proxy: Some(proxy), ..receiver.https() };
    let limits = UploadLimits { allow_private_addresses: false, ..receiver.limits() };
    receiver.send_by(put("https://logs.test/x".into()), https, limits).await.unwrap();
}

#[tokio::test]
async fn a_stalled_receiver_does_not_hold_an_upload_for_ever() {
    let pki = Pki::new();
    let (listener, port) = server::listen().await;
    let acceptor = pki.acceptor(&Shown::name("localhost"));
    let (stalled, mut when_stalled) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let mut stream = acceptor.accept(server::accept(&listener).await).await.unwrap();
            let _ = server::read_head(&mut stream).await;
            held.push(stream);
            stalled.send(()).unwrap();
        }
    });
    let https = HttpsUploads {
        trust: pki.trust(),
        proxy: None,
        timeouts: Timeouts::default(),
        clock: Arc::new(VerificationClock::default()),
        retry_delay: Duration::from_millis(1),
    };
    let hosts = vec![format!("localhost:{port}")];
    let limits = UploadLimits { hosts, bytes_max: 64 << 20, allow_private_addresses: true };
    let sending = tokio::spawn(async move {
        let (call, _handle) = new_call();
        let upload = Some(put(format!("https://localhost:{port}/")));
        let parameters = SendLogsParameters { upload, ..SendLogsParameters::default() };
        let uploads = Uploads::new(Some(https));
        send_logs(&call, &parameters, &MemoryLogs::new(5), &uploads, now(), &limits).await
    });
    for _ in 0..3 {
        when_stalled.recv().await.unwrap();
        // Time flies only while a receiver stalls: connecting takes real time.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
    }
    let failure = sending.await.unwrap().unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::UploadFailed, true));
    assert!(failure.failure_reason.contains("does not answer"), "{failure}");
}
