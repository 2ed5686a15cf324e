//! Calls that have outlived the deadline of their operation: it has its verdict, and nobody uses
//! that part of the terminal until the call is known to be over.

use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, Parameters};

use super::{
    CallOutcome, Effect, Engine, Monotonic, StartOrder, Verification,
    kind::{self, Recovery},
    limits::OVERDUE_INTERVAL_MS,
    output::Output,
    reporting::bounded_failure,
};
use crate::protocol::{EventName, Policy};

/// A call that has outlived the deadline of its operation.
#[derive(Clone, Debug)]
pub(super) struct Overdue {
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    pub(super) attempt: u32,
    pub(super) parameters: Parameters,
    /// When to ask what became of it, or to drop it.
    pub(super) look_at: Monotonic,
}

impl Engine {
    pub(super) fn deadline_exceeded(&mut self, id: OperationId, out: &mut Output<'_>) {
        let Some(record) = self.operations.get(&id) else { return };
        let order = match self.order(record) {
            Ok(order) => order,
            Err(failure) => return self.fail(id, failure, out),
        };
        let kind = order.parameters.kind();
        tracing::warn!(operation_id = %id, operation = %kind, "deadline exceeded");
        self.overdue.push(Overdue {
            id,
            kind,
            attempt: order.attempt,
            parameters: order.parameters,
            look_at: out.moment.monotonic.plus_ms(OVERDUE_INTERVAL_MS),
        });
        out.push(Effect::Cancel(id));
        let reason = format!("ran longer than its deadline of {} s", record.deadline_s);
        let failure = Failure::new(ErrorCode::DeadlineExceeded, reason);
        self.fail(id, failure.with_side_effects(kind::side_effects_if_cut_off(kind)), out);
    }

    /// A call came back after its operation had got its verdict.
    pub(super) fn on_late_outcome(
        &mut self,
        id: OperationId,
        attempt: u32,
        outcome: &CallOutcome,
        out: &mut Output<'_>,
    ) {
        let before = self.overdue.len();
        self.overdue.retain(|call| call.id != id || call.attempt != attempt);
        if self.overdue.len() == before {
            return;
        }
        let mut data = vec![("id", serde_json::Value::from(id.to_string()))];
        match outcome {
            CallOutcome::Completed(result) => {
                let result = serde_json::to_value((**result).clone().bounded());
                data.push(("status", "COMPLETED".into()));
                data.push(("result", result.unwrap_or_default()));
            }
            CallOutcome::Failed(failure) => {
                data.push(("status", "FAILED".into()));
                data.push((
                    "error",
                    serde_json::to_value(bounded_failure(failure.clone())).unwrap_or_default(),
                ));
            }
            CallOutcome::Deferred { .. } => return,
            CallOutcome::ReadyToRestart { .. } => {
                // What was held for the restart is given back.
                out.push(Effect::Abandon(id));
                return;
            }
        }
        self.report_event(EventName::LateOutcome, data, out);
    }

    /// Asks about calls that have outlived their deadline; drops those that cannot be asked about.
    pub(super) fn look_after_overdue(&mut self, out: &mut Output<'_>) {
        let now = out.moment.monotonic;
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.overdue).into_iter().partition(|call| now >= call.look_at);
        self.overdue = rest;
        for mut call in due {
            if kind::recovery(call.kind) == Recovery::Verify {
                call.look_at = now.plus_ms(OVERDUE_INTERVAL_MS);
                out.push(Effect::Verify(Box::new(StartOrder {
                    id: call.id,
                    attempt: call.attempt,
                    parameters: call.parameters.clone(),
                    policy: Policy::default(),
                    time_left_ms: OVERDUE_INTERVAL_MS,
                    restart: None,
                })));
                self.overdue.push(call);
            } else {
                tracing::warn!(operation_id = %call.id, "call abandoned");
                out.push(Effect::Abandon(call.id));
            }
        }
    }

    pub(super) fn on_overdue_verified(
        &mut self,
        id: OperationId,
        attempt: u32,
        answer: &Verification,
        out: &mut Output<'_>,
    ) {
        let ended = match answer {
            Verification::Running | Verification::Unavailable => return,
            Verification::NotStarted | Verification::Unknown | Verification::RestartRequired => {
                None
            }
            Verification::Completed(result) => {
                let result = serde_json::to_value((**result).clone().bounded());
                Some(("COMPLETED", ("result", result.unwrap_or_default())))
            }
            Verification::Failed(failure) => {
                let error = serde_json::to_value(bounded_failure(failure.clone()));
                Some(("FAILED", ("error", error.unwrap_or_default())))
            }
        };
        let before = self.overdue.len();
        self.overdue.retain(|call| call.id != id || call.attempt != attempt);
        if self.overdue.len() == before {
            return;
        }
        out.push(Effect::Abandon(id));
        if let Some((status, detail)) = ended {
            let id = serde_json::Value::from(id.to_string());
            let data = [("id", id), ("status", status.into()), detail];
            self.report_event(EventName::LateOutcome, data, out);
        }
    }
}
