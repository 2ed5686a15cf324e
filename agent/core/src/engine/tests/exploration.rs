//! Random lives: events in any order, the process cut off between any two effects.
//!
//! The hardware of this world remembers what it was asked to do, as a payment application would;
//! the cloud repeats itself until it has a verdict. What must hold in every life: nothing starts
//! twice that may not, every accepted operation gets one verdict, memory is bounded.

use std::collections::{BTreeMap, BTreeSet};

use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, operation::reboot::BootReason};

use super::{
    effects::Effects,
    samples::{id, result, settings},
    store::Store,
    world::World,
};
use crate::engine::{CallOutcome, ConfigurationOutcome, Effect, Event, LinkEnd, Verification};
use crate::protocol::{
    AgentFrame, Cancel, CloudFrame, OperationFrame, Reconnect, Seq, StoreEpoch, Welcome, encode,
};

const LIVES: u128 = 250;
const STEPS: u32 = 100;
/// Steps without accidents in which everything must come to its end.
const QUIET_STEPS: u32 = 400;
const OPERATIONS: u64 = 6;

struct Life {
    w: World,
    random: u64,
    frames: BTreeMap<OperationId, OperationFrame>,
    accepted: BTreeSet<OperationId>,
    /// How often each attempt was started, and that nothing had happened before it.
    starts: BTreeMap<(OperationId, u32), u32>,
    asked_since_start: BTreeSet<OperationId>,
    /// Calls, questions and configurations that have no answer yet; lost with the process.
    open: Vec<Effect>,
    verdicts: BTreeMap<OperationId, String>,
    link_wanted: bool,
    revision: u64,
}

impl Life {
    fn new(seed: u128) -> Self {
        let w = World::with(settings(), Store::default(), seed);
        Self {
            w,
            random: seed as u64 ^ 0x9e37_79b9_7f4a_7c15,
            frames: BTreeMap::new(),
            accepted: BTreeSet::new(),
            starts: BTreeMap::new(),
            asked_since_start: BTreeSet::new(),
            open: Vec::new(),
            verdicts: BTreeMap::new(),
            link_wanted: false,
            revision: 0,
        }
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn step(&mut self, event: &Event) {
        let effects = self.w.step(event);
        self.observe(&effects);
    }

    /// Only some of the effects happen, then the process is gone.
    fn step_and_crash(&mut self, event: &Event) {
        if self.one_in(4) {
            self.step(&Event::StopRequested);
        }
        let done = usize::try_from(self.below(6)).unwrap();
        let effects = self.w.step_cut(event, done);
        self.observe(&effects);
        self.open.clear();
        self.link_wanted = false;
        let started = if self.one_in(3) {
            self.w.wall += self.below(400_000);
            self.w.wall_trusted = self.one_in(2);
            self.w.power_cycle(BootReason::Power)
        } else {
            self.w.restart()
        };
        self.observe(&started);
    }

    fn observe(&mut self, effects: &Effects) {
        let mut is_closed = false;
        for effect in &effects.all {
            match effect {
                Effect::Start(order) => self.note_start(order.id, order.attempt),
                Effect::Send(frame) => {
                    assert!(!is_closed, "sent on a link that is closed: {frame:?}");
                    if let AgentFrame::Accepted(accepted) = &**frame {
                        self.accepted.insert(accepted.id);
                    }
                }
                Effect::Connect(_) => self.link_wanted = true,
                Effect::CloseLink { .. } => {
                    is_closed = true;
                    self.link_wanted = false;
                }
                _ => {}
            }
            if matches!(
                effect,
                Effect::Start(_)
                    | Effect::Verify(_)
                    | Effect::Restart(_)
                    | Effect::Configure(_)
                    | Effect::CloseLink { .. }
                    | Effect::ReadHealth
            ) {
                self.open.push(effect.clone());
            }
        }
        for report in &effects.reports {
            assert!(self.w.store.meta.is_some() && report.seq > Seq(0));
        }
        for (id, first) in &self.verdicts {
            if let Some(verdict) = self.w.store.verdict(*id) {
                assert_eq!(&encode(&verdict), first, "a verdict has changed");
            }
        }
        for id in self.frames.keys() {
            if let Some(verdict) = self.w.store.verdict(*id) {
                self.verdicts.entry(*id).or_insert_with(|| encode(&verdict));
            }
        }
        assert!(self.open.len() < 200 && self.w.store.reports.len() < 400);
    }

    fn note_start(&mut self, id: OperationId, attempt: u32) {
        assert!(self.w.store.operations.contains_key(&id), "started before it was journalled");
        assert!(!self.verdicts.contains_key(&id), "started after its verdict");
        assert!((1..=3).contains(&attempt), "attempt {attempt}");
        let kind = OperationKind::from_name(&self.frames[&id].operation).unwrap();
        let may_run_again = match kind {
            OperationKind::EndOfDay | OperationKind::Update => self.asked_since_start.remove(&id),
            OperationKind::OpenMenu => false,
            _ => true,
        };
        let is_first = !self.starts.keys().any(|(started, _)| *started == id);
        assert!(is_first || may_run_again, "{kind} {id} started again");
        let times = self.starts.entry((id, attempt)).or_default();
        *times += 1;
        assert_eq!(*times, 1, "attempt {attempt} of {kind} started twice");
    }

    /// What may happen next.
    fn event(&mut self) -> Event {
        if self.w.engine.session.is_awaiting_welcome() && self.one_in(2) {
            return self.cloud_frame();
        }
        if !self.w.engine.session.is_open() && self.one_in(2) {
            return self.time();
        }
        match self.below(12) {
            0..=3 => self.cloud_frame(),
            4..=6 => self.answer(),
            7 => Event::HalConnected,
            8 => Event::StorageChanged { low: self.one_in(4) },
            9 if self.one_in(4) => Event::LinkClosed(LinkEnd::Lost { reason: String::new() }),
            9 => Event::PeerHeard,
            10 => Event::NetworkUp,
            _ => self.time(),
        }
    }

    /// Time passes, to the next deadline or not quite.
    fn time(&mut self) -> Event {
        let until = self.w.engine.next_deadline().map_or(1_000, |at| at.0 - self.w.monotonic);
        let ms = if self.one_in(3) { self.below(90_000) } else { until };
        self.w.pass(ms);
        if self.link_wanted {
            self.link_wanted = false;
            return if self.one_in(4) {
                Event::LinkClosed(LinkEnd::RetryAfter { seconds: 5 })
            } else {
                Event::LinkOpened
            };
        }
        Event::Woken
    }

    fn cloud_frame(&mut self) -> Event {
        let frame = if self.w.engine.session.is_up() {
            match self.below(10) {
                0..=4 => self.operation(),
                5 => CloudFrame::Cancel(Cancel { id: id(self.below(OPERATIONS).into()) }),
                6 => {
                    self.revision += self.below(2);
                    let config = serde_json::Map::new();
                    let revision = self.revision;
                    CloudFrame::Configuration(crate::protocol::ConfigurationFrame {
                        revision,
                        config,
                    })
                }
                7 => CloudFrame::Reconnect(Reconnect { after_s: 1, spread_s: 5 }),
                _ => self.ack(),
            }
        } else {
            CloudFrame::Welcome(self.welcome())
        };
        Event::FrameReceived(encode(&frame).into_bytes())
    }

    fn ack(&mut self) -> CloudFrame {
        let (acked, sent) = (self.w.engine.outbox.acked().0, self.w.engine.outbox.sent().0);
        let seq = acked + self.below(sent - acked + 1) - self.w.engine.meta.epoch_base.0;
        let store_epoch = self.w.epoch();
        CloudFrame::Ack(crate::protocol::Ack { store_epoch, seq: Seq(seq) })
    }

    fn welcome(&mut self) -> Welcome {
        let outbox = &self.w.engine.outbox;
        let acked = outbox.acked().0 - self.w.engine.meta.epoch_base.0;
        let lies = self.one_in(40);
        let ack_seq = Seq(if lies { acked + 1_000 } else { acked });
        Welcome { ack_seq, ack_report_id: None, ..self.w.welcome() }
    }

    fn operation(&mut self) -> CloudFrame {
        let id = id(self.below(OPERATIONS).into());
        if !self.frames.contains_key(&id) {
            let kind = OperationKind::ALL[usize::try_from(self.below(9)).unwrap()];
            let ttl_s = u32::try_from(20 + self.below(600)).unwrap();
            let frame = OperationFrame { ttl_s, ..self.w.operation(0, kind) };
            let first_epoch = self.one_in(8).then(|| StoreEpoch(uuid::Uuid::nil()));
            self.frames.insert(id, OperationFrame { id, first_epoch, ..frame });
        }
        CloudFrame::Operation(Box::new(self.frames[&id].clone()))
    }

    /// The hardware answers something that it was asked, or the link something that it was told.
    fn answer(&mut self) -> Event {
        if self.open.is_empty() {
            return self.time();
        }
        let n = self.open.len() as u64;
        let which = usize::try_from(self.below(n)).unwrap();
        match self.open.swap_remove(which) {
            Effect::Start(order) => {
                let kind = order.parameters.kind();
                let outcome = match self.below(6) {
                    0 => CallOutcome::Failed(Failure::new(ErrorCode::DeviceFault, "x")),
                    1 if kind == OperationKind::Update => {
                        self.asked_since_start.insert(order.id);
                        self.starts.remove(&(order.id, order.attempt));
                        CallOutcome::Deferred { retry_after_s: 30 }
                    }
                    2..=3 if matches!(kind, OperationKind::Reboot | OperationKind::Update) => {
                        CallOutcome::ReadyToRestart { instance: None, application_hangs: false }
                    }
                    _ => CallOutcome::Completed(Box::new(result(kind))),
                };
                Event::Finished { id: order.id, attempt: order.attempt, outcome }
            }
            Effect::Verify(order) => {
                let kind = order.parameters.kind();
                let answer = match self.below(7) {
                    0 => Verification::Completed(Box::new(result(kind))),
                    1 => Verification::Unavailable,
                    2 => Verification::Running,
                    3 => Verification::Unknown,
                    4 if kind == OperationKind::Update => Verification::RestartRequired,
                    _ => {
                        self.asked_since_start.insert(order.id);
                        Verification::NotStarted
                    }
                };
                Event::Verified { id: order.id, attempt: order.attempt, answer }
            }
            Effect::Restart(order) => {
                let failure = Failure::new(ErrorCode::Canceled, "not now");
                let outcome = CallOutcome::Failed(failure);
                Event::Finished { id: order.id, attempt: order.attempt, outcome }
            }
            Effect::Configure(order) => Event::Configured {
                call: order.call,
                outcome: match self.below(3) {
                    0 => ConfigurationOutcome::Applied { sha256: "0".repeat(64) },
                    1 => ConfigurationOutcome::Rejected(Vec::new()),
                    _ => ConfigurationOutcome::Unavailable(Failure::new(ErrorCode::Internal, "x")),
                },
            },
            Effect::ReadHealth => Event::HealthObserved(Box::default()),
            _ => Event::LinkClosed(LinkEnd::Lost { reason: String::new() }),
        }
    }

    fn live(&mut self) {
        for _ in 0..STEPS {
            let event = self.event();
            if self.one_in(8) {
                self.step_and_crash(&event);
            } else {
                self.step(&event);
            }
        }
    }

    /// Nothing bad happens any more: everything that was accepted gets its verdict.
    fn settle(&mut self) {
        self.step(&Event::StorageChanged { low: false });
        self.w.wall_trusted = true;
        for _ in 0..QUIET_STEPS {
            let event = if self.one_in(2) { self.answer() } else { self.time() };
            self.step(&event);
            if self.w.engine.session.is_awaiting_welcome() {
                let welcome = CloudFrame::Welcome(self.welcome());
                self.step(&Event::FrameReceived(encode(&welcome).into_bytes()));
            }
            if self.w.engine.operations.is_empty() {
                break;
            }
        }
        assert!(self.w.engine.operations.is_empty(), "{:?}", self.w.engine);
        for id in &self.accepted {
            assert!(self.verdicts.contains_key(id), "{id} was accepted and has no verdict");
        }
    }
}

#[test]
fn in_every_life_nothing_starts_twice_and_everything_accepted_gets_one_verdict() {
    let mut seen = (0, 0);
    for seed in 1..=LIVES {
        let mut life = Life::new(seed);
        life.live();
        life.settle();
        seen.0 += life.starts.len();
        seen.1 += life.verdicts.len();
    }
    let enough = 2 * usize::try_from(LIVES).unwrap();
    assert!(seen.0 > enough && seen.1 > enough, "too quiet to prove anything: {seen:?}");
}
