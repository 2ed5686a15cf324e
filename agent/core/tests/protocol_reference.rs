//! `agent/PROTOCOL.md` says what the code does: its examples are frames, its tables name every
//! field, code and limit, and nothing in them is unknown to the code.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use terminal_core::{
    engine::{Backoff, BackoffSettings, LinkEnd, Moment, Monotonic, limits},
    protocol::{
        self, AgentFrame, CloudFrame, ENROL_SUBPROTOCOL, EnrolAgentFrame, EnrolCloudFrame,
        EventName, LogChunk, OperationFrame, OperationReport, ReportBody, close_code,
        decode_agent_frame, decode_cloud_frame, decode_enrol_agent_frame, decode_enrol_cloud_frame,
        encode, error_code,
    },
};
use terminal_hal::{
    ErrorCode, OperationKind, Parameters, Timestamp,
    operation::{
        self, CheckUpdateParameters, CheckUpdateResult, ConfigureParameters, ConfigureResult,
        EndOfDayParameters, EndOfDayResult, LockParameters, LockResult, OpenMenuParameters,
        OpenMenuResult, RebootParameters, RebootResult, SendLogsParameters, SendLogsResult,
        UnlockParameters, UpdateParameters, UpdateResult, send_logs::Upload,
    },
    text::REASON_CHARS_MAX,
};

const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md"));
const LIMITS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/limits.rs"));
const PROTOCOL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/protocol/mod.rs"));

#[test]
fn no_field_of_an_example_is_unknown_to_the_code() {
    for example in examples() {
        let Example { line, documented, frame } = example;
        let encoded: Value = serde_json::from_str(&match frame {
            Frame::Agent(frame) => encode(&frame),
            Frame::Cloud(frame) => encode(&frame),
            Frame::EnrolAgent(frame) => encode(&frame),
            Frame::EnrolCloud(frame) => encode(&frame),
        })
        .unwrap();
        assert_survives(&documented, &encoded, &format!("example in line {line}: "));
    }
}

#[test]
fn every_frame_type_report_kind_and_event_has_its_place() {
    let mut seen = BTreeSet::new();
    for Example { frame, .. } in examples() {
        match frame {
            Frame::Agent(frame) => {
                if let AgentFrame::Report(report) = &frame {
                    seen.insert(format!("kind `{}`", report_kind(&report.body)));
                }
                seen.insert(format!("agent {}", agent_type(&frame)));
            }
            Frame::Cloud(frame) => drop(seen.insert(format!("cloud {}", cloud_type(&frame)))),
            Frame::EnrolAgent(_) | Frame::EnrolCloud(_) => {}
        }
    }
    let agent = AGENT_TYPES.map(|name| format!("agent {name}"));
    let cloud = CLOUD_TYPES.map(|name| format!("cloud {name}"));
    let kinds = REPORT_KINDS.map(|name| format!("kind `{name}`"));
    let wanted: BTreeSet<String> = agent.into_iter().chain(cloud).chain(kinds.clone()).collect();
    assert_eq!(seen, wanted);
    for heading in AGENT_TYPES.iter().chain(&CLOUD_TYPES).filter(|name| **name != "error") {
        assert!(REFERENCE.contains(&format!("\n### `{heading}`\n")), "no section {heading}");
    }
    for kind in kinds {
        assert!(REFERENCE.contains(&format!("\n### {kind}\n")), "no section {kind}");
    }
    let events = column("event", "when").into_keys().collect::<BTreeSet<_>>();
    assert_eq!(events, EVENTS.map(|event| event_name(event).to_owned()).into());
}

#[test]
fn every_frame_of_enrolment_has_its_example_and_every_field_its_row() {
    let mut seen = BTreeMap::new();
    for Example { documented, frame, .. } in examples() {
        let name = match &frame {
            Frame::EnrolAgent(EnrolAgentFrame::EnrolBegin(_)) => "enrol_begin",
            Frame::EnrolCloud(EnrolCloudFrame::ActivationCode(_)) => "activation_code",
            Frame::EnrolCloud(EnrolCloudFrame::Enrolled(_)) => "enrolled",
            Frame::EnrolAgent(EnrolAgentFrame::Error(_))
            | Frame::EnrolCloud(EnrolCloudFrame::Error(_))
            | Frame::Agent(_)
            | Frame::Cloud(_) => continue,
        };
        seen.insert(name, documented);
    }
    for name in ["enrol_begin", "activation_code", "enrolled"] {
        let example = seen.get(name).unwrap_or_else(|| panic!("no example of {name}"));
        let heading = format!("`{name}`\n");
        let section = REFERENCE.split("\n### ").find(|text| text.starts_with(&heading)).unwrap();
        let rows = rows(section, "| field | type | need | meaning |").into_iter();
        let documented: BTreeSet<String> = rows.map(|row| unquoted(&row[0])).collect();
        let fields = example.as_object().unwrap().keys().filter(|name| *name != "type").cloned();
        assert_eq!(documented, fields.collect(), "table of {name}");
    }
    assert!(REFERENCE.contains(&format!("`Sec-WebSocket-Protocol: {}`", ENROL_SUBPROTOCOL)));
}

#[test]
fn parameters_and_results_of_the_examples_are_those_of_their_kind() {
    let mut seen = BTreeSet::new();
    for Example { line, frame, .. } in examples() {
        match frame {
            Frame::Cloud(CloudFrame::Operation(frame)) => {
                let OperationFrame { operation, parameters, .. } = *frame;
                let kind = OperationKind::from_name(&operation).unwrap();
                let parsed = Parameters::parse(kind, &parameters);
                parsed.unwrap_or_else(|error| panic!("example in line {line}: {error}"));
                seen.insert(("parameters", kind));
            }
            Frame::Agent(AgentFrame::Report(report)) => {
                let ReportBody::Operation(report) = report.body else { continue };
                let OperationReport { operation, outcome, .. } = *report;
                let kind = OperationKind::from_name(&operation).unwrap();
                let Some(result) = outcome.result else { continue };
                let known = known_result(kind, &result);
                assert_survives(&result, &known, &format!("result in line {line}: "));
                assert_table_names(kind, "result", result.as_object().unwrap());
                seen.insert(("result", kind));
            }
            Frame::Agent(_) | Frame::Cloud(_) | Frame::EnrolAgent(_) | Frame::EnrolCloud(_) => {}
        }
    }
    for kind in OperationKind::ALL {
        for what in ["parameters", "result"] {
            assert!(seen.contains(&(what, kind)), "no example with {what} of {kind}");
        }
    }
}

#[test]
fn every_parameter_is_in_its_table_with_its_default() {
    for kind in OperationKind::ALL {
        let known = parameters_of(kind);
        assert_table_names(kind, "parameter", &known);
        for row in rows(&section(kind), "| parameter |") {
            let default = &known[&unquoted(&row[0])];
            let documented = match unquoted(&row[2]).as_str() {
                "–" => Value::Null,
                "required" => json!("required"),
                text => serde_json::from_str(text).unwrap(),
            };
            assert_eq!(&documented, default, "default of {} of {kind}", row[0]);
        }
    }
}

#[test]
fn every_error_code_is_in_the_catalogue_and_no_other() {
    let rows = rows(REFERENCE, "| code | meaning |").into_iter();
    let documented: Vec<Vec<String>> =
        rows.map(|row| vec![unquoted(&row[0]), row[2].clone(), row[3].clone()]).collect();
    let known: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retryable = if code.is_retryable() { "yes" } else { "no" };
            [code.as_str(), retryable, code.nexo().unwrap_or("–")].map(str::to_owned).into()
        })
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn codes_of_error_frames_and_of_closing_are_those_of_the_code() {
    let frames: BTreeSet<String> = column("code", "sent by").into_keys().collect();
    let known = [
        error_code::UNSUPPORTED_MESSAGE,
        error_code::INVALID_MESSAGE,
        error_code::OVERLOADED,
        error_code::STORAGE_FULL,
        error_code::UNKNOWN_OPERATION,
        error_code::INVALID_ACK,
        error_code::NOT_WELCOMED,
        error_code::DIGEST_MISMATCH,
    ];
    // 1002 is the WebSocket protocol's own.
    let closes = [
        close_code::NORMAL,
        close_code::GOING_AWAY,
        1002,
        close_code::INVALID_DATA,
        close_code::POLICY,
        close_code::TOO_BIG,
        close_code::UNAUTHENTICATED,
        close_code::FORBIDDEN,
        close_code::HANDSHAKE_TIMEOUT,
        close_code::REPLACED,
    ];
    assert_eq!(PROTOCOL.matches("pub const ").count(), 5 + known.len() + closes.len() - 1);
    let codes = known.map(str::to_owned).into_iter();
    assert_eq!(frames, codes.chain(closes.map(|code| code.to_string())).collect());
    assert!(REFERENCE.contains(&format!("`Sec-WebSocket-Protocol: {}`", protocol::SUBPROTOCOL)));
    assert!(REFERENCE.contains(&format!("| yes | {} |", protocol::PROTOCOL_VERSION)));
    let nesting = format!("more than {} objects and arrays", protocol::NESTING_MAX);
    assert!(REFERENCE.contains(&nesting), "{nesting}");
}

#[test]
fn the_table_of_limits_holds_every_limit_and_its_value() {
    let documented = column("name", "value");
    let known = known_limits();
    assert_eq!(documented, known);
    let constants = LIMITS.lines().filter_map(|line| line.strip_prefix("pub const "));
    for name in constants.map(|rest| rest.split(':').next().unwrap()) {
        assert!(known.contains_key(name), "{name} is not in the table of limits");
    }
}

#[test]
fn the_example_of_a_log_chunk_is_one() {
    let blocks = blocks();
    let hex = blocks.iter().find(|block| block.info == "hex").unwrap();
    let bytes: Vec<u8> =
        hex.text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let chunk = LogChunk::decode(&bytes).unwrap();
    assert_eq!(chunk.id.to_string(), "b2a60a2f-7a35-4a87-9d0b-51a0e6a6f5c1");
    assert_eq!((chunk.attempt, chunk.offset, chunk.data), (1, 32_768, &[0x1f, 0x8b, 0x08][..]));
    assert_eq!(chunk.encode(), bytes);
}

enum Frame {
    Agent(AgentFrame),
    Cloud(CloudFrame),
    EnrolAgent(EnrolAgentFrame),
    EnrolCloud(EnrolCloudFrame),
}

struct Example {
    line: usize,
    documented: Value,
    frame: Frame,
}

/// All examples, each decoded by the end that it is meant for.
fn examples() -> Vec<Example> {
    blocks().into_iter().filter_map(example).collect()
}

fn example(Block { line, info, text }: Block) -> Option<Example> {
    let frame = match info.as_str() {
        "json agent" => decode_agent_frame(text.as_bytes()).map(Frame::Agent),
        "json cloud" => decode_cloud_frame(text.as_bytes()).map(Frame::Cloud),
        "json enrol agent" => decode_enrol_agent_frame(text.as_bytes()).map(Frame::EnrolAgent),
        "json enrol cloud" => decode_enrol_cloud_frame(text.as_bytes()).map(Frame::EnrolCloud),
        "text" | "hex" => return None,
        other => panic!("block in line {line} is {other:?}, want json [enrol] agent or cloud"),
    };
    let frame = frame.unwrap_or_else(|error| panic!("example in line {line}: {error}\n{text}"));
    Some(Example { line, documented: serde_json::from_str(&text).unwrap(), frame })
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
    blocks
}

/// What is documented is in what was encoded, with the same value.
fn assert_survives(documented: &Value, encoded: &Value, path: &str) {
    match (documented, encoded) {
        (Value::Object(documented), Value::Object(encoded)) => {
            for (name, value) in documented {
                let known = encoded.get(name);
                let known = known.unwrap_or_else(|| panic!("{path}{name} is unknown to the code"));
                assert_survives(value, known, &format!("{path}{name}."));
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
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let tables = text.split("\n\n").filter(|text| text.starts_with(heading));
    let rows = tables.flat_map(|table| table.lines().skip(2));
    rows.map(|row| {
        let row = row.trim_matches('|').split('|');
        row.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// First to second column of all tables whose first two columns have these headings.
fn column(first: &str, second: &str) -> BTreeMap<String, String> {
    let rows = rows(REFERENCE, &format!("| {first} | {second} |")).into_iter();
    rows.map(|row| (unquoted(&row[0]), row[1].clone())).collect()
}

fn unquoted(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

/// The section of an operation.
fn section(kind: OperationKind) -> String {
    let operations = REFERENCE.split("\n## ").find(|text| text.starts_with("10. ")).unwrap();
    let heading = format!("`{kind}`\n");
    let section = operations.split("\n### ").find(|text| text.starts_with(&heading));
    section.unwrap_or_else(|| panic!("no section of {kind}")).to_owned()
}

/// A table of the section of an operation names these fields and no others, if there is one.
fn assert_table_names(kind: OperationKind, first: &str, known: &Map<String, Value>) {
    let rows = rows(&section(kind), &format!("| {first} |"));
    if first == "result" && rows.is_empty() {
        return;
    }
    let names = rows.iter().flat_map(|row| row[0].split(", ")).map(unquoted);
    let documented: BTreeSet<String> = names.collect();
    assert_eq!(documented, known.keys().cloned().collect(), "table {first} of {kind}");
}

/// Every parameter of a kind with its default.
fn parameters_of(kind: OperationKind) -> Map<String, Value> {
    fn fields(parameters: &impl Serialize) -> Map<String, Value> {
        serde_json::to_value(parameters).unwrap().as_object().unwrap().clone()
    }
    match kind {
        OperationKind::EndOfDay => fields(&EndOfDayParameters::default()),
        OperationKind::SendLogs => {
            let mut known = fields(&SendLogsParameters::default());
            let upload: Upload = serde_json::from_value(json!({"url": "required"})).unwrap();
            let upload = fields(&upload).into_iter();
            known.extend(upload.map(|(name, value)| (format!("upload.{name}"), value)));
            known
        }
        OperationKind::CheckUpdate => fields(&CheckUpdateParameters::default()),
        OperationKind::OpenMenu => fields(&OpenMenuParameters::default()),
        OperationKind::Reboot => fields(&RebootParameters::default()),
        OperationKind::Update => fields(&UpdateParameters::default()),
        OperationKind::Lock => fields(&LockParameters::default()),
        OperationKind::Unlock => fields(&UnlockParameters::default()),
        OperationKind::Configure => {
            let names = fields(&ConfigureParameters { revision: 1, config: Map::new() });
            names.into_iter().map(|(name, _)| (name, json!("required"))).collect()
        }
    }
}

/// A result as the code understands it.
fn known_result(kind: OperationKind, result: &Value) -> Value {
    fn read<T: DeserializeOwned + Serialize>(result: &Value) -> Value {
        let read: T = serde_json::from_value(result.clone()).unwrap();
        serde_json::to_value(read).unwrap()
    }
    match kind {
        OperationKind::EndOfDay => read::<EndOfDayResult>(result),
        OperationKind::SendLogs => read::<SendLogsResult>(result),
        OperationKind::CheckUpdate => read::<CheckUpdateResult>(result),
        OperationKind::OpenMenu => read::<OpenMenuResult>(result),
        OperationKind::Reboot => read::<RebootResult>(result),
        OperationKind::Update => read::<UpdateResult>(result),
        OperationKind::Lock | OperationKind::Unlock => read::<LockResult>(result),
        OperationKind::Configure => read::<ConfigureResult>(result),
    }
}

fn known_limits() -> BTreeMap<String, String> {
    macro_rules! constants {
        ($($module:path { $($name:ident)+ })+) => {[
            $($({ use $module as module; (stringify!($name), format!("{:?}", module::$name)) },)+)+
        ]};
    }
    let constants = constants! {
        limits {
            UNFINISHED_MAX QUEUED_MAX PARAMETERS_BYTES_MAX UNACKED_MAX UNACKED_EVENTS_MAX
            REMEMBERED_MAX REPORTS_IN_FLIGHT_MAX ATTEMPTS_MAX OPERATION_NAME_CHARS_MAX
            CREATED_BY_CHARS_MAX DEADLINE_S_MAX NOT_AFTER_MS_MAX WAIT_S_MAX VERIFY_MS_MIN
            VERIFY_INTERVAL_MS OVERDUE_INTERVAL_MS CONFIGURE_RETRY_MS CONFIGURE_MS_MAX
            PHASE_CHARS_MAX PROGRESS_INTERVAL_MS LAZY_WRITES_MAX PRUNE_MAX WELCOME_MS_MAX CONNECT_MS_MAX
            ACK_MS_MAX CLOSE_MS_MAX HEARTBEAT_S RECONNECT_S_MAX ENROL_HEARTBEAT_MS
            ACTIVATION_CODE_S_MAX NEW_CODE_MS_MAX TERMINAL_ID_CHARS_MAX PROBATION_LINKS_MAX
            RENEWAL_MS_MAX RENEWAL_RETRY_MS_MIN RENEWAL_RETRY_MS_MAX SCHEDULE_LOOK_MS_MAX SCHEDULE_LOOK_MS_MIN
            LOCAL_MEMORY_MS
        }
        protocol {
            TEXT_FRAME_BYTES_MAX BINARY_FRAME_BYTES_MAX LOG_CHUNK_BYTES_MAX
            LOG_CHUNKS_IN_FLIGHT_MAX CSR_BYTES_MAX ENROL_NAME_CHARS_MAX NONCE_CHARS
        }
        operation::end_of_day { AMOUNT_MAX TOTALS_MAX TOTALS_BYTES_MAX }
        operation::send_logs { RANGE_MS_MAX RANGE_MS_DEFAULT COMPONENTS_MAX UPLOAD_HEADERS_MAX }
        operation::check_update { UPDATES_MAX }
        operation::update { HEALTH_CHECKS_MAX }
        operation::configure { PATHS_MAX }
    };
    let reason = ("REASON_CHARS_MAX", REASON_CHARS_MAX.to_string());
    let waits = known_waits().map(|(name, ms)| (name, ms.to_string()));
    let all = constants.into_iter().chain([reason]).chain(waits);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Figures of the reconnect table, as the backoff shows them.
fn known_waits() -> [(&'static str, u64); 7] {
    let settings = BackoffSettings::default();
    let end = |code| LinkEnd::Closed { code, reason: String::new() };
    let (refused, replaced) = (end(close_code::FORBIDDEN), end(close_code::REPLACED));
    let mut backoff = Backoff::new(settings);
    let refused_min = backoff.after(&refused, &moment(0)).ms;
    let refused_max = (0..30).map(|_| backoff.after(&refused, &moment(u128::MAX)).ms).max();
    let resets = |up_ms: &u64| {
        let mut backoff = Backoff::new(settings);
        let lost = LinkEnd::Lost { reason: String::new() };
        backoff.after(&lost, &moment(u128::MAX));
        backoff.link_was_up(*up_ms);
        backoff.after(&lost, &moment(u128::MAX)).ms == settings.base_ms
    };
    [
        ("BACKOFF_BASE_MS", settings.base_ms),
        ("BACKOFF_CAP_MS", settings.cap_ms),
        ("BACKOFF_RESET_MS", (0..1_000_000).find(resets).unwrap()),
        ("REFUSED_WAIT_MIN_MS", refused_min),
        ("REFUSED_WAIT_MAX_MS", refused_max.unwrap()),
        ("REPLACED_WAIT_MIN_MS", backoff.after(&replaced, &moment(0)).ms),
        ("REPLACED_WAIT_MAX_MS", backoff.after(&replaced, &moment(u128::MAX)).ms),
    ]
}

fn moment(entropy: u128) -> Moment {
    Moment {
        monotonic: Monotonic(0),
        wall: Timestamp::default(),
        wall_trusted: true,
        calendar: None,
        entropy,
    }
}

// The lists below end where the matches beside them, which the compiler keeps complete, end.

const AGENT_TYPES: [&str; 8] =
    ["hello", "accepted", "started", "progress", "report", "status", "log_end", "error"];

const fn agent_type(frame: &AgentFrame) -> &'static str {
    match frame {
        AgentFrame::Hello(_) => AGENT_TYPES[0],
        AgentFrame::Accepted(_) => AGENT_TYPES[1],
        AgentFrame::Started(_) => AGENT_TYPES[2],
        AgentFrame::Progress(_) => AGENT_TYPES[3],
        AgentFrame::Report(_) => AGENT_TYPES[4],
        AgentFrame::Status(_) => AGENT_TYPES[5],
        AgentFrame::LogEnd(_) => AGENT_TYPES[6],
        AgentFrame::Error(_) => AGENT_TYPES[7],
    }
}

const CLOUD_TYPES: [&str; 9] = [
    "welcome",
    "operation",
    "ack",
    "cancel",
    "configuration",
    "reconnect",
    "log_ack",
    "enrolled",
    "error",
];

const fn cloud_type(frame: &CloudFrame) -> &'static str {
    match frame {
        CloudFrame::Welcome(_) => CLOUD_TYPES[0],
        CloudFrame::Operation(_) => CLOUD_TYPES[1],
        CloudFrame::Ack(_) => CLOUD_TYPES[2],
        CloudFrame::Cancel(_) => CLOUD_TYPES[3],
        CloudFrame::Configuration(_) => CLOUD_TYPES[4],
        CloudFrame::Reconnect(_) => CLOUD_TYPES[5],
        CloudFrame::LogAck(_) => CLOUD_TYPES[6],
        CloudFrame::Enrolled(_) => CLOUD_TYPES[7],
        CloudFrame::Error(_) => CLOUD_TYPES[8],
    }
}

const REPORT_KINDS: [&str; 4] = ["operation", "configuration", "event", "dropped"];

const fn report_kind(body: &ReportBody) -> &'static str {
    match body {
        ReportBody::Operation(_) => REPORT_KINDS[0],
        ReportBody::Configuration(_) => REPORT_KINDS[1],
        ReportBody::Event(_) => REPORT_KINDS[2],
        ReportBody::Dropped => REPORT_KINDS[3],
    }
}

const EVENTS: [EventName; 7] = [
    EventName::Booted,
    EventName::StoreDamaged,
    EventName::EpochChanged,
    EventName::LateOutcome,
    EventName::ApplicationHangs,
    EventName::StorageRecovered,
    EventName::CertificateExpiring,
];

const fn event_name(event: EventName) -> &'static str {
    match event {
        EventName::Booted => "booted",
        EventName::StoreDamaged => "store_damaged",
        EventName::EpochChanged => "epoch_changed",
        EventName::LateOutcome => "late_outcome",
        EventName::ApplicationHangs => "application_hangs",
        EventName::StorageRecovered => "storage_recovered",
        EventName::CertificateExpiring => "certificate_expiring",
        // What a reader makes of a name that it does not know.
        EventName::Unknown => "unknown",
    }
}
