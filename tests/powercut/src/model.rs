//! What a store must hold after some commits, and what a store does hold.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use terminal_agent::store::{OpenedStore, kept};
use terminal_core::engine::{ConfigurationRecord, Meta, OperationRecord, Write};
use terminal_core::protocol::{Report, ReportBody, Seq};
use terminal_hal::OperationId;

/// All records, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    meta: Option<Meta>,
    configuration: Option<ConfigurationRecord>,
    operations: BTreeMap<OperationId, OperationRecord>,
    reports: BTreeMap<Seq, Report>,
}

impl Model {
    /// Makes these changes.
    pub fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write.clone() {
                Write::PutMeta(meta) => self.meta = Some(meta),
                Write::PutConfiguration(record) => self.configuration = Some(*record),
                Write::PutOperation(record) => {
                    self.operations.insert(record.id, kept(&record));
                }
                Write::RemoveOperation(id) => drop(self.operations.remove(&id)),
                Write::PutReport(report) => drop(self.reports.insert(report.seq, *report)),
                Write::RemoveReport(seq) => drop(self.reports.remove(&seq)),
            }
        }
    }

    /// Reads a store, the bodies of its reports too.
    ///
    /// # Errors
    ///
    /// When a record cannot be read, or is not what the snapshot says of it.
    pub fn read(opened: &OpenedStore) -> Result<Self> {
        let snapshot = &opened.snapshot;
        let mut model = Self {
            meta: snapshot.meta.clone(),
            configuration: snapshot.configuration.clone(),
            operations: snapshot.operations.iter().map(|op| (op.id, op.clone())).collect(),
            reports: BTreeMap::new(),
        };
        for stored in &snapshot.reports {
            let seq = stored.seq;
            let report = opened.store.report(seq)?.with_context(|| format!("no report {seq}"))?;
            let is_verdict = matches!(report.body, ReportBody::Operation(_));
            let same = report.report_id == stored.report_id && is_verdict == stored.is_verdict;
            ensure!(same, "report {seq} is not the one of the snapshot");
            model.reports.insert(seq, report);
        }
        Ok(model)
    }

    /// Reports in it, in the order of their seqs.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }
}
