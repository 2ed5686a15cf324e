//! One terminal: does with effects what the shell of the agent does, and nothing else.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use terminal_agent::link::{self, Connector, LinkEvent, LinkHandle, VerificationClock};
use terminal_core::{
    engine::{
        CallOutcome, Credentials, Effect, Engine, Event, Identity, Moment, Monotonic, ReportOrder,
        Settings, Snapshot, Write,
    },
    protocol::{AgentFrame, CloudFrame, Report, ReportBody, Seq, decode_cloud_frame, encode},
};
use terminal_hal::{
    BootId, OperationId, OperationKind, OperationResult, Timestamp,
    operation::{CheckUpdateResult, reboot::BootReason},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    Plan,
    observer::{Note, What},
    site::{Runs, Site, serial_number},
};
use crate::entropy::{Entropy, Jitter};

/// Events of a link that may wait, as in the shell.
const EVENTS_MAX: usize = 64;

/// What all terminals share: a clock, and somebody who takes notes.
#[derive(Clone, Debug)]
pub(super) struct World {
    begin: Instant,
    notes: mpsc::UnboundedSender<Note>,
}

impl World {
    pub(super) fn new(notes: mpsc::UnboundedSender<Note>) -> Self {
        Self { begin: Instant::now(), notes }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

pub(super) struct Terminal {
    number: u32,
    world: World,
    entropy: Entropy,
    engine: Engine,
    /// Of the store only what is read back: no process is restarted here.
    reports: BTreeMap<Seq, Report>,
    runs: Runs,
    connector: Arc<Connector>,
    link: Option<LinkHandle>,
    /// Of the newest link.
    link_events: mpsc::Receiver<LinkEvent>,
    /// Events that arose while effects were carried out.
    arisen: VecDeque<Event>,
    /// Of the verdict that was sent last.
    verdict_seq: Option<Seq>,
}

impl Terminal {
    pub(super) fn new(plan: &Plan, site: &Site, number: u32, world: World) -> Result<Self> {
        let mut entropy = Entropy::new(plan.seed, number, Jitter::Full);
        let kinds = vec![OperationKind::CheckUpdate];
        let settings = Settings {
            supported: kinds.clone(),
            allowed: kinds,
            backoff: plan.backoff,
            credentials: Credentials::Configured,
        };
        let moment = moment(&world, &mut entropy);
        let identity = identity(&site.terminal_ids[number as usize], number, &moment);
        let engine = Engine::new(identity, settings, Snapshot::default(), None, &moment);
        let clock = Arc::new(VerificationClock::default());
        let (_, link_events) = mpsc::channel(1);
        Ok(Self {
            number,
            world,
            entropy,
            engine,
            reports: BTreeMap::new(),
            runs: Runs::new(),
            connector: Arc::new(Connector::new(site.link_config(number)?, clock)),
            link: None,
            link_events,
            arisen: VecDeque::from([Event::Started, Event::HalConnected]),
            verdict_seq: None,
        })
    }

    /// Runs until it is told to stop; tells what the hardware has done.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(u32, Runs)> {
        loop {
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok((self.number, self.runs)),
                event = self.next_event() => event,
            };
            self.observe(&event);
            let moment = moment(&self.world, &mut self.entropy);
            let mut effects = Vec::new();
            self.engine.step(&moment, &event, &mut effects);
            for effect in effects {
                self.perform(effect, &moment)?;
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        if let Some(event) = self.arisen.pop_front() {
            return event;
        }
        let now = Monotonic(self.world.now_ms());
        let until_deadline = self.engine.next_deadline().map(|at| at.ms_since(now));
        let deadline = async {
            match until_deadline {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(event) = self.link_events.recv() => match event {
                LinkEvent::Opened => Event::LinkOpened,
                LinkEvent::Text(bytes) => Event::FrameReceived(bytes),
                LinkEvent::Heard => Event::PeerHeard,
                LinkEvent::Closed(end) => Event::LinkClosed(end),
            },
            () = deadline => Event::Woken,
        }
    }

    fn perform(&mut self, effect: Effect, moment: &Moment) -> Result<()> {
        match effect {
            Effect::Append(writes) => self.append(writes),
            Effect::Connect(_) => {
                let (events, link_events) = mpsc::channel(EVENTS_MAX);
                self.link_events = link_events;
                self.note(What::Attempt);
                self.link = Some(link::spawn(Arc::clone(&self.connector), events));
            }
            Effect::Send(frame) => self.send(&frame),
            Effect::SendReport(order) => self.send_report(order),
            Effect::Ping => self.with_link(LinkHandle::ping),
            Effect::CloseLink { code, reason } => self.with_link(|link| link.close(code, &reason)),
            Effect::Start(order) => {
                *self.runs.entry(order.id).or_default() += 1;
                self.finish(order.id, order.attempt, moment.wall);
            }
            Effect::ReadHealth => {
                self.arisen.push_back(Event::HealthObserved(Box::default()));
            }
            // There is nothing to upload.
            Effect::AllowUploads => {}
            Effect::Cancel(_)
            | Effect::Abandon(_)
            | Effect::Verify(_)
            | Effect::Restart(_)
            | Effect::Configure(_)
            | Effect::UploadAcked(_)
            | Effect::UploadRefused { .. }
            | Effect::Identity(_)
            | Effect::Answer(_)
            | Effect::Stop => bail!("terminal {}: nobody asked for {effect:?}", self.number),
        }
        Ok(())
    }

    fn append(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::PutReport(report) => {
                    self.reports.insert(report.seq, *report);
                }
                Write::RemoveReport(seq) => {
                    self.reports.remove(&seq);
                }
                Write::PutMeta(_)
                | Write::PutOperation(_)
                | Write::RemoveOperation(_)
                | Write::PutConfiguration(_) => {}
            }
        }
    }

    fn send_report(&mut self, order: ReportOrder) {
        let ReportOrder { place, seq, store_epoch } = order;
        let report = match self.reports.get(&place) {
            Some(stored) => Report { seq, store_epoch, ..stored.clone() },
            None => Report::dropped(seq, store_epoch),
        };
        if matches!(report.body, ReportBody::Operation(_)) {
            self.verdict_seq = Some(seq);
        }
        self.send(&AgentFrame::Report(Box::new(report)));
    }

    /// The hardware is done at once, and has found nothing to install.
    fn finish(&mut self, id: OperationId, attempt: u32, checked_at: Timestamp) {
        let result = CheckUpdateResult {
            available: false,
            current: Vec::new(),
            updates: Vec::new(),
            checked_at,
            blocked_by: Vec::new(),
        };
        let outcome = CallOutcome::Completed(Box::new(OperationResult::CheckUpdate(result)));
        self.arisen.push_back(Event::Finished { id, attempt, outcome });
    }

    fn send(&self, frame: &AgentFrame) {
        self.with_link(|link| link.send_text(encode(frame)));
    }

    fn with_link(&self, act: impl FnOnce(&LinkHandle)) {
        if let Some(link) = &self.link {
            act(link);
        }
    }

    /// What the shell has to know, and what the observer wants to.
    fn observe(&mut self, event: &Event) {
        if let Event::LinkClosed(end) = event {
            self.link = None;
            self.note(What::Closed(end.clone()));
        }
        let Event::FrameReceived(bytes) = event else { return };
        match decode_cloud_frame(bytes) {
            Ok(CloudFrame::Welcome(_)) => self.note(What::Welcomed),
            Ok(CloudFrame::Ack(ack)) if self.verdict_seq.is_some_and(|seq| seq <= ack.seq) => {
                self.verdict_seq = None;
                self.note(What::Settled);
            }
            // The engine looks after the others.
            Ok(_) | Err(_) => {}
        }
    }

    fn note(&self, what: What) {
        // At the end nobody takes notes any more.
        let _ =
            self.world.notes.send(Note { terminal: self.number, at_ms: self.world.now_ms(), what });
    }
}

fn moment(world: &World, entropy: &mut Entropy) -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Moment { wall, ..entropy.moment(world.now_ms()) }
}

fn identity(terminal_id: &str, number: u32, moment: &Moment) -> Identity {
    Identity {
        terminal_id: terminal_id.to_owned(),
        serial_number: serial_number(number),
        model: "storm".into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        software_version: "1".into(),
        boot_id: BootId(Uuid::from_u128(moment.entropy)),
        boot_reason: BootReason::Power,
    }
}
