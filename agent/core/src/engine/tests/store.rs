//! A model of the store: what `Append` has made durable, and nothing else.

use std::collections::BTreeMap;

use terminal_hal::OperationId;

use crate::engine::{
    ConfigurationRecord, Meta, OperationRecord, OperationState, ReportOrder, Snapshot,
    StoredReport, Write,
};
use crate::protocol::{OperationReport, Report, ReportBody, Seq};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Store {
    pub(super) meta: Option<Meta>,
    pub(super) operations: BTreeMap<OperationId, OperationRecord>,
    pub(super) reports: BTreeMap<Seq, Report>,
    pub(super) configuration: Option<ConfigurationRecord>,
}

impl Store {
    pub(super) fn append(&mut self, writes: &[Write]) {
        for write in writes {
            match write.clone() {
                Write::PutMeta(meta) => self.meta = Some(meta),
                Write::PutOperation(record) => {
                    self.operations.insert(record.id, *record);
                }
                Write::RemoveOperation(id) => {
                    self.operations.remove(&id);
                }
                Write::PutReport(report) => {
                    self.reports.insert(report.seq, *report);
                }
                Write::RemoveReport(seq) => {
                    self.reports.remove(&seq);
                }
                Write::PutConfiguration(record) => self.configuration = Some(*record),
            }
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let reports = self.reports.values().map(|report| StoredReport {
            seq: report.seq,
            report_id: report.report_id,
            is_verdict: matches!(report.body, ReportBody::Operation(_)),
        });
        Snapshot {
            meta: self.meta.clone(),
            operations: self.operations.values().cloned().collect(),
            reports: reports.collect(),
            configuration: self.configuration.clone(),
        }
    }

    /// What goes over the wire for an order.
    pub(super) fn report(&self, order: &ReportOrder) -> Report {
        let ReportOrder { place, seq, store_epoch } = *order;
        match self.reports.get(&place) {
            Some(stored) => Report { seq, store_epoch, ..stored.clone() },
            None => Report::dropped(seq, store_epoch),
        }
    }

    /// The verdict of an operation; there is never more than one.
    pub(super) fn verdict(&self, id: OperationId) -> Option<OperationReport> {
        let mut verdicts = self.reports.values().filter_map(|report| match &report.body {
            ReportBody::Operation(verdict) if verdict.id == id => Some((report.seq, verdict)),
            ReportBody::Operation(_)
            | ReportBody::Configuration(_)
            | ReportBody::Event(_)
            | ReportBody::Dropped => None,
        });
        let (seq, verdict) = verdicts.next()?;
        assert!(verdicts.next().is_none(), "{id} has two verdicts");
        assert_eq!(self.operations[&id].state, OperationState::Finished { seq });
        Some((**verdict).clone())
    }
}
