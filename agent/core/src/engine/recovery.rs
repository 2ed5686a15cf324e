//! From the store to a running engine: what a crash or a restart has cut off is decided by kind.

use serde_json::Value;
use terminal_hal::{BootId, ErrorCode, Failure, OperationId, OperationKind, SideEffects};

use super::{
    Engine, Finished, OperationRecord, OperationState,
    kind::{self, Recovery},
    output::Output,
};
use crate::protocol::EventName;

/// An attempt that was cut off.
pub(super) struct Attempt {
    pub(super) kind: OperationKind,
    pub(super) number: u32,
    /// Boot in which it began.
    pub(super) boot_id: BootId,
    pub(super) is_cancelled: bool,
}

impl Engine {
    pub(super) fn load(&mut self, records: Vec<OperationRecord>) {
        let mut finished = Vec::new();
        for record in records {
            self.arrivals = self.arrivals.max(record.arrival);
            match record.state {
                OperationState::Finished { seq } => {
                    finished.push((record.id, Finished { seq, not_after: record.not_after }));
                }
                OperationState::Queued { .. } | OperationState::Running { .. } => {
                    self.operations.insert(record.id, record);
                }
            }
        }
        finished.sort_by_key(|(_, finished)| finished.seq);
        for (id, memory) in finished {
            self.remember(id, memory);
        }
    }

    pub(super) fn on_started(&mut self, out: &mut Output<'_>) {
        self.note_owner(out);
        self.note_store(out);
        self.note_boot(out);
        let mut cut_off: Vec<(u64, OperationId)> = self
            .operations
            .values()
            .filter(|record| matches!(record.state, OperationState::Running { .. }))
            .map(|record| (record.arrival, record.id))
            .collect();
        cut_off.sort_unstable();
        for (_, id) in cut_off {
            self.recover(id, out);
        }
        self.read_health(out);
        self.session.start(out.moment);
    }

    fn note_store(&mut self, out: &mut Output<'_>) {
        if self.previous.is_none() {
            out.commit_meta = true;
        }
        if let Some(damage) = self.damage.take() {
            self.report_event(EventName::StoreDamaged, [("damage", Value::from(damage))], out);
        }
        if self.meta.serial_number != self.identity.serial_number {
            self.new_epoch("the store was made on another device", out);
            self.configuration.forget(out);
            // What another device had begun is not this one's to finish.
            let foreign: Vec<OperationId> = self.operations.keys().copied().collect();
            for id in foreign {
                let reason = "accepted by another device, whose storage this was";
                let failure = Failure::new(ErrorCode::WrongTerminal, reason);
                self.fail(id, failure.with_side_effects(SideEffects::Unknown), out);
            }
        }
    }

    fn note_boot(&mut self, out: &mut Output<'_>) {
        let before = self.meta.boot_id;
        if before != self.identity.boot_id {
            let reason = serde_json::to_value(self.identity.boot_reason).unwrap_or_default();
            let data = [
                ("boot_id_before", Value::from(before.to_string())),
                ("boot_id", Value::from(self.identity.boot_id.to_string())),
                ("hardware_reason", reason),
                ("clean_stop", Value::from(self.meta.clean_stop)),
            ];
            self.report_event(EventName::Booted, data, out);
        }
        if before != self.identity.boot_id || self.meta.clean_stop {
            self.meta.boot_id = self.identity.boot_id;
            self.meta.clean_stop = false;
            out.commit_meta = true;
        }
    }

    fn recover(&mut self, id: OperationId, out: &mut Output<'_>) {
        let Some(record) = self.operations.get(&id) else { return };
        let OperationState::Running { attempt, boot_id, restart, .. } = record.state.clone() else {
            return;
        };
        let is_cancelled = record.cancel_requested;
        let Some(kind) = OperationKind::from_name(&record.operation) else {
            let failure = Failure::new(ErrorCode::UnsupportedOperation, "unknown operation");
            return self.fail(id, failure.with_side_effects(SideEffects::Unknown), out);
        };
        tracing::info!(operation_id = %id, operation = %kind, attempt, "recovering");
        let cut_off = Attempt { kind, number: attempt, boot_id, is_cancelled };
        if let Some(call) = restart {
            return self.recover_restart(id, &cut_off, &call, out);
        }
        match kind::recovery(kind) {
            Recovery::Rerun => self.rerun(id, &cut_off, out),
            Recovery::Verify => self.verify_attempt(id, attempt.saturating_add(1), None, out),
            Recovery::Fail => {
                let reason = "cut off by a restart of the agent";
                let failure = Failure::new(ErrorCode::Interrupted, reason);
                let side_effects = kind::side_effects_if_cut_off(kind);
                self.fail(id, failure.with_side_effects(side_effects), out);
            }
        }
    }

    /// Runs it again, or says what an attempt may have left that nobody saw the end of.
    fn rerun(&mut self, id: OperationId, cut_off: &Attempt, out: &mut Output<'_>) {
        if cut_off.is_cancelled {
            return self.fail_cancelled(id, out);
        }
        if self.complete_if_booted(id, cut_off.boot_id, out) {
            return;
        }
        if cut_off.boot_id != self.identity.boot_id || self.is_restarting() {
            // The power may have been away for long: its time to live is looked at again. Beside
            // a restart that another operation has called for, nothing starts.
            return self.put_back(id, cut_off.number, out);
        }
        let may_start = self.operations.get(&id).map(|record| self.check_start(record));
        if let Some(Err(failure)) = may_start {
            let side_effects = kind::side_effects_if_cut_off(cut_off.kind);
            return self.fail(id, failure.with_side_effects(side_effects), out);
        }
        self.execute_attempt(id, cut_off.number.saturating_add(1), out);
    }

    /// Withdrawn while it ran, and the end was not seen.
    pub(super) fn fail_cancelled(&mut self, id: OperationId, out: &mut Output<'_>) {
        let kind = self.operations.get(&id).and_then(|r| OperationKind::from_name(&r.operation));
        let failure = Failure::new(ErrorCode::Canceled, "withdrawn while it was running");
        let side_effects = kind.map_or(SideEffects::Unknown, kind::side_effects_if_cut_off);
        self.fail(id, failure.with_side_effects(side_effects), out);
    }
}
