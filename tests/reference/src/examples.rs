//! The example frames of `agent/PROTOCOL.md`.

use serde_json::Value;

const REFERENCE: &str = include_str!("../../../agent/PROTOCOL.md");

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `terminal-ops.v1`.
    Ops,
    /// `terminal-enrol.v1`.
    Enrol,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ops, Self::Enrol];
}

/// Which end sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// The terminal.
    Agent,
    /// The cloud.
    Cloud,
}

impl Sender {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Cloud];
}

/// A frame as it stands in the reference.
#[derive(Clone, Debug)]
pub struct Example {
    /// In which protocol.
    pub protocol: Protocol,
    /// From which end.
    pub sender: Sender,
    /// The frame.
    pub frame: Value,
}

impl Example {
    /// Its `type`.
    pub fn kind(&self) -> &str {
        self.frame.get("type").and_then(Value::as_str).unwrap_or_default()
    }
}

/// All examples, in the order of the reference.
pub fn examples() -> Vec<Example> {
    // Every second piece is within a block; its first line says what the block is.
    let blocks = REFERENCE.split("\n```").skip(1).step_by(2);
    blocks.filter_map(example).collect()
}

fn example(block: &str) -> Option<Example> {
    let (info, text) = block.split_once('\n')?;
    let (protocol, sender) = match info {
        "json agent" => (Protocol::Ops, Sender::Agent),
        "json cloud" => (Protocol::Ops, Sender::Cloud),
        "json enrol agent" => (Protocol::Enrol, Sender::Agent),
        "json enrol cloud" => (Protocol::Enrol, Sender::Cloud),
        _ => return None,
    };
    Some(Example { protocol, sender, frame: serde_json::from_str(text).ok()? })
}
