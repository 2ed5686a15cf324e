//! Every `curl` of the five public pages, as it stands there; only host, ids and keys differ.

use serde_json::{Value, json};
use terminal_cloud::{NewTerminal, Transport};

use crate::{
    bench::{ACCOUNT, Bench, SOON, completed, epoch, verdict},
    curl::{Answer, run},
    enrolment::Key,
};

/// Without TLS, so that a line needs no other option.
async fn plain() -> Bench {
    Bench::with(|config| config.transport = Transport::PlainHttp).await
}

/// A registered terminal with its other id, and the id of a location.
async fn fleet(bench: &Bench) -> (NewTerminal, String, String) {
    let terminal = bench.terminal("SN-00482910").await;
    let location = bench.post("/v1/locations", json!({ "displayName": "Oslo" })).await;
    let location: Value = location.json().await.unwrap();
    let listed = bench.get("/v1/terminals").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (terminal, text(&listed["data"][0]["id"]), text(&location["id"]))
}

fn assert_fields(body: &Value, names: &[&str]) {
    let mut found: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let mut names = names.to_vec();
    found.sort_unstable();
    names.sort_unstable();
    assert_eq!(found, names);
}

const TERMINAL: [&str; 9] = [
    "id",
    "model",
    "serialNumber",
    "status",
    "locationId",
    "softwareVersion",
    "lastSeen",
    "batteryLevel",
    "createdAt",
];
const ACTION: [&str; 6] = ["id", "terminalId", "action", "status", "result", "createdAt"];

#[tokio::test]
async fn reference_of_operations() {
    let line = r#"curl --request POST \
  --url https://checkout.dintero.com/v1/admin/terminals/operations \
  --header 'Authorization: Bearer <token>' \
  --header 'Content-Type: application/json' \
  --data '
{
  "terminal_id": "<string>"
}
'"#;
    let bench = plain().await;
    let (terminal, ..) = fleet(&bench).await;
    let changes = [("<token>", bench.token.as_str()), ("<string>", &terminal.terminal_id)];
    let Some(Answer { status, body }) = run(&bench, line, &changes) else { return };
    // The page's own example leaves out what it calls required.
    assert_eq!((status, &body["error"]["errors"][0]["path"]), (400, &json!("operation")));
}

#[tokio::test]
async fn registration_of_a_terminal() {
    let line = r#"curl --request POST \
  --url https://api.dintero.com/v1/accounts/{aid}/terminals \
  --header 'Authorization: Bearer <token>' \
  --header 'Content-Type: application/json' \
  --data '
{
  "device_serial_number": "123456789012",
  "store_id": "S312"
}
'"#;
    let bench = plain().await;
    let changes = [("<token>", bench.token.as_str()), ("{aid}", ACCOUNT)];
    let Some(Answer { status, body }) = run(&bench, line, &changes) else { return };
    assert_eq!((status, &body["status"]), (201, &json!("PENDING")));
    assert_eq!(body["store_id"], "S312");
    // The same terminal in the other dialect, at the location that the store is.
    let other = bench.get("/v1/terminals").await;
    assert_eq!(other["data"][0]["serialNumber"], "123456789012");
    let locations = bench.get("/v1/locations").await;
    assert_eq!(locations["data"][0]["storeId"], "S312");
    assert_eq!(locations["data"][0]["id"], other["data"][0]["locationId"]);
}

#[tokio::test]
async fn actions_page() {
    let create = r#"curl -X POST https://api.vinr.com/v1/terminals/term_4Kx9/actions \
-H "X-Api-Key: $VINR_SECRET_KEY" \
-d action=reboot"#;
    let retrieve = r#"curl https://api.vinr.com/v1/terminal/actions/tact_7Yp2 \
-H "X-Api-Key: $VINR_SECRET_KEY""#;
    let list = r#"curl "https://api.vinr.com/v1/terminal/actions?terminalId=term_4Kx9&status=completed&limit=10" \
-H "X-Api-Key: $VINR_SECRET_KEY""#;
    let bulk = r#"curl -X POST https://api.vinr.com/v1/locations/loc_9Bz3/terminal-actions \
  -H "X-Api-Key: $VINR_SECRET_KEY" \
  -d action=update"#;
    let bench = plain().await;
    let (terminal, id, location) = fleet(&bench).await;
    let ids = [("term_4Kx9", id.as_str())];
    let Some(Answer { status, body }) = run(&bench, create, &ids) else { return };
    assert_eq!(status, 200);
    assert_fields(&body, &ACTION);
    assert_eq!((&body["action"], &body["status"]), (&json!("reboot"), &json!("queued")));
    assert_eq!((&body["terminalId"], &body["result"]), (&json!(id), &Value::Null));

    let mut link = bench.link(&terminal, epoch()).await;
    let frame = link.frame_of("operation").await;
    assert_eq!(frame["operation"], "reboot");
    assert_eq!(frame["policy"]["if_payment_active"], "cancel");
    let operation = crate::bench::id_of(&frame);
    link.send(&json!({ "type": "started", "id": operation, "attempt": 1 })).await;
    bench.cloud.wait_timeline(operation, "started", 1, SOON).await.unwrap();
    let action = body["id"].as_str().unwrap().to_owned();
    let changes = [("tact_7Yp2", action.as_str())];
    let Answer { status, body } = run(&bench, retrieve, &changes).unwrap();
    assert_eq!((status, &body["status"]), (200, &json!("processing")));
    link.send(&verdict(epoch(), 1, operation, "reboot", completed(json!({})))).await;
    link.acked(1).await;

    let Answer { body, .. } = run(&bench, list, &ids).unwrap();
    assert_fields(&body, &["object", "data", "has_more"]);
    assert_eq!((&body["object"], &body["has_more"]), (&json!("list"), &json!(false)));
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
    let done = &body["data"][0];
    assert_eq!((&done["id"], &done["status"]), (&json!(action), &json!("completed")));
    // 2026-06-29T09:00:03Z, as the terminal said.
    assert_eq!(done["result"], json!({ "completedAt": 1_782_723_603, "failureReason": null }));

    let moved = bench.post(&format!("/v1/terminals/{id}"), json!({ "locationId": location })).await;
    assert_eq!(moved.status(), 200);
    let changes = [("loc_9Bz3", location.as_str())];
    let Answer { status, body } = run(&bench, bulk, &changes).unwrap();
    assert_eq!((status, body["data"].as_array().unwrap().len()), (200, 1));
    assert_eq!(body["data"][0]["action"], "update");
    assert_eq!(link.frame_of("operation").await["parameters"], json!({ "apply": "on_idle" }));
}

#[tokio::test]
async fn terminals_page() {
    let retrieve = r#"curl https://api.vinr.com/v1/terminals/term_3Nx8 \
-H "X-Api-Key: $VINR_SECRET_KEY""#;
    let update = r#"curl -X POST https://api.vinr.com/v1/terminals/term_3Nx8 \
-H "X-Api-Key: $VINR_SECRET_KEY" \
-d locationId=loc_2Qr9 \
-d displayName="Counter 3""#;
    let list = r#"curl "https://api.vinr.com/v1/terminals?locationId=loc_7Yz4&status=online&limit=10" \
-H "X-Api-Key: $VINR_SECRET_KEY""#;
    let act = r#"curl -X POST https://api.vinr.com/v1/terminals/term_3Nx8/actions \
-H "X-Api-Key: $VINR_SECRET_KEY" \
-d action=reboot"#;
    let bench = plain().await;
    let (terminal, id, location) = fleet(&bench).await;
    let ids = [("term_3Nx8", id.as_str())];
    let Some(Answer { status, body }) = run(&bench, retrieve, &ids) else { return };
    assert_eq!(status, 200);
    assert_fields(&body, &TERMINAL);
    assert_eq!((&body["status"], &body["lastSeen"]), (&json!("offline"), &Value::Null));

    let link = bench.link(&terminal, epoch()).await;
    let changes = [ids[0], ("loc_2Qr9", location.as_str())];
    let Answer { status, body } = run(&bench, update, &changes).unwrap();
    assert_eq!((status, &body["locationId"]), (200, &json!(location)));
    assert_eq!(body["displayName"], "Counter 3");

    let Answer { body, .. } = run(&bench, list, &[("loc_7Yz4", location.as_str())]).unwrap();
    let shown = &body["data"][0];
    assert_eq!((&shown["id"], &shown["status"]), (&json!(id), &json!("online")));
    assert_eq!((&shown["model"], &shown["softwareVersion"]), (&json!("mock"), &json!("3.14.2")));
    assert!(shown["lastSeen"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(run(&bench, act, &ids).unwrap().body["status"], "queued");
    drop(link);
}

#[tokio::test]
async fn activation_of_the_terminals_page() {
    let line = r#"curl -X POST https://api.vinr.com/v1/terminals/activate \
-H "X-Api-Key: $VINR_SECRET_KEY" \
-d activationCode=ACT-7X9K-2M4P \
-d locationId=loc_7Yz4"#;
    let bench = plain().await;
    let (.., location) = fleet(&bench).await;
    let key = Key::new("SN-7");
    let mut waiting = bench.enrolment_link().await;
    waiting.send(&key.begin()).await;
    let code = waiting.frame_of("activation_code").await["code"].as_str().unwrap().to_owned();
    let changes = [("ACT-7X9K-2M4P", code.as_str()), ("loc_7Yz4", &location)];
    let Some(Answer { status, body }) = run(&bench, line, &changes) else { return };
    assert_eq!(status, 200, "{body}");
    assert_fields(&body, &TERMINAL);
    assert_eq!((&body["status"], &body["serialNumber"]), (&json!("online"), &json!("SN-7")));
    assert_eq!((&body["locationId"], &body["model"]), (&json!(location), &json!("nexgo_n92")));
    assert_eq!((&body["softwareVersion"], &body["batteryLevel"]), (&json!("3.14.2"), &json!(87)));
    assert_eq!(body["lastSeen"], body["createdAt"]);
    let enrolled = waiting.frame_of("enrolled").await;
    assert_eq!(enrolled["location_id"], body["locationId"]);
}

#[tokio::test]
async fn configuration_of_the_terminals_page() {
    let configure = r#"curl -X POST https://api.vinr.com/v1/terminals/term_3Nx8/configure \
-H "X-Api-Key: $VINR_SECRET_KEY" \
-H "Content-Type: application/json" \
-d '{
  "tip": {
    "mode": "percentage",
    "suggestions": [10, 15, 20]
  },
  "receipt": {
    "channels": ["print", "sms"],
    "requireConsent": true
  },
  "display": {
    "idleMessage": "Welcome to Acme Coffee"
  },
  "offlineMode": {
    "enabled": true,
    "maxAmount": 5000,
    "maxQueue": 50
  }
}'"#;
    let template = r#"curl -X PUT https://api.vinr.com/v1/locations/loc_7Yz4/terminal-config \
  -H "X-Api-Key: $VINR_SECRET_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "tip": { "mode": "percentage", "suggestions": [10, 15, 20] },
    "receipt": { "channels": ["print"], "requireConsent": false },
    "display": { "idleMessage": "Welcome" },
    "offlineMode": { "enabled": true, "maxAmount": 5000, "maxQueue": 50 }
  }'"#;
    let bench = plain().await;
    let (terminal, id, location) = fleet(&bench).await;
    bench.post(&format!("/v1/terminals/{id}"), json!({ "locationId": location })).await;
    let mut link = bench.link(&terminal, epoch()).await;
    let changes = [("loc_7Yz4", location.as_str())];
    let Some(Answer { status, .. }) = run(&bench, template, &changes) else { return };
    assert_eq!(status, 200);
    let inherited = link.frame_of("configuration").await;
    assert_eq!(inherited["config"]["display"]["idleMessage"], "Welcome");

    let ids = [("term_3Nx8", id.as_str())];
    let Answer { status, body } = run(&bench, configure, &ids).unwrap();
    assert_eq!((status, &body["id"]), (200, &json!(id)));
    assert_fields(&body, &TERMINAL);
    let own = link.frame_of("configuration").await;
    assert_eq!(own["config"]["receipt"]["channels"], json!(["print", "sms"]));
    assert!(own["revision"].as_u64() > inherited["revision"].as_u64());
}
