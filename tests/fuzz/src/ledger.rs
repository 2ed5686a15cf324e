//! What has become durable, and what may never follow from it: the books of one terminal.

use std::collections::{BTreeMap, BTreeSet};

use terminal_core::{
    engine::{OperationRecord, OperationState, StartOrder, Write, limits},
    protocol::{ReportBody, ReportId, Seq, encode},
};
use terminal_hal::{OperationId, OperationKind};

/// Everything that was written, as far as it binds the terminal.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    operations: BTreeMap<OperationId, OperationRecord>,
    verdicts: BTreeMap<OperationId, String>,
    reports: BTreeMap<Seq, (ReportId, Option<OperationId>)>,
    starts: BTreeSet<(OperationId, u32)>,
    /// The hardware has said that nothing happened, or that it is for later.
    may_start_again: BTreeSet<OperationId>,
}

impl Ledger {
    /// Takes a commit.
    pub(crate) fn append(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::PutOperation(record) => self.put_operation(record),
                Write::RemoveOperation(id) => self.forget(*id),
                Write::PutReport(report) => {
                    let verdict = match &report.body {
                        ReportBody::Operation(verdict) => {
                            self.put_verdict(verdict.id, encode(&**verdict));
                            Some(verdict.id)
                        }
                        ReportBody::Configuration(_)
                        | ReportBody::Event(_)
                        | ReportBody::Dropped => None,
                    };
                    let new = (report.report_id, verdict);
                    let old = self.reports.insert(report.seq, new);
                    assert!(old.is_none_or(|old| old == new), "a report has become another");
                }
                Write::RemoveReport(place) => {
                    let gone = self.reports.remove(place).and_then(|(_, verdict)| verdict);
                    assert!(gone.is_none_or(|id| !self.verdicts.contains_key(&id)), "{gone:?}");
                }
                Write::PutMeta(meta) => assert!(meta.epoch_base <= meta.acked_seq, "{meta:?}"),
                Write::PutConfiguration(record) => {
                    let revisions = [&record.desired, &record.applied].map(|c| {
                        c.as_ref().map_or(u64::MAX, |configuration| configuration.revision)
                    });
                    assert!(!revisions.contains(&0), "{record:?}");
                }
            }
        }
        self.is_whole();
    }

    fn put_operation(&mut self, record: &OperationRecord) {
        within_limits(record);
        if let Some(old) = self.operations.get(&record.id) {
            let (old, new) = (attempts(old), attempts(record));
            assert!(old <= new, "{old:?} became {new:?}: {record:?}");
        }
        self.operations.insert(record.id, record.clone());
    }

    fn put_verdict(&mut self, id: OperationId, verdict: String) {
        let old = self.verdicts.insert(id, verdict.clone());
        assert!(old.is_none_or(|old| old == verdict), "a verdict has changed to {verdict}");
    }

    fn forget(&mut self, id: OperationId) {
        let has_verdict = self.verdicts.remove(&id).is_some();
        assert!(has_verdict, "{id} is forgotten without a verdict");
        self.operations.remove(&id);
        self.starts.retain(|(started, _)| *started != id);
        self.may_start_again.remove(&id);
    }

    /// After every commit: who is finished has a verdict, and nobody else.
    fn is_whole(&self) {
        let mut unfinished = 0;
        for (id, record) in &self.operations {
            let place = match record.state {
                OperationState::Finished { seq } => Some(seq),
                OperationState::Queued { .. } | OperationState::Running { .. } => None,
            };
            unfinished += usize::from(place.is_none());
            assert_eq!(place.is_some(), self.verdicts.contains_key(id), "{record:?}");
            if let Some(place) = place {
                let report = self.reports.get(&place);
                assert_eq!(report.and_then(|(_, verdict)| *verdict), Some(*id), "{record:?}");
            }
        }
        assert!(unfinished <= limits::UNFINISHED_MAX, "{unfinished} operations");
    }

    /// The cloud is told that an operation is taken.
    pub(crate) fn accepted(&self, id: OperationId) {
        assert!(self.operations.contains_key(&id), "{id} is accepted and not on the medium");
    }

    /// The hardware is told to run an operation.
    pub(crate) fn start(&mut self, order: &StartOrder) {
        let (id, attempt) = (order.id, order.attempt);
        let record = self.operations.get(&id);
        let journalled = record.is_some_and(|record| match record.state {
            OperationState::Running { attempt: journalled, .. } => journalled == attempt,
            OperationState::Queued { .. } | OperationState::Finished { .. } => false,
        });
        assert!(journalled, "attempt {attempt} starts, and on the medium is {record:?}");
        let is_first = !self.starts.iter().any(|(started, _)| *started == id);
        let allowed = self.may_start_again.remove(&id);
        let is_new_attempt = self.starts.insert((id, attempt));
        let may = match order.parameters.kind() {
            OperationKind::EndOfDay | OperationKind::Update => is_first || allowed,
            OperationKind::OpenMenu => is_first,
            OperationKind::SendLogs
            | OperationKind::CheckUpdate
            | OperationKind::Reboot
            | OperationKind::Lock
            | OperationKind::Unlock
            | OperationKind::Configure => is_new_attempt,
        };
        assert!(may, "attempt {attempt} starts again: {record:?}");
    }

    /// The hardware has said of an operation that nothing of it has happened.
    pub(crate) fn may_start_again(&mut self, id: OperationId) {
        self.may_start_again.insert(id);
    }
}

/// How far an operation is, by the attempt that it makes or is to make: it never goes back.
fn attempts(record: &OperationRecord) -> (bool, u32, u64) {
    match record.state {
        OperationState::Queued { attempts } => (false, attempts + 1, 0),
        OperationState::Running { attempt, .. } => (false, attempt, 0),
        OperationState::Finished { seq } => (true, 0, seq.0),
    }
}

fn within_limits(record: &OperationRecord) {
    let is_line =
        |text: &str, max: usize| text.chars().count() <= max && !text.chars().any(char::is_control);
    assert!(is_line(&record.operation, limits::OPERATION_NAME_CHARS_MAX), "{record:?}");
    assert!(is_line(&record.created_by, limits::CREATED_BY_CHARS_MAX), "{record:?}");
    assert!(record.policy.wait_max_s <= limits::WAIT_S_MAX, "{record:?}");
    assert!(encode(&record.parameters).len() <= limits::PARAMETERS_BYTES_MAX, "{record:?}");
    let (OperationState::Queued { attempts: number }
    | OperationState::Running { attempt: number, .. }) = record.state
    else {
        return;
    };
    assert!(number <= limits::ATTEMPTS_MAX, "{record:?}");
    assert!((1..=limits::DEADLINE_S_MAX).contains(&record.deadline_s), "{record:?}");
}
