//! The generated half of the protocol reference is what the types say, and it is true: what the
//! codec refuses the schemas refuse, and the other way round.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

mod agreement;
mod asyncapi;
mod generated;
mod mutations;
mod operations;

use jsonschema::Validator;
use serde_json::Value;

/// Checks documents against a schema, formats included.
fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
}

/// The validator of a frame by its `type`.
fn frame_validator(kind: &str) -> Validator {
    let schema = terminal_reference::frame_schema(kind);
    validator(&schema.unwrap_or_else(|| panic!("no schema of {kind}")))
}
