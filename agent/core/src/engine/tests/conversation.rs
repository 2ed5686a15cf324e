//! What the cloud and the hardware of a world say, and what the store says about it.

use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, SideEffects};

use super::{
    effects::Effects,
    samples::{DAY_MS, id, parameters, result},
    world::World,
};
use crate::engine::{CallOutcome, Event, OperationState, Verification};
use crate::protocol::{
    Ack, Cancel, CloudFrame, ConfigurationFrame, OperationFrame, OperationReport, Policy, Seq,
};

impl World {
    /// An operation as the cloud dispatches it first.
    pub(super) fn operation(&self, n: u128, kind: OperationKind) -> OperationFrame {
        OperationFrame {
            id: id(n),
            operation: kind.as_str().into(),
            parameters: parameters(kind),
            created_at: self.cloud_time(),
            created_by: "test".into(),
            first_epoch: None,
            ttl_s: 600,
            not_after: self.cloud_time().plus_ms(DAY_MS),
            deadline_s: 120,
            policy: Policy::default(),
        }
    }

    pub(super) fn dispatch(&mut self, n: u128, kind: OperationKind) -> Effects {
        let frame = self.operation(n, kind);
        self.send(frame)
    }

    pub(super) fn send(&mut self, frame: OperationFrame) -> Effects {
        self.receive(&CloudFrame::Operation(Box::new(frame)))
    }

    pub(super) fn configuration(&mut self, revision: u64) -> Effects {
        let config = parameters(OperationKind::Configure);
        self.receive(&CloudFrame::Configuration(ConfigurationFrame { revision, config }))
    }

    pub(super) fn cancel(&mut self, n: u128) -> Effects {
        self.receive(&CloudFrame::Cancel(Cancel { id: id(n) }))
    }

    /// The cloud has stored everything up to `seq`.
    pub(super) fn ack(&mut self, seq: u64) -> Effects {
        let store_epoch = self.epoch();
        let place = Seq(self.engine.meta.epoch_base.0 + seq);
        let report_id = self.store.reports.get(&place).map(|report| report.report_id);
        self.acked.insert(store_epoch, (Seq(seq), report_id));
        self.receive(&CloudFrame::Ack(Ack { store_epoch, seq: Seq(seq) }))
    }

    /// The current attempt ends well.
    pub(super) fn complete(&mut self, n: u128) -> Effects {
        let kind = OperationKind::from_name(&self.store.operations[&id(n)].operation);
        let result = result(kind.expect("a kind"));
        self.finish(n, CallOutcome::Completed(Box::new(result)))
    }

    /// The current attempt ends.
    pub(super) fn finish(&mut self, n: u128, outcome: CallOutcome) -> Effects {
        let attempt = self.attempt(n);
        self.step(&Event::Finished { id: id(n), attempt, outcome })
    }

    pub(super) fn verified(&mut self, n: u128, answer: Verification) -> Effects {
        let attempt = self.attempt(n);
        self.step(&Event::Verified { id: id(n), attempt, answer })
    }

    /// An answer to an attempt that may not be the current one.
    pub(super) fn verified_stray(
        &mut self,
        n: u128,
        attempt: u32,
        answer: Verification,
    ) -> Effects {
        self.step(&Event::Verified { id: id(n), attempt, answer })
    }

    /// The attempt that is journalled; 0 where none is.
    pub(super) fn attempt(&self, n: u128) -> u32 {
        match self.store.operations[&id(n)].state {
            OperationState::Running { attempt, .. } => attempt,
            OperationState::Queued { .. } | OperationState::Finished { .. } => 0,
        }
    }

    /// The verdict of an operation, as it is stored.
    pub(super) fn verdict(&self, n: u128) -> OperationReport {
        self.store.verdict(id(n)).expect("a verdict")
    }

    /// Why an operation failed, as it is stored.
    pub(super) fn failure(&self, n: u128) -> Failure {
        self.verdict(n).outcome.error.expect("a failure")
    }

    pub(super) fn failed_with(&self, n: u128) -> (ErrorCode, SideEffects) {
        let failure = self.failure(n);
        (failure.code, failure.side_effects)
    }

    pub(super) fn has_verdict(&self, id: OperationId) -> bool {
        self.store.verdict(id).is_some()
    }
}
