//! Asking the hardware what became of an operation, instead of running it blind.

use terminal_hal::{ErrorCode, Failure, OperationId, SideEffects, operation::reboot::RebootScope};

use super::{
    Effect, Engine, OperationRecord, OperationState, RestartCall, Verification,
    limits::{VERIFY_INTERVAL_MS, VERIFY_MS_MIN},
    output::Output,
    restart::Ready,
    running::Live,
};

impl Engine {
    /// Journals an attempt that begins with a question. It holds the lane: the answer may take as
    /// long as a payment application needs to come up.
    pub(super) fn verify_attempt(
        &mut self,
        id: OperationId,
        attempt: u32,
        restart: Option<RestartCall>,
        out: &mut Output<'_>,
    ) {
        if !self.journal_attempt(id, attempt, restart, out) {
            return;
        }
        let Some(record) = self.operations.get(&id) else { return };
        let time_ms = (u64::from(record.deadline_s) * 1000).max(VERIFY_MS_MIN);
        let deadline = out.moment.monotonic.plus_ms(time_ms);
        self.live.insert(id, Live::Verifying { deadline, next_question: None });
        self.ask(id, out);
    }

    /// Asks (again).
    pub(super) fn ask(&mut self, id: OperationId, out: &mut Output<'_>) {
        let order = self.operations.get(&id).map(|record| self.order(record));
        match order {
            Some(Ok(order)) => {
                if let Some(Live::Verifying { next_question, .. }) = self.live.get_mut(&id) {
                    *next_question = None;
                }
                out.push(Effect::Verify(Box::new(order)));
            }
            Some(Err(failure)) => self.fail(id, failure, out),
            None => {}
        }
    }

    pub(super) fn on_verified(
        &mut self,
        id: OperationId,
        attempt: u32,
        answer: &Verification,
        out: &mut Output<'_>,
    ) {
        let is_awaited = matches!(self.live.get(&id), Some(Live::Verifying { .. }));
        if !is_awaited || !self.is_current(id, attempt) {
            self.on_overdue_verified(id, attempt, answer, out);
            return;
        }
        tracing::info!(operation_id = %id, ?answer, "the terminal says what became of it");
        match answer {
            Verification::NotStarted => self.run_after_all(id, attempt, out),
            Verification::Running | Verification::Unavailable => {
                if let Some(Live::Verifying { next_question, .. }) = self.live.get_mut(&id) {
                    *next_question = Some(out.moment.monotonic.plus_ms(VERIFY_INTERVAL_MS));
                }
            }
            Verification::Completed(result) => self.complete(id, (**result).clone(), out),
            Verification::Failed(failure) => self.fail(id, failure.clone(), out),
            Verification::RestartRequired => self.restart_after_all(id, attempt, out),
            Verification::Unknown => {
                self.outcome_unknown(id, "the terminal cannot tell what became of it", out);
            }
        }
    }

    /// Nothing had happened: it runs now, in the attempt that is journalled, if it still may.
    fn run_after_all(&mut self, id: OperationId, attempt: u32, out: &mut Output<'_>) {
        let Some(record) = self.operations.get(&id) else { return };
        let cloud_now = self.cloud_now(out.moment);
        let is_of_this_boot = record.expiry.boot_id == self.identity.boot_id;
        // The attempt that called for a restart is over; one that only asked goes on.
        let next_attempt = attempt.saturating_add(self.follows_restart(record).into());
        if record.cancel_requested {
            let reason = "withdrawn; nothing had happened";
            self.fail(id, Failure::new(ErrorCode::Canceled, reason), out);
        } else if self.is_expired(record, cloud_now, out) {
            let reason = "its time to live ran out; nothing had happened";
            self.fail(id, Failure::new(ErrorCode::Expired, reason), out);
        } else if cloud_now.is_none() && !is_of_this_boot {
            // Nobody knows whether its time to live has run out.
            self.put_back(id, next_attempt.saturating_sub(1), out);
        } else if next_attempt > attempt {
            self.execute_attempt(id, next_attempt, out);
        } else {
            self.execute(id, out);
        }
    }

    /// Installed, and waiting for a restart. If one has been, this is another attempt: no device
    /// restarts for ever.
    fn restart_after_all(&mut self, id: OperationId, attempt: u32, out: &mut Output<'_>) {
        let is_next = self.operations.get(&id).is_some_and(|record| self.follows_restart(record));
        if !is_next || self.journal_attempt(id, attempt.saturating_add(1), None, out) {
            self.call_restart(id, Ready::default(), out);
        }
    }

    /// Whether the question is about a restart of the device that has been made.
    fn follows_restart(&self, record: &OperationRecord) -> bool {
        match &record.state {
            OperationState::Running { restart: Some(call), .. } => {
                call.parameters.scope == RebootScope::Device
                    && call.boot_id != self.identity.boot_id
            }
            OperationState::Running { restart: None, .. }
            | OperationState::Queued { .. }
            | OperationState::Finished { .. } => false,
        }
    }

    pub(super) fn outcome_unknown(&mut self, id: OperationId, reason: &str, out: &mut Output<'_>) {
        let failure = Failure::new(ErrorCode::OutcomeUnknown, reason);
        self.fail(id, failure.with_side_effects(SideEffects::Unknown), out);
    }
}
