//! EXEC.md says what the code does: its figures, and that its examples can be read.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

mod common;

use std::{fs, time::Duration};

use common::Served;
use serde_json::Value;
use terminal_hal::{
    ErrorCode, OperationId, SideEffects, api,
    exec::{ANSWER_BYTES_MAX, EXEC_VERSION, UNKNOWN_METHOD},
    operation::OpenMenuParameters,
    status::Printer,
};

const TEXT: &str = include_str!("../EXEC.md");

fn block(of: &str) -> &'static str {
    let (_, rest) = TEXT.split_once(&format!("```{of}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn its_figures_are_those_of_the_code() {
    for (name, value) in [
        ("EXEC_VERSION", i64::from(EXEC_VERSION)),
        ("ANSWER_BYTES_MAX", i64::try_from(ANSWER_BYTES_MAX).unwrap()),
        ("UNKNOWN_METHOD", i64::from(UNKNOWN_METHOD)),
    ] {
        assert!(TEXT.contains(&format!("| `{name}` | {value} |")), "{name}");
    }
}

#[tokio::test]
async fn its_requests_are_what_a_program_is_told() {
    let heard = tempfile::NamedTempFile::new().unwrap();
    let served = Served::by(&format!("#!/bin/sh\n(cat; echo) >>{}", heard.path().display()));
    let screen = served.hal.screen.as_ref().unwrap();
    let id = OperationId(uuid::Uuid::from_u128(1));
    let (call, _handle) = api::call(id, 1, Duration::from_secs(20));
    let _ = screen.open_menu(&call, &OpenMenuParameters::default()).await;
    let _ = screen.show_message(Some("x")).await;
    let _ = served.hal.health.as_ref().unwrap().health().await;
    let asked = fs::read_to_string(heard.path()).unwrap();
    // The values differ, the fields do not.
    let shapes = |text: &str| -> Vec<String> {
        text.lines().map(|line| shape(&serde_json::from_str(line).unwrap())).collect()
    };
    assert_eq!(shapes(&asked), shapes(block("json request")));
}

fn shape(value: &Value) -> String {
    let Some(fields) = value.as_object() else { return String::new() };
    let fields = fields.iter().map(|(name, value)| match value.as_str() {
        Some(method) if name == "method" => format!("{name}={method}"),
        _ => format!("{name}{}", shape(value)),
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn its_answers_are_read() {
    let mut answers = block("json answer").lines();
    let mut next = || format!("#!/bin/sh\ncat >/dev/null\necho '{}'\n", answers.next().unwrap());
    let (call, _handle) = api::call(OperationId(uuid::Uuid::nil()), 1, Duration::from_secs(20));
    let menu = OpenMenuParameters::default();
    let served = Served::by(&next());
    let screen = served.hal.screen.as_ref().unwrap();
    assert!(screen.open_menu(&call, &menu).await.unwrap().shown);
    let served = Served::by(&next());
    let health = served.hal.health.as_ref().unwrap().health().await.unwrap();
    assert_eq!((health.printer, health.battery_level), (Some(Printer::PaperLow), Some(80)));
    let served = Served::by(&next());
    let screen = served.hal.screen.as_ref().unwrap();
    let failure = screen.open_menu(&call, &menu).await.unwrap_err();
    assert_eq!((failure.code, failure.side_effects), (ErrorCode::BusyPayment, SideEffects::None));
}

#[tokio::test]
async fn the_least_that_works_works() {
    let served = Served::by(block("sh"));
    let health = served.hal.health.as_ref().unwrap().health().await.unwrap();
    assert_eq!(health.printer, Some(Printer::Ok));
    let failure = served.hal.screen.as_ref().unwrap().show_message(None).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UnsupportedByHardware);
}
