//! New operations and cancellations from the cloud.

use serde_json::{Map, Value};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, Parameters, SideEffects, text::bounded,
};

use super::{
    Effect, Engine, Expiry, OperationRecord, OperationState, ReportOrder, Write,
    kind::{self, Recovery},
    limits::{
        CREATED_BY_CHARS_MAX, DEADLINE_S_MAX, NOT_AFTER_MS_MAX, OPERATION_NAME_CHARS_MAX,
        PARAMETERS_BYTES_MAX, QUEUED_MAX, REMEMBERED_MAX, UNACKED_MAX, UNFINISHED_MAX, WAIT_S_MAX,
    },
    output::Output,
    record_lane, running,
};
use crate::protocol::{
    Accepted, AgentFrame, IfBusy, OperationFrame, Origin, Seq, encode, error_code,
};

impl Engine {
    pub(super) fn on_operation(&mut self, frame: &OperationFrame, out: &mut Output<'_>) {
        if self.operations.contains_key(&frame.id) {
            out.send(AgentFrame::Accepted(Accepted { id: frame.id, duplicate: true }));
            return;
        }
        if self.finished.contains_key(&frame.id) {
            self.resend_verdict(frame.id, out);
            return;
        }
        if let Some((code, message)) = self.overload(&frame.parameters) {
            tracing::warn!(operation_id = %frame.id, code, reason = message, "operation not taken");
            out.send_error_about(code, message, frame.id);
            return;
        }
        let record = self.record(frame, out);
        tracing::info!(
            operation_id = %record.id, operation = %record.operation,
            created_by = %record.created_by, "operation accepted"
        );
        out.send(AgentFrame::Accepted(Accepted { id: frame.id, duplicate: false }));
        if let Err(failure) = self.admission(frame, &record, out) {
            self.operations.insert(record.id, record);
            self.fail(frame.id, failure, out);
            return;
        }
        self.take(record, out);
    }

    /// Gives it its place in its lane, and journals it.
    pub(super) fn take(&mut self, record: OperationRecord, out: &mut Output<'_>) {
        // Written by whoever changes it last in this step: started at once, or here, waiting.
        let id = record.id;
        self.operations.insert(id, record);
        self.start_ready(out);
        if let Some(record) = self.operations.get(&id) {
            if matches!(record.state, OperationState::Queued { .. }) {
                out.write(Write::PutOperation(Box::new(record.clone())));
            }
        }
    }

    pub(super) fn on_cancel(&mut self, id: OperationId, out: &mut Output<'_>) {
        if self.finished.contains_key(&id) {
            self.resend_verdict(id, out);
            return;
        }
        let Some(record) = self.operations.get_mut(&id) else {
            let message = "cancel of an operation that this terminal does not know".to_owned();
            out.send_error_about(error_code::UNKNOWN_OPERATION, message, id);
            return;
        };
        if record.cancel_requested {
            return;
        }
        tracing::info!(operation_id = %id, "operation cancelled by the cloud");
        record.cancel_requested = true;
        match record.state {
            OperationState::Queued { .. } => {
                self.fail(
                    id,
                    Failure::new(ErrorCode::Canceled, "withdrawn before it started"),
                    out,
                );
            }
            OperationState::Running { .. } => {
                out.write(Write::PutOperation(Box::new(record.clone())));
                out.push(Effect::Cancel(id));
            }
            OperationState::Finished { .. } => {}
        }
    }

    /// Sends the verdict again, also when it had been acked: that heals a cloud that lost it.
    fn resend_verdict(&self, id: OperationId, out: &mut Output<'_>) {
        // What has not had its turn on this link yet comes in order: out of order it would look
        // like a gap.
        let finished = self.finished.get(&id).filter(|known| known.seq <= self.outbox.sent());
        if let Some(finished) = finished {
            let seq = Seq(finished.seq.count_after(self.meta.epoch_base));
            let store_epoch = self.meta.store_epoch;
            out.push(Effect::SendReport(ReportOrder { place: finished.seq, seq, store_epoch }));
        }
    }

    /// Why nothing can be stored for this operation now.
    pub(super) fn overload(
        &self,
        parameters: &Map<String, Value>,
    ) -> Option<(&'static str, String)> {
        if self.storage_low {
            let message = "storage is full, nothing was stored; it is tried again".to_owned();
            return Some((error_code::STORAGE_FULL, message));
        }
        let unfinished = self.operations.len();
        let bytes: usize = self.operations.values().map(|r| encode(&r.parameters).len()).sum();
        let full = if unfinished >= UNFINISHED_MAX {
            Some(format!("{unfinished} operations have no verdict yet"))
        } else if bytes + encode(parameters).len() > PARAMETERS_BYTES_MAX {
            Some("parameters of all operations together are too large".to_owned())
        } else if self.outbox.stored() + unfinished >= UNACKED_MAX {
            Some(format!("{} reports are kept without an ack", self.outbox.stored()))
        } else if self.finished.len() + unfinished >= REMEMBERED_MAX {
            Some(format!("{} verdicts have not passed their not_after", self.finished.len()))
        } else {
            None
        };
        full.map(|message| (error_code::OVERLOADED, message))
    }

    pub(super) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Whether it has been taken before, with a verdict or without.
    pub(super) fn is_known(&self, id: OperationId) -> bool {
        self.operations.contains_key(&id) || self.finished.contains_key(&id)
    }

    fn record(&mut self, frame: &OperationFrame, out: &Output<'_>) -> OperationRecord {
        let cloud_now = self.cloud_now(out.moment).unwrap_or(frame.created_at);
        let ttl_ms = u64::from(frame.ttl_s) * 1000;
        let mut policy = frame.policy;
        policy.wait_max_s = policy.wait_max_s.min(WAIT_S_MAX);
        OperationRecord {
            id: frame.id,
            operation: bounded(&frame.operation, OPERATION_NAME_CHARS_MAX),
            parameters: frame.parameters.clone(),
            origin: Origin::Cloud,
            created_by: bounded(&frame.created_by, CREATED_BY_CHARS_MAX),
            not_after: frame.not_after.min(cloud_now.plus_ms(NOT_AFTER_MS_MAX)),
            deadline_s: frame.deadline_s.clamp(1, DEADLINE_S_MAX),
            policy,
            arrival: self.next_arrival(),
            expiry: Expiry {
                boot_id: self.identity.boot_id,
                monotonic: out.moment.monotonic.plus_ms(ttl_ms),
                cloud: cloud_now.plus_ms(ttl_ms),
            },
            may_have_run: self.is_from_lost_epoch(frame),
            cancel_requested: false,
            state: OperationState::Queued { attempts: 0 },
        }
    }

    fn is_from_lost_epoch(&self, frame: &OperationFrame) -> bool {
        frame.first_epoch.is_some_and(|epoch| epoch != self.meta.store_epoch)
    }

    /// Whether it may wait or run; otherwise its verdict.
    fn admission(
        &self,
        frame: &OperationFrame,
        record: &OperationRecord,
        out: &Output<'_>,
    ) -> Result<(), Failure> {
        if self.cloud_now(out.moment).is_some_and(|now| frame.not_after <= now) {
            // So old that it may have been run and forgotten.
            let reason = format!("its not_after, {}, has passed", frame.not_after);
            let failure = Failure::new(ErrorCode::Expired, reason);
            return Err(failure.with_side_effects(SideEffects::Unknown));
        }
        if frame.not_after > record.not_after {
            let reason = format!("not_after: got {}, want at most 30 days ahead", frame.not_after);
            return Err(Failure::new(ErrorCode::InvalidParameters, reason));
        }
        let kind = self.runnable_kind(&record.operation, record.origin)?;
        Parameters::parse(kind, &record.parameters)
            .map_err(|invalid| Failure::new(ErrorCode::InvalidParameters, invalid.to_string()))?;
        if frame.ttl_s == 0 {
            return Err(Failure::new(ErrorCode::Expired, "its time to live had run out"));
        }
        if record.may_have_run && kind::recovery_without_memory(kind) == Recovery::Fail {
            let reason = "sent before the terminal lost its memory: it may have run";
            let failure = Failure::new(ErrorCode::OutcomeUnknown, reason);
            return Err(failure.with_side_effects(SideEffects::Unknown));
        }
        self.room_in_lane(record)
    }

    pub(super) fn runnable_kind(
        &self,
        operation: &str,
        origin: Origin,
    ) -> Result<OperationKind, Failure> {
        let kind = OperationKind::from_name(operation);
        let Some(kind) = kind.filter(|kind| self.settings.supported.contains(kind)) else {
            let reason = format!("this terminal cannot run {operation:?}");
            return Err(Failure::new(ErrorCode::UnsupportedOperation, reason));
        };
        if origin == Origin::Local || self.settings.allowed.contains(&kind) {
            return Ok(kind);
        }
        let reason =
            format!("{kind} is not among the operations that this terminal allows the cloud");
        Err(Failure::new(ErrorCode::Unauthorized, reason))
    }

    pub(super) fn room_in_lane(&self, record: &OperationRecord) -> Result<(), Failure> {
        let lane = record_lane(record);
        let in_lane = || self.operations.values().filter(|other| record_lane(other) == lane);
        if record.policy.if_busy == IfBusy::Reject {
            // One that waits for a maintenance window keeps nobody busy.
            let deferred = |id| matches!(self.live.get(id), Some(running::Live::Deferred { .. }));
            if let Some(other) = in_lane().find(|other| !deferred(&other.id)) {
                let reason = format!("{} is not finished yet", other.operation);
                let failure = Failure::new(ErrorCode::BusyOperation, reason);
                return Err(failure.with_retry_after_s(self.busy_for_s(other)));
            }
        }
        let queued = in_lane().filter(|other| matches!(other.state, OperationState::Queued { .. }));
        if queued.count() >= QUEUED_MAX {
            let reason = format!("{QUEUED_MAX} operations are waiting already");
            return Err(Failure::new(ErrorCode::QueueFull, reason).with_retry_after_s(60));
        }
        Ok(())
    }

    /// When it is worth asking again: nobody knows better than half the time that is left.
    fn busy_for_s(&self, running: &OperationRecord) -> u32 {
        (running.deadline_s / 2).clamp(5, 300)
    }
}
