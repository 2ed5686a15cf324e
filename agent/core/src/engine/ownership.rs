//! To whom the records belong: what was accepted under one `terminal_id` is never told under another.
//!
//! Reports that the cloud before has not taken stay in the store until a person discards them. They
//! lie below the base of the new epoch, so that nothing that is sent can reach them.

use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, SideEffects};

use super::{Effect, Engine, OperationState, Write, kind, output::Output};

impl Engine {
    /// Whoever the terminal is to the cloud now is the owner of what is accepted from now on.
    pub(super) fn note_owner(&mut self, out: &mut Output<'_>) {
        let terminal_id = &self.identity.terminal_id;
        if terminal_id.is_empty() || self.meta.owner.as_ref() == Some(terminal_id) {
            return;
        }
        let before = self.meta.owner.replace(terminal_id.clone());
        out.commit_meta = true;
        // What was noted before there was an owner is the first one's.
        if let Some(before) = before {
            tracing::warn!(before, now = terminal_id, "this is another terminal to the cloud");
            self.set_aside(out);
        }
    }

    /// A person does not want the reports any more that nobody is told.
    pub(super) fn on_discard_requested(&mut self, out: &mut Output<'_>) {
        let held = self.outbox.discard_held();
        if !held.is_empty() {
            tracing::warn!(reports = held.len(), "reports of another owner are discarded");
        }
        held.into_iter().for_each(|place| out.write(Write::RemoveReport(place)));
    }

    fn set_aside(&mut self, out: &mut Output<'_>) {
        self.fail_all_of_another_owner(out);
        for call in std::mem::take(&mut self.overdue) {
            out.push(Effect::Abandon(call.id));
        }
        self.configuration.forget(out);
        self.session.last_id = None;
        let acked = self.outbox.acked();
        for (id, finished) in std::mem::take(&mut self.finished) {
            out.write(Write::RemoveOperation(id));
            if finished.seq <= acked {
                out.write(Write::RemoveReport(finished.seq));
            }
        }
        self.newest_finished.clear();
        self.outbox.hold_waiting();
        self.meta.held_up_to = self.outbox.last();
        self.new_epoch("the terminal belongs to another owner", out);
    }

    /// Their verdicts are kept like those that were not acked.
    fn fail_all_of_another_owner(&mut self, out: &mut Output<'_>) {
        let ids: Vec<OperationId> = self.operations.keys().copied().collect();
        for id in ids {
            let Some(record) = self.operations.get(&id) else { continue };
            let has_begun = matches!(record.state, OperationState::Running { .. });
            let kind = OperationKind::from_name(&record.operation).filter(|_| has_begun);
            let side_effects = kind.map_or(SideEffects::None, kind::side_effects_if_cut_off);
            if self.live.contains_key(&id) {
                out.push(Effect::Abandon(id));
            }
            let reason = "accepted when this terminal belonged to another owner";
            let failure = Failure::new(ErrorCode::WrongTerminal, reason);
            self.fail(id, failure.with_side_effects(side_effects), out);
        }
    }
}
