//! What one step collects: changes to store and effects to carry out, in order.

use terminal_hal::OperationId;
use uuid::Uuid;

use super::{Effect, Moment, Write};
use crate::protocol::{AgentFrame, ErrorFrame};

pub(super) struct Output<'a> {
    pub(super) moment: &'a Moment,
    pub(super) writes: Vec<Write>,
    /// The facts in `Meta` must become durable with this step.
    pub(super) commit_meta: bool,
    pub(super) effects: Vec<Effect>,
    uuids: u32,
}

impl<'a> Output<'a> {
    pub(super) const fn new(moment: &'a Moment) -> Self {
        Self { moment, writes: Vec::new(), commit_meta: false, effects: Vec::new(), uuids: 0 }
    }

    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn send(&mut self, frame: AgentFrame) {
        self.effects.push(Effect::Send(Box::new(frame)));
    }

    pub(super) fn send_error(&mut self, code: &str, message: String, reference: Option<String>) {
        self.send(AgentFrame::Error(ErrorFrame { code: code.to_owned(), message, reference }));
    }

    pub(super) fn send_error_about(&mut self, code: &str, message: String, id: OperationId) {
        self.send_error(code, message, Some(id.to_string()));
    }

    /// A fresh identifier.
    pub(super) fn uuid(&mut self) -> Uuid {
        self.uuids = self.uuids.wrapping_add(1);
        self.moment.uuid(self.uuids)
    }
}
