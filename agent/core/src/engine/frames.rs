//! Frames from the cloud: which of them mean what, and what answers the others.

use std::ops::RangeInclusive;

use terminal_hal::OperationId;

use super::{
    CloudClock, Effect, Engine, IdentityOrder, OperationState,
    limits::{HEARTBEAT_S, UNACKED_MAX, UNFINISHED_MAX},
    output::Output,
};
use crate::protocol::{
    Ack, AgentFrame, Caps, CloudFrame, DecodeError, Hello, Outbox, PROTOCOL_VERSION, Seq, Started,
    TEXT_FRAME_BYTES_MAX, Unfinished, UnfinishedState, Welcome, close_code, decode_cloud_frame,
    error_code,
};

impl Engine {
    pub(super) fn on_link_opened(&mut self, out: &mut Output<'_>) {
        if !self.session.opened(&mut out.effects, out.moment) {
            return;
        }
        if self.session.is_enrolling() {
            self.on_enrolment_link(out);
            return;
        }
        let hello = self.hello(out);
        out.send(AgentFrame::Hello(Box::new(hello)));
    }

    pub(super) fn on_frame(&mut self, bytes: &[u8], out: &mut Output<'_>) {
        if !self.session.is_open() {
            // Was on the way when the link ended.
            return;
        }
        if !self.session.heard(out.moment) {
            return;
        }
        if self.session.is_enrolling() {
            self.on_enrolment_frame(bytes, out);
            return;
        }
        match decode_cloud_frame(bytes) {
            Ok(frame) if self.session.is_up() => self.on_welcomed_frame(frame, out),
            Ok(CloudFrame::Welcome(welcome)) if self.session.is_awaiting_welcome() => {
                self.on_welcome(&welcome, out);
            }
            Ok(CloudFrame::Reconnect(asked)) => {
                self.session.drain(asked, &mut out.effects, out.moment);
            }
            Ok(CloudFrame::Error(error)) => {
                tracing::warn!(code = error.code, reason = error.message, "error from the cloud");
            }
            Ok(_) => {
                let message = "nothing but welcome may come first".to_owned();
                out.send_error(error_code::NOT_WELCOMED, message, None);
            }
            Err(error) => self.on_undecodable(error, out),
        }
    }

    fn on_welcomed_frame(&mut self, frame: CloudFrame, out: &mut Output<'_>) {
        match frame {
            CloudFrame::Operation(operation) => self.on_operation(&operation, out),
            CloudFrame::Ack(ack) => self.on_ack(ack, out),
            CloudFrame::Cancel(cancel) => self.on_cancel(cancel.id, out),
            CloudFrame::Configuration(frame) => self.on_configuration(frame, out),
            CloudFrame::Enrolled(enrolled) => self.on_enrolled(enrolled, out),
            CloudFrame::LogAck(ack) => out.push(Effect::UploadAcked(ack)),
            CloudFrame::Reconnect(asked) => {
                self.session.drain(asked, &mut out.effects, out.moment);
            }
            CloudFrame::Error(error) => {
                tracing::warn!(
                    code = error.code,
                    message = error.message,
                    reference = error.reference,
                    "error from the cloud"
                );
                self.on_renewal_error(&error, out);
                let id = error.reference.as_deref().and_then(|id| id.parse().ok());
                if let Some(id) = id.map(OperationId) {
                    out.push(Effect::UploadRefused { id, code: error.code });
                }
            }
            CloudFrame::Welcome(_) => {
                let message = "welcome comes once per link".to_owned();
                out.send_error(error_code::INVALID_MESSAGE, message, None);
            }
        }
    }

    pub(super) fn on_undecodable(&mut self, error: DecodeError, out: &mut Output<'_>) {
        tracing::warn!(%error, "frame not understood");
        match error {
            DecodeError::TooLarge(_) => {
                let reason = "frame larger than 64 KiB";
                self.session.close(close_code::TOO_BIG, reason, &mut out.effects, out.moment);
            }
            DecodeError::Malformed(_) => {
                let reason = "not a JSON object with a type";
                self.session.close(close_code::INVALID_DATA, reason, &mut out.effects, out.moment);
            }
            DecodeError::UnknownType(kind) => {
                let message = format!("this terminal does not know {kind:?}");
                out.send_error(error_code::UNSUPPORTED_MESSAGE, message, None);
            }
            DecodeError::Invalid { kind, reference, problem } => {
                let message = format!("{kind}: {problem}");
                out.send_error(error_code::INVALID_MESSAGE, message, reference);
            }
        }
    }

    fn on_welcome(&mut self, welcome: &Welcome, out: &mut Output<'_>) {
        self.cloud_clock = Some(CloudClock { at: out.moment.monotonic, time: welcome.server_time });
        if let Some(reason) = self.contradiction(welcome) {
            // Another terminal has written this history, or this one has lost part of it.
            self.new_epoch(reason, out);
            self.session.close(close_code::NORMAL, reason, &mut out.effects, out.moment);
            return;
        }
        let heartbeat_s = clamp(welcome.heartbeat_s, HEARTBEAT_S);
        tracing::info!(session_id = %welcome.session_id, heartbeat_s, "connected");
        self.session.last_id = Some(welcome.session_id);
        self.session.welcomed(u64::from(heartbeat_s) * 1000, out.moment);
        if self.membership.welcomed(out.moment) {
            out.push(Effect::Identity(IdentityOrder::Keep(self.session.endpoint())));
        }
        self.acked(self.place(welcome.ack_seq), out);
        self.outbox.rewind();
        self.status_due(out);
        self.announce_attempts(out);
        out.push(Effect::AllowUploads);
    }

    /// What has begun without a link, or since `hello`, nobody has heard of.
    fn announce_attempts(&self, out: &mut Output<'_>) {
        for record in self.operations.values() {
            if let OperationState::Running { attempt, .. } = record.state {
                out.send(AgentFrame::Started(Started { id: record.id, attempt }));
            }
        }
    }

    /// Why the cloud's history cannot be the continuation of this store, or `None`.
    fn contradiction(&self, welcome: &Welcome) -> Option<&'static str> {
        let place = self.place(welcome.ack_seq);
        if place > self.outbox.last() {
            return Some("the cloud has acked more than this store has sent");
        }
        let ours = if place == self.meta.acked_seq {
            self.meta.acked_report_id
        } else {
            self.outbox.report_id(place)
        };
        match (ours, welcome.ack_report_id) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Some("the cloud has another report under that seq")
            }
            _ => None,
        }
    }

    fn on_ack(&mut self, ack: Ack, out: &mut Output<'_>) {
        if ack.store_epoch != self.meta.store_epoch || self.place(ack.seq) > self.outbox.sent() {
            let message = "another store epoch, or more than was sent".to_owned();
            out.send_error(error_code::INVALID_ACK, message, Some(ack.seq.to_string()));
            return;
        }
        self.acked(self.place(ack.seq), out);
    }

    /// The place in the store of a seq on the wire.
    const fn place(&self, seq: Seq) -> Seq {
        Seq(self.meta.epoch_base.0.saturating_add(seq.0))
    }

    fn hello(&self, out: &Output<'_>) -> Hello {
        let unfinished = self.operations.values().map(|record| Unfinished {
            id: record.id,
            state: match record.state {
                OperationState::Queued { .. } => UnfinishedState::Accepted,
                OperationState::Running { .. } | OperationState::Finished { .. } => {
                    UnfinishedState::Started
                }
            },
        });
        let base = self.meta.epoch_base;
        Hello {
            protocol: PROTOCOL_VERSION,
            terminal_id: self.identity.terminal_id.clone(),
            serial_number: self.identity.serial_number.clone(),
            model: self.identity.model.clone(),
            agent_version: self.identity.agent_version.clone(),
            software_version: self.identity.software_version.clone(),
            boot_id: self.identity.boot_id,
            store_epoch: self.meta.store_epoch,
            session_id: self.session.last_id,
            operations: self.settings.supported.iter().map(ToString::to_string).collect(),
            unfinished: unfinished.collect(),
            outbox: Outbox {
                first_seq: Seq(self.outbox.acked().count_after(base) + 1),
                last_seq: Seq(self.outbox.last().count_after(base)),
            },
            caps: Caps {
                unfinished: cap(UNFINISHED_MAX),
                unacked: cap(UNACKED_MAX),
                frame_bytes: cap(TEXT_FRAME_BYTES_MAX),
            },
            locked: self.health.is_locked(),
            config_revision: self.configuration.applied_revision(),
            clock: Self::clock_state(out.moment),
        }
    }
}

fn clamp(value: u32, range: RangeInclusive<u32>) -> u32 {
    value.clamp(*range.start(), *range.end())
}

fn cap(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}
