//! `VENDOR.md` says what the code does: every example is read by the code, every table is complete.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use terminal_hal::{
    ErrorCode,
    api::Capability,
    operation::{
        CheckUpdateResult, EndOfDayParameters, EndOfDayResult, LockResult, OpenMenuResult,
        UpdateResult, check_update::AvailableUpdate,
    },
    status::TerminalHealth,
    vendor::wire::{self, method, rpc},
};

const REFERENCE: &str = include_str!("../VENDOR.md");

#[test]
fn every_example_is_one_and_no_method_is_without() {
    let mut requests = BTreeSet::new();
    let mut answers = BTreeSet::new();
    for block in blocks() {
        let message: Value = serde_json::from_str(&block.text)
            .unwrap_or_else(|error| panic!("example in line {}: {error}", block.line));
        assert_eq!(block.text.lines().count(), 1, "line {}: one message, one line", block.line);
        assert_eq!(message["jsonrpc"], "2.0", "line {}", block.line);
        let info: Vec<&str> = block.info.split(' ').collect();
        let (known, documented) = match info.as_slice() {
            ["json", "agent"] => {
                let name = message["method"].as_str().unwrap().to_owned();
                assert_eq!(message["id"].is_null(), method::NOTIFICATIONS.contains(&&*name));
                let known = known_params(&name, &message["params"], block.line);
                requests.insert(name);
                (known, message["params"].clone())
            }
            ["json", "application"] if message["id"].is_null() => {
                let name = message["method"].as_str().unwrap().to_owned();
                let known = known_params(&name, &message["params"], block.line);
                requests.insert(name);
                (known, message["params"].clone())
            }
            ["json", "application"] => {
                let error: wire::RpcError = read(&message["error"], block.line);
                let code = &error.data.as_ref().unwrap().code;
                assert!(ErrorCode::ALL.iter().any(|known| known.as_str() == code), "{code}");
                (serde_json::to_value(error).unwrap(), message["error"].clone())
            }
            ["json", "application", name] => {
                answers.insert((*name).to_owned());
                (known_result(name, &message["result"], block.line), message["result"].clone())
            }
            other => panic!("block in line {} is {other:?}", block.line),
        };
        assert_survives(&documented, &known, &format!("line {}: ", block.line));
    }
    let methods = method::REQUESTS.iter().chain(&method::NOTIFICATIONS);
    assert_eq!(requests, methods.map(|name| (*name).to_owned()).collect());
    assert_eq!(answers, method::REQUESTS.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn the_tables_of_methods_and_notifications_are_those_of_the_code() {
    let methods = rows("| method | capability |");
    let documented: BTreeSet<String> = methods.iter().map(|row| unquoted(&row[0])).collect();
    assert_eq!(documented, method::REQUESTS.iter().map(|name| (*name).to_owned()).collect());
    for row in methods.iter().filter(|row| unquoted(&row[0]) != method::HELLO) {
        let capability = unquoted(&row[1]);
        assert!(Capability::from_name(&capability).is_some(), "{capability}");
        assert!(unquoted(&row[0]).starts_with(&format!("{capability}.")), "{row:?}");
    }
    let notifications = rows("| notification | from |");
    let documented: BTreeSet<String> = notifications.iter().map(|row| unquoted(&row[0])).collect();
    assert_eq!(documented, method::NOTIFICATIONS.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn codes_and_limits_are_those_of_the_code() {
    let codes = rows("| code | meaning |").into_iter();
    let documented: BTreeSet<i64> = codes.map(|row| unquoted(&row[0]).parse().unwrap()).collect();
    let known = [
        rpc::PARSE_ERROR,
        rpc::INVALID_REQUEST,
        rpc::METHOD_NOT_FOUND,
        rpc::INVALID_PARAMS,
        rpc::INTERNAL_ERROR,
        rpc::OPERATION_FAILED,
        rpc::HELLO_FIRST,
    ];
    assert_eq!(documented, BTreeSet::from(known));
    macro_rules! limits {
        ($($name:ident)+) => {[$((stringify!($name), wire::$name.to_string()),)+]};
    }
    let known = limits! {
        PROTOCOL_VERSION FRAME_BYTES_MAX REQUESTS_MAX HELLO_MS_MAX ANSWER_MS_MAX WRITE_MS_MAX
        LOG_PAGE_LINES_MAX LOG_MESSAGE_CHARS_MAX PHASE_CHARS_MAX NAME_CHARS_MAX CURSOR_CHARS_MAX
    };
    let known: BTreeMap<String, String> =
        known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let rows = rows("| name | value |").into_iter();
    let documented = rows.map(|row| (unquoted(&row[0]), row[1].clone())).collect();
    assert_eq!(known, documented);
    let constants = include_str!("../src/vendor/wire.rs").lines();
    let constants = constants.filter_map(|line| line.strip_prefix("pub const "));
    assert_eq!(constants.count(), known.len(), "a limit is not in the table");
}

#[test]
fn failures_and_defaults_are_those_of_the_code() {
    let failures = rows("| failure | retryable | when |");
    assert!(failures.len() > 20);
    let documented: BTreeSet<String> = failures.iter().map(|row| unquoted(&row[0])).collect();
    for row in failures {
        let known = ErrorCode::ALL.iter().find(|code| code.as_str() == unquoted(&row[0])).unwrap();
        assert_eq!(row[1], known.is_retryable().to_string(), "{row:?}");
    }
    // No code is named that is not explained. The names of limits look alike.
    let limits: BTreeSet<String> =
        rows("| name | value |").iter().map(|row| unquoted(&row[0])).collect();
    let of_the_agent = [
        "INVALID_PARAMETERS",
        "HAL_UNAVAILABLE",
        "TOTALS_INCONSISTENT",
        "TOTALS_TRUNCATED",
        "SO_PEERCRED",
        "SOCK_STREAM",
    ];
    let prose = REFERENCE.lines().filter(|line| !line.starts_with('{'));
    let words = prose.flat_map(|line| line.split(|c: char| !(c.is_ascii_uppercase() || c == '_')));
    for word in words.filter(|word| word.contains('_') && word.len() > 3) {
        let is_known = documented.contains(word) || limits.contains(word);
        assert!(is_known || of_the_agent.contains(&word), "{word} is not explained");
    }
    let defaults = serde_json::to_value(EndOfDayParameters::default()).unwrap();
    for row in rows("| parameter | default | meaning |").iter().take(6) {
        let default = &defaults[unquoted(&row[0])];
        let documented = unquoted(&row[1]);
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        assert_eq!(documented.replace("none", "null"), default, "{row:?}");
    }
}

#[test]
fn what_is_required_is_what_the_code_cannot_do_without() {
    let result = |name: &str| {
        let info = format!("json application {name}");
        let block = blocks().into_iter().find(|block| block.info == info).unwrap();
        serde_json::from_str::<Value>(&block.text).unwrap()["result"].clone()
    };
    let results =
        |first: &str| format!("| result | required | meaning |\n|---|---|---|\n| `{first}`");
    assert_required::<wire::HelloResult>(&results("protocol"), &result(method::HELLO));
    assert_required::<EndOfDayResult>(&results("outcome"), &result(method::CLOSE));
    assert_required::<LockResult>(&results("locked"), &result(method::SET_LOCKED));
    let update = &result(method::CHECK)["updates"][0];
    assert_required::<AvailableUpdate>("| update | required |", update);
    let installed = &result(method::QUERY_UPDATE)["result"];
    assert_required::<UpdateResult>("| installed | required |", installed);
}

/// The table has every field of the example, and the code reads it without those that are not
/// required.
fn assert_required<T: DeserializeOwned>(heading: &str, example: &Value) {
    let mut documented = BTreeSet::new();
    for row in rows(heading) {
        for name in row[0].split('`').skip(1).step_by(2) {
            let mut without = example.clone();
            assert!(without.as_object_mut().unwrap().remove(name).is_some(), "{name}");
            let reads = serde_json::from_value::<T>(without).is_ok();
            assert_eq!(!reads, row[1] == "yes", "{name} of {heading}");
            documented.insert(name.to_owned());
        }
    }
    let fields: BTreeSet<String> = example.as_object().unwrap().keys().cloned().collect();
    assert_eq!(documented, fields, "{heading}");
}

fn known_params(name: &str, params: &Value, line: usize) -> Value {
    fn round<T: DeserializeOwned + Serialize>(params: &Value, line: usize) -> Value {
        serde_json::to_value(read::<T>(params, line)).unwrap()
    }
    let round: fn(&Value, usize) -> Value = match name {
        method::HELLO => round::<wire::HelloParams>,
        method::ACTIVITY | method::VERSIONS | method::BOOT | method::HEALTH => round::<wire::Empty>,
        method::HOLD => round::<wire::HoldParams>,
        method::RELEASE | method::QUERY_CLOSE | method::QUERY_UPDATE => round::<wire::About>,
        method::CLOSE => round::<wire::CloseParams>,
        method::SET_LOCKED => round::<wire::SetLockedParams>,
        method::APPLY_SETTINGS => round::<wire::ApplySettingsParams>,
        method::OPEN_MENU => round::<wire::OpenMenuParams>,
        method::SHOW_MESSAGE => round::<wire::ShowMessage>,
        method::READ_LOGS => round::<wire::ReadLogsParams>,
        method::CHECK => round::<wire::CheckParams>,
        method::INSTALL => round::<wire::InstallParams>,
        method::REBOOT | method::RESTART_APPLICATION => round::<wire::Bare>,
        method::CANCEL => round::<wire::Cancel>,
        method::PROGRESS => round::<wire::ProgressParams>,
        method::EVENT => round::<wire::EventParams>,
        method::OPERATION_REQUEST => round::<terminal_hal::operation::OperationRequest>,
        other => panic!("line {line}: no method {other:?}"),
    };
    round(params, line)
}

fn known_result(name: &str, result: &Value, line: usize) -> Value {
    fn round<T: DeserializeOwned + Serialize>(result: &Value, line: usize) -> Value {
        serde_json::to_value(read::<T>(result, line)).unwrap()
    }
    let round: fn(&Value, usize) -> Value = match name {
        method::HELLO => round::<wire::HelloResult>,
        method::ACTIVITY => round::<wire::ActivityResult>,
        method::HOLD
        | method::RELEASE
        | method::SHOW_MESSAGE
        | method::REBOOT
        | method::RESTART_APPLICATION => round::<wire::Empty>,
        method::CLOSE => round::<EndOfDayResult>,
        method::QUERY_CLOSE => round::<wire::CloseStateResult>,
        method::SET_LOCKED => round::<LockResult>,
        method::APPLY_SETTINGS => round::<wire::ApplySettingsResult>,
        method::OPEN_MENU => round::<OpenMenuResult>,
        method::READ_LOGS => round::<wire::LogPage>,
        method::VERSIONS => round::<wire::VersionsResult>,
        method::CHECK => round::<CheckUpdateResult>,
        method::INSTALL => round::<wire::InstallResult>,
        method::QUERY_UPDATE => round::<wire::UpdateStateResult>,
        method::BOOT => round::<wire::BootResult>,
        method::HEALTH => round::<TerminalHealth>,
        other => panic!("line {line}: no method {other:?}"),
    };
    round(result, line)
}

fn read<T: DeserializeOwned>(value: &Value, line: usize) -> T {
    serde_json::from_value(value.clone())
        .unwrap_or_else(|error| panic!("example in line {line}: {error}: {value}"))
}

struct Block {
    line: usize,
    info: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (index, line) in REFERENCE.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(info) => {
                is_open = true;
                blocks.push(Block { line: index + 1, info: info.to_owned(), text: String::new() });
            }
            None if is_open => blocks.last_mut().unwrap().text.extend([line, "\n"]),
            None => {}
        }
    }
    assert!(!is_open, "a block has no end");
    blocks.retain(|block| block.info != "text");
    blocks
}

/// What is documented is in what was encoded, with the same value. Empty lists may be left out.
fn assert_survives(documented: &Value, encoded: &Value, path: &str) {
    match (documented, encoded) {
        (Value::Object(documented), Value::Object(encoded)) => {
            for (name, value) in documented {
                let is_empty = value.as_array().is_some_and(Vec::is_empty);
                match encoded.get(name) {
                    Some(known) => assert_survives(value, known, &format!("{path}{name}.")),
                    None => assert!(is_empty, "{path}{name} is unknown to the code"),
                }
            }
        }
        (Value::Array(documented), Value::Array(encoded)) => {
            assert_eq!(documented.len(), encoded.len(), "{path}");
            for (index, (value, known)) in documented.iter().zip(encoded).enumerate() {
                assert_survives(value, known, &format!("{path}{index}."));
            }
        }
        (documented, encoded) => assert_eq!(documented, encoded, "{path}"),
    }
}

/// Cells of the rows of all tables whose heading begins so.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let tables = REFERENCE.split("\n\n").filter(|text| text.starts_with(heading));
    let rows = tables.flat_map(|table| table.lines().skip(2));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn unquoted(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}
