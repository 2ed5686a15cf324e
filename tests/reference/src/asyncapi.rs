//! The AsyncAPI document: channels, messages of both directions, security, close codes.
//!
//! It is written from where the cloud stands: it receives what terminals send.

use serde_json::{Map, Value, json};
use terminal_core::protocol::{
    BINARY_FRAME_BYTES_MAX, ENROL_SUBPROTOCOL, SUBPROTOCOL, TEXT_FRAME_BYTES_MAX,
};

use crate::{Protocol, Sender, examples, frame_path, frames};

const REFERENCE: &str = include_str!("../../../agent/PROTOCOL.md");
/// The name of the message that is no JSON.
const LOG_CHUNK: &str = "log_chunk";

pub(crate) fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Terminal operations",
            "version": "1.0.0",
            "description": "Between payment terminals and the cloud that operates them, as the \
                cloud sees it: it receives what terminals send. PROTOCOL.md beside this document \
                has the rules: who repeats what, what is on a medium before what, and what follows.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": {
            "operations": channel(Protocol::Ops),
            "enrolment": channel(Protocol::Enrol),
        },
        "operations": {
            "receive_from_terminal": operation(Protocol::Ops, Sender::Agent),
            "send_to_terminal": operation(Protocol::Ops, Sender::Cloud),
            "receive_from_unknown_terminal": operation(Protocol::Enrol, Sender::Agent),
            "send_to_unknown_terminal": operation(Protocol::Enrol, Sender::Cloud),
        },
        "components": { "messages": messages(), "securitySchemes": security() },
    })
}

fn servers() -> Value {
    json!({
        "cloud": {
            "host": "cloud.example",
            "protocol": "wss",
            "protocolVersion": "13",
            "description": "The deployment's. TLS 1.2 or 1.3; the terminal checks chain and name.",
            "security": [
                { "$ref": "#/components/securitySchemes/client_certificate" },
                { "$ref": "#/components/securitySchemes/token" },
            ],
        },
        "simulated": {
            "host": "localhost:8443",
            "protocol": "wss",
            "protocolVersion": "13",
            "description": "The simulated cloud of this repository, tests/cloud.",
            "security": [
                { "$ref": "#/components/securitySchemes/client_certificate" },
                { "$ref": "#/components/securitySchemes/token" },
            ],
        },
    })
}

fn security() -> Value {
    json!({
        "client_certificate": {
            "type": "X509",
            "description": "A client certificate in the TLS handshake. On the channel `enrolment`, \
                which is how a terminal comes to one, only that of a factory, where it has one.",
        },
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer TOKEN` in the upgrade; alone, or beside a \
                certificate that names the same terminal. Not on the channel `enrolment`.",
        },
    })
}

fn channel(protocol: Protocol) -> Value {
    let (address, title, subprotocol) = match protocol {
        Protocol::Ops => ("/v1/terminal/ws", "The link of a terminal", SUBPROTOCOL),
        Protocol::Enrol => {
            ("/v1/terminal/enrol", "A terminal that has no credentials yet", ENROL_SUBPROTOCOL)
        }
    };
    let sent = Sender::ALL.into_iter().flat_map(|sender| names(protocol, sender));
    let messages: Map<String, Value> =
        sent.map(|name| (name.clone(), reference("#/components/messages", &name))).collect();
    json!({
        "address": address,
        "title": title,
        "description": "The path is the deployment's; this is the simulated cloud's.",
        "messages": messages,
        "bindings": { "ws": {
            "method": "GET",
            "headers": {
                "type": "object",
                "properties": {
                    "Sec-WebSocket-Protocol": { "type": "string", "const": subprotocol },
                },
                "required": ["Sec-WebSocket-Protocol"],
            },
            "bindingVersion": "0.1.0",
        } },
        "x-text-frame-bytes-max": TEXT_FRAME_BYTES_MAX,
        "x-close-codes": close_codes(),
    })
}

fn operation(protocol: Protocol, sender: Sender) -> Value {
    let channel = match protocol {
        Protocol::Ops => "#/channels/operations",
        Protocol::Enrol => "#/channels/enrolment",
    };
    let messages = names(protocol, sender).into_iter();
    let messages: Vec<Value> =
        messages.map(|name| reference(&format!("{channel}/messages"), &name)).collect();
    let action = match sender {
        Sender::Agent => "receive",
        Sender::Cloud => "send",
    };
    json!({ "action": action, "channel": { "$ref": channel }, "messages": messages })
}

/// What one end sends, binary frames included.
fn names(protocol: Protocol, sender: Sender) -> Vec<String> {
    let text = frames::sent_by(protocol, sender).into_keys();
    let chunk = (protocol, sender) == (Protocol::Ops, Sender::Agent);
    text.chain(chunk.then(|| LOG_CHUNK.to_owned())).collect()
}

fn messages() -> Map<String, Value> {
    let text = frames::schemas().into_iter().map(|(name, schema)| {
        let message = json!({
            "name": name,
            "title": name,
            "summary": schema.get("description"),
            "payload": { "$ref": format!("./{}", frame_path(&name)) },
            "examples": examples_of(&name),
        });
        (name, message)
    });
    text.chain([(LOG_CHUNK.to_owned(), log_chunk())]).collect()
}

fn examples_of(name: &str) -> Vec<Value> {
    let of_it = examples().into_iter().filter(|example| example.kind() == name);
    of_it.map(|example| json!({ "payload": example.frame })).collect()
}

fn log_chunk() -> Value {
    json!({
        "name": LOG_CHUNK,
        "title": LOG_CHUNK,
        "summary": "A piece of an uploaded log, in a binary frame: 16 bytes of operation id, 4 of \
            attempt, 8 of offset, both big-endian, then 1 to 32,768 bytes of data.",
        "contentType": "application/octet-stream",
        "payload": { "type": "string", "format": "binary", "maxLength": BINARY_FRAME_BYTES_MAX },
    })
}

fn reference(parent: &str, name: &str) -> Value {
    json!({ "$ref": format!("{parent}/{name}") })
}

/// The table of close codes of the reference.
fn close_codes() -> Vec<Value> {
    let table = REFERENCE.split_once("| code | sent by | meaning |\n").map_or("", |(_, rest)| rest);
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.filter_map(close_code).collect()
}

fn close_code(row: &str) -> Option<Value> {
    let mut cells = row.trim_matches('|').split('|').map(str::trim);
    let code: u16 = cells.next()?.parse().ok()?;
    Some(json!({ "code": code, "sent_by": cells.next()?, "meaning": cells.next()? }))
}
