//! What deriving a JSON Schema leaves out. Only with the feature `schema`.

use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// `COMPLETED` goes with a result and no error, `FAILED` with an error and no result.
pub(super) fn one_of_result_and_error(schema: &mut Schema) {
    let either = json!([
        {
            "properties": {
                "status": { "const": "COMPLETED" },
                "result": { "type": "object" },
                "error": { "type": "null" },
            },
            "required": ["result"],
        },
        {
            "properties": {
                "status": { "const": "FAILED" },
                "result": { "type": "null" },
                "error": { "type": "object" },
            },
            "required": ["error"],
        },
    ]);
    schema.insert("oneOf".to_owned(), either);
}

/// A reader takes names that it does not know; those that it does are listed.
pub(super) fn open_to_unknown(schema: &mut Schema) {
    let Some(Value::Array(known)) = schema.remove("oneOf") else { return };
    let known: Vec<Value> = known.into_iter().filter(|one| one["const"] != "unknown").collect();
    let any = json_schema!({ "type": "string" });
    schema.insert("anyOf".to_owned(), json!([{ "oneOf": known }, any]));
}
