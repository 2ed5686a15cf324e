//! Configurations.

use super::*;
use crate::{
    ErrorCode,
    api::{Payments, SettingProblem, SettingsOutcome},
    operation::ConfigureResult,
};

/// The example of the public API's documentation.
const ACME: &str = r#"{
    "tip": {"mode": "percentage", "suggestions": [10, 15, 20]},
    "receipt": {"channels": ["print", "sms"], "requireConsent": true},
    "display": {"idleMessage": "Welcome to Acme Coffee"},
    "offlineMode": {"enabled": true, "maxAmount": 5000, "maxQueue": 50}
}"#;

async fn apply(terminal: &MockTerminal, revision: u64, config: &str) -> SettingsOutcome {
    let (call, _handle) = call(revision.into());
    terminal.apply_settings(&call, revision, &object(config)).await.unwrap()
}

async fn applied(terminal: &MockTerminal, revision: u64, config: &str) -> ConfigureResult {
    match apply(terminal, revision, config).await {
        SettingsOutcome::Applied(result) => result,
        SettingsOutcome::Rejected(problems) => panic!("{problems:?}"),
    }
}

async fn problems(terminal: &MockTerminal, config: &str) -> Vec<(String, String)> {
    match apply(terminal, 1, config).await {
        SettingsOutcome::Applied(result) => panic!("{result:?}"),
        SettingsOutcome::Rejected(problems) => {
            problems.into_iter().map(|SettingProblem { path, code, .. }| (path, code)).collect()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_applied_shown_and_kept() {
    let directory = Directory::new();
    let config = kept_in(&directory.state());
    let terminal = MockTerminal::open(config.clone()).unwrap();
    let first = applied(&terminal, 1, ACME).await;
    assert_eq!(first.applied.len(), 8);
    assert_eq!(terminal.screen().text, "Welcome to Acme Coffee");

    let terminal = MockTerminal::open(config).unwrap();
    assert_eq!(terminal.state().settings.revision, 1);
    let second = applied(&terminal, 2, &ACME.replace("[10, 15, 20]", "[10, 15]")).await;
    assert_eq!(second.applied, ["tip.suggestions"]);
    let none = applied(&terminal, 3, r#"{"tip":null}"#).await;
    assert_eq!(none.applied.len(), 8);
    assert_eq!(terminal.screen().text, "Welcome");
}

#[tokio::test(start_paused = true)]
async fn the_digest_is_that_of_the_sorted_json_whatever_the_order() {
    let terminal = terminal();
    let sha = applied(&terminal, 1, r#"{"tip":{"suggestions":[1],"mode":"fixed"}}"#).await.sha256;
    // printf '{"tip":{"mode":"fixed","suggestions":[1]}}' | sha256sum
    assert_eq!(sha, "ffe713189c74364b4f10cf48204f5435f1b952f28a85662901ac99143063fb21");
    let other = applied(&terminal, 1, r#"{"tip":{"mode":"fixed","suggestions":[1]}}"#).await;
    assert_eq!(other.sha256, sha);
    assert!(other.applied.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_older_revision_is_stale() {
    let terminal = terminal();
    applied(&terminal, 7, ACME).await;
    let (call, _handle) = call(6);
    let failure = terminal.apply_settings(&call, 6, &object("{}")).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::RevisionStale);
}

#[tokio::test(start_paused = true)]
async fn every_problem_is_named_at_once_and_nothing_is_applied() {
    let terminal = scripted(r#"{"printer":"absent"}"#);
    let before = terminal.state();
    let found = problems(
        &terminal,
        r#"{
            "colour": "red",
            "tip": {"mode": "percentage", "suggestions": [10, 10, 101, "x", 5]},
            "receipt": {"channels": ["print", "fax", "sms", "sms"], "requireConsent": 1},
            "display": {"idleMessage": "Wel\ncome", "splash": {}},
            "offlineMode": {"enabled": true, "maxAmount": -1}
        }"#,
    )
    .await;
    let expected = [
        ("colour", "UNKNOWN_SETTING"),
        ("display.splash", "UNKNOWN_SETTING"),
        ("tip.suggestions[1]", "NOT_ASCENDING"),
        ("tip.suggestions[2]", "OUT_OF_RANGE"),
        ("tip.suggestions[3]", "WRONG_TYPE"),
        ("tip.suggestions[4]", "TOO_MANY"),
        ("receipt.requireConsent", "WRONG_TYPE"),
        ("receipt.channels[1]", "UNSUPPORTED_VALUE"),
        ("receipt.channels[3]", "TOO_MANY"),
        ("display.idleMessage", "CONTROL_CHARACTER"),
        ("offlineMode.maxAmount", "OUT_OF_RANGE"),
        ("offlineMode.maxQueue", "MISSING"),
        ("receipt.channels[0]", "UNSUPPORTED_BY_HARDWARE"),
    ];
    assert_eq!(found, expected.map(|(path, code)| (path.to_owned(), code.to_owned())));
    assert_eq!(terminal.state(), before);
}

#[tokio::test(start_paused = true)]
async fn the_offline_limits_in_force_decide_what_is_taken_offline() {
    let terminal = scripted(r#"{"payments_per_hour":0,"offline_forwarding":false}"#);
    let queued = terminal.state().offline.len();
    let config = r#"{"offlineMode":{"enabled":true,"maxAmount":5000,"maxQueue":QUEUE}}"#;
    applied(&terminal, 1, &config.replace("QUEUE", &(queued + 1).to_string())).await;
    let offline = |sale: u32| {
        let json = format!(r#"{{"id":"p","sale":{sale},"offline":true}}"#);
        terminal.take_payment(&serde_json::from_str(&json).unwrap()).unwrap();
        terminal.state().offline.len() - queued
    };
    assert_eq!(offline(5001), 0);
    assert_eq!(offline(5000), 1);
    assert_eq!(offline(1), 1, "the queue is full");
}
