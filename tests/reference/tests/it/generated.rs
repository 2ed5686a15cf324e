//! The committed files are what the types generate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use terminal_reference::files;

const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agent");

#[test]
fn the_committed_files_are_what_the_types_generate() {
    let mut committed: BTreeMap<String, String> = BTreeMap::new();
    for path in json_files(&Path::new(AGENT).join("schema")) {
        let name = path.strip_prefix(AGENT).unwrap().to_str().unwrap().to_owned();
        committed.insert(name, fs::read_to_string(path).unwrap());
    }
    let asyncapi = fs::read_to_string(Path::new(AGENT).join("asyncapi.json"));
    committed.insert("asyncapi.json".to_owned(), asyncapi.unwrap_or_default());
    let generated = files();
    let names: BTreeSet<&String> = generated.keys().chain(committed.keys()).collect();
    let differs = |name: &&String| generated.get(*name) != committed.get(*name);
    let differ: Vec<&String> = names.into_iter().filter(differs).collect();
    assert!(differ.is_empty(), "run `cargo run -p terminal-reference`, these differ: {differ:?}");
}

#[test]
fn every_schema_is_a_schema_of_its_draft() {
    for (path, text) in files().into_iter().filter(|(path, _)| path.starts_with("schema/")) {
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{path}");
        let problem = jsonschema::draft202012::meta::validate(&schema).err();
        assert!(problem.is_none(), "{path}: {problem:?}");
        let unknown =
            formats(&schema).into_iter().find(|it| !["uuid", "date-time"].contains(&&**it));
        assert_eq!(unknown, None, "{path} has a format that only Rust knows");
        assert!(schema["description"].is_string(), "{path} says nothing about itself");
    }
}

#[test]
fn beside_a_reference_stands_nothing_that_limits() {
    for (path, text) in files().into_iter().filter(|(path, _)| path.starts_with("schema/")) {
        let schema: Value = serde_json::from_str(&text).unwrap();
        for beside in beside_references(&schema) {
            let is_annotation = ["$ref", "description", "default"].contains(&&*beside);
            assert!(is_annotation, "{path}: {beside} is nothing to readers of drafts before 2019");
        }
    }
}

fn beside_references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Array(items) => items.iter().flat_map(beside_references).collect(),
        Value::Object(fields) => {
            let own = fields.keys().filter(|_| fields.contains_key("$ref")).cloned();
            own.chain(fields.values().flat_map(beside_references)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn formats(schema: &Value) -> Vec<String> {
    match schema {
        Value::Array(items) => items.iter().flat_map(formats).collect(),
        Value::Object(fields) => {
            let own = fields.get("format").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(formats)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { json_files(&path) } else { vec![path] });
    files.collect()
}
