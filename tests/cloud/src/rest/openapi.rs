//! The OpenAPI document of everything above, as `/openapi.json`.

use axum::Json;
use serde_json::{Map, Value};

const PARTS: [&str; 5] = [
    include_str!("../openapi/base.json"),
    include_str!("../openapi/operations.json"),
    include_str!("../openapi/terminals.json"),
    include_str!("../openapi/webhooks.json"),
    include_str!("../openapi/ours.json"),
];

/// The document. Its parts are checked by a test, so nothing is missing here.
pub fn document() -> Value {
    let mut whole = Map::new();
    for part in PARTS {
        let part: Map<String, Value> = serde_json::from_str(part).unwrap_or_default();
        join(&mut whole, part);
    }
    Value::Object(whole)
}

fn join(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => join(known, more),
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

/// `GET /openapi.json`.
pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rest;

    #[test]
    fn every_part_is_json() {
        for part in PARTS {
            serde_json::from_str::<Map<String, Value>>(part).unwrap();
        }
    }

    #[test]
    fn every_route_is_in_the_document_and_no_other() {
        let routes = [
            rest::operations_routes(),
            rest::vinr_routes(),
            rest::other_routes(),
            rest::upload_routes(),
            rest::test_routes(),
        ];
        let served: BTreeSet<String> = routes
            .iter()
            .flat_map(|routes| &routes.listed)
            .map(|(method, path)| format!("{method} {path}"))
            .collect();
        let document = document();
        let paths = document["paths"].as_object().unwrap().iter();
        let documented = paths.flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        });
        assert_eq!(served, documented.collect());
    }

    #[test]
    fn every_example_is_what_its_schema_says() {
        let document = document();
        let mut checked = 0;
        check(&document, &document, &mut checked);
        assert!(checked >= 15, "{checked} examples");
    }

    /// Checks every object that has a schema and an example beside it.
    fn check(document: &Value, part: &Value, checked: &mut usize) {
        match part {
            Value::Object(map) => {
                if let (Some(schema), Some(example)) = (map.get("schema"), map.get("example")) {
                    let mut schema = schema.clone();
                    schema["components"] = document["components"].clone();
                    let validator = jsonschema::draft202012::new(&schema).unwrap();
                    let errors: Vec<String> =
                        validator.iter_errors(example).map(|error| error.to_string()).collect();
                    assert!(errors.is_empty(), "{example}: {errors:?}");
                    *checked += 1;
                }
                map.values().for_each(|value| check(document, value, checked));
            }
            Value::Array(list) => list.iter().for_each(|value| check(document, value, checked)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
