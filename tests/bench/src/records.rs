//! Operations, records and reports as the agent has them.

use serde_json::{Map, Value, json};
use terminal_core::{
    engine::{Expiry, Meta, Monotonic, OperationRecord, OperationState, Write},
    protocol::{
        CloudFrame, OperationFrame, OperationReport, Origin, Outcome, Policy, Report, ReportBody,
        ReportId, Seq, StoreEpoch,
    },
};
use terminal_hal::{BootId, OperationId};
use uuid::Uuid;

use crate::{cloud::now, terminal::SERIAL_NUMBER};

/// The operation that does nothing.
const NO_OP: &str = "check_update";
const CREATED_BY: &str = "user@example.com";
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How long a verdict must be remembered, in milliseconds. The agent forgets later than it may, and
/// slower than these runs go: the store of a terminal in the field is smaller than here.
pub(crate) const FEW_KEPT_MS: u64 = 5_000;
/// Until long after the run: all verdicts are kept.
pub(crate) const ALL_KEPT_MS: u64 = DAY_MS;

/// A dispatch of an operation that does nothing.
pub(crate) fn operation(kept_ms: u64) -> CloudFrame {
    CloudFrame::Operation(Box::new(OperationFrame {
        id: OperationId(Uuid::new_v4()),
        operation: NO_OP.to_owned(),
        parameters: Map::new(),
        created_at: now(),
        created_by: CREATED_BY.to_owned(),
        first_epoch: None,
        ttl_s: 60,
        not_after: now().plus_ms(kept_ms),
        deadline_s: 60,
        policy: Policy::default(),
    }))
}

/// What a finished no-op leaves in a store.
#[derive(Clone)]
pub(crate) struct Ledger {
    store_epoch: StoreEpoch,
    boot_id: BootId,
    seq: Seq,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let (epoch, boot) = (Uuid::new_v4(), Uuid::new_v4());
        Self { store_epoch: StoreEpoch(epoch), boot_id: BootId(boot), seq: Seq(0) }
    }

    pub(crate) fn meta(&self, acked_seq: Seq) -> Write {
        Write::PutMeta(Meta {
            store_epoch: self.store_epoch,
            serial_number: SERIAL_NUMBER.to_owned(),
            epoch_base: Seq(0),
            acked_seq,
            acked_report_id: None,
            boot_id: self.boot_id,
            clean_stop: true,
            owner: None,
            held_up_to: Seq(0),
        })
    }

    /// The two commits of the next operation: its start with the ack before, then its verdict.
    pub(crate) fn next(&mut self) -> [Vec<Write>; 2] {
        let before = self.seq;
        self.seq = before.next();
        let id = OperationId(Uuid::new_v4());
        let running = OperationState::Running {
            attempt: 1,
            started_at: now(),
            since: Monotonic(1_000_000),
            boot_id: self.boot_id,
            restart: None,
        };
        let started = self.record(id, CREATED_BY, running);
        let finished = self.record(id, "", OperationState::Finished { seq: self.seq });
        [
            vec![Write::PutOperation(Box::new(started)), self.meta(before)],
            vec![
                Write::PutReport(Box::new(self.report(id))),
                Write::PutOperation(Box::new(finished)),
            ],
        ]
    }

    fn record(&self, id: OperationId, created_by: &str, state: OperationState) -> OperationRecord {
        OperationRecord {
            id,
            operation: NO_OP.to_owned(),
            parameters: Map::new(),
            origin: Origin::Cloud,
            created_by: created_by.to_owned(),
            not_after: now().plus_ms(DAY_MS),
            deadline_s: 60,
            policy: Policy::default(),
            arrival: self.seq.0,
            expiry: Expiry {
                boot_id: self.boot_id,
                monotonic: Monotonic(4_600_000),
                cloud: now().plus_ms(3_600_000),
            },
            may_have_run: false,
            cancel_requested: false,
            state,
        }
    }

    /// As long as the ones that the agent makes of a no-op.
    pub(crate) fn report(&self, id: OperationId) -> Report {
        Report {
            seq: self.seq,
            store_epoch: self.store_epoch,
            report_id: ReportId(Uuid::new_v4()),
            body: ReportBody::Operation(Box::new(OperationReport {
                id,
                operation: NO_OP.to_owned(),
                outcome: Outcome::completed(result()),
                started_at: Some(now()),
                finished_at: now(),
                duration_ms: 0,
                attempt: 1,
                boot_id: self.boot_id,
                clock_trusted: true,
                origin: Origin::Cloud,
                created_by: String::new(),
            })),
        }
    }
}

fn result() -> Value {
    json!({
        "available": false,
        "current": [
            { "component": "firmware", "version": "3.14.2" },
            { "component": "application", "version": "3.14.2" },
            { "component": "config", "version": "3.14.2" },
            { "component": "keys", "version": "3.14.2" },
        ],
        "updates": [],
        "checked_at": now(),
        "blocked_by": [],
    })
}
