//! Downloads of updates: what is asked for, which answers count, and where nothing is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{
    pki::{Pki, Shown},
    server,
};
use terminal_agent::{
    downloads::{HttpsSource, UpdateUrl},
    link::{Timeouts, VerificationClock},
};
use terminal_hal::{ErrorCode, Failure, firmware::Source};
use tokio::io::AsyncWriteExt;

const IMAGE: &str = "0123456789";

/// A server that gives one answer to whoever asks, and remembers the questions.
struct Server {
    pki: Pki,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answer: String) -> Self {
        let pki = Pki::new();
        let (listener, port) = server::listen().await;
        let acceptor = pki.acceptor(&Shown::name("localhost"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let questions = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let stream = server::accept(&listener).await;
                // Who does not like the certificate hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                assert!(stream.get_ref().1.peer_certificates().is_none());
                let (head, _) = server::read_head(&mut stream).await;
                questions.lock().unwrap().push(head);
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        Self { pki, port, asked }
    }

    fn source(&self) -> HttpsSource {
        HttpsSource {
            url: UpdateUrl::parse(&format!("https://localhost:{}/n92", self.port)).unwrap(),
            trust: self.pki.trust(),
            proxy: None,
            timeouts: Timeouts::default(),
            clock: Arc::new(VerificationClock::default()),
            allow_private_addresses: true,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// What comes from an offset on; `None` when there is no such file.
async fn fetch(source: &HttpsSource, offset: u64) -> Result<Option<String>, Failure> {
    let Some(mut bytes) = source.open("image", offset).await? else { return Ok(None) };
    let mut whole = Vec::new();
    while let Some(piece) = bytes.next().await? {
        whole.extend(piece);
    }
    Ok(Some(String::from_utf8(whole).unwrap()))
}

async fn fetched(answer: String, offset: u64) -> Result<Option<String>, Failure> {
    fetch(&Server::answering(answer).await.source(), offset).await
}

#[tokio::test]
async fn a_file_is_asked_for_by_name_and_goes_on_from_its_offset() {
    let server = Server::answering(answer("200 OK", "", IMAGE)).await;
    assert_eq!(fetch(&server.source(), 0).await.unwrap().unwrap(), IMAGE);
    let head = &server.asked()[0];
    assert!(head.starts_with("GET /n92/image HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("range:") && !head.contains("authorization"), "{head}");
    let range = "content-range: bytes 4-9/10\r\n";
    let server = Server::answering(answer("206 Partial Content", range, &IMAGE[4..])).await;
    assert_eq!(fetch(&server.source(), 4).await.unwrap().unwrap(), IMAGE[4..]);
    assert!(server.asked()[0].contains("range: bytes=4-\r\n"), "{:?}", server.asked());
}

#[tokio::test]
async fn a_server_that_does_not_know_ranges_sends_what_is_skipped() {
    let whole = fetched(answer("200 OK", "", IMAGE), 4).await.unwrap().unwrap();
    assert_eq!(whole, IMAGE[4..]);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_none_and_one_that_is_too_short_is_not_the_promised_one() {
    assert_eq!(fetched(answer("404 Not Found", "", "x"), 0).await, Ok(None));
    let failure = fetched(answer("416 Range Not Satisfiable", "", ""), 4).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::DigestMismatch, false));
}

#[tokio::test]
async fn answers_that_another_try_may_mend_are_told_from_those_that_are_final() {
    for (status, headers, offset, retryable) in [
        ("503 Service Unavailable", "", 0, true),
        ("429 Too Many Requests", "", 0, true),
        ("302 Found", "location: https://elsewhere.example/image\r\n", 0, false),
        ("403 Forbidden", "", 0, false),
        ("206 Partial Content", "content-range: bytes 3-9/10\r\n", 4, false),
        ("206 Partial Content", "", 4, false),
        ("200 OK", "content-encoding: gzip\r\n", 0, false),
    ] {
        let failure = fetched(answer(status, headers, ""), offset).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::DownloadFailed, "{status}");
        assert_eq!(failure.retryable, retryable, "{status} {headers}: {failure}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_no_end() {
    let cut = answer("200 OK", "", IMAGE).replace("length: 10", "length: 11");
    let failure = fetched(cut, 0).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (ErrorCode::DownloadFailed, true));
}

#[tokio::test]
async fn nothing_is_asked_of_a_private_address_or_of_somebody_else() {
    let server = Server::answering(answer("200 OK", "", IMAGE)).await;
    let guarded = HttpsSource { allow_private_addresses: false, ..server.source() };
    let failure = fetch(&guarded, 0).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DownloadFailed);
    let stranger = Pki::new();
    let foreign = HttpsSource { trust: stranger.trust(), ..server.source() };
    let failure = fetch(&foreign, 0).await.unwrap_err();
    assert!(failure.failure_reason.contains("certificate"), "{failure}");
    assert_eq!(server.asked(), Vec::<String>::new());
}
