//! Runs a `curl` line of a public page in a shell, with host, ids and keys changed.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bench::Bench;

/// Hosts that the pages name.
const HOSTS: [&str; 3] =
    ["https://checkout.dintero.com", "https://api.dintero.com", "https://api.vinr.com"];

/// What the page's request was answered with.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Blocks, which the cloud does not mind: it has threads of its own. Runs a line as it stands in the page, after replacing what `changes` names; `None`, with a
/// message, on a machine without curl.
pub(crate) fn run(bench: &Bench, line: &str, changes: &[(&str, &str)]) -> Option<Answer> {
    let mut line = line.to_owned();
    for host in HOSTS {
        line = line.replace(host, &bench.cloud.base_url());
    }
    for (from, to) in changes {
        assert!(line.contains(from), "{from} is not in the line");
        line = line.replace(from, to);
    }
    let quietly = r#"curl -sS --write-out '\n%{http_code}' "#;
    let line = line.replacen("curl ", quietly, 1);
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("VINR_SECRET_KEY", &bench.token)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(127) {
        let required = std::env::var_os("CURL_REQUIRED").is_some();
        assert!(!required, "curl is missing: {errors}");
        eprintln!("skipped: this test needs curl: {errors}");
        return None;
    }
    assert!(output.status.success(), "{line}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body}"));
    Some(Answer { status: status.parse().unwrap(), body })
}
