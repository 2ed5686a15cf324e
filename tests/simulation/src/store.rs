//! A model of the durable store: what `Append` has made durable, and nothing else.
//!
//! It can be copied, which is what an image of the medium is.

use std::collections::BTreeMap;

use terminal_core::{
    engine::{
        ConfigurationRecord, Meta, OperationRecord, ReportOrder, Snapshot, StoredReport, Write,
    },
    protocol::{Report, ReportBody, Seq},
};
use terminal_hal::OperationId;

/// What is on the medium.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    /// The single facts.
    pub meta: Option<Meta>,
    /// Operations, finished ones too.
    pub operations: BTreeMap<OperationId, OperationRecord>,
    /// Reports by place.
    pub reports: BTreeMap<Seq, Report>,
    /// The configuration.
    pub configuration: Option<ConfigurationRecord>,
    /// Where the verdict of an operation is.
    pub verdicts: BTreeMap<OperationId, Seq>,
}

impl Store {
    /// Makes one change. The whole batch is applied before anything else happens.
    pub(crate) fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::PutMeta(meta) => self.meta = Some(meta),
            Write::PutOperation(record) => {
                self.operations.insert(record.id, *record);
            }
            Write::RemoveOperation(id) => {
                self.operations.remove(&id);
            }
            Write::PutReport(report) => {
                if let ReportBody::Operation(verdict) = &report.body {
                    self.verdicts.insert(verdict.id, report.seq);
                }
                self.reports.insert(report.seq, *report);
            }
            Write::RemoveReport(place) => {
                if let Some(ReportBody::Operation(verdict)) =
                    self.reports.remove(&place).map(|report| report.body)
                {
                    self.verdicts.remove(&verdict.id);
                }
            }
            Write::PutConfiguration(record) => self.configuration = Some(*record),
        }
    }

    /// What the engine is given when it starts.
    pub fn snapshot(&self) -> Snapshot {
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
    pub(crate) fn report(&self, order: &ReportOrder) -> Report {
        let ReportOrder { place, seq, store_epoch } = *order;
        match self.reports.get(&place) {
            Some(stored) => Report { seq, store_epoch, ..stored.clone() },
            None => Report::dropped(seq, store_epoch),
        }
    }

    /// The stored verdict of an operation.
    pub fn verdict(&self, id: OperationId) -> Option<&Report> {
        self.verdicts.get(&id).and_then(|place| self.reports.get(place))
    }
}
