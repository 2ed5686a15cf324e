//! Records such as the agent makes, named by numbers.

use serde_json::{Map, Value, json};
use terminal_core::engine::{
    Configuration, ConfigurationRecord, Expiry, Meta, Monotonic, OperationRecord, OperationState,
};
use terminal_core::protocol::{
    ConfigurationReport, ConfigurationStatus, EventName, EventReport, OperationReport, Origin,
    Outcome, Policy, Report, ReportBody, ReportId, Seq, StoreEpoch,
};
use terminal_hal::{BootId, OperationId, Timestamp};
use uuid::Uuid;

const DAY_MS: u64 = 24 * 3600 * 1000;

pub(crate) fn operation_id(n: u64) -> OperationId {
    OperationId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes()))
}

pub(crate) fn operation(n: u64, state: OperationState) -> OperationRecord {
    let parameters = json!({"print": n % 2 == 0, "reason": "end of the day shift, ü €"});
    OperationRecord {
        id: operation_id(n),
        operation: "end_of_day".to_owned(),
        parameters: map(parameters),
        origin: Origin::Cloud,
        created_by: "user@example.com".to_owned(),
        not_after: time(n).plus_ms(DAY_MS),
        deadline_s: 600,
        policy: Policy::default(),
        arrival: n,
        expiry: Expiry { boot_id: boot(), monotonic: Monotonic(n), cloud: time(n) },
        may_have_run: false,
        cancel_requested: n % 17 == 0,
        state,
    }
}

pub(crate) const fn queued() -> OperationState {
    OperationState::Queued { attempts: 0 }
}

pub(crate) fn running(n: u64) -> OperationState {
    OperationState::Running {
        attempt: 1,
        started_at: time(n),
        since: Monotonic(n),
        boot_id: boot(),
        restart: None,
    }
}

pub(crate) fn verdict(seq: Seq, n: u64, result: Value) -> Report {
    let body = OperationReport {
        id: operation_id(n),
        operation: "end_of_day".to_owned(),
        outcome: Outcome::completed(result),
        started_at: Some(time(n)),
        finished_at: time(n + 1),
        duration_ms: 1,
        attempt: 1,
        boot_id: boot(),
        clock_trusted: true,
        origin: Origin::Cloud,
        created_by: String::new(),
    };
    report(seq, ReportBody::Operation(Box::new(body)))
}

pub(crate) fn event(seq: Seq, detail: &Value) -> Report {
    let data = map(json!({ "detail": detail }));
    report(seq, ReportBody::Event(EventReport { event: EventName::LateOutcome, at: time(1), data }))
}

pub(crate) fn applied(seq: Seq, revision: u64) -> Report {
    let body = ConfigurationReport {
        revision,
        status: ConfigurationStatus::Applied,
        errors: Vec::new(),
        sha256: Some("5a".repeat(32)),
    };
    report(seq, ReportBody::Configuration(body))
}

pub(crate) fn configuration(revision: u64, filler: Value) -> ConfigurationRecord {
    let config = map(json!({"tip": {"suggestions": [5, 10, 15]}, "receipt": filler}));
    ConfigurationRecord { desired: None, applied: Some(Configuration { revision, config }) }
}

pub(crate) fn meta(acked: Seq) -> Meta {
    Meta {
        store_epoch: epoch(),
        serial_number: "123456789012".to_owned(),
        epoch_base: Seq(0),
        acked_seq: acked,
        acked_report_id: Some(report_id(acked)),
        boot_id: boot(),
        clean_stop: acked.0 % 2 == 0,
        owner: None,
        held_up_to: Seq(0),
    }
}

fn report(seq: Seq, body: ReportBody) -> Report {
    Report { seq, store_epoch: epoch(), report_id: report_id(seq), body }
}

fn report_id(seq: Seq) -> ReportId {
    ReportId(Uuid::from_u128(0x4e90_0000 + u128::from(seq.0)))
}

fn epoch() -> StoreEpoch {
    StoreEpoch(Uuid::from_u128(0x5107_e00e))
}

fn boot() -> BootId {
    BootId(Uuid::from_u128(0xb007))
}

fn time(n: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_780_000_000_000 + n * 1_000)
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
