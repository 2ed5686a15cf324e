//! Whether an answer is what `/openapi.json` says.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(terminal_cloud::openapi);

/// Fails unless the document has this path and method, and the answer is one of its answers.
pub(crate) fn check(method: &Method, path: &str, status: u16, body: &Value) {
    let path = path.split('?').next().unwrap();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let known = |template: &&String| fits(template, path);
    let template = paths.keys().filter(known).min_by_key(|template| template.matches('{').count());
    let template = template.unwrap_or_else(|| panic!("{path} is not in the document"));
    let method = method.as_str().to_lowercase();
    let answers = &paths[template][&method]["responses"];
    let class = format!("{}XX", status / 100);
    let answer = answers.get(status.to_string()).or_else(|| answers.get(&class));
    let answer = answer.unwrap_or_else(|| panic!("{status} of {method} {path}: not documented"));
    let answer = match answer["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => answer,
    };
    if answer["content"].is_null() {
        return assert!(body.is_null(), "{method} {path} {status}: want no body, got {body}");
    }
    let mut schema = answer["content"]["application/json"]["schema"].clone();
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(body)
        .map(|error| format!("{} at {}", error, error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{method} {path} {status}: {errors:#?}\n{body:#}");
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
}
