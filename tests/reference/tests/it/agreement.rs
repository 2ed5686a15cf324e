//! Codec and schema of a frame refuse the same, but for a short list.

use std::collections::BTreeSet;

use serde_json::Value;
use terminal_core::protocol::{
    DecodeError, TEXT_FRAME_BYTES_MAX, decode_agent_frame, decode_cloud_frame,
    decode_enrol_agent_frame, decode_enrol_cloud_frame,
};
use terminal_reference::{Example, Protocol, Sender, examples, files};

use crate::{
    frame_validator,
    mutations::{Mutation, mutations},
};

#[test]
fn every_frame_has_an_example_and_every_example_is_valid() {
    let examples = examples();
    let shown: BTreeSet<&str> = examples.iter().map(Example::kind).collect();
    let files = files();
    let known = files.keys().filter_map(|path| path.strip_prefix("schema/")?.strip_suffix(".json"));
    let known: BTreeSet<&str> = known.filter(|name| !name.contains('/')).collect();
    assert_eq!(shown, known);
    for example in examples {
        let found =
            frame_validator(example.kind()).validate(&example.frame).map_err(|e| e.to_string());
        assert_eq!(found, Ok(()), "{}", example.frame);
    }
}

#[test]
fn codec_and_schema_refuse_the_same() {
    let mut found = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut refused = 0;
    for example in one_of_each_shape() {
        let validator = frame_validator(example.kind());
        for mutation in mutations(&example.frame, &OPAQUE) {
            let text = mutation.document.to_string();
            if text.len() > TEXT_FRAME_BYTES_MAX {
                continue;
            }
            let codec = decode(&example, &text);
            let schema = validator.is_valid(&mutation.document);
            refused += usize::from(!schema);
            if codec.is_ok() != schema {
                match difference(&mutation, codec.is_ok()) {
                    Some(difference) => drop(found.insert(difference)),
                    None => unknown.push(format!("{} {mutation:?}: {codec:?}", example.kind())),
                }
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "{}\n{}",
        unknown.len(),
        unknown[..unknown.len().min(9)].join("\n")
    );
    assert!(refused > 20_000, "only {refused} wrong frames");
    assert_eq!(found, DIFFERENCES.into(), "each difference must be real");
}

#[test]
fn a_field_given_twice_is_refused_though_no_schema_can_say_so() {
    for example in examples() {
        let text = example.frame.to_string();
        let name = example.frame.as_object().unwrap().keys().find(|name| *name != "type").unwrap();
        let value = &example.frame[name.as_str()];
        let twice = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let parsed: Value = serde_json::from_str(&twice).unwrap();
        assert!(frame_validator(example.kind()).is_valid(&parsed));
        assert!(decode(&example, &twice).is_err(), "{twice}");
    }
}

/// What a frame carries and its codec does not look into, and what decides which frame it is.
const OPAQUE: [&str; 5] = ["/type", "/parameters/", "/result/", "/config/", "/data/"];

/// Examples of which no two have the same `type`, fields and `status`.
fn one_of_each_shape() -> Vec<Example> {
    let mut seen = BTreeSet::new();
    let mut examples = examples();
    examples.retain(|Example { frame, .. }| {
        let shape = frame.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let [kind, status] = ["type", "status"].map(|name| frame[name].to_string());
        seen.insert((kind, status, shape))
    });
    examples
}

/// What the two cannot agree on.
const DIFFERENCES: [&str; 7] = [
    "a uuid is also read in capitals",
    "a time is also read with a space or in small letters",
    "to JSON Schema 1.0 and 1e300 are integers",
    "the limit of csr counts bytes",
    "the kind of a report is also read from its number in the list of kinds",
    "an object within a frame is also read from a list of the values of its fields",
    "a time may be before 1970 by its offset alone",
];

fn difference(mutation: &Mutation, codec_takes: bool) -> Option<&'static str> {
    let value = mutation.value.as_ref()?;
    let is_time = |text: &str| text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    match value {
        Value::String(text) if codec_takes && is_time(text) => Some(DIFFERENCES[1]),
        Value::String(text) if codec_takes && text.len() == 36 => Some(DIFFERENCES[0]),
        Value::String(text) if text.starts_with("1970-") => Some(DIFFERENCES[6]),
        Value::String(_) if mutation.pointer == "/csr" => Some(DIFFERENCES[3]),
        Value::Array(_) if codec_takes => Some(DIFFERENCES[5]),
        Value::Number(_) if codec_takes && mutation.pointer == "/kind" => Some(DIFFERENCES[4]),
        Value::Number(number) if number.is_f64() && !codec_takes => Some(DIFFERENCES[2]),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

fn decode(example: &Example, text: &str) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    match (example.protocol, example.sender) {
        (Protocol::Ops, Sender::Agent) => decode_agent_frame(bytes).map(drop),
        (Protocol::Ops, Sender::Cloud) => decode_cloud_frame(bytes).map(drop),
        (Protocol::Enrol, Sender::Agent) => decode_enrol_agent_frame(bytes).map(drop),
        (Protocol::Enrol, Sender::Cloud) => decode_enrol_cloud_frame(bytes).map(drop),
    }
}
