//! Webhooks, as a receiver sees them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};
use terminal_cloud::{Cloud, NewOperation, OperationStatus};
use tokio::{net::TcpListener, sync::mpsc};

use crate::bench::{Bench, SOON, completed, epoch, failed, verdict};

const ENDPOINTS: &str = "/v1/webhook-endpoints";

/// One request, with the status that it was answered with.
struct Received {
    signature: String,
    text: String,
    status: u16,
}

impl Received {
    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// An HTTP server that answers with what it is told, then 200.
struct Receiver {
    url: String,
    requests: mpsc::UnboundedReceiver<Received>,
    answers: Arc<Mutex<Answers>>,
}

#[derive(Default)]
struct Answers {
    /// Answered one after the other.
    once: Vec<u16>,
    /// Answered from then on.
    always: Option<u16>,
}

impl Receiver {
    async fn start(once: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Answers { once: once.to_vec(), always: None }));
        let (sender, requests) = mpsc::unbounded_channel();
        let state = (sender, Arc::clone(&answers));
        let router = Router::new().route("/hook", post(receive)).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, requests, answers }
    }

    fn always(&self, status: Option<u16>) {
        self.answers.lock().unwrap().always = status;
    }

    async fn next(&mut self) -> Received {
        tokio::time::timeout(SOON, self.requests.recv()).await.expect("a request").unwrap()
    }

    /// The next one that was taken.
    async fn taken(&mut self) -> Received {
        loop {
            let next = self.next().await;
            if next.status == 200 {
                return next;
            }
        }
    }
}

type Inbox = (mpsc::UnboundedSender<Received>, Arc<Mutex<Answers>>);

async fn receive(
    State((sender, answers)): State<Inbox>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let status = {
        let mut answers = answers.lock().unwrap();
        let always = answers.always.unwrap_or(200);
        if answers.once.is_empty() { always } else { answers.once.remove(0) }
    };
    let signature = headers["vinr-signature"].to_str().unwrap().to_owned();
    let text = String::from_utf8(body.to_vec()).unwrap();
    sender.send(Received { signature, text, status }).unwrap();
    StatusCode::from_u16(status).unwrap()
}

async fn quick() -> Bench {
    Bench::with(|config| {
        config.webhook_retry_base = Duration::ZERO;
        config.offline_grace = Duration::ZERO;
    })
    .await
}

async fn subscribe(bench: &Bench, url: &str, events: Value) -> Value {
    let response = bench.post(ENDPOINTS, json!({ "url": url, "events": events })).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn deliveries(bench: &Bench, endpoint: &Value) -> Value {
    let id = endpoint["id"].as_str().unwrap();
    bench.get(&format!("{ENDPOINTS}/{id}/deliveries")).await
}

/// Until the newest delivery of an endpoint has a status.
async fn settled(bench: &Bench, endpoint: &Value, status: &str) -> Value {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let found = deliveries(bench, endpoint).await["data"][0].clone();
        if found["status"] == status {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assert_signed(received: &Received, endpoint: &Value) {
    let (time, signature) = received.signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let secret = endpoint["secret"].as_str().unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{}", received.text).as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, hex);
}

#[tokio::test]
async fn a_finished_action_is_told_in_the_shape_of_the_page_signed_and_again_until_it_is_taken() {
    let bench = quick().await;
    let mut receiver = Receiver::start(&[500, 301, 429]).await;
    let endpoint = subscribe(&bench, &receiver.url, json!(["terminal_action.*"])).await;
    let terminal = bench.terminal("1").await;
    let id = bench.get("/v1/terminals").await["data"][0]["id"].clone();
    let path = format!("/v1/terminals/{}/actions", id.as_str().unwrap());
    let action: Value =
        bench.post(&path, json!({ "action": "reboot" })).await.json().await.unwrap();
    let mut link = bench.link(&terminal, epoch()).await;
    let operation = crate::bench::id_of(&link.frame_of("operation").await);
    link.send(&verdict(epoch(), 1, operation, "reboot", completed(json!({})))).await;

    let mut attempts = Vec::new();
    for _ in 0..4 {
        attempts.push(receiver.next().await);
    }
    assert_eq!(attempts.iter().map(|one| one.status).collect::<Vec<_>>(), [500, 301, 429, 200]);
    for attempt in &attempts {
        assert_signed(attempt, &endpoint);
        assert_eq!(attempt.text, attempts[0].text, "one event has one body and one id");
    }
    let body = attempts[0].body();
    assert!(body["id"].as_str().unwrap().starts_with("evt_"), "{body}");
    assert!(body["created"].is_u64());
    assert_eq!(body["type"], "terminal_action.completed");
    let path = format!("/v1/terminal/actions/{}", action["id"].as_str().unwrap());
    assert_eq!(body["data"], json!({ "object": bench.get(&path).await }));
    assert_eq!(body["data"]["object"]["status"], "completed");
    let delivery = settled(&bench, &endpoint, "delivered").await;
    assert_eq!((&delivery["attempts"], &delivery["lastStatus"]), (&json!(4), &json!(200)));
    assert_eq!(delivery["eventId"], body["id"]);
}

#[tokio::test]
async fn what_failed_timed_out_or_was_withdrawn_is_told_too_and_what_is_no_action_is_not() {
    let bench = Bench::with(|config| config.timeout_max = Some(Duration::from_millis(50))).await;
    let mut receiver = Receiver::start(&[]).await;
    subscribe(&bench, &receiver.url, json!(["*"])).await;
    let terminal = bench.terminal("1").await;
    let create = |kind: &'static str| {
        bench.cloud.create_operation(NewOperation::new(&terminal.terminal_id, kind))
    };
    let other = create("check_update").await.unwrap();
    bench.cloud.wait_status(other, OperationStatus::Timeout, SOON).await.unwrap();
    create("lock").await.unwrap();
    let told = receiver.taken().await.body();
    assert_eq!(told["data"]["object"]["action"], "lock");
    assert_eq!(told["data"]["object"]["status"], "failed");
    let reason = told["data"]["object"]["result"]["failureReason"].as_str().unwrap().to_owned();
    assert!(reason.contains("nothing was done"), "{reason}");

    let bench = quick().await;
    let mut receiver = Receiver::start(&[]).await;
    subscribe(&bench, &receiver.url, json!(["terminal_action.completed"])).await;
    let terminal = bench.terminal("1").await;
    let new = || NewOperation::new(&terminal.terminal_id, "unlock");
    let withdrawn = bench.cloud.create_operation(new()).await.unwrap();
    assert!(bench.cloud.cancel_operation(withdrawn).await.unwrap());
    let told = receiver.taken().await.body();
    assert_eq!(told["data"]["object"]["status"], "failed");
    let id = bench.cloud.create_operation(new()).await.unwrap();
    let mut link = bench.link(&terminal, epoch()).await;
    link.send(&verdict(epoch(), 1, id, "unlock", failed("DEVICE_FAULT"))).await;
    let told = receiver.taken().await.body();
    assert_eq!(told["data"]["object"]["result"], json!({ "failureReason": "for a test" }));
}

#[tokio::test]
async fn online_and_offline_arrive_in_order_even_when_the_endpoint_fails_in_between() {
    let bench = quick().await;
    let mut receiver = Receiver::start(&[503, 503]).await;
    subscribe(&bench, &receiver.url, json!(["terminal.*"])).await;
    let terminal = bench.terminal("1").await;
    let id = bench.get("/v1/terminals").await["data"][0]["id"].clone();
    for _ in 0..3 {
        drop(bench.link(&terminal, epoch()).await);
        bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
        let online = receiver.taken().await.body();
        assert_eq!((&online["type"], &online["data"]["id"]), (&json!("terminal.online"), &id));
        let offline = receiver.taken().await.body();
        assert_eq!((&offline["type"], &offline["data"]["id"]), (&json!("terminal.offline"), &id));
        assert!(offline["data"]["lastSeen"].as_u64() > Some(1_700_000_000), "{offline}");
        assert!(offline["data"]["locationId"].as_str().unwrap().starts_with("loc_"), "{offline}");
    }
}

#[tokio::test]
async fn a_terminal_that_comes_back_within_the_grace_time_was_never_away() {
    let bench = Bench::with(|config| config.offline_grace = Duration::from_secs(600)).await;
    let terminal = bench.terminal("1").await;
    for _ in 0..3 {
        drop(bench.link(&terminal, epoch()).await);
        bench.cloud.wait_online(&terminal.terminal_id, false, SOON).await.unwrap();
    }
    let config = bench.cloud.kill().await;
    let bench = Bench { cloud: Cloud::start(config).await.unwrap(), ..bench };
    let _link = bench.link(&terminal, epoch()).await;
    let events = bench.get("/v1/events").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    let event = &events["data"][0];
    assert_eq!(event["type"], "terminal.online");
    let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
    assert_eq!(bench.get(&path).await, *event);
    assert_eq!(bench.get("/v1/events?type=terminal.offline").await["data"], json!([]));
}

#[tokio::test]
async fn what_is_on_its_way_survives_a_kill_of_the_cloud() {
    let bench = quick().await;
    let mut receiver = Receiver::start(&[]).await;
    receiver.always(Some(500));
    // Attempts do not end before the kill.
    let config = bench.cloud.stop().await;
    let slow = terminal_cloud::CloudConfig {
        webhook_retry_base: Duration::from_millis(200),
        ..config.clone()
    };
    let bench = Bench { cloud: Cloud::start(slow).await.unwrap(), ..bench };
    let endpoint = subscribe(&bench, &receiver.url, json!(["terminal.online"])).await;
    let terminal = bench.terminal("1").await;
    let _link = bench.link(&terminal, epoch()).await;
    let before = receiver.next().await;
    let _ = bench.cloud.kill().await;
    receiver.always(None);
    let bench = Bench { cloud: Cloud::start(config).await.unwrap(), ..bench };
    let after = receiver.taken().await;
    assert_eq!(before.text, after.text);
    settled(&bench, &endpoint, "delivered").await;
}

#[tokio::test]
async fn an_endpoint_that_never_takes_an_event_is_given_up_and_does_not_stop_the_others() {
    let bench = quick().await;
    let (mut bad, mut good) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    bad.always(Some(500));
    let failing = subscribe(&bench, &bad.url, json!(["terminal.online"])).await;
    subscribe(&bench, &good.url, json!(["terminal.online"])).await;
    let terminal = bench.terminal("1").await;
    let _link = bench.link(&terminal, epoch()).await;
    good.taken().await;
    let delivery = settled(&bench, &failing, "failed").await;
    assert_eq!((&delivery["attempts"], &delivery["lastStatus"]), (&json!(16), &json!(500)));
    assert_eq!(delivery["nextAttemptAt"], Value::Null);
    assert!(delivery["lastError"].as_str().unwrap().contains("500"), "{delivery}");
    for _ in 0..16 {
        bad.next().await;
    }
    assert!(bad.requests.try_recv().is_err(), "given up means no more");
}

#[tokio::test]
async fn an_endpoint_is_checked_listed_and_deleted() {
    let bench = quick().await;
    for (body, path) in [
        (json!({}), "url"),
        (json!({ "url": "http://192.0.2.1/hook" }), "url"),
        (json!({ "url": "ftp://localhost/" }), "url"),
        (json!({ "url": "https://a.example/", "events": ["terminal.moved"] }), "events[0]"),
        (json!({ "url": "https://a.example/", "events": [] }), "events"),
    ] {
        let response = bench.post(ENDPOINTS, body.clone()).await;
        assert_eq!(response.status(), 400, "{body}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["errors"][0]["path"], path, "{body}");
    }
    let made = subscribe(&bench, "https://a.example/hook", json!(["terminal.*"])).await;
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let listed = bench.get(ENDPOINTS).await;
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert!(listed["data"][0].get("secret").is_none(), "shown once");
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let gone = bench.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.json::<Value>().await.unwrap()["deleted"], true);
    assert_eq!(bench.request(Method::GET, &path).send().await.unwrap().status(), 404);
    for _ in 0..16 {
        subscribe(&bench, "https://a.example/hook", json!(["*"])).await;
    }
    let response = bench.post(ENDPOINTS, json!({ "url": "https://a.example/hook" })).await;
    assert_eq!(response.status(), 409);
}

#[tokio::test]
async fn an_event_that_is_too_old_is_given_up_and_does_not_hold_back_the_next() {
    let bench = Bench::with(|config| {
        config.webhook_retry_base = Duration::from_secs(3600);
        config.offline_grace = Duration::ZERO;
    })
    .await;
    let mut receiver = Receiver::start(&[500]).await;
    let endpoint = subscribe(&bench, &receiver.url, json!(["terminal.*"])).await;
    let terminal = bench.terminal("1").await;
    let link = bench.link(&terminal, epoch()).await;
    assert_eq!(receiver.next().await.status, 500);
    let deadline = tokio::time::Instant::now() + SOON;
    while deliveries(&bench, &endpoint).await["data"][0]["attempts"] == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.sql("UPDATE events SET created_at = created_at - 31 * 86400000");
    drop(link);
    assert_eq!(receiver.taken().await.body()["type"], "terminal.offline");
    let left = settled(&bench, &endpoint, "delivered").await;
    assert_eq!(left["type"], "terminal.offline");
    assert_eq!(deliveries(&bench, &endpoint).await["data"].as_array().unwrap().len(), 1);
}
