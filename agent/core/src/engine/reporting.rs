//! Verdicts and events: into the outbox, and out of it when the cloud has stored them.

use serde_json::{Map, Value};
use terminal_hal::{
    Failure, OperationId, OperationKind, OperationResult, SideEffects,
    text::{REASON_CHARS_MAX, bounded},
};

use super::{
    Engine, Finished, Meta, NEWEST_FINISHED_MAX, OperationRecord, OperationState, Write,
    kind::{self, Recovery},
    limits::{PRUNE_MAX, UNACKED_EVENTS_MAX, UNACKED_MAX},
    output::Output,
};
use crate::protocol::{
    EventName, EventReport, OperationReport, Origin, Outcome, Report, ReportBody, ReportId, Seq,
    StoreEpoch, VerdictStatus,
};

impl Engine {
    pub(super) fn complete(
        &mut self,
        id: OperationId,
        result: OperationResult,
        out: &mut Output<'_>,
    ) {
        let result = serde_json::to_value(result.bounded()).unwrap_or(Value::Null);
        self.conclude(id, Outcome::completed(result), out);
    }

    pub(super) fn fail(&mut self, id: OperationId, mut failure: Failure, out: &mut Output<'_>) {
        if let Some(record) = self.operations.get(&id) {
            failure.side_effects = failure.side_effects.max(left_by_earlier_attempts(record));
        }
        self.conclude(id, Outcome::failed(bounded_failure(failure)), out);
    }

    /// The one verdict of an operation.
    fn conclude(&mut self, id: OperationId, outcome: Outcome, out: &mut Output<'_>) {
        let Some(mut record) = self.operations.remove(&id) else { return };
        self.live.remove(&id);
        let (attempt, started_at, duration_ms) = match record.state {
            OperationState::Running { attempt, started_at, since, boot_id, .. } => {
                let duration = if boot_id == self.identity.boot_id {
                    out.moment.monotonic.ms_since(since)
                } else {
                    out.moment.wall.ms_since(started_at)
                };
                (attempt, Some(started_at), duration)
            }
            OperationState::Queued { attempts } => (attempts, None, 0),
            OperationState::Finished { .. } => return,
        };
        log_verdict(&record.operation, id, &outcome, duration_ms);
        let body = ReportBody::Operation(Box::new(OperationReport {
            id,
            operation: record.operation.clone(),
            outcome,
            started_at,
            finished_at: out.moment.wall,
            duration_ms,
            attempt,
            boot_id: self.identity.boot_id,
            clock_trusted: out.moment.wall_trusted,
            origin: record.origin,
            created_by: match record.origin {
                Origin::Cloud => String::new(),
                Origin::Local => record.created_by.clone(),
            },
        }));
        let seq = self.enqueue(body, true, out);
        // From now on only the id matters: the verdict is in the report.
        record.parameters = Map::new();
        record.created_by = String::new();
        record.state = OperationState::Finished { seq };
        self.remember(id, Finished { seq, not_after: record.not_after });
        out.write(Write::PutOperation(Box::new(record)));
    }

    pub(super) fn remember(&mut self, id: OperationId, finished: Finished) {
        self.finished.insert(id, finished);
        let earliest = self.prune_at.map_or(finished.not_after, |at| at.min(finished.not_after));
        self.prune_at = Some(earliest);
        self.newest_finished.push_back((id, finished.seq));
        if self.newest_finished.len() > NEWEST_FINISHED_MAX {
            self.newest_finished.pop_front();
        }
    }

    /// Puts a report into the outbox and the store.
    fn enqueue(&mut self, body: ReportBody, is_verdict: bool, out: &mut Output<'_>) -> Seq {
        let report_id = ReportId(out.uuid());
        let seq = self.outbox.push(report_id, is_verdict);
        let store_epoch = self.meta.store_epoch;
        out.write(Write::PutReport(Box::new(Report { seq, store_epoch, report_id, body })));
        seq
    }

    /// Reports that something happened. Under pressure the oldest event gives way.
    pub(super) fn report_event(
        &mut self,
        event: EventName,
        data: impl IntoIterator<Item = (&'static str, Value)>,
        out: &mut Output<'_>,
    ) {
        let data = data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let body = ReportBody::Event(EventReport { event, at: out.moment.wall, data });
        self.report_news(body, out);
    }

    /// Reports what is no verdict, if there is room.
    pub(super) fn report_news(&mut self, body: ReportBody, out: &mut Output<'_>) {
        if self.outbox.stored() >= UNACKED_MAX + UNACKED_EVENTS_MAX {
            tracing::warn!(?body, "not reported, the outbox is full");
            return;
        }
        let store_epoch = self.meta.store_epoch;
        for (seq, report_id) in self.outbox.events_to_drop() {
            // The same report, without its content: the cloud may have stored it already.
            let report = Report { seq, store_epoch, report_id, body: ReportBody::Dropped };
            out.write(Write::PutReport(Box::new(report)));
        }
        self.enqueue(body, false, out);
    }

    /// Everything up to this place is stored at the cloud.
    pub(super) fn acked(&mut self, place: Seq, out: &Output<'_>) {
        let Some(acked) = self.outbox.ack(place) else { return };
        self.meta.acked_seq = acked.newest;
        self.meta.acked_report_id = acked.report_id;
        self.lazy.meta = true;
        self.lazy.removals.extend(acked.events.into_iter().map(Write::RemoveReport));
        self.session.reports_in_flight(self.outbox.in_flight(), true, out.moment);
    }

    /// Forgets verdicts that are acked and past their `not_after`, by the cloud's time only: on a
    /// clock that is wrong what is forgotten could run again.
    pub(super) fn prune(&mut self, out: &Output<'_>) {
        let Some(now) = self.cloud_time(out.moment) else { return };
        if self.prune_at.is_none_or(|at| at >= now) {
            return;
        }
        let acked = self.outbox.acked();
        let forgotten: Vec<(OperationId, Seq)> = self
            .finished
            .iter()
            .filter(|(_, finished)| finished.not_after < now && finished.seq <= acked)
            .map(|(id, finished)| (*id, finished.seq))
            .take(PRUNE_MAX)
            .collect();
        for (id, seq) in &forgotten {
            self.finished.remove(id);
            self.lazy.removals.push(Write::RemoveOperation(*id));
            self.lazy.removals.push(Write::RemoveReport(*seq));
        }
        if !forgotten.is_empty() {
            self.newest_finished.retain(|(id, _)| self.finished.contains_key(id));
        }
        if forgotten.len() >= PRUNE_MAX {
            // The rest goes with the next step.
            self.prune_at = Some(now);
            return;
        }
        let earliest = self.finished.values().map(|finished| finished.not_after).min();
        // What is not acked yet is looked at again in a while.
        self.prune_at = earliest.map(|at| if at < now { now.plus_ms(60_000) } else { at });
    }

    /// The memory turned out to be another's: a new sequence begins, and nothing is deleted.
    pub(super) fn new_epoch(&mut self, reason: &'static str, out: &mut Output<'_>) {
        let old = self.meta.store_epoch;
        let unacked = self.outbox.acked().next();
        let kept = self.finished.values().map(|finished| finished.seq);
        let oldest_kept = kept.min().map_or(unacked, |seq| seq.min(unacked));
        let base = Seq(oldest_kept.0.saturating_sub(1));
        self.outbox.start_again_after(base);
        self.meta = Meta {
            store_epoch: StoreEpoch(out.uuid()),
            serial_number: self.identity.serial_number.clone(),
            epoch_base: base,
            acked_seq: base,
            acked_report_id: None,
            boot_id: self.identity.boot_id,
            clean_stop: false,
            ..self.meta.clone()
        };
        out.commit_meta = true;
        tracing::warn!(%old, new = %self.meta.store_epoch, reason, "new store epoch");
        let data = [("reason", Value::from(reason)), ("old_epoch", Value::from(old.to_string()))];
        self.report_event(EventName::EpochChanged, data, out);
    }
}

/// What an operation may have done before the part of it that fails: in attempts that were cut off
/// or forgotten and not asked about, or before its restart was called for. A failure does not take
/// it back.
pub(super) fn left_by_earlier_attempts(record: &OperationRecord) -> SideEffects {
    let (attempts, has_begun, restart_called) = match &record.state {
        OperationState::Queued { attempts } => (*attempts, *attempts > 0, false),
        OperationState::Running { attempt, restart, .. } => {
            (attempt.saturating_sub(1), true, restart.is_some())
        }
        OperationState::Finished { .. } => (0, true, false),
    };
    let Some(kind) = OperationKind::from_name(&record.operation) else { return SideEffects::None };
    let is_update = kind == OperationKind::Update;
    let closes_first = record.parameters.get("close_batch_first") == Some(&Value::Bool(true));
    let was_not_asked_about = match kind::recovery(kind) {
        Recovery::Rerun => attempts > 0 || record.may_have_run,
        // Asking is what an attempt begins with.
        Recovery::Verify => record.may_have_run && !has_begun || attempts > 0 && closes_first,
        Recovery::Fail => record.may_have_run,
    };
    if was_not_asked_about {
        kind::side_effects_if_cut_off(kind)
    } else if is_update && restart_called {
        // It is installed: the next power cycle starts it all the same.
        SideEffects::Partial
    } else {
        SideEffects::None
    }
}

/// A failure may come from a backend as it is.
pub(super) fn bounded_failure(mut failure: Failure) -> Failure {
    failure.failure_reason = bounded(&failure.failure_reason, REASON_CHARS_MAX);
    failure
}

fn log_verdict(operation: &str, id: OperationId, outcome: &Outcome, duration_ms: u64) {
    match (outcome.status, &outcome.error) {
        (VerdictStatus::Completed, _) => {
            tracing::info!(operation_id = %id, operation, duration_ms, "operation completed");
        }
        (VerdictStatus::Failed, error) => {
            let code = error.as_ref().map_or("", |failure| failure.code.as_str());
            let reason = error.as_ref().map_or("", |failure| failure.failure_reason.as_str());
            tracing::info!(operation_id = %id, operation, code, reason, "operation failed");
        }
    }
}
