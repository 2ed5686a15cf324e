//! The machine-readable half of the protocol reference: one JSON Schema per frame, per kind of
//! parameters and per kind of result, and an AsyncAPI document that ties them together.
//!
//! All of it is generated from the types of `terminal-core` and committed beside
//! `agent/PROTOCOL.md`; a test fails when a committed file is not what the types generate. Nothing
//! that runs on a terminal depends on this package.

mod asyncapi;
mod examples;
mod frames;
mod schema;

use std::collections::BTreeMap;

pub use examples::{Example, Protocol, Sender, examples};
pub use frames::{parameters_schema, result_schema};
use serde_json::Value;
use terminal_hal::OperationKind;

/// Every generated file, by its path below `agent/`.
pub fn files() -> BTreeMap<String, String> {
    let frames = frames::schemas().into_iter().map(|(kind, schema)| (frame_path(&kind), schema));
    let parameters = OperationKind::ALL
        .into_iter()
        .map(|kind| (format!("schema/parameters/{kind}.json"), parameters_schema(kind)));
    let results = OperationKind::ALL
        .into_iter()
        .map(|kind| (format!("schema/results/{kind}.json"), result_schema(kind)));
    let asyncapi = ("asyncapi.json".to_owned(), asyncapi::document());
    let all = frames.chain(parameters).chain(results).chain([asyncapi]);
    all.map(|(path, document)| (path, format!("{document:#}\n"))).collect()
}

/// Where the schema of a frame is, below `agent/`.
fn frame_path(kind: &str) -> String {
    format!("schema/{kind}.json")
}

/// The schema of a frame by its `type`.
pub fn frame_schema(kind: &str) -> Option<Value> {
    frames::schemas().remove(kind)
}
