//! The script file, and the examples in the README.

use super::*;
use crate::{api::Payments, mock::script::Method};

#[test]
fn every_method_has_the_name_that_scripts_use() {
    let names = [
        "instance",
        "activity",
        "hold_payments",
        "release_payments",
        "close_batch",
        "query_close",
        "set_locked",
        "apply_settings",
        "collect_logs",
        "versions",
        "check_update",
        "install_update",
        "query_update",
        "open_menu",
        "show_message",
        "boot_id",
        "reboot",
        "restart_application",
        "reset_cause",
        "health",
    ];
    for name in names {
        let method: Method = serde_json::from_value(name.into()).unwrap();
        assert_eq!(method.as_str(), name);
    }
}

#[test]
fn every_script_in_the_readme_can_be_used() {
    let readme = include_str!("../../../README.md");
    let scripts: Vec<&str> =
        readme.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        Script::parse(script).unwrap_or_else(|error| panic!("{error} in:\n{script}"));
    }
}

#[test]
fn a_script_is_written_as_it_is_read() {
    let script = Script::default();
    let json = serde_json::to_string(&script).unwrap();
    assert_eq!(Script::parse(&json).unwrap(), script);
}

#[test]
fn a_malformed_script_is_refused_with_file_place_and_expectation() {
    let directory = Directory::new();
    let config = MockConfig { script_file: Some(directory.script()), ..config_at_rest() };
    for (text, hints) in [
        ("{\n \"hots\": 1}", ["hots", "`host`", "line 2"]),
        (r#"{"methods":{"close":{}}}"#, ["close", "`close_batch`", "line 1"]),
        (r#"{"methods":{"close_batch":{"latency":1}}}"#, ["latency", "`latency_ms`", "line 1"]),
        (r#"{"battery_level":101}"#, ["101", "0 to 100", "battery_level"]),
        ("", ["EOF", "line 1", "script.json"]),
    ] {
        fs::write(directory.script(), text).unwrap();
        let error = MockTerminal::open(config.clone()).unwrap_err().to_string();
        assert!(error.contains("script.json"), "{error}");
        for hint in hints {
            assert!(error.contains(hint), "{hint} in {error}");
        }
    }
}

fn config_at_rest() -> MockConfig {
    MockConfig { clock: Arc::new(afternoon), ..MockConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_running_terminal_follows_the_file_and_keeps_the_last_good_script() {
    let directory = Directory::new();
    let config = MockConfig { script_file: Some(directory.script()), ..config() };
    let terminal = MockTerminal::open(config).unwrap();
    assert!(terminal.instance().await.is_ok());
    let fails = r#"{"methods":{"instance":{"fail":{"code":"INTERNAL","failure_reason":"x"}}}}"#;
    fs::write(directory.script(), fails).unwrap();
    assert!(terminal.instance().await.is_err());
    fs::write(directory.script(), &fails[..fails.len() - 1]).unwrap();
    assert!(terminal.instance().await.is_err());
    fs::remove_file(directory.script()).unwrap();
    assert!(terminal.instance().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_terminal_has_the_capabilities_that_the_script_leaves_it() {
    assert_eq!(terminal().hal().operations().len(), 9);
    let hal = scripted(r#"{"capabilities":["payments","health"]}"#).hal();
    assert!(hal.payments.is_some() && hal.health.is_some());
    assert!(hal.logs.is_none() && hal.firmware.is_none());
    assert!(hal.screen.is_none() && hal.power.is_none());
}
