//! What every test stands on: a cloud on a free port, an HTTP client, a hand-made terminal.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use terminal_cloud::{Cloud, CloudConfig, NewTerminal, NewToken, Pki, Transport};
use terminal_hal::OperationId;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest, http::HeaderValue, protocol::frame::CloseFrame,
    },
};
use uuid::Uuid;

use crate::contract;

pub(crate) const ACCOUNT: &str = "P11223351";
/// No test waits longer for one thing; none depends on how long it takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a request was answered with.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The same as of a response that is still on its way.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.body)
    }
}

pub(crate) struct Bench {
    pub(crate) cloud: Cloud,
    pub(crate) pki: Pki,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
    pub(crate) data: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut CloudConfig)) -> Self {
        let pki = Pki::create().unwrap();
        let data = tempfile::tempdir().unwrap();
        let mut config = CloudConfig::new(data.path(), Transport::Tls(pki.tls().unwrap()));
        config.test_switches = true;
        change(&mut config);
        let cloud = Cloud::start(config).await.unwrap();
        let root = reqwest::Certificate::from_pem(pki.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().add_root_certificate(root).build().unwrap();
        let token = new_token(&cloud, &["admin:checkout"]).await;
        Self { cloud, pki, http, token, data }
    }

    pub(crate) async fn terminal(&self, serial: &str) -> NewTerminal {
        self.cloud.create_terminal(ACCOUNT, serial).await.unwrap()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.cloud.base_url());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// The body of a GET, which is what the document says.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.body
    }

    /// The answer to a POST, which is what the document says.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Sends a request and checks the answer against the document.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method.clone(), path);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        contract::check(&method, path, status.as_u16(), &body);
        Answer { status, headers, body }
    }

    /// Creates an operation over REST and returns its id.
    pub(crate) async fn operate(&self, terminal_id: &str, operation: &str) -> OperationId {
        let body = json!({ "terminal_id": terminal_id, "operation": operation });
        let response = self.post("/v1/admin/terminals/operations", body).await;
        assert_eq!(response.status(), 201);
        id_of(&response.json::<Value>().await.unwrap())
    }

    /// Changes what is stored, as time or a restored backup would.
    pub(crate) fn sql(&self, sql: &str) {
        let db = rusqlite::Connection::open(self.data.path().join("cloud.db")).unwrap();
        db.busy_timeout(SOON).unwrap();
        db.execute_batch(sql).unwrap();
    }

    /// A welcomed link.
    pub(crate) async fn link(&self, terminal: &NewTerminal, epoch: Uuid) -> FakeTerminal {
        let mut link = self.dial(terminal).await;
        link.send(&hello(&terminal.terminal_id, epoch, &[])).await;
        assert_eq!(link.frame().await["type"], "welcome");
        link
    }

    pub(crate) async fn dial(&self, terminal: &NewTerminal) -> FakeTerminal {
        let authorization = format!("Bearer {}", terminal.token);
        self.try_dial(Some(&authorization), Some("terminal-ops.v1"), None).await.unwrap()
    }

    /// A WebSocket handshake with whatever it is made of.
    pub(crate) async fn try_dial(
        &self,
        authorization: Option<&str>,
        subprotocol: Option<&str>,
        certificate: Option<(String, String)>,
    ) -> Result<FakeTerminal, Error> {
        let headers = headers(authorization, subprotocol);
        if self.cloud.base_url().starts_with("http:") {
            return FakeTerminal::over(connect(self.cloud.addr()).await, OPERATIONS_PATH, headers)
                .await;
        }
        let tls = tls(self.cloud.addr(), self.pki.ca_pem(), certificate).await?;
        FakeTerminal::over(tls, OPERATIONS_PATH, headers).await
    }

    /// A link of a terminal that wants to be enrolled.
    pub(crate) async fn enrolment_link(&self) -> FakeTerminal {
        self.try_dial_enrolment(None).await.unwrap()
    }

    /// The same, with the certificate of a factory.
    pub(crate) async fn try_dial_enrolment(
        &self,
        certificate: Option<(String, String)>,
    ) -> Result<FakeTerminal, Error> {
        let headers = headers(None, Some("terminal-enrol.v1"));
        let path = "/v1/terminal/enrol";
        if self.cloud.base_url().starts_with("http:") {
            return FakeTerminal::over(connect(self.cloud.addr()).await, path, headers).await;
        }
        let tls = tls(self.cloud.addr(), self.pki.ca_pem(), certificate).await?;
        FakeTerminal::over(tls, path, headers).await
    }
}

const OPERATIONS_PATH: &str = "/v1/terminal/ws";

/// A WebSocket handshake with a cloud at `addr`.
pub(crate) async fn dial(
    addr: SocketAddr,
    ca_pem: &str,
    authorization: Option<&str>,
    subprotocol: Option<&str>,
    certificate: Option<(String, String)>,
) -> Result<FakeTerminal, Error> {
    let tls = tls(addr, ca_pem, certificate).await?;
    FakeTerminal::over(tls, OPERATIONS_PATH, headers(authorization, subprotocol)).await
}

type Headers = Vec<(&'static str, String)>;

fn headers(authorization: Option<&str>, subprotocol: Option<&str>) -> Headers {
    let given = [("Authorization", authorization), ("Sec-WebSocket-Protocol", subprotocol)];
    given.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect()
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

async fn tls(
    addr: SocketAddr,
    ca_pem: &str,
    certificate: Option<(String, String)>,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = connect(addr).await;
    connector(ca_pem, certificate).connect(name, tcp).await.map_err(Error::Io)
}

pub(crate) async fn new_token(cloud: &Cloud, scopes: &[&str]) -> String {
    let new = NewToken {
        account_id: ACCOUNT.into(),
        subject: "user@example.com".into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    cloud.create_token(new).await.unwrap()
}

fn connector(ca_pem: &str, certificate: Option<(String, String)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// What a link runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A terminal that does exactly what the test says.
pub(crate) struct FakeTerminal {
    pub(crate) socket: WebSocketStream<Box<dyn Stream>>,
}

impl FakeTerminal {
    async fn over(
        stream: impl Stream + 'static,
        path: &str,
        headers: Headers,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let stream: Box<dyn Stream> = Box::new(stream);
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn message(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(SOON, self.socket.next()).await.expect("the cloud says something")
    }

    /// The next text frame.
    pub(crate) async fn frame(&mut self) -> Value {
        loop {
            let message = self.message().await.expect("the link is up").unwrap();
            assert!(!message.is_close(), "closed: {message:?}");
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// The next text frame of a type; others are skipped.
    pub(crate) async fn frame_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// How the cloud closes the link.
    pub(crate) async fn close_frame(&mut self) -> CloseFrame {
        loop {
            let message = self.message().await.expect("a close frame").unwrap();
            if let Message::Close(frame) = message {
                return frame.expect("a close code");
            }
        }
    }

    /// Waits for the ack of a seq.
    pub(crate) async fn acked(&mut self, seq: u64) {
        while self.frame_of("ack").await["seq"].as_u64().unwrap() < seq {}
    }

    /// That nothing is in flight towards us: a ping is answered first.
    pub(crate) async fn nothing_before_pong(&mut self) {
        self.socket.send(Message::Ping(b"probe".as_slice().into())).await.unwrap();
        let message = self.message().await.unwrap().unwrap();
        assert!(message.is_pong(), "got {message:?} before the pong");
    }
}

pub(crate) fn hello(terminal_id: &str, epoch: Uuid, unfinished: &[(OperationId, &str)]) -> Value {
    let unfinished = unfinished
        .iter()
        .map(|(id, state)| json!({ "id": id, "state": state }))
        .collect::<Vec<_>>();
    json!({
        "type": "hello", "protocol": 1, "terminal_id": terminal_id,
        "serial_number": "123456789012", "model": "mock", "agent_version": "0.1.0",
        "software_version": "3.14.2", "boot_id": Uuid::from_u128(9), "store_epoch": epoch,
        "session_id": null, "operations": ["end_of_day", "send_logs"], "unfinished": unfinished,
        "outbox": { "first_seq": 1, "last_seq": 0 },
        "caps": { "unfinished": 16, "unacked": 10000, "frame_bytes": 65536 },
        "locked": false, "config_revision": 0,
        "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "synchronised" },
    })
}

pub(crate) fn event(epoch: Uuid, seq: u64) -> Value {
    json!({
        "type": "report", "seq": seq, "store_epoch": epoch, "report_id": report_id(seq),
        "kind": "event", "event": "booted", "at": "2026-06-29T09:00:00Z", "data": {},
    })
}

pub(crate) fn verdict(epoch: Uuid, seq: u64, id: OperationId, kind: &str, outcome: Value) -> Value {
    let mut report = json!({
        "type": "report", "seq": seq, "store_epoch": epoch, "report_id": report_id(seq),
        "kind": "operation", "id": id, "operation": kind, "result": null, "error": null,
        "started_at": "2026-06-29T09:00:00Z", "finished_at": "2026-06-29T09:00:03Z",
        "duration_ms": 3000, "attempt": 1, "boot_id": Uuid::from_u128(9),
        "clock_trusted": true, "origin": "cloud",
    });
    for (name, value) in outcome.as_object().unwrap() {
        report[name] = value.clone();
    }
    report
}

pub(crate) fn completed(result: Value) -> Value {
    json!({ "status": "COMPLETED", "result": result })
}

pub(crate) fn failed(code: &str) -> Value {
    json!({ "status": "FAILED", "error": {
        "code": code, "failure_reason": "for a test", "retryable": true, "side_effects": "none",
    } })
}

pub(crate) fn report_id(seq: u64) -> Uuid {
    Uuid::from_u128(u128::from(seq) | 1 << 100)
}

pub(crate) fn id_of(body: &Value) -> OperationId {
    OperationId(Uuid::parse_str(body["id"].as_str().unwrap()).unwrap())
}

pub(crate) fn epoch() -> Uuid {
    Uuid::from_u128(0xE)
}

/// HTTP status and body of a refused upgrade.
pub(crate) fn refusal(outcome: Result<FakeTerminal, Error>) -> (u16, Value, Option<String>) {
    match outcome {
        Err(Error::Http(response)) => {
            let retry = response.headers().get("retry-after");
            let retry = retry.map(|value| value.to_str().unwrap().to_owned());
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default(), retry)
        }
        Err(other) => panic!("want an HTTP answer, got {other}"),
        Ok(_) => panic!("the upgrade went through"),
    }
}
