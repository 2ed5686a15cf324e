//! From a type to a JSON Schema document that stands alone.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// As the protocol writes a uuid.
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
const DEFINITION: &str = "#/$defs/";

/// The schema of a type.
pub(crate) fn of<T: JsonSchema>(title: &str) -> Value {
    let mut root = root::<T>();
    root.insert("title".to_owned(), title.into());
    Value::Object(root)
}

/// A schema for each frame of an enum, by its `type`.
pub(crate) fn frames<T: JsonSchema>() -> BTreeMap<String, Value> {
    let root = root::<T>();
    let definitions = object(root.get("$defs"));
    let Some(Value::Array(variants)) = root.get("oneOf") else { return BTreeMap::new() };
    variants.iter().map(|variant| frame(object(Some(variant)), &definitions)).collect()
}

fn frame(variant: Map<String, Value>, definitions: &Map<String, Value>) -> (String, Value) {
    let mut frame = Value::Object(variant);
    inline(&mut frame, definitions);
    let needed = reachable(&frame, definitions);
    let kind = frame.pointer("/properties/type/const").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    let mut frame = object(Some(&frame));
    if !needed.is_empty() {
        frame.insert("$defs".to_owned(), Value::Object(needed));
    }
    frame.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    frame.insert("title".to_owned(), json!(kind));
    (kind, Value::Object(frame))
}

/// A variant and the type that it refers to become one object, so that readers of drafts before
/// 2019, where nothing counts beside a `$ref`, understand the same.
fn inline(schema: &mut Value, definitions: &Map<String, Value>) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, definitions)),
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                if let Some(name) = fields.remove("$ref").as_ref().and_then(definition) {
                    merge(fields, object(definitions.get(name)));
                }
            }
            fields.values_mut().for_each(|value| inline(value, definitions));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
            (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// The definitions that a schema needs, directly or by way of others.
fn reachable(schema: &Value, definitions: &Map<String, Value>) -> Map<String, Value> {
    let mut needed = BTreeSet::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                open.extend(fields.values());
                let name = fields.get("$ref").and_then(definition);
                if let Some(found) = name.and_then(|name| definitions.get_key_value(name)) {
                    if needed.insert(found.0.clone()) {
                        open.push(found.1);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let all = definitions.iter().filter(|(name, _)| needed.contains(*name));
    all.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn definition(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix(DEFINITION)
}

fn root<T: JsonSchema>() -> Map<String, Value> {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut root = Value::from(generator.into_root_schema_for::<T>());
    tidy(&mut root);
    object(Some(&root))
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Says in JSON Schema what the generator says in formats and links of Rust.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            fields.values_mut().for_each(tidy);
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            if let Some(format) = fields.get("format").and_then(Value::as_str).map(str::to_owned) {
                bound(fields, &format);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Bounds instead of a format that is only known in Rust.
fn bound(fields: &mut Map<String, Value>, format: &str) {
    let (min, max): (i64, Option<i64>) = match format {
        "uuid" => return drop(fields.insert("pattern".to_owned(), json!(UUID))),
        "uint8" => (0, Some(u8::MAX.into())),
        "uint32" => (0, Some(u32::MAX.into())),
        "int16" => (i16::MIN.into(), Some(i16::MAX.into())),
        // Few readers have integers of 64 bits: such bounds would be wrong by rounding.
        "uint64" => (0, None),
        "int64" => return drop(fields.remove("format")),
        _ => return,
    };
    fields.remove("format");
    fields.entry("minimum").or_insert(json!(min));
    if let Some(max) = max {
        fields.entry("maximum").or_insert(json!(max));
    }
}
