//! What somebody at the terminal wants, and what its schedule begins.

use terminal_core::engine::{Event, LocalAnswer, LocalRequest};
use terminal_hal::{OperationId, OperationKind};

use super::World;
use crate::{check, plan::PlannedOperation};

/// What has triggered an operation at a terminal, and the number on the case of that terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// A request of a person.
    Request {
        /// On the case.
        serial: u32,
        /// Of the request.
        n: u32,
    },
    /// The schedule.
    Schedule {
        /// On the case.
        serial: u32,
        /// Counted from 1970.
        day: u64,
    },
}

impl World {
    /// Somebody asks the agent, if it runs; who gets no answer may ask again.
    pub(super) fn want(&mut self, planned: &PlannedOperation, device: usize) {
        let Some(kind) = OperationKind::from_name(&planned.operation) else { return };
        self.wanted.insert(planned.n, planned.clone());
        self.counters.count("wanted at the terminal", kind.as_str());
        let request = LocalRequest {
            trigger: format!("request/{}", planned.n),
            kind,
            parameters: planned.parameters.clone(),
            created_by: planned.n.to_string(),
        };
        self.tell(device, Event::OperationRequested(Box::new(request)));
    }

    /// The agent has answered.
    pub(super) fn answered_locally(&mut self, device: usize, answer: &LocalAnswer) {
        let outcome = match &answer.outcome {
            Ok(taken) if taken.duplicate => "taken before",
            Ok(_) => "taken",
            Err(refusal) => refusal.code,
        };
        self.counters.count("answered at the terminal", outcome);
        check::answered(self, device, answer);
    }

    /// What request `n` of the first device has become.
    pub fn requested(&self, n: u32) -> Option<OperationId> {
        self.begun.get(&Trigger::Request { serial: 0, n }).copied()
    }

    /// What the schedule of the first device has begun.
    pub fn scheduled(&self) -> Vec<OperationId> {
        let begun = self.begun.iter();
        let scheduled = begun.filter(|(by, _)| matches!(by, Trigger::Schedule { serial: 0, .. }));
        scheduled.map(|(_, id)| *id).collect()
    }
}
