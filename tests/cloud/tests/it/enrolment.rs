//! Enrolment from both ends: the terminal that asks, and the person who types the code in.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::bench::{ACCOUNT, Bench, FakeTerminal, SOON, epoch, hello, refusal};

const ACTIVATE: &str = "/v1/terminals/activate";
const NONCE: &str = "0123456789abcdef";

/// A terminal's serial number and key.
pub(crate) struct Key {
    serial: &'static str,
    key: KeyPair,
}

impl Key {
    pub(crate) fn new(serial: &'static str) -> Self {
        Self { serial, key: KeyPair::generate().unwrap() }
    }

    pub(crate) fn begin(&self) -> Value {
        let params = CertificateParams::new(Vec::new()).unwrap();
        let csr = params.serialize_request(&self.key).unwrap().pem().unwrap();
        json!({
            "type": "enrol_begin", "serial_number": self.serial, "model": "nexgo_n92", "csr": csr,
            "agent_version": "0.1.0", "software_version": "3.14.2", "battery_level": 87,
            "nonce": NONCE,
        })
    }

    /// What `enrolled` gave, as a TLS client wants it.
    fn identity(&self, enrolled: &Value) -> (String, String) {
        (text(&enrolled["certificate"]), self.key.serialize_pem())
    }
}

/// A request of the same form whose signature is not by its key: its last line is of the signature.
fn with_another_signature(csr: &str) -> String {
    let mut lines: Vec<String> = csr.lines().map(str::to_owned).collect();
    let at = lines.len() - 2;
    let other = if lines[at].as_bytes()[3] == b'A' { "B" } else { "A" };
    lines[at].replace_range(3..4, other);
    lines.join("\n")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn ask(bench: &Bench, begin: &Value) -> (FakeTerminal, Value) {
    let mut link = bench.enrolment_link().await;
    link.send(begin).await;
    let answer = link.frame().await;
    assert!(answer["type"] == "error" || answer["nonce"] == NONCE, "{answer}");
    (link, answer)
}

async fn activate(bench: &Bench, code: &Value) -> (u16, Value) {
    let response = bench.post(ACTIVATE, json!({ "activationCode": code })).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Enrols by code; returns `enrolled`, the answer of the API and the link.
async fn enrol(bench: &Bench, key: &Key) -> (Value, Value, FakeTerminal) {
    let (mut link, code) = ask(bench, &key.begin()).await;
    assert_eq!(code["type"], "activation_code");
    let (status, terminal) = activate(bench, &code["code"]).await;
    assert_eq!(status, 200, "{terminal}");
    (link.frame_of("enrolled").await, terminal, link)
}

/// The operational link, by certificate alone.
async fn dial(bench: &Bench, key: &Key, enrolled: &Value) -> Result<FakeTerminal, Error> {
    let identity = key.identity(enrolled);
    let mut link = bench.try_dial(None, Some("terminal-ops.v1"), Some(identity)).await?;
    let mut said = hello(&text(&enrolled["terminal_id"]), epoch(), &[]);
    said["serial_number"] = json!(key.serial);
    link.send(&said).await;
    assert_eq!(link.frame().await["type"], "welcome");
    Ok(link)
}

#[tokio::test]
async fn a_code_from_the_screen_makes_a_terminal_that_connects_with_its_certificate() {
    let bench = Bench::start().await;
    let key = Key::new("SN-1");
    let (enrolled, terminal, waiting) = enrol(&bench, &key).await;
    assert_eq!((&terminal["status"], &terminal["batteryLevel"]), (&json!("online"), &json!(87)));
    assert_eq!(enrolled["terminal_id"], format!("{ACCOUNT}-T0001"));
    assert_eq!(enrolled["trust_bundle"], bench.pki.ca_pem());
    assert_eq!(enrolled["url"], bench.cloud.link_url());
    drop(waiting);
    let link = dial(&bench, &key, &enrolled).await.unwrap();
    bench.cloud.wait_online(&text(&enrolled["terminal_id"]), true, SOON).await.unwrap();
    drop(link);
}

#[tokio::test]
async fn the_same_key_gets_the_same_code_and_then_its_identity_again_but_another_key_does_not() {
    let bench = Bench::start().await;
    let key = Key::new("SN-1");
    let (mut first, code) = ask(&bench, &key.begin()).await;
    let (mut second, again) = ask(&bench, &key.begin()).await;
    assert_eq!(code["code"], again["code"]);
    assert_eq!(u16::from(first.close_frame().await.code), 4409);
    let config = bench.cloud.kill().await;
    let bench = Bench { cloud: terminal_cloud::Cloud::start(config).await.unwrap(), ..bench };
    assert!(second.message().await.is_none_or(|message| message.is_err()));
    let (mut third, again) = ask(&bench, &key.begin()).await;
    assert_eq!(code["code"], again["code"]);

    assert_eq!(activate(&bench, &code["code"]).await.0, 200);
    let lost = third.frame_of("enrolled").await;
    // The power was cut before it was stored.
    let (_link, enrolled) = ask(&bench, &key.begin()).await;
    assert_eq!(
        (&enrolled["type"], &enrolled["terminal_id"]),
        (&json!("enrolled"), &lost["terminal_id"])
    );
    dial(&bench, &key, &enrolled).await.unwrap();
    let (_link, stranger) = ask(&bench, &Key::new("SN-1").begin()).await;
    assert_eq!(stranger["type"], "activation_code");
}

#[tokio::test]
async fn a_wrong_a_used_and_an_expired_code_are_told_apart_and_the_eleventh_has_to_wait() {
    let bench = Bench::with(|config| config.activation_code_ttl = Duration::from_millis(300)).await;
    let (mut link, code) = ask(&bench, &Key::new("SN-1").begin()).await;
    // The next one comes when the first has run out.
    let next = link.frame_of("activation_code").await;
    assert_ne!(code["code"], next["code"]);
    let (status, error) = activate(&bench, &code["code"]).await;
    assert_eq!((status, &error["error"]["code"]), (410, &json!("ACTIVATION_CODE_EXPIRED")));
    assert_eq!(activate(&bench, &json!("ACT-0000-0000")).await.0, 400);
    for _ in 0..9 {
        let (status, error) = activate(&bench, &json!("ACT-ZZZZ-ZZZZ")).await;
        assert_eq!((status, &error["error"]["code"]), (404, &json!("ACTIVATION_CODE_INVALID")));
    }
    let response = bench.post(ACTIVATE, json!({ "activationCode": "ACT-ZZZZ-ZZZZ" })).await;
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["code"], "ACTIVATION_ATTEMPTS_EXCEEDED");
}

#[tokio::test]
async fn a_code_is_good_once() {
    let bench = Bench::start().await;
    let (_link, code) = ask(&bench, &Key::new("SN-1").begin()).await;
    assert_eq!(activate(&bench, &code["code"]).await.0, 200);
    let (status, error) = activate(&bench, &code["code"]).await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("ACTIVATION_CODE_INVALID")));
}

#[tokio::test]
async fn a_renewed_certificate_ends_the_old_one_at_its_first_hello() {
    let bench = Bench::start().await;
    let (old, new) = (Key::new("SN-1"), Key::new("SN-1"));
    let (first, ..) = enrol(&bench, &old).await;
    let mut link = dial(&bench, &old, &first).await.unwrap();
    link.send(&Key::new("SN-2").begin()).await;
    assert_eq!(link.frame_of("error").await["code"], "INVALID_MESSAGE");
    link.send(&new.begin()).await;
    let renewed = link.frame_of("enrolled").await;
    assert_eq!(renewed["terminal_id"], first["terminal_id"]);
    // Both are good until the new one is in use.
    dial(&bench, &old, &first).await.unwrap();
    dial(&bench, &new, &renewed).await.unwrap();
    let (status, ..) = refusal(dial(&bench, &old, &first).await);
    assert_eq!(status, 401);
    let (_link, answer) = ask(&bench, &old.begin()).await;
    assert_eq!(answer["type"], "activation_code", "the old key proves nothing any more");
    let (_link, answer) = ask(&bench, &new.begin()).await;
    assert_eq!(answer["type"], "enrolled");
}

#[tokio::test]
async fn a_deactivated_terminal_is_cut_off_and_needs_a_code_to_come_back() {
    let bench = Bench::start().await;
    let key = Key::new("SN-1");
    let (enrolled, terminal, _waiting) = enrol(&bench, &key).await;
    let mut link = dial(&bench, &key, &enrolled).await.unwrap();
    let path = format!("/v1/terminals/{}", text(&terminal["id"]));
    let response = bench.post(&format!("{path}/deactivate"), json!({})).await;
    let gone: Value = response.json().await.unwrap();
    assert_eq!(gone["status"], "deactivated");
    assert_eq!(u16::from(link.close_frame().await.code), 4401);
    let (status, body, _) = refusal(dial(&bench, &key, &enrolled).await);
    assert_eq!((status, &body["error"]["code"]), (403, &json!("TERMINAL_DEACTIVATED")));
    let refused = bench.post(&format!("{path}/actions"), json!({ "action": "lock" })).await;
    assert_eq!(refused.status(), 409);
    let listed = bench.get(&format!("/v1/accounts/{ACCOUNT}/terminals")).await;
    assert_eq!(listed[0]["status"], "DELETED");
    assert_eq!(listed[0]["deleted_by"], "user@example.com");

    let (back, terminal_again, _waiting) = enrol(&bench, &key).await;
    assert_eq!(terminal_again["id"], terminal["id"]);
    dial(&bench, &key, &back).await.unwrap();
}

#[tokio::test]
async fn a_registered_serial_number_skips_the_code_once_with_its_secret() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("SN-1").await;
    let path =
        format!("/v1/accounts/{ACCOUNT}/terminals/{}/enrolment-secret", terminal.terminal_id);
    let made: Value = bench.post(&path, json!({})).await.json().await.unwrap();
    let key = Key::new("SN-1");
    let with = |secret: &Value| {
        let mut begin = key.begin();
        begin["secret"] = secret.clone();
        begin
    };
    let (mut link, refused) = ask(&bench, &with(&json!("enr_wrong"))).await;
    assert_eq!(refused["code"], "ACTIVATION_CODE_INVALID");
    assert_eq!(link.frame().await["type"], "activation_code");
    let (_link, enrolled) = ask(&bench, &with(&made["secret"])).await;
    assert_eq!(enrolled["terminal_id"], terminal.terminal_id);
    let mut stranger = Key::new("SN-1").begin();
    stranger["secret"] = made["secret"].clone();
    let (_link, refused) = ask(&bench, &stranger).await;
    assert_eq!(refused["code"], "ACTIVATION_CODE_INVALID");
}

#[tokio::test]
async fn a_request_that_cannot_be_used_is_told_why_and_may_be_sent_again() {
    let bench = Bench::start().await;
    let key = Key::new("SN-1");
    let mut link = bench.enrolment_link().await;
    for (field, value) in [
        ("csr", json!("no request")),
        ("csr", Key::new("SN-1").begin()["csr"].as_str().unwrap().replace("M", "N").into()),
        ("serial_number", json!("")),
        ("nonce", json!("short")),
        ("battery_level", json!(101)),
        ("model", json!(7)),
    ] {
        let mut begin = key.begin();
        begin[field] = value;
        link.send(&begin).await;
        let error = link.frame().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("INVALID_MESSAGE")));
    }
    let mut begin = key.begin();
    begin["csr"] = json!(with_another_signature(begin["csr"].as_str().unwrap()));
    link.send(&begin).await;
    let error = link.frame().await;
    assert!(error["message"].as_str().unwrap().contains("signature"), "{error}");
    link.send(&json!({ "type": "hello" })).await;
    assert_eq!(link.frame().await["code"], "UNSUPPORTED_MESSAGE");
    link.send(&key.begin()).await;
    assert_eq!(link.frame().await["type"], "activation_code");
    link.send(&json!(["no", "frame"])).await;
    assert_eq!(u16::from(link.close_frame().await.code), 1007);
}

/// Certificate and key that a factory has put into a device, and the digest that it is registered with.
fn factory(bench: &Bench, serial: &str) -> ((String, String), String) {
    let (certificate, key) = bench.pki.client(serial).unwrap();
    let public = KeyPair::from_pem(&key).unwrap().subject_public_key_info();
    let digest = ring::digest::digest(&ring::digest::SHA256, &public);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ((certificate, key), hex)
}

async fn register(bench: &Bench, serial: &str, factory_key: &str) -> Value {
    let body = json!({
        "device_serial_number": serial, "store_id": "S312", "factory_key_sha256": factory_key,
    });
    bench.post(&format!("/v1/accounts/{ACCOUNT}/terminals"), body).await.json().await.unwrap()
}

/// Asks with the certificate of a factory.
async fn ask_with(bench: &Bench, identity: &(String, String), begin: &Value) -> Value {
    let dialled = bench.try_dial_enrolment(Some(identity.clone())).await;
    let mut link = dialled.unwrap();
    link.send(begin).await;
    link.frame().await
}

#[tokio::test]
async fn a_registered_serial_number_skips_the_code_with_the_key_of_its_factory_and_with_no_other() {
    let bench = Bench::start().await;
    let (identity, digest) = factory(&bench, "SN-1");
    let (stranger, _) = factory(&bench, "SN-1");
    let refused = register(&bench, "SN-1", "abc").await;
    assert_eq!(refused["error"]["errors"][0]["path"], "factory_key_sha256");
    let terminal = register(&bench, "SN-1", &digest).await;
    let key = Key::new("SN-1");
    let answer = ask_with(&bench, &stranger, &key.begin()).await;
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("ACTIVATION_CODE_INVALID"))
    );
    let (_link, without) = ask(&bench, &key.begin()).await;
    assert_eq!(without["type"], "activation_code", "a serial number proves nothing");
    let enrolled = ask_with(&bench, &identity, &key.begin()).await;
    assert_eq!(enrolled["terminal_id"], terminal["terminal_id"]);
    // The flash is wiped in a repair: another key, the same factory.
    let other = Key::new("SN-1");
    let link = dial(&bench, &key, &enrolled).await.unwrap();
    let refused = ask_with(&bench, &identity, &other.begin()).await;
    assert_eq!(refused["code"], "ALREADY_ENROLLED", "the terminal is linked");
    drop(link);
    let id = text(&enrolled["terminal_id"]);
    bench.cloud.wait_online(&id, false, SOON).await.unwrap();
    let again = ask_with(&bench, &identity, &other.begin()).await;
    assert_eq!(again["terminal_id"], terminal["terminal_id"]);
    // A deactivation ends it.
    let path = format!("/v1/terminals/{}/deactivate", id);
    assert_eq!(bench.post(&path, json!({})).await.status(), 200);
    let answer = ask_with(&bench, &identity, &other.begin()).await;
    assert_eq!(answer["type"], "activation_code");
}

#[tokio::test]
async fn the_eleventh_wrong_proof_of_a_serial_number_has_to_wait_and_no_other_serial_number() {
    let bench = Bench::start().await;
    let wrong = |serial| {
        let mut begin = Key::new(serial).begin();
        begin["secret"] = json!("enr_wrong");
        begin
    };
    for _ in 0..10 {
        assert_eq!(ask(&bench, &wrong("SN-1")).await.1["code"], "ACTIVATION_CODE_INVALID");
    }
    let (mut link, refused) = ask(&bench, &wrong("SN-1")).await;
    assert_eq!(refused["code"], "ACTIVATION_ATTEMPTS_EXCEEDED");
    // Without a proof the screen shows a code as ever.
    link.send(&Key::new("SN-1").begin()).await;
    assert_eq!(link.frame().await["type"], "activation_code");
    assert_eq!(ask(&bench, &wrong("SN-2")).await.1["code"], "ACTIVATION_CODE_INVALID");
}

#[tokio::test]
async fn a_token_from_before_a_deactivation_is_dead_also_once_the_terminal_is_back() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("SN-1").await;
    let path = format!("/v1/accounts/{ACCOUNT}/terminals/{}", terminal.terminal_id);
    assert_eq!(bench.call(Method::DELETE, &path, None).await.status(), 200);
    let bearer = format!("Bearer {}", terminal.token);
    let dial = || bench.try_dial(Some(&bearer), Some("terminal-ops.v1"), None);
    assert_eq!(refusal(dial().await).0, 403);
    let (enrolled, ..) = enrol(&bench, &Key::new("SN-1")).await;
    assert_eq!(enrolled["terminal_id"], terminal.terminal_id);
    assert_eq!(refusal(dial().await).0, 401);
}

#[tokio::test]
async fn a_terminal_that_enrols_is_not_held_to_the_heartbeat_of_operations() {
    let bench = Bench::with(|config| config.heartbeat_s = 0).await;
    let (mut link, code) = ask(&bench, &Key::new("SN-1").begin()).await;
    assert_eq!(code["type"], "activation_code");
    link.nothing_before_pong().await;
}
