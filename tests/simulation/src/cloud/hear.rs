//! Frames from the terminal.

use terminal_core::protocol::{
    Accepted, AgentFrame, ConfigurationStatus, ErrorFrame, EventName, Hello, Report, ReportBody,
    Started, TEXT_FRAME_BYTES_MAX, UnfinishedState, VerdictStatus, decode_agent_frame, error_code,
};
use terminal_hal::{ErrorCode, OperationId, Timestamp};

use super::{Cloud, CloudLink, Outcome, Verdict};
use crate::check::kind_name;

/// The simulated cloud of the reference waits so long before it dispatches again.
const HOLD_MS: u64 = 5_000;

impl Cloud {
    pub(crate) fn hear(&mut self, link: usize, bytes: &[u8], now: Timestamp) -> Outcome {
        let mut out = Outcome::default();
        if bytes.len() > TEXT_FRAME_BYTES_MAX {
            out.faults.push(("frames_are_bounded", format!("{} bytes", bytes.len())));
        }
        let frame = match decode_agent_frame(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                out.faults.push(("frames_can_be_read", error.to_string()));
                return out;
            }
        };
        if self.current_link() == Some(link) {
            self.hear_on_link(frame, now, &mut out);
            return out;
        }
        match frame {
            // A link that was made earlier does not replace one that was made later.
            AgentFrame::Hello(hello) if self.current_link().is_none_or(|at| at < link) => {
                out.replaces = self.current_link();
                self.on_hello(link, &hello, &mut out);
            }
            AgentFrame::Report(report) => {
                out.seen.push(("report", "on a link that has ended"));
                self.store(&report, &mut out);
            }
            AgentFrame::Hello(_)
            | AgentFrame::Accepted(_)
            | AgentFrame::Started(_)
            | AgentFrame::Progress(_)
            | AgentFrame::Status(_)
            | AgentFrame::LogEnd(_)
            | AgentFrame::Error(_) => {}
        }
        out
    }

    fn hear_on_link(&mut self, frame: AgentFrame, now: Timestamp, out: &mut Outcome) {
        let Some(link) = self.link.as_mut() else { return };
        if !link.is_welcomed && !matches!(frame, AgentFrame::Error(_)) {
            out.faults.push(("nothing_is_sent_before_welcome", format!("{frame:?}")));
        }
        match frame {
            AgentFrame::Hello(_) => {
                out.faults.push(("hello_comes_once", "twice on one link".to_owned()));
            }
            AgentFrame::Accepted(accepted) => self.on_accepted(accepted, out),
            AgentFrame::Started(Started { id, attempt }) => {
                link.started.insert(id);
                out.seen.push(("frame", "started"));
                if !(1..=3).contains(&attempt) {
                    out.faults.push(("attempts_are_bounded", format!("{id}: attempt {attempt}")));
                }
            }
            AgentFrame::Progress(_) => out.seen.push(("frame", "progress")),
            AgentFrame::Status(status) => {
                out.seen.push(("frame", "status"));
                if status.clock.trusted && status.clock.now.ms_since(now) > 0 {
                    out.seen.push(("frame", "status of a clock that is ahead"));
                }
            }
            AgentFrame::LogEnd(_) => {
                out.faults.push(("no_log_data_is_sent", "log_end".to_owned()));
            }
            AgentFrame::Error(error) => self.on_error(&error, now, out),
            AgentFrame::Report(report) => {
                if report.store_epoch != link.epoch {
                    out.faults.push(("reports_are_of_the_epoch", format!("{report:?}")));
                }
                if report.seq.0 > link.next_seq {
                    let next = link.next_seq;
                    out.faults.push((
                        "reports_come_in_order",
                        format!("{} instead of {next}", report.seq),
                    ));
                } else if report.seq.0 == link.next_seq {
                    link.next_seq += 1;
                } else {
                    out.seen.push(("report", "again"));
                    if report.seq.0 <= link.acked_at_welcome && !link.was_asked_for(&report) {
                        let detail = format!("{}, acked {}", report.seq, link.acked_at_welcome);
                        out.faults.push(("what_is_acked_is_not_sent_again", detail));
                    }
                }
                self.store(&report, out);
                out.ack = true;
            }
        }
    }

    fn on_hello(&mut self, link: usize, hello: &Hello, out: &mut Outcome) {
        out.seen.push(("frame", "hello"));
        if hello.terminal_id != "T" || hello.protocol != 1 || hello.unfinished.len() > 512 {
            out.faults.push(("hello_is_right", format!("{hello:?}")));
        }
        let first = hello.outbox.first_seq.0;
        let is_new = !self.stored.epochs.contains_key(&hello.store_epoch);
        let was_restored = self.was_restored;
        let epoch = self.stored.epochs.entry(hello.store_epoch).or_default();
        if is_new {
            out.seen.push(("link", "new epoch"));
        }
        if first > epoch.ack + 1 {
            // What lies between is not sent any more.
            if !was_restored {
                let detail = format!("acked {}, first {first}", epoch.ack);
                out.faults.push(("no_report_is_lost", detail));
            }
            out.seen.push(("link", "gap after the cloud was restored"));
            epoch.gaps.push((epoch.ack + 1, first - 1));
            epoch.ack = first - 1;
            epoch.advance();
        }
        let ever = self.ever_acked.entry(hello.store_epoch).or_default();
        *ever = epoch.ack.max(*ever);
        let started = hello.unfinished.iter().filter(|u| u.state == UnfinishedState::Started);
        self.link = Some(CloudLink {
            link,
            epoch: hello.store_epoch,
            is_welcomed: false,
            config_revision: hello.config_revision,
            first_seq: first,
            next_seq: 0,
            acked_at_welcome: 0,
            dispatched: std::collections::BTreeSet::new(),
            unfinished: hello.unfinished.iter().map(|unfinished| unfinished.id).collect(),
            started: started.map(|unfinished| unfinished.id).collect(),
            cancelled: std::collections::BTreeSet::new(),
            hold_until: Timestamp::default(),
            refused: std::collections::BTreeSet::new(),
        });
        // A cloud that sees a higher revision than its own issues above it.
        self.stored.revision = self.stored.revision.max(hello.config_revision);
        out.is_welcome = true;
    }

    fn on_accepted(&self, accepted: Accepted, out: &mut Outcome) {
        let Accepted { id, duplicate } = accepted;
        out.seen.push(("frame", if duplicate { "accepted again" } else { "accepted" }));
        let was_sent = self.link.as_ref().is_some_and(|link| {
            // What was refused for want of room, with what came after it, may have found room.
            link.dispatched.contains(&id) || link.refused.contains(&id)
        });
        if !was_sent {
            out.faults.push(("only_what_was_sent_is_accepted", id.to_string()));
        }
    }

    fn on_error(&mut self, error: &ErrorFrame, now: Timestamp, out: &mut Outcome) {
        let known = [
            error_code::OVERLOADED,
            error_code::STORAGE_FULL,
            error_code::UNKNOWN_OPERATION,
            error_code::INVALID_ACK,
            error_code::INVALID_MESSAGE,
            error_code::UNSUPPORTED_MESSAGE,
            error_code::NOT_WELCOMED,
        ];
        let code = known.into_iter().find(|code| error.code == *code).unwrap_or("another");
        out.seen.push(("error frame", code));
        match code {
            error_code::OVERLOADED | error_code::STORAGE_FULL => {
                self.wait_for_room(error.reference.as_deref(), now);
                out.look_ms = HOLD_MS;
            }
            error_code::UNKNOWN_OPERATION => {}
            _ if self.was_hostile => {}
            _ => out.faults.push(("the_terminal_understands_the_cloud", format!("{error:?}"))),
        }
    }

    /// Nothing was stored: it, and what was created after it, goes again later, in order.
    fn wait_for_room(&mut self, reference: Option<&str>, now: Timestamp) {
        let Some(link) = self.link.as_mut() else { return };
        link.hold_until = now.plus_ms(HOLD_MS);
        let id = reference.and_then(|id| id.parse().ok()).map(OperationId);
        let Some(refused) = id.and_then(|id| self.stored.operations.get(&id)) else {
            link.config_revision = 0;
            return;
        };
        for ordered in self.stored.operations.values() {
            if ordered.created >= refused.created && link.dispatched.remove(&ordered.frame.id) {
                link.refused.insert(ordered.frame.id);
            }
        }
    }

    /// Stores a report, on whatever link it came.
    fn store(&mut self, report: &Report, out: &mut Outcome) {
        self.ever_stored.insert(report.report_id);
        let epoch = self.stored.epochs.entry(report.store_epoch).or_default();
        let before = epoch.reports.insert(report.seq.0, report.report_id);
        out.reports.push((report.seq.0, before.is_some_and(|id| id != report.report_id)));
        epoch.advance();
        let ever = self.ever_acked.entry(report.store_epoch).or_default();
        *ever = epoch.ack.max(*ever);
        match &report.body {
            ReportBody::Operation(verdict) => {
                let code = match (verdict.outcome.status, &verdict.outcome.error) {
                    (VerdictStatus::Completed, _) => "COMPLETED",
                    (VerdictStatus::Failed, error) => {
                        error.as_ref().map_or("none", |failure| failure.code.as_str())
                    }
                };
                let id = verdict.id;
                let ordered = self.stored.operations.get_mut(&id);
                let first = match &ordered {
                    Some(ordered) => ordered.verdict.clone(),
                    None => self.stored.foreign.get(&id).cloned(),
                };
                if first.is_none() {
                    out.seen.push(("verdict", code));
                    if code == "COMPLETED" {
                        out.seen.push(("completed", kind_name(&verdict.operation)));
                    }
                    if code == ErrorCode::OutcomeUnknown.as_str() {
                        out.seen.push(("outcome unknown", kind_name(&verdict.operation)));
                    }
                }
                let ordered_before = ordered.as_deref().cloned();
                match ordered {
                    Some(ordered) if ordered.verdict.is_none() => {
                        if ordered.is_given_up {
                            out.seen.push(("verdict", "after the cloud gave it up"));
                        }
                        ordered.verdict = Some((**verdict).clone());
                    }
                    Some(_) => {}
                    None => {
                        self.stored.foreign.entry(id).or_insert_with(|| (**verdict).clone());
                    }
                }
                out.verdicts.push(Verdict {
                    report: (**verdict).clone(),
                    first,
                    ordered: ordered_before,
                });
            }
            ReportBody::Configuration(configuration) => {
                let status = match configuration.status {
                    ConfigurationStatus::Applied => "applied",
                    ConfigurationStatus::Rejected => {
                        self.stored.rejected.insert(configuration.revision);
                        "rejected"
                    }
                };
                out.seen.push(("configuration", status));
            }
            ReportBody::Event(event) => out.seen.push(("event", event_name(event.event))),
            ReportBody::Dropped => out.seen.push(("report", "dropped")),
        }
    }
}

impl CloudLink {
    /// A verdict is sent again when its operation was dispatched again or cancelled.
    fn was_asked_for(&self, report: &Report) -> bool {
        match &report.body {
            ReportBody::Operation(verdict) => {
                self.dispatched.contains(&verdict.id)
                    || self.refused.contains(&verdict.id)
                    || self.cancelled.contains(&verdict.id)
            }
            ReportBody::Configuration(_) | ReportBody::Event(_) | ReportBody::Dropped => false,
        }
    }
}

impl super::Epoch {
    fn advance(&mut self) {
        while self.reports.contains_key(&(self.ack + 1)) {
            self.ack += 1;
        }
    }
}

const fn event_name(event: EventName) -> &'static str {
    match event {
        EventName::Booted => "booted",
        EventName::StoreDamaged => "store_damaged",
        EventName::EpochChanged => "epoch_changed",
        EventName::LateOutcome => "late_outcome",
        EventName::ApplicationHangs => "application_hangs",
        EventName::StorageRecovered => "storage_recovered",
        EventName::CertificateExpiring => "certificate_expiring",
        EventName::Unknown => "unknown",
    }
}
