//! What the cloud does with a world around it: links come and go, frames arrive, the clock goes.

use terminal_core::protocol::{
    Ack, Cancel, CloudFrame, Reconnect, Seq, SessionId, StoreEpoch, Welcome, encode,
};
use terminal_hal::OperationId;
use uuid::Uuid;

use super::{Down, World};
use crate::{
    check,
    cloud::Outcome,
    plan::{Hostility, PlannedOperation, operation_id},
    queue::Due,
};

impl World {
    /// A frame has arrived, on whatever link.
    pub(super) fn cloud_hears(&mut self, link: usize, bytes: &[u8]) {
        if self.cloud.is_down(self.now) {
            return;
        }
        let now = self.true_time();
        let outcome = self.cloud.hear(link, bytes, now);
        self.log
            .line(self.now, || format!("cloud < link {link} {}", String::from_utf8_lossy(bytes)));
        self.settle_cloud(link, outcome);
    }

    fn settle_cloud(&mut self, link: usize, outcome: Outcome) {
        for (check, detail) in outcome.faults {
            self.fail(check, || detail);
        }
        for (group, name) in outcome.seen {
            self.counters.count(group, name);
        }
        if let Some(old) = outcome.replaces {
            self.close_link_by_cloud(old, 4409);
        }
        for verdict in outcome.verdicts {
            check::verdict(self, link, &verdict);
        }
        for (seq, report) in outcome.reports {
            check::stored_report(self, seq, report);
        }
        if outcome.ack {
            self.after(self.plan.setting.ack_ms, Due::Ack { link });
        }
        if outcome.is_welcome {
            self.welcome(link);
        }
        if outcome.look_ms > 0 {
            self.after(outcome.look_ms, Due::CloudLook);
        }
    }

    fn welcome(&mut self, link: usize) {
        if self.cloud.mute_until > self.now {
            return;
        }
        let time = self.true_time();
        let heartbeat_s = self.plan.setting.heartbeat_s;
        let Some(frames) = self.cloud.welcome(link, time, heartbeat_s) else { return };
        self.counters.count("link", "welcomed");
        self.send_all(link, frames);
    }

    pub(super) fn cloud_look(&mut self) {
        if self.cloud.is_down(self.now) || self.cloud.mute_until > self.now {
            return;
        }
        let Some(link) = self.cloud.current_link() else { return };
        if self.cloud.is_unwelcomed(link) {
            return self.welcome(link);
        }
        let (frames, look_ms) = self.cloud.look(self.true_time());
        self.send_all(link, frames);
        if let Some(ms) = look_ms {
            self.after(ms, Due::CloudLook);
        }
    }

    fn send_all(&mut self, link: usize, frames: Vec<CloudFrame>) {
        for frame in frames {
            self.put_down(link, Down::Frame(encode(&frame).into_bytes()));
        }
    }

    pub(super) fn ack(&mut self, link: usize) {
        if self.cloud.mute_until > self.now {
            self.queue.push(self.cloud.mute_until, Due::Ack { link });
            return;
        }
        if let Some(ack) = self.cloud.ack(link) {
            let bytes = encode(&CloudFrame::Ack(ack)).into_bytes();
            self.put_down(link, Down::Frame(bytes));
        }
    }

    fn close_link_by_cloud(&mut self, link: usize, code: u16) {
        self.cloud.lose_link(link);
        self.put_down(link, Down::Close(code));
    }

    pub(super) fn close_by_cloud(&mut self, code: u16) {
        if let Some(link) = self.cloud.current_link() {
            self.close_link_by_cloud(link, code);
        }
    }

    pub(super) fn drain(&mut self, after_s: u32, spread_s: u32) {
        if let Some(link) = self.cloud.current_link() {
            self.counters.count("fault", "reconnect");
            let frame = CloudFrame::Reconnect(Reconnect { after_s, spread_s });
            self.put_down(link, Down::Frame(encode(&frame).into_bytes()));
        }
    }

    pub(super) fn restart_cloud(&mut self, down_ms: u64) {
        self.counters.count("fault", "cloud restart");
        self.cloud.down_until = self.now + down_ms;
        if let Some(link) = self.cloud.current_link() {
            self.end_link(link, true, 0, Some(1));
        }
    }

    /// The database goes back; whoever ordered something since then orders it again, under the
    /// same id (rule 14).
    pub(super) fn restore_cloud(&mut self) {
        let Some(forgotten) = self.cloud.restore() else { return };
        self.counters.count("fault", "cloud restored");
        if let Some(link) = self.cloud.current_link() {
            self.end_link(link, true, 0, Some(1));
        }
        for operation in forgotten {
            self.cloud.recreate(operation);
        }
    }

    pub(super) fn order(&mut self, planned: &PlannedOperation) {
        self.behaviours.insert(planned.id(), planned.hardware);
        self.counters.count("ordered", check::kind_name(&planned.operation));
        self.cloud.order(planned, self.true_time());
        self.after(0, Due::CloudLook);
        // When it is given up.
        let ms = (u64::from(planned.ttl_s) + u64::from(planned.deadline_s)) * 1000;
        self.after(ms, Due::CloudLook);
    }

    pub(super) fn withdraw(&mut self, n: u32) {
        if self.cloud.withdraw(operation_id(n)) {
            self.counters.count("fault", "cancel");
            self.after(0, Due::CloudLook);
        }
    }

    pub(super) fn set_configuration(&mut self) {
        self.cloud.set_configuration();
        self.counters.count("ordered", "configuration");
        self.after(0, Due::CloudLook);
    }

    pub(super) fn dispatch_again(&mut self, n: u32) {
        let time = self.true_time();
        let Some(link) = self.cloud.welcomed_link() else { return };
        if let Some(frame) = self.cloud.dispatch_again(operation_id(n), time) {
            self.counters.count("fault", "dispatched again");
            self.send_all(link, vec![frame]);
        }
    }

    pub(super) fn send_hostile(&mut self, device: usize, hostility: Hostility) {
        let Some(memory) = self.devices[device].process.as_ref().map(|p| p.engine.memory()) else {
            return;
        };
        let (epoch, base) = (memory.meta.store_epoch, memory.meta.epoch_base);
        let sent = Seq(memory.sent.count_after(base));
        let other = StoreEpoch(Uuid::from_u128(7));
        let text = match hostility {
            Hostility::AckOfAnotherEpoch => {
                encode(&CloudFrame::Ack(Ack { store_epoch: other, seq: sent }))
            }
            Hostility::AckBeyond => {
                let beyond = Seq(memory.last.count_after(base) + 100_000);
                encode(&CloudFrame::Ack(Ack { store_epoch: epoch, seq: beyond }))
            }
            Hostility::WelcomeAgain => encode(&CloudFrame::Welcome(Welcome {
                session_id: SessionId(Uuid::from_u128(9)),
                server_time: self.true_time(),
                heartbeat_s: 5,
                ack_seq: Seq(0),
                ack_report_id: None,
                config_revision: 0,
            })),
            Hostility::CancelUnknown => {
                let id = OperationId(Uuid::from_u128(11));
                encode(&CloudFrame::Cancel(Cancel { id }))
            }
            Hostility::UnknownType => r#"{"type":"dance"}"#.to_owned(),
            Hostility::InvalidFrame => r#"{"type":"operation","id":"x"}"#.to_owned(),
            Hostility::Garbage => "dance".to_owned(),
            Hostility::TooLarge => format!(r#"{{"type":"dance","x":"{}"}}"#, "x".repeat(65_536)),
        };
        // On the link that the terminal has: an older one may be all that the cloud has welcomed.
        let current = self.link_of(device);
        if current.is_some() && current == self.cloud.welcomed_link() {
            self.cloud.was_hostile = true;
            self.counters.count("hostile", hostility_name(hostility));
            self.send_bytes(device, text.into_bytes());
        }
    }
}

const fn hostility_name(hostility: Hostility) -> &'static str {
    match hostility {
        Hostility::AckOfAnotherEpoch => "ack of another epoch",
        Hostility::AckBeyond => "ack beyond what was sent",
        Hostility::WelcomeAgain => "second welcome",
        Hostility::CancelUnknown => "cancel of an unknown id",
        Hostility::UnknownType => "unknown type",
        Hostility::InvalidFrame => "invalid frame",
        Hostility::Garbage => "garbage",
        Hostility::TooLarge => "too large",
    }
}
