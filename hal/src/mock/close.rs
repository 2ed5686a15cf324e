//! Closing the batch: remembered before it begins, done in one durable write, never twice.

use std::sync::Arc;

use super::{
    MockTerminal,
    script::{HostBehaviour, Method, QueryAnswer, Script},
    shared::{Shared, can_forward, forward},
    state::{
        CLOSED_BATCHES_MAX, CloseProgress, ClosedBatch, OpenBatch, State, batch_id, push_bounded,
    },
    totals,
    turn::Turn,
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects, Timestamp,
    api::{Call, CloseState},
    operation::end_of_day::{
        CloseMode, CloseOutcome, EndOfDayParameters, EndOfDayResult, HostTotals, OfflinePending,
        OfflineSummary,
    },
    status::Printer,
};

/// The warning for a report that was asked for and could not be printed.
const REPORT_NOT_PRINTED: &str = "REPORT_NOT_PRINTED";

impl MockTerminal {
    pub(super) async fn close(
        &self,
        call: &Call,
        parameters: &EndOfDayParameters,
    ) -> Result<EndOfDayResult, Failure> {
        let guard = parameters.batch_id.as_deref();
        let method = Method::CloseBatch;
        match parameters.mode {
            CloseMode::Report => {
                self.perform(method, Some(call), |shared| Ok(shared.report())).await
            }
            CloseMode::Previous => {
                self.perform(method, Some(call), |shared| shared.closed_batch(guard)).await
            }
            CloseMode::Close => {
                let (terminal, call) = (self.clone(), call.clone());
                let parameters = parameters.clone();
                // As in a real terminal it goes on when nobody waits for the answer any more.
                let close = async move { terminal.run_close(&call, &parameters).await };
                tokio::spawn(close).await.map_err(|error| {
                    Failure::new(ErrorCode::DeviceFault, format!("the close died: {error}"))
                        .with_side_effects(SideEffects::Unknown)
                })?
            }
        }
    }

    async fn run_close(
        &self,
        call: &Call,
        parameters: &EndOfDayParameters,
    ) -> Result<EndOfDayResult, Failure> {
        let turn = self.turn(Method::CloseBatch, Some(call));
        if let Some(known) = turn.effect(|shared| shared.begin_close(call.id, parameters))? {
            turn.after().await?;
            return Ok(known);
        }
        let _closing = Closing { terminal: self.clone(), life: turn.life, id: call.id };
        let result = self.reach_host(&turn, call, parameters).await;
        if let Err(failure) = &result {
            turn.effect(|shared| shared.give_up_close(call.id, failure))?;
        }
        let result = result?;
        turn.after().await?;
        Ok(result)
    }

    /// Everything up to the point at which the host closes the batch.
    async fn reach_host(
        &self,
        turn: &Turn,
        call: &Call,
        parameters: &EndOfDayParameters,
    ) -> Result<EndOfDayResult, Failure> {
        let instance = self.shared().state.application.starts;
        turn.before("closing").await?;
        turn.effect(|shared| {
            if shared.state.application.starts != instance {
                let reason = "the payment application was restarted before the close";
                return Err(Failure::new(ErrorCode::Interrupted, reason));
            }
            shared.host_close(call.id, parameters)
        })
    }
}

/// The close is running, until this is dropped.
struct Closing {
    terminal: MockTerminal,
    life: u64,
    id: OperationId,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut shared = self.terminal.shared();
        if shared.live.life == self.life {
            shared.live.closing = shared.live.closing.filter(|id| *id != self.id);
        }
        drop(shared);
        self.terminal.changed();
    }
}

impl Shared {
    /// What became of the close with that id, or what the script says.
    pub(super) fn query_close(&self, id: OperationId) -> CloseState {
        match self.script().query_close_says {
            Some(QueryAnswer::Unknown) => return CloseState::Unknown,
            Some(QueryAnswer::Running) => return CloseState::Running,
            None => {}
        }
        match self.state.close(id).map(|close| &close.progress) {
            None => CloseState::NotStarted,
            Some(CloseProgress::Started) if self.live.closing == Some(id) => CloseState::Running,
            Some(CloseProgress::Started) => CloseState::NotStarted,
            Some(CloseProgress::Finished { result }) => CloseState::Finished(result.clone()),
            Some(CloseProgress::Failed { failure }) => CloseState::Failed(failure.clone()),
        }
    }

    /// Remembers the id, durably, before anything happens; or the answer when there is one.
    fn begin_close(
        &mut self,
        id: OperationId,
        parameters: &EndOfDayParameters,
    ) -> Result<Option<EndOfDayResult>, Failure> {
        match self.state.close(id).map(|close| close.progress.clone()) {
            Some(CloseProgress::Finished { result }) => return Ok(Some(*result)),
            Some(CloseProgress::Failed { failure })
                if failure.side_effects != SideEffects::None =>
            {
                return Err(failure);
            }
            Some(CloseProgress::Started | CloseProgress::Failed { .. }) | None => {}
        }
        if self.live.closing == Some(id) {
            let failure = Failure::new(ErrorCode::BusyOperation, "this close is running");
            return Err(failure.with_side_effects(SideEffects::Unknown));
        }
        if self.live.closing.is_some() || self.live.hold.is_some_and(|hold| hold.id != id) {
            return Err(Failure::new(ErrorCode::BusyOperation, "another operation is running"));
        }
        if let Some(other) = parameters.batch_id.as_ref().filter(|b| **b != self.state.batch.id()) {
            return self.closed_batch(Some(other)).map(Some);
        }
        if self.live.payment.is_some() {
            return Err(Failure::new(ErrorCode::BusyPayment, "a payment is in progress"));
        }
        self.commit(|state| {
            state.set_close(id, CloseProgress::Started);
            Ok(())
        })?;
        self.live.closing = Some(id);
        Ok(None)
    }

    fn give_up_close(&mut self, id: OperationId, failure: &Failure) -> Result<(), Failure> {
        let failure = failure.clone();
        self.commit(|state| {
            state.set_close(id, CloseProgress::Failed { failure });
            Ok(())
        })
    }

    /// The definite point: one durable write, before which nothing has happened.
    fn host_close(
        &mut self,
        id: OperationId,
        parameters: &EndOfDayParameters,
    ) -> Result<EndOfDayResult, Failure> {
        let script = self.script();
        let (now, seed) = (self.now, self.seed);
        if script.host == HostBehaviour::Unreachable || script.network.is_none() {
            let reason = "the acquirer host cannot be reached";
            return Err(Failure::new(ErrorCode::HostUnreachable, reason));
        }
        if parameters.offline_pending == OfflinePending::Fail && !self.state.offline.is_empty() {
            let waiting = self.state.offline.len();
            let reason = format!("{waiting} offline payments wait to be forwarded");
            return Err(Failure::new(ErrorCode::OfflineQueueNotEmpty, reason));
        }
        self.commit(|state| {
            if parameters.offline_pending == OfflinePending::Flush && can_forward(&script) {
                forward(state, seed, now);
            }
            let mut result = close(state, id, now, script.host);
            if parameters.print_report && !prints(&script) {
                result.warnings.push(REPORT_NOT_PRINTED.to_owned());
            }
            let progress = CloseProgress::Finished { result: Box::new(result.clone()) };
            // The record names the batch that was open before.
            state.set_close(id, progress);
            Ok(result)
        })
    }

    fn report(&self) -> EndOfDayResult {
        report(&self.state)
    }

    /// The totals of a closed batch; of the last one when none is named.
    fn closed_batch(&self, id: Option<&str>) -> Result<EndOfDayResult, Failure> {
        let found = match id {
            Some(id) => self.state.closed.iter().find(|batch| batch.id == id),
            None => self.state.closed.last(),
        };
        let Some(batch) = found else {
            let reason = format!("no closed batch {}", id.unwrap_or("at all"));
            return Err(Failure::new(ErrorCode::BatchNotFound, reason));
        };
        Ok(EndOfDayResult { outcome: CloseOutcome::AlreadyClosed, ..batch.result.clone() })
    }
}

fn prints(script: &Arc<Script>) -> bool {
    matches!(script.printer, Printer::Ok | Printer::PaperLow)
}

fn report(state: &State) -> EndOfDayResult {
    let last = state.closed.last().and_then(|batch| batch.result.end_of_day_at);
    let mut result = totals::report(&state.batch, last);
    result.offline.pending_count = u64::try_from(state.offline.len()).unwrap_or(u64::MAX);
    result.offline.pending_amount = state.offline.iter().map(|p| p.sale + p.tip).sum();
    result
}

fn close(
    state: &mut State,
    id: OperationId,
    now: Timestamp,
    host: HostBehaviour,
) -> EndOfDayResult {
    let report = report(state);
    if state.batch.payments.is_empty() {
        return EndOfDayResult { outcome: CloseOutcome::Empty, ..report };
    }
    match host {
        HostBehaviour::Mismatch => {
            let short = |host: HostTotals| HostTotals {
                count: host.count.saturating_sub(1),
                amount: host.amount - 100,
            };
            let host_totals = report.host_totals.map(short);
            EndOfDayResult { outcome: CloseOutcome::Mismatch, host_totals, ..report }
        }
        HostBehaviour::Unconfirmed => {
            EndOfDayResult { outcome: CloseOutcome::Unconfirmed, host_totals: None, ..report }
        }
        HostBehaviour::Reachable | HostBehaviour::Unreachable => advance(state, id, now, report),
    }
}

/// The batch is closed and the next one opened.
fn advance(
    state: &mut State,
    id: OperationId,
    now: Timestamp,
    report: EndOfDayResult,
) -> EndOfDayResult {
    let number = state.batch.number + 1;
    let result = EndOfDayResult {
        outcome: CloseOutcome::Closed,
        next_batch_id: Some(batch_id(number)),
        end_of_day_at: Some(now),
        ..report
    };
    let batch = result.batch_id.clone();
    match state.closed.iter_mut().find(|closed| closed.id == batch) {
        Some(closed) => closed.closes += 1,
        None => {
            let closed =
                ClosedBatch { id: batch, closed_by: Some(id), closes: 1, result: result.clone() };
            push_bounded(&mut state.closed, closed, CLOSED_BATCHES_MAX);
        }
    }
    state.batch = OpenBatch {
        number,
        opened_at: now,
        payments: Vec::new(),
        offline: OfflineSummary::default(),
    };
    state.count_effect(id, Method::CloseBatch);
    result
}
