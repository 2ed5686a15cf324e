//! The AsyncAPI document names every frame, and everything that it refers to is there.

use std::path::Path;

use serde_json::Value;
use terminal_core::protocol::close_code;
use terminal_reference::{Protocol, Sender, examples, files};

const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agent");

fn document() -> Value {
    serde_json::from_str(&files()["asyncapi.json"]).unwrap()
}

#[test]
fn every_example_is_a_message_of_its_direction() {
    let document = document();
    for example in examples() {
        let action = match example.sender {
            Sender::Agent => "receive",
            Sender::Cloud => "send",
        };
        let channel = match example.protocol {
            Protocol::Ops => "#/channels/operations",
            Protocol::Enrol => "#/channels/enrolment",
        };
        let operations = document["operations"].as_object().unwrap().values();
        let of_direction =
            operations.filter(|it| it["action"] == action && it["channel"]["$ref"] == channel);
        let mut messages =
            of_direction.flat_map(|operation| operation["messages"].as_array().unwrap());
        let name = format!("/{}", example.kind());
        let is_named = messages.any(|it| it["$ref"].as_str().unwrap().ends_with(&name));
        assert!(is_named, "{action} {name} on {channel}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut open = vec![&document];
    let mut count = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                open.extend(fields.values());
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    count += 1;
                    let leads = match reference.strip_prefix('#') {
                        Some(pointer) => document.pointer(pointer).is_some(),
                        None => Path::new(AGENT).join(reference).exists(),
                    };
                    assert!(leads, "{reference}");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn the_close_codes_are_those_of_the_code() {
    let document = document();
    for channel in document["channels"].as_object().unwrap().values() {
        let listed = channel["x-close-codes"].as_array().unwrap().iter();
        let codes: Vec<u64> = listed.map(|row| row["code"].as_u64().unwrap()).collect();
        let known = [
            close_code::NORMAL,
            close_code::GOING_AWAY,
            1002,
            close_code::INVALID_DATA,
            close_code::POLICY,
            close_code::TOO_BIG,
            close_code::UNAUTHENTICATED,
            close_code::FORBIDDEN,
            close_code::HANDSHAKE_TIMEOUT,
            close_code::REPLACED,
        ];
        assert_eq!(codes, known.map(u64::from));
    }
}
