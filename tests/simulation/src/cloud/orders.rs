//! What people and programs order at the cloud, and its backups.

use terminal_core::protocol::OperationFrame;
use terminal_hal::{OperationId, Timestamp};

use super::{Cloud, Ordered};
use crate::plan::PlannedOperation;

impl Cloud {
    /// Stores an operation; the same order twice is one operation (rule 14).
    pub(crate) fn order(&mut self, planned: &PlannedOperation, now: Timestamp) {
        let id = planned.id();
        if self.stored.operations.contains_key(&id) {
            return;
        }
        let frame = OperationFrame {
            id,
            operation: planned.operation.clone(),
            parameters: planned.parameters.clone(),
            created_at: now,
            created_by: "somebody".to_owned(),
            first_epoch: None,
            ttl_s: planned.ttl_s,
            not_after: now.plus_ms(u64::from(planned.not_after_s) * 1000),
            deadline_s: planned.deadline_s,
            policy: planned.policy,
        };
        self.created += 1;
        let ordered = Ordered {
            created: self.created,
            frame,
            first_epoch: None,
            is_withdrawn: false,
            is_given_up: false,
            verdict: None,
        };
        self.stored.operations.insert(id, ordered);
    }

    /// Stores that an operation is not wanted any more. False when it is too late for that.
    pub(crate) fn withdraw(&mut self, id: OperationId) -> bool {
        let ordered = self.stored.operations.get_mut(&id);
        let Some(ordered) = ordered.filter(|o| o.verdict.is_none() && !o.is_withdrawn) else {
            return false;
        };
        ordered.is_withdrawn = true;
        true
    }

    pub(crate) const fn set_configuration(&mut self) {
        self.stored.revision += 1;
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.stored.clone());
    }

    /// Goes back to the backup; gives the operations that it does not know any more.
    pub(crate) fn restore(&mut self) -> Option<Vec<Ordered>> {
        let backup = self.backup.clone()?;
        self.was_restored = true;
        let now = std::mem::replace(&mut self.stored, backup);
        let known = &self.stored.operations;
        let forgotten = now.operations.into_values().filter(|o| !known.contains_key(&o.frame.id));
        let mut forgotten: Vec<Ordered> = forgotten.collect();
        forgotten.sort_by_key(|ordered| ordered.created);
        Some(forgotten)
    }

    /// Somebody who got no answer orders it again.
    pub(crate) fn recreate(&mut self, mut ordered: Ordered) {
        ordered.first_epoch = None;
        ordered.verdict = None;
        ordered.is_given_up = false;
        self.stored.operations.insert(ordered.frame.id, ordered);
    }
}
