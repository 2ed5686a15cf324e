//! Records for tests: some of every kind, and random sequences of writes with a model of what
//! they leave behind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use terminal_core::engine::{
    Configuration, ConfigurationRecord, Expiry, Meta, Monotonic, OperationRecord, OperationState,
    RestartCall, Snapshot, StoredReport, Write,
};
use terminal_core::protocol::{
    ConfigurationReport, ConfigurationStatus, EventName, EventReport, IfBusy, IfPaymentActive,
    OperationReport, Origin, Outcome, Policy, Report, ReportBody, ReportId, Seq, StoreEpoch,
};
use terminal_hal::operation::reboot::RebootScope;
use terminal_hal::operation::{RebootParameters, SettingProblem};
use terminal_hal::{BootId, ErrorCode, Failure, OperationId, SideEffects, Timestamp};
use uuid::Uuid;

use crate::store::{Store, kept};

pub(super) fn operation_id(n: u64) -> OperationId {
    OperationId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes()))
}

pub(super) fn boot(n: u128) -> BootId {
    BootId(Uuid::from_u128(0xb007_0000 + n))
}

pub(super) fn epoch() -> StoreEpoch {
    StoreEpoch(Uuid::from_u128(0x5107_e00e))
}

fn time(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_780_000_000_000 + ms)
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(super) fn meta(acked: u64) -> Meta {
    Meta {
        store_epoch: epoch(),
        serial_number: "SN-0001".to_owned(),
        epoch_base: Seq(acked / 2),
        acked_seq: Seq(acked),
        acked_report_id: (acked > 0).then(|| report_id(acked)),
        boot_id: boot(1),
        clean_stop: acked % 2 == 1,
        owner: None,
        held_up_to: Seq(0),
    }
}

pub(super) fn report_id(seq: u64) -> ReportId {
    ReportId(Uuid::from_u128(0x4e90_0000 + u128::from(seq)))
}

pub(super) fn operation(n: u64, state: OperationState) -> OperationRecord {
    OperationRecord {
        id: operation_id(n),
        operation: "end_of_day".to_owned(),
        parameters: map(json!({"print": true, "label": "ü € \u{1f600}"})),
        origin: if n % 3 == 0 { Origin::Local } else { Origin::Cloud },
        created_by: "someone@example.com".to_owned(),
        not_after: time(86_400_000),
        deadline_s: 600,
        policy: Policy {
            if_busy: IfBusy::Reject,
            if_payment_active: IfPaymentActive::Cancel,
            wait_max_s: 17,
        },
        arrival: n,
        expiry: Expiry { boot_id: boot(1), monotonic: Monotonic(5_000), cloud: time(3_600_000) },
        may_have_run: n % 2 == 0,
        cancel_requested: n % 5 == 0,
        state,
    }
}

pub(super) const fn queued() -> OperationState {
    OperationState::Queued { attempts: 0 }
}

pub(super) fn running() -> OperationState {
    OperationState::Running {
        attempt: 2,
        started_at: time(1_000),
        since: Monotonic(9_000),
        boot_id: boot(2),
        restart: None,
    }
}

pub(super) fn restarting() -> OperationState {
    OperationState::Running {
        attempt: 1,
        started_at: time(2_000),
        since: Monotonic(7),
        boot_id: boot(2),
        restart: Some(RestartCall {
            parameters: RebootParameters {
                scope: RebootScope::Application,
                delay_s: 3,
                reason: Some("maintenance".to_owned()),
            },
            boot_id: boot(2),
            instance: Some("4711".to_owned()),
        }),
    }
}

pub(super) fn report(seq: u64, body: ReportBody) -> Report {
    Report { seq: Seq(seq), store_epoch: epoch(), report_id: report_id(seq), body }
}

pub(super) fn verdict(n: u64, outcome: Outcome) -> ReportBody {
    ReportBody::Operation(Box::new(OperationReport {
        id: operation_id(n),
        operation: "end_of_day".to_owned(),
        started_at: outcome.error.is_none().then(|| time(1_000)),
        outcome,
        finished_at: time(4_000),
        duration_ms: 3_000,
        attempt: 1,
        boot_id: boot(1),
        clock_trusted: n % 2 == 0,
        origin: Origin::Cloud,
        created_by: String::new(),
    }))
}

pub(super) fn event(data: Value) -> ReportBody {
    ReportBody::Event(EventReport { event: EventName::LateOutcome, at: time(5), data: map(data) })
}

pub(super) fn configuration(revision: u64) -> ConfigurationRecord {
    let config = map(json!({"tip": {"suggestions": [5, 10, 15]}, "language": "de"}));
    ConfigurationRecord {
        desired: Some(Configuration { revision: revision + 1, config: Map::new() }),
        applied: Some(Configuration { revision, config }),
    }
}

/// One of everything, with every optional part once there and once not.
pub(super) fn one_of_each() -> Vec<Write> {
    let failure = Failure::new(ErrorCode::BusyPayment, "a payment is active")
        .with_side_effects(SideEffects::Partial)
        .with_retry_after_s(30);
    let problem = SettingProblem {
        path: "tip.suggestions[4]".to_owned(),
        code: "TOO_LONG".to_owned(),
        message: "5 suggestions, at most 4".to_owned(),
    };
    let rejected = ConfigurationReport {
        revision: 7,
        status: ConfigurationStatus::Rejected,
        errors: vec![problem],
        sha256: None,
    };
    let applied = ConfigurationReport {
        revision: 8,
        status: ConfigurationStatus::Applied,
        errors: Vec::new(),
        sha256: Some("ab".repeat(32)),
    };
    let bodies = [
        verdict(1, Outcome::completed(json!({"batch": 17, "totals": [{"amount": -3}]}))),
        verdict(2, Outcome::completed(Value::Null)),
        verdict(3, Outcome::failed(failure)),
        ReportBody::Configuration(rejected),
        ReportBody::Configuration(applied),
        event(json!({"id": "x"})),
        event(json!({})),
        ReportBody::Dropped,
    ];
    let reports = (1..).zip(bodies).map(|(seq, body)| put_report(report(seq, body)));
    let states =
        [queued(), running(), restarting(), OperationState::Finished { seq: Seq(1) }, queued()];
    let operations =
        (1..).zip(states).map(|(n, state)| Write::PutOperation(Box::new(operation(n, state))));
    let singles = [Write::PutMeta(meta(3)), Write::PutConfiguration(Box::new(configuration(3)))];
    singles.into_iter().chain(operations).chain(reports).collect()
}

pub(super) fn put_report(report: Report) -> Write {
    Write::PutReport(Box::new(report))
}

/// What a sequence of writes leaves behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    meta: Option<Meta>,
    configuration: Option<ConfigurationRecord>,
    operations: BTreeMap<OperationId, OperationRecord>,
    reports: BTreeMap<Seq, Report>,
}

impl Model {
    pub(super) fn of(writes: &[Write]) -> Self {
        let mut model = Self::default();
        model.apply(writes);
        model
    }

    pub(super) fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write.clone() {
                Write::PutMeta(meta) => self.meta = Some(meta),
                Write::PutConfiguration(record) => self.configuration = Some(*record),
                Write::PutOperation(record) => {
                    self.operations.insert(record.id, kept(&record));
                }
                Write::RemoveOperation(id) => drop(self.operations.remove(&id)),
                Write::PutReport(report) => drop(self.reports.insert(report.seq, *report)),
                Write::RemoveReport(seq) => drop(self.reports.remove(&seq)),
            }
        }
    }

    /// What opening a store with these records must yield.
    pub(super) fn snapshot(&self) -> Snapshot {
        let stored = |report: &Report| StoredReport {
            seq: report.seq,
            report_id: report.report_id,
            is_verdict: matches!(report.body, ReportBody::Operation(_)),
        };
        Snapshot {
            meta: self.meta.clone(),
            operations: self.operations.values().cloned().collect(),
            reports: self.reports.values().map(stored).collect(),
            configuration: self.configuration.clone(),
        }
    }

    pub(super) fn assert_bodies(&self, store: &Store) {
        for (seq, report) in &self.reports {
            assert_eq!(store.report(*seq).unwrap().as_ref(), Some(report));
        }
    }
}

/// A linear congruential generator: enough to vary tests, the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }

    /// 1 to 4 writes over few identities, so that they meet. Some are as large as frames allow.
    pub(super) fn writes(&mut self) -> Vec<Write> {
        (0..=self.below(4)).map(|_| self.write()).collect()
    }

    fn write(&mut self) -> Write {
        let n = self.below(40);
        match self.below(8) {
            0 => Write::PutMeta(meta(n)),
            1 => Write::PutConfiguration(Box::new(configuration(n))),
            2 | 3 => {
                let states =
                    [queued(), running(), restarting(), OperationState::Finished { seq: Seq(n) }];
                let state = states[usize::try_from(self.below(4)).unwrap()].clone();
                let mut record = operation(n, state);
                let _ = record.parameters.insert("filler".to_owned(), self.filler());
                Write::PutOperation(Box::new(record))
            }
            4 => Write::RemoveOperation(operation_id(n)),
            5 | 6 => put_report(report(n, event(json!({"filler": self.filler()})))),
            _ => Write::RemoveReport(Seq(n)),
        }
    }

    fn filler(&mut self) -> Value {
        let bytes = if self.below(10) == 0 { self.below(60_000) } else { self.below(300) };
        let letter = char::from(b'a' + u8::try_from(self.below(26)).unwrap());
        Value::String(letter.to_string().repeat(usize::try_from(bytes).unwrap()))
    }
}
