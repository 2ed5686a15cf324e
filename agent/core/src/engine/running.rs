//! Operations that run: starting, progress, deadline, end.

use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, OperationResult, Parameters, SideEffects,
    text::bounded,
};

use super::{
    CallOutcome, Effect, Engine, Monotonic, OperationRecord, OperationState, RestartCall,
    StartOrder, Write,
    kind::{self, Lane, Recovery},
    limits::{ATTEMPTS_MAX, PHASE_CHARS_MAX, PROGRESS_INTERVAL_MS},
    output::Output,
    record_lane,
    restart::Ready,
};
use crate::protocol::{AgentFrame, ProgressFrame, Started};

/// What is going on with an operation; lost with the process.
#[derive(Clone, Debug)]
pub(super) enum Live {
    /// Not now, said the hardware.
    Deferred { until: Monotonic },
    /// A call is running.
    Executing { deadline: Monotonic, progress_at: Option<Monotonic> },
    /// The hardware is asked what became of it.
    Verifying { deadline: Monotonic, next_question: Option<Monotonic> },
    /// A restart has been called for: nothing else starts.
    Restarting { deadline: Monotonic },
}

impl Engine {
    /// Starts what may start, in the order of arrival, one per lane.
    pub(super) fn start_ready(&mut self, out: &mut Output<'_>) {
        for lane in Lane::ALL {
            while !self.is_restarting() && self.lane_is_free(lane) && self.lane_is_idle(lane) {
                let Some(id) = self.next_in(lane, out) else { break };
                self.start(id, out);
            }
        }
    }

    /// Whether a restart that has been called for in this boot may still come.
    pub(super) fn is_restarting(&self) -> bool {
        self.operations.values().any(|record| match &record.state {
            OperationState::Running { restart: Some(call), .. } => {
                call.boot_id == self.identity.boot_id
            }
            OperationState::Running { restart: None, .. }
            | OperationState::Queued { .. }
            | OperationState::Finished { .. } => false,
        })
    }

    fn next_in(&self, lane: Lane, out: &Output<'_>) -> Option<OperationId> {
        let now = out.moment.monotonic;
        let cloud_now = self.cloud_now(out.moment);
        self.operations
            .values()
            .filter(|record| matches!(record.state, OperationState::Queued { .. }))
            .filter(|record| record_lane(record) == lane)
            // After a boot without a clock nobody knows whether its time to live has run out.
            .filter(|record| cloud_now.is_some() || record.expiry.boot_id == self.identity.boot_id)
            .filter(|record| !self.is_expired(record, cloud_now, out))
            .filter(|record| match self.live.get(&record.id) {
                Some(Live::Deferred { until }) => now >= *until,
                _ => true,
            })
            .min_by_key(|record| record.arrival)
            .map(|record| record.id)
    }

    /// Begins the next attempt of a waiting operation.
    fn start(&mut self, id: OperationId, out: &mut Output<'_>) {
        let Some(record) = self.operations.get(&id) else { return };
        let OperationState::Queued { attempts } = record.state else { return };
        let is_asked_about = record.may_have_run
            && OperationKind::from_name(&record.operation).map(kind::recovery_without_memory)
                == Some(Recovery::Verify);
        if let Err(failure) = self.check_start(record) {
            self.fail(id, failure, out);
        } else if is_asked_about {
            self.verify_attempt(id, attempts + 1, None, out);
        } else {
            self.execute_attempt(id, attempts + 1, out);
        }
    }

    /// Whether what was admitted when it came may still run: settings, the agent itself or the
    /// configuration may have changed since.
    pub(super) fn check_start(&self, record: &OperationRecord) -> Result<(), Failure> {
        let kind = self.runnable_kind(&record.operation, record.origin)?;
        if self.overdue.iter().any(|call| kind::same_capability(call.kind, kind)) {
            let reason = "an earlier call to this part of the terminal has not come back";
            return Err(Failure::new(ErrorCode::HalUnavailable, reason));
        }
        match self.order(record)?.parameters {
            Parameters::Configure(parameters) => {
                self.configuration.check_newer(parameters.revision)
            }
            Parameters::EndOfDay(_)
            | Parameters::SendLogs(_)
            | Parameters::CheckUpdate(_)
            | Parameters::OpenMenu(_)
            | Parameters::Reboot(_)
            | Parameters::Update(_)
            | Parameters::Lock(_)
            | Parameters::Unlock(_) => Ok(()),
        }
    }

    /// Journals an attempt and runs it; after too many the operation fails.
    pub(super) fn execute_attempt(&mut self, id: OperationId, attempt: u32, out: &mut Output<'_>) {
        if self.journal_attempt(id, attempt, None, out) {
            self.execute(id, out);
        }
    }

    /// Writes that an attempt begins. False when it may not, and the operation has failed.
    pub(super) fn journal_attempt(
        &mut self,
        id: OperationId,
        attempt: u32,
        restart: Option<RestartCall>,
        out: &mut Output<'_>,
    ) -> bool {
        let Some(record) = self.operations.get_mut(&id) else { return false };
        if attempt > ATTEMPTS_MAX {
            let kind = OperationKind::from_name(&record.operation);
            let side_effects = kind.map_or(SideEffects::Unknown, kind::side_effects_if_cut_off);
            let reason = format!("cut off {ATTEMPTS_MAX} times");
            let failure = Failure::new(ErrorCode::Interrupted, reason);
            self.fail(id, failure.with_side_effects(side_effects), out);
            return false;
        }
        let first_start = match record.state {
            OperationState::Running { started_at, .. } => started_at,
            OperationState::Queued { .. } | OperationState::Finished { .. } => out.moment.wall,
        };
        record.state = OperationState::Running {
            attempt,
            started_at: first_start,
            since: out.moment.monotonic,
            boot_id: self.identity.boot_id,
            restart,
        };
        out.write(Write::PutOperation(Box::new(record.clone())));
        if self.session.is_up() {
            out.send(AgentFrame::Started(Started { id, attempt }));
        }
        tracing::info!(operation_id = %id, operation = %record.operation, attempt, "operation started");
        true
    }

    /// Orders the call of an attempt that is journalled.
    pub(super) fn execute(&mut self, id: OperationId, out: &mut Output<'_>) {
        let Some(record) = self.operations.get(&id) else { return };
        match self.order(record) {
            Ok(order) => {
                let deadline = out.moment.monotonic.plus_ms(order.time_left_ms);
                self.live.insert(id, Live::Executing { deadline, progress_at: None });
                out.push(Effect::Start(Box::new(order)));
            }
            Err(failure) => self.fail(id, failure, out),
        }
    }

    /// What the hardware is asked to do, or about.
    pub(super) fn order(&self, record: &OperationRecord) -> Result<StartOrder, Failure> {
        let invalid = |reason: String| Failure::new(ErrorCode::InvalidParameters, reason);
        let kind = OperationKind::from_name(&record.operation)
            .ok_or_else(|| invalid(format!("unknown operation {:?}", record.operation)))?;
        let parameters = Parameters::parse(kind, &record.parameters)
            .map_err(|error| invalid(error.to_string()))?;
        let (attempt, restart) = match &record.state {
            OperationState::Running { attempt, restart, .. } => (*attempt, restart.clone()),
            OperationState::Queued { .. } | OperationState::Finished { .. } => (0, None),
        };
        Ok(StartOrder {
            id: record.id,
            attempt,
            parameters,
            policy: record.policy,
            time_left_ms: u64::from(record.deadline_s) * 1000,
            restart,
        })
    }

    pub(super) fn on_progress(
        &mut self,
        id: OperationId,
        phase: &str,
        percent: Option<u8>,
        out: &mut Output<'_>,
    ) {
        let now = out.moment.monotonic;
        let Some(Live::Executing { progress_at, .. }) = self.live.get_mut(&id) else { return };
        if progress_at.is_some_and(|at| now.ms_since(at) < PROGRESS_INTERVAL_MS) {
            return;
        }
        *progress_at = Some(now);
        if self.session.is_up() {
            let phase = bounded(phase, PHASE_CHARS_MAX);
            let percent = percent.map(|percent| percent.min(100));
            out.send(AgentFrame::Progress(ProgressFrame { id, phase, percent }));
        }
    }

    pub(super) fn on_finished(
        &mut self,
        id: OperationId,
        attempt: u32,
        outcome: &CallOutcome,
        out: &mut Output<'_>,
    ) {
        if !self.is_current(id, attempt) {
            self.on_late_outcome(id, attempt, outcome, out);
            return;
        }
        match outcome {
            CallOutcome::Completed(result) => self.on_completed(id, (**result).clone(), out),
            CallOutcome::Failed(failure) => self.fail(id, failure.clone(), out),
            CallOutcome::Deferred { retry_after_s } => {
                self.defer(id, attempt, *retry_after_s, out);
            }
            CallOutcome::ReadyToRestart { instance, application_hangs } => {
                if matches!(self.live.get(&id), Some(Live::Executing { .. })) {
                    let (instance, application_hangs) = (instance.clone(), *application_hangs);
                    self.call_restart(id, Ready { instance, application_hangs }, out);
                }
            }
        }
    }

    pub(super) fn is_current(&self, id: OperationId, attempt: u32) -> bool {
        let current = self.operations.get(&id).map(|record| &record.state);
        matches!(current, Some(OperationState::Running { attempt: a, .. }) if *a == attempt)
    }

    fn on_completed(&mut self, id: OperationId, result: OperationResult, out: &mut Output<'_>) {
        if let OperationResult::Configure(result) = &result {
            if let Some(record) = self.operations.get(&id) {
                self.configuration.applied_by_operation(record, result.revision, out);
            }
        }
        if changes_what_is_seen(&result) {
            self.read_health(out);
        }
        self.complete(id, result, out);
    }

    /// The hardware has put it off.
    fn defer(&mut self, id: OperationId, attempt: u32, retry_after_s: u32, out: &mut Output<'_>) {
        let withdrawn = self.operations.get(&id).is_some_and(|record| record.cancel_requested);
        if withdrawn {
            self.fail(id, Failure::new(ErrorCode::Canceled, "withdrawn before it started"), out);
            return;
        }
        tracing::info!(operation_id = %id, retry_after_s, "operation put off");
        // Such an attempt was not cut off.
        self.put_back(id, attempt.saturating_sub(1), out);
        let wait_ms = u64::from(retry_after_s.max(1)) * 1000;
        let until = out.moment.monotonic.plus_ms(wait_ms);
        self.live.insert(id, Live::Deferred { until });
    }

    /// Puts it back into its lane, which is free meanwhile: nothing has happened.
    pub(super) fn put_back(&mut self, id: OperationId, attempts: u32, out: &mut Output<'_>) {
        let Some(record) = self.operations.get_mut(&id) else { return };
        self.live.remove(&id);
        record.state = OperationState::Queued { attempts };
        out.write(Write::PutOperation(Box::new(record.clone())));
    }

    /// What has run too long, or has to be asked about again.
    pub(super) fn check_deadlines(&mut self, out: &mut Output<'_>) {
        let now = out.moment.monotonic;
        let due: Vec<OperationId> = self
            .live
            .iter()
            .filter(|(_, live)| live.next_look().is_some_and(|at| now >= at))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            match self.live.get(&id) {
                Some(Live::Executing { .. } | Live::Restarting { .. }) => {
                    self.deadline_exceeded(id, out);
                }
                Some(Live::Verifying { deadline, .. }) if now >= *deadline => {
                    self.outcome_unknown(id, "the terminal did not tell what became of it", out);
                }
                Some(Live::Verifying { .. }) => self.ask(id, out),
                // From now on it waits like any other.
                Some(Live::Deferred { .. }) => drop(self.live.remove(&id)),
                None => {}
            }
        }
        self.look_after_overdue(out);
    }
}

impl Live {
    /// When time alone changes something.
    pub(super) fn next_look(&self) -> Option<Monotonic> {
        match self {
            Self::Deferred { until } => Some(*until),
            Self::Executing { deadline, .. } | Self::Restarting { deadline } => Some(*deadline),
            Self::Verifying { deadline, next_question } => {
                Some(next_question.map_or(*deadline, |at| at.min(*deadline)))
            }
        }
    }
}

/// Whether the heartbeat is too late for people to see what it did.
const fn changes_what_is_seen(result: &OperationResult) -> bool {
    match result {
        OperationResult::Lock(_) | OperationResult::Unlock(_) | OperationResult::OpenMenu(_) => {
            true
        }
        OperationResult::EndOfDay(_)
        | OperationResult::SendLogs(_)
        | OperationResult::CheckUpdate(_)
        | OperationResult::Reboot(_)
        | OperationResult::Update(_)
        | OperationResult::Configure(_) => false,
    }
}
