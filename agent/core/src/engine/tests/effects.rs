//! What a step wanted done, made easy to ask about.

use terminal_hal::{Failure, OperationId};

use crate::engine::{Effect, LocalAnswer, StartOrder, Write};
use crate::protocol::{
    AgentFrame, ErrorFrame, EventName, Hello, Report, ReportBody, StatusFrame, VerdictStatus,
};

/// The effects of one or more steps, and the reports as they went out.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    pub(super) all: Vec<Effect>,
    pub(super) reports: Vec<Report>,
}

impl Effects {
    pub(super) fn extend(&mut self, more: Self) {
        self.all.extend(more.all);
        self.reports.extend(more.reports);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn appends(&self) -> usize {
        self.all.iter().filter(|effect| matches!(effect, Effect::Append(_))).count()
    }

    pub(super) fn writes(&self) -> Vec<&Write> {
        let appended = self.all.iter().filter_map(|effect| match effect {
            Effect::Append(writes) => Some(writes),
            _ => None,
        });
        appended.flatten().collect()
    }

    pub(super) fn starts(&self) -> Vec<(OperationId, u32)> {
        self.orders(|effect| match effect {
            Effect::Start(order) => Some(order),
            _ => None,
        })
    }

    pub(super) fn questions(&self) -> Vec<(OperationId, u32)> {
        self.orders(|effect| match effect {
            Effect::Verify(order) => Some(order),
            _ => None,
        })
    }

    fn orders(&self, pick: impl Fn(&Effect) -> Option<&StartOrder>) -> Vec<(OperationId, u32)> {
        self.all.iter().filter_map(pick).map(|order| (order.id, order.attempt)).collect()
    }

    pub(super) fn restarts(&self) -> Vec<(OperationId, u32)> {
        let restarts = self.all.iter().filter_map(|effect| match effect {
            Effect::Restart(order) => Some((order.id, order.attempt)),
            _ => None,
        });
        restarts.collect()
    }

    /// Revisions that the hardware is to apply.
    pub(super) fn configured(&self) -> Vec<u64> {
        let configured = self.all.iter().filter_map(|effect| match effect {
            Effect::Configure(order) => Some(order.configuration.revision),
            _ => None,
        });
        configured.collect()
    }

    /// What became of requests at the terminal.
    pub(super) fn answers(&self) -> Vec<&LocalAnswer> {
        let answers = self.all.iter().filter_map(|effect| match effect {
            Effect::Answer(answer) => Some(answer),
            _ => None,
        });
        answers.collect()
    }

    pub(super) fn frames(&self) -> Vec<&AgentFrame> {
        let frames = self.all.iter().filter_map(|effect| match effect {
            Effect::Send(frame) => Some(&**frame),
            _ => None,
        });
        frames.collect()
    }

    pub(super) fn accepted(&self) -> Vec<(OperationId, bool)> {
        let accepted = self.frames().into_iter().filter_map(|frame| match frame {
            AgentFrame::Accepted(accepted) => Some((accepted.id, accepted.duplicate)),
            _ => None,
        });
        accepted.collect()
    }

    pub(super) fn error_codes(&self) -> Vec<&str> {
        self.errors().into_iter().map(|error| error.code.as_str()).collect()
    }

    pub(super) fn errors(&self) -> Vec<&ErrorFrame> {
        let errors = self.frames().into_iter().filter_map(|frame| match frame {
            AgentFrame::Error(error) => Some(error),
            _ => None,
        });
        errors.collect()
    }

    pub(super) fn hello(&self) -> &Hello {
        let hello = self.frames().into_iter().find_map(|frame| match frame {
            AgentFrame::Hello(hello) => Some(&**hello),
            _ => None,
        });
        hello.expect("a hello")
    }

    pub(super) fn statuses(&self) -> Vec<&StatusFrame> {
        let statuses = self.frames().into_iter().filter_map(|frame| match frame {
            AgentFrame::Status(status) => Some(&**status),
            _ => None,
        });
        statuses.collect()
    }

    pub(super) fn close_codes(&self) -> Vec<u16> {
        let codes = self.all.iter().filter_map(|effect| match effect {
            Effect::CloseLink { code, .. } => Some(*code),
            _ => None,
        });
        codes.collect()
    }

    pub(super) fn has(&self, wanted: &Effect) -> bool {
        self.all.contains(wanted)
    }

    /// Seqs of the reports that went out.
    pub(super) fn seqs(&self) -> Vec<u64> {
        self.reports.iter().map(|report| report.seq.0).collect()
    }

    /// Events that went out.
    pub(super) fn events(&self) -> Vec<EventName> {
        let events = self.reports.iter().filter_map(|report| match &report.body {
            ReportBody::Event(event) => Some(event.event),
            _ => None,
        });
        events.collect()
    }

    /// Why an operation failed, as it went out.
    pub(super) fn failure(&self, id: OperationId) -> Failure {
        let verdict = self.reports.iter().find_map(|report| match &report.body {
            ReportBody::Operation(verdict) if verdict.id == id => Some(verdict),
            _ => None,
        });
        let outcome = verdict.expect("a verdict").outcome.clone();
        assert_eq!(outcome.status, VerdictStatus::Failed);
        outcome.error.expect("an error")
    }
}
