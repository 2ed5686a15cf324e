//! What the shell does with each effect.

use terminal_core::{
    engine::{Effect, LinkEnd, ReportOrder},
    protocol::{AgentFrame, encode},
};

use super::{Down, World, link::Up, round::Next};
use crate::{check, queue::Due};

impl World {
    pub(super) fn perform(&mut self, device: usize, effect: Effect) -> Next {
        match effect {
            // Taken out before.
            Effect::Append(_) => {}
            Effect::Connect(_) => self.connect(device),
            Effect::Send(frame) => {
                check::sent(self, device, &frame);
                self.send(device, &frame);
            }
            Effect::SendReport(order) => self.send_report(device, order),
            Effect::Ping => self.ping(device),
            Effect::CloseLink { code, .. } => self.close_link(device, code),
            Effect::Start(order) => {
                check::start(self, device, &order);
                self.begin_call(device, &order);
            }
            Effect::Cancel(id) => {
                check::cancel(self, device, id);
                self.cancel_call(device, id);
            }
            Effect::Abandon(id) => self.abandon_call(device, id),
            Effect::Verify(order) => {
                self.counters.count("verify asked", order.parameters.kind().as_str());
                self.ask(device, &order);
            }
            Effect::Restart(order) => {
                check::restart(self, device, &order);
                self.begin_restart(device, &order);
            }
            Effect::Configure(order) => {
                check::configure(self, device);
                self.configure(device, order);
            }
            Effect::ReadHealth => self.read_health(device),
            Effect::Answer(answer) => self.answered_locally(device, &answer),
            // No log data goes over the link here, and the credentials are the configuration's.
            Effect::Identity(_) => {}
            Effect::UploadAcked(_) | Effect::UploadRefused { .. } | Effect::AllowUploads => {}
            Effect::Stop => return Next::Stop,
        }
        Next::GoOn
    }

    fn send(&mut self, device: usize, frame: &AgentFrame) {
        let Some(link) = self.link_of(device) else { return };
        let bytes = encode(frame).into_bytes();
        self.put_up(link, Up::Frame(bytes));
    }

    fn send_report(&mut self, device: usize, order: ReportOrder) {
        check::report(self, device, &order);
        let report = self.devices[device].store.report(&order);
        self.send(device, &AgentFrame::Report(Box::new(report)));
    }

    fn ping(&mut self, device: usize) {
        if let Some(link) = self.link_of(device) {
            self.put_down(link, Down::Pong);
        }
    }

    fn close_link(&mut self, device: usize, code: u16) {
        let Some(link) = self.link_of(device) else { return };
        self.counters.count("closed by the terminal", close_name(code));
        self.put_up(link, Up::Close);
        let end = LinkEnd::Lost { reason: "closed".to_owned() };
        self.links[link].ends_with = Some(end);
        let latency = self.latency(link);
        // A peer that cannot be reached does not answer; the engine has a limit for that.
        let at = self.links[link].stalled_until.max(self.now + 2 * latency);
        self.queue.push(at, Due::LinkEnds { link });
    }

    /// The link that the shell holds.
    pub(super) fn link_of(&self, device: usize) -> Option<usize> {
        self.devices[device].process.as_ref().and_then(|process| process.link)
    }

    fn read_health(&mut self, device: usize) {
        self.look_at_storage(device);
        let generation = self.devices[device].generation;
        let Some(process) = self.devices[device].process.as_mut() else { return };
        if !process.health_is_read {
            process.health_is_read = true;
            self.after(5, Due::Health { device, generation });
        }
    }
}

/// Names of close codes, for counting.
pub(crate) const fn close_name(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1011 => "1011",
        4401 => "4401",
        4403 => "4403",
        4408 => "4408",
        4409 => "4409",
        _ => "another",
    }
}
