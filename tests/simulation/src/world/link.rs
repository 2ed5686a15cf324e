//! Links: TCP with WebSocket on it. Within a link nothing overtakes and nothing comes twice; a
//! link that dies may lose what is on its way, or deliver it late, after the next link is up.

use std::collections::VecDeque;

use terminal_core::engine::{Event, LinkEnd};

use super::{World, effects::close_name};
use crate::queue::Due;

/// A connection, from the attempt on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) device: usize,
    is_open: bool,
    /// Nothing arrives any more.
    pub(crate) is_dead: bool,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    up_at: u64,
    down_at: u64,
    frames: u64,
    /// Nothing gets through until then.
    pub(crate) stalled_until: u64,
    /// What the terminal is told when it notices the end.
    pub(crate) ends_with: Option<LinkEnd>,
}

/// On its way to the cloud.
#[derive(Debug)]
pub(crate) enum Up {
    Frame(Vec<u8>),
    Close,
}

/// On its way to the terminal.
#[derive(Debug)]
pub(crate) enum Down {
    Frame(Vec<u8>),
    Pong,
    Close(u16),
}

impl World {
    pub(super) fn connect(&mut self, device: usize) {
        let link = self.links.len();
        self.links.push(Link {
            device,
            is_open: false,
            is_dead: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: 0,
            down_at: 0,
            frames: 0,
            stalled_until: 0,
            ends_with: None,
        });
        if let Some(process) = self.devices[device].process.as_mut() {
            process.link = Some(link);
        }
        self.counters.count("link", "attempted");
        let latency = self.latency(link);
        self.after(2 * latency + 1, Due::Connected { link });
    }

    pub(super) fn connected(&mut self, link: usize) {
        let device = self.links[link].device;
        if self.links[link].is_dead || self.link_of(device) != Some(link) {
            return;
        }
        let terminal = &self.devices[device];
        if terminal.network_down_until > self.now {
            if !terminal.network_hangs {
                self.counters.count("link", "could not connect");
                self.refuse(link, LinkEnd::Lost { reason: "no network".to_owned() });
            }
        } else if let Some(end) = self.cloud.refusal(self.now) {
            self.counters.count("link", refusal_name(&end));
            self.refuse(link, end);
        } else if self.links[link].ends_with.is_none() {
            self.links[link].is_open = true;
            self.counters.count("link", "opened");
            self.tell(device, Event::LinkOpened);
        }
    }

    fn refuse(&mut self, link: usize, end: LinkEnd) {
        self.links[link].is_dead = true;
        self.tell_link_closed(self.links[link].device, link, end);
    }

    /// The terminal notices that its link has ended.
    pub(super) fn link_ends(&mut self, link: usize) {
        let end = self.links[link].ends_with.take();
        let end = end.unwrap_or(LinkEnd::Lost { reason: "broken".to_owned() });
        self.tell_link_closed(self.links[link].device, link, end);
    }

    /// A link dies. What is on its way to the cloud is lost, or arrives `late_ms` later; the
    /// terminal is told after `notice_ms`, or notices nothing.
    pub(crate) fn end_link(
        &mut self,
        link: usize,
        lost: bool,
        late_ms: u64,
        notice_ms: Option<u64>,
    ) {
        let now = self.now;
        let ended = &mut self.links[link];
        ended.is_dead = true;
        ended.down.clear();
        if lost {
            ended.up.clear();
        } else {
            ended.stalled_until = ended.stalled_until.max(now + late_ms);
        }
        if let Some(ms) = notice_ms {
            self.after(ms, Due::LinkEnds { link });
        }
        self.log.line(now, || format!("link {link} dies, lost {lost}, late {late_ms} ms"));
        self.cloud.lose_link(link);
    }

    pub(super) fn put_up(&mut self, link: usize, up: Up) {
        let latency = self.latency(link);
        let now = self.now;
        let ended = &mut self.links[link];
        if !ended.is_open || ended.is_dead {
            return;
        }
        ended.up.push_back(up);
        ended.up_at = ended.up_at.max(now + latency);
        let at = ended.up_at;
        self.queue.push(at, Due::ToCloud { link });
    }

    pub(crate) fn put_down(&mut self, link: usize, down: Down) {
        let latency = self.latency(link);
        let now = self.now;
        let ended = &mut self.links[link];
        if !ended.is_open || ended.is_dead {
            return;
        }
        ended.down.push_back(down);
        ended.down_at = ended.down_at.max(now + latency);
        let at = ended.down_at;
        self.queue.push(at, Due::ToDevice { link });
    }

    pub(super) fn arrive_at_cloud(&mut self, link: usize) {
        let until = self.links[link].stalled_until;
        if until > self.now {
            self.queue.push(until, Due::ToCloud { link });
            return;
        }
        let was_dead = self.links[link].is_dead;
        match self.links[link].up.pop_front() {
            Some(Up::Frame(bytes)) => {
                if was_dead {
                    self.counters.count("fault", "frame arrived late");
                }
                self.cloud_hears(link, &bytes);
            }
            Some(Up::Close) => self.cloud.lose_link(link),
            None => {}
        }
    }

    pub(super) fn arrive_at_device(&mut self, link: usize) {
        let until = self.links[link].stalled_until;
        if until > self.now {
            self.queue.push(until, Due::ToDevice { link });
            return;
        }
        let device = self.links[link].device;
        let Some(down) = self.links[link].down.pop_front() else { return };
        if self.link_of(device) != Some(link) {
            return;
        }
        match down {
            Down::Frame(bytes) => self.tell(device, Event::FrameReceived(bytes)),
            Down::Pong => self.tell(device, Event::PeerHeard),
            Down::Close(code) => {
                self.counters.count("closed by the cloud", close_name(code));
                self.links[link].is_dead = true;
                let end = LinkEnd::Closed { code, reason: String::new() };
                self.tell_link_closed(device, link, end);
            }
        }
    }

    /// Whether anything is on its way, also late on a link that is gone.
    pub(crate) fn is_anything_on_its_way(&self) -> bool {
        self.links.iter().any(|link| !link.up.is_empty() || !link.down.is_empty())
    }

    /// How long the next thing takes.
    pub(super) fn latency(&mut self, link: usize) -> u64 {
        let ended = &mut self.links[link];
        ended.frames += 1;
        let labels = [2, link as u64, ended.frames];
        let most = self.plan.setting.latency_ms;
        self.random(&labels).below(most + 1)
    }
}

const fn refusal_name(end: &LinkEnd) -> &'static str {
    match end {
        LinkEnd::RetryAfter { .. } => "told to retry later",
        LinkEnd::Refused { .. }
        | LinkEnd::Unauthorized { .. }
        | LinkEnd::CertificateExpired { .. } => "refused",
        LinkEnd::Lost { .. } | LinkEnd::Closed { .. } => "cloud is down",
    }
}
