//! Wrong documents made of a right one: every value in it is replaced, lengthened or taken away.

use std::{collections::BTreeSet, fmt, sync::LazyLock};

use serde_json::{Value, json};
use terminal_reference::files;

/// One change of a document.
pub(crate) struct Mutation {
    /// Where, as a JSON pointer.
    pub(crate) pointer: String,
    /// What stands there now; `None` when it was removed.
    pub(crate) value: Option<Value>,
    /// The whole document.
    pub(crate) document: Value,
}

impl fmt::Debug for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "with {} = {value}", self.pointer),
            None => write!(f, "without {}", self.pointer),
        }
    }
}

/// Every change of a document, but for pointers that begin with one of `skip`.
pub(crate) fn mutations(document: &Value, skip: &[&str]) -> Vec<Mutation> {
    let mut all = Vec::new();
    for pointer in pointers(document, "") {
        if skip.iter().any(|skip| pointer.starts_with(skip)) {
            continue;
        }
        let old = document.pointer(&pointer).unwrap();
        for value in replacements(old, &SIZES) {
            let mut document = document.clone();
            *document.pointer_mut(&pointer).unwrap() = value.clone();
            all.push(Mutation { pointer: pointer.clone(), value: Some(value), document });
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut document = document.clone();
        if let Some(fields) = document.pointer_mut(parent).unwrap().as_object_mut() {
            fields.remove(name);
            all.push(Mutation { pointer, value: None, document });
        }
    }
    all
}

fn pointers(value: &Value, at: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, value)| (format!("{at}/{i}"), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let deeper = children.iter().flat_map(|(at, value)| pointers(value, at));
    let own = children.iter().map(|(at, _)| at.clone());
    own.chain(deeper).collect()
}

fn replacements(old: &Value, sizes: &BTreeSet<i64>) -> Vec<Value> {
    let mut new = vec![
        Value::Null,
        json!(true),
        json!(1.5),
        json!(1.0),
        json!(1e300),
        json!([]),
        json!({}),
        json!([null]),
        json!("x"),
        json!("\u{7f}"),
    ];
    new.extend(sizes.iter().map(|number| json!(number)));
    match old {
        Value::String(text) => {
            // No way of counting but that in scalar values gives the same for both.
            new.extend(["x", "\u{1F4B3}"].iter().flat_map(|unit| repeated(unit, sizes)));
            let long = sizes.iter().filter(|size| **size > 8 && **size < 10_000);
            new.extend(
                long.map(|size| json!(format!("https://{}", "x".repeat(*size as usize - 8)))),
            );
            new.push(json!(format!("{text}\n")));
            new.push(json!(text.to_uppercase()));
            new.push(json!(text.to_lowercase()));
            new.extend(TIMES.map(|time| json!(time)));
            if NAMES.contains(text) {
                new.extend(NAMES.iter().map(|name| json!(name)));
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let counts = sizes.iter().filter(|size| (0..1000).contains(*size));
            new.extend(counts.map(|n| json!(vec![&items[0]; *n as usize])));
        }
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("not_known_yet".to_owned(), json!(1));
            new.push(Value::Object(more));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
    new
}

/// Times at the edges of what can be said and of what is read.
const TIMES: [&str; 12] = [
    "2026-06-29T09:00:00Z",
    "2026-06-29T11:00:00.5+02:00",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00+01:00",
    "1969-12-31T23:59:59Z",
    "2026-06-29t09:00:00z",
    "9999-12-31T23:59:59.999Z",
    "10000-01-01T00:00:00Z",
    "2026-02-30T09:00:00Z",
    "2026-06-29T25:00:00Z",
    "2026-06-29 09:00",
    "2026-06-29",
];

fn repeated(unit: &str, sizes: &BTreeSet<i64>) -> Vec<Value> {
    let counts = sizes.iter().filter(|size| (0..10_000).contains(*size));
    counts.map(|n| json!(unit.repeat(*n as usize))).collect()
}

/// Every limit that stands in any schema, and its neighbours.
static SIZES: LazyLock<BTreeSet<i64>> = LazyLock::new(|| {
    let mut sizes = BTreeSet::from([-1, 0, 1]);
    for text in files().values() {
        limits(&serde_json::from_str(text).unwrap(), &mut sizes);
    }
    sizes
});

/// Every value of every enumeration: what is right in one place is wrong in another.
static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut names = BTreeSet::new();
    for text in files().values() {
        constants(&serde_json::from_str(text).unwrap(), &mut names);
    }
    names
});

fn constants(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| constants(item, names)),
        Value::Object(fields) => {
            names.extend(fields.get("const").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| constants(value, names));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn limits(schema: &Value, sizes: &mut BTreeSet<i64>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| limits(item, sizes)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if LIMITS.contains(&name.as_str()) {
                    sizes.extend(value.as_i64().into_iter().flat_map(|n| [n - 1, n, n + 1]));
                }
                limits(value, sizes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const LIMITS: [&str; 7] =
    ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"];
