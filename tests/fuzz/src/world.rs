//! One terminal: the real engine, its store, its clocks, and what must hold after every step.

use std::collections::BTreeMap;

use terminal_core::{
    engine::{
        BackoffSettings, Credentials, Effect, Engine, EngineView, Event, Identity, LinkView,
        Moment, Monotonic, ReportOrder, Settings, Snapshot,
    },
    protocol::{AgentFrame, Report, ReportBody, ReportId, Seq, SessionId, StoreEpoch, Welcome},
};
use terminal_hal::{BootId, OperationKind, Timestamp, operation::reboot::BootReason};
use uuid::Uuid;

use crate::{frames::reaches_the_cloud, ledger::Ledger, store::Store};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Wake-ups without time passing, above which the engine is busy with nothing.
const WAKE_UPS_MAX: u32 = 8;

/// A terminal that runs.
pub(crate) struct World {
    engine: Engine,
    store: Store,
    pub(crate) ledger: Ledger,
    boots: u128,
    pub(crate) monotonic: u64,
    pub(crate) wall: u64,
    pub(crate) wall_trusted: bool,
    random: u128,
    wake_ups: u32,
    pub(crate) link: Link,
    /// Calls, questions and configurations without an answer; lost with the process.
    pub(crate) open: Vec<Effect>,
    /// What the cloud has got.
    received: BTreeMap<(StoreEpoch, Seq), ReportId>,
    /// What the cloud has acked, by epoch.
    acked: BTreeMap<StoreEpoch, Seq>,
}

/// The link, as the network has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Down,
    Wanted,
    Open,
    Closing,
}

impl World {
    /// A terminal with a new store, started.
    pub(crate) fn new() -> Self {
        let (monotonic, wall) = (HOUR_MS, 20_000 * DAY_MS);
        let mut world = Self {
            engine: engine(1, Snapshot::default(), &moment(monotonic, wall, true, 1)),
            store: Store::default(),
            ledger: Ledger::default(),
            boots: 1,
            monotonic,
            wall,
            wall_trusted: true,
            random: 1,
            wake_ups: 0,
            link: Link::Down,
            open: Vec::new(),
            received: BTreeMap::new(),
            acked: BTreeMap::new(),
        };
        world.step(&Event::Started);
        world
    }

    /// One step, and everything that it wants done.
    pub(crate) fn step(&mut self, event: &Event) {
        if self.step_cut(event, usize::MAX) {
            self.restart(false);
        }
    }

    /// One step of which only the first effects are carried out. True when the process is to end:
    /// the caller starts it again.
    pub(crate) fn step_cut(&mut self, event: &Event, done: usize) -> bool {
        let moment = self.moment();
        let mut effects = Vec::new();
        self.engine.step(&moment, event, &mut effects);
        is_in_order(&effects);
        is_ahead(&self.engine, moment.monotonic);
        effects.truncate(done);
        let mut stops = false;
        for effect in effects {
            stops |= effect == Effect::Stop;
            self.carry_out(effect);
        }
        stops
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append(writes) => {
                self.ledger.append(&writes);
                self.store.append(&writes);
            }
            Effect::Connect(_) => {
                // One that does not end when it is told to is left behind.
                let is_over = matches!(self.link, Link::Down | Link::Closing);
                assert!(is_over, "a second link beside one that is {:?}", self.link);
                self.link = Link::Wanted;
            }
            Effect::CloseLink { code, .. } => {
                assert!((1000..5000).contains(&code), "{code}");
                self.link = Link::Closing;
            }
            Effect::Send(frame) => {
                assert_eq!(self.link, Link::Open, "{frame:?}");
                reaches_the_cloud(&frame);
                if let AgentFrame::Accepted(accepted) = &*frame {
                    self.ledger.accepted(accepted.id);
                }
            }
            Effect::SendReport(order) => self.send_report(order),
            Effect::Ping => assert_eq!(self.link, Link::Open),
            Effect::Start(order) => {
                self.ledger.start(&order);
                self.open.push(Effect::Start(order));
            }
            Effect::Abandon(id) => self.open.retain(|open| {
                let is_call = matches!(open, Effect::Start(order) if order.id == id);
                let is_restart = matches!(open, Effect::Restart(order) if order.id == id);
                !is_call && !is_restart
            }),
            Effect::Verify(_) | Effect::Restart(_) | Effect::Configure(_) | Effect::ReadHealth => {
                self.open.push(effect);
            }
            Effect::Cancel(_)
            | Effect::UploadAcked(_)
            | Effect::UploadRefused { .. }
            | Effect::AllowUploads
            | Effect::Identity(_)
            | Effect::Answer(_)
            | Effect::Stop => {}
        }
    }

    /// What is at a place of the store goes out whole, and the cloud reads what was meant.
    fn send_report(&mut self, order: ReportOrder) {
        assert_eq!(self.link, Link::Open, "{order:?}");
        let ReportOrder { place, seq, store_epoch } = order;
        assert!(seq > Seq(0), "{order:?}");
        let stored = self.store.report(place);
        assert!(stored.is_ok(), "{stored:?}");
        let report = match stored.ok().flatten() {
            Some(report) => Report { seq, store_epoch, ..report },
            None => Report::dropped(seq, store_epoch),
        };
        reaches_the_cloud(&AgentFrame::Report(Box::new(report.clone())));
        if report.body != ReportBody::Dropped {
            let old = self.received.insert((store_epoch, seq), report.report_id);
            assert!(old.is_none_or(|old| old == report.report_id), "another report: {report:?}");
        }
    }

    /// The process ends without notice and starts again, after a boot or in the same one. When
    /// the last step was whole, it knows what it knew before.
    pub(crate) fn restart(&mut self, boots: bool) {
        if boots {
            self.boots += 1;
            self.monotonic = 20_000;
            self.wall += 20_000;
        }
        let moment = self.moment();
        let snapshot = self.store.snapshot();
        assert!(snapshot.is_ok(), "{snapshot:?}");
        self.engine = engine(self.boots, snapshot.unwrap_or_default(), &moment);
        self.link = Link::Down;
        self.open.clear();
        self.step(&Event::Started);
    }

    /// A process that would start now knows what this one knows, but for acks that wait for the
    /// next commit.
    pub(crate) fn memory_is_the_store(&mut self) {
        let moment = self.moment();
        let snapshot = self.store.snapshot().unwrap_or_default();
        let ours = self.engine.view(&moment);
        let replayed = engine(self.boots, snapshot, &moment).view(&moment);
        let known = |view: &EngineView| -> Vec<_> {
            let operations = view.operations.iter();
            operations.map(|o| (o.id, o.operation.clone(), o.attempt)).collect()
        };
        assert_eq!(known(&ours), known(&replayed));
        assert_eq!(ours.store_epoch, replayed.store_epoch);
        assert_eq!(ours.status.config_revision, replayed.status.config_revision);
        assert!(ours.status.unacked <= replayed.status.unacked);
    }

    /// Lets time pass to the next deadline.
    pub(crate) fn wait(&mut self) {
        let at = self.engine.next_deadline().map_or(self.monotonic + 1000, |at| at.0);
        self.wake_ups = if at > self.monotonic { 0 } else { self.wake_ups + 1 };
        assert!(self.wake_ups < WAKE_UPS_MAX, "busy with nothing: {:?}", self.engine);
        self.pass(at - self.monotonic);
    }

    /// Lets time pass without anything happening, as in suspend.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.monotonic += ms;
        self.wall = self.wall.saturating_add(ms);
    }

    /// Whether the cloud has welcomed the terminal.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.engine.view(&self.now()).link, LinkView::Up { .. })
    }

    /// Operations without a verdict.
    pub(crate) fn unfinished(&self) -> usize {
        self.engine.view(&self.now()).operations.len()
    }

    /// The sequence of this store.
    pub(crate) fn epoch(&self) -> StoreEpoch {
        self.engine.view(&self.now()).store_epoch
    }

    /// What an honest cloud says to begin with.
    pub(crate) fn welcome(&mut self) -> Welcome {
        let epoch = self.epoch();
        let ack_seq = self.acked.get(&epoch).copied().unwrap_or_default();
        Welcome {
            session_id: SessionId(Uuid::from_u128(self.moment().entropy)),
            server_time: Timestamp::from_unix_ms(self.wall),
            heartbeat_s: 60,
            ack_seq,
            ack_report_id: self.received.get(&(epoch, ack_seq)).copied(),
            config_revision: 0,
        }
    }

    /// The highest seq that an honest cloud can ack, which then counts as acked.
    pub(crate) fn ack(&mut self) -> Seq {
        let epoch = self.epoch();
        let mut seq = self.acked.get(&epoch).copied().unwrap_or_default();
        while self.received.contains_key(&(epoch, seq.next())) {
            seq = seq.next();
        }
        self.acked.insert(epoch, seq);
        seq
    }

    fn now(&self) -> Moment {
        moment(self.monotonic, self.wall, self.wall_trusted, 0)
    }

    /// The moment of a step: the entropy is fresh, and the same in every run.
    fn moment(&mut self) -> Moment {
        for _ in 0..2 {
            let low = self.random & u128::from(u64::MAX);
            let next = low.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x1405_7b7e_f767);
            self.random = (self.random << 64) | (next >> 11 & u128::from(u64::MAX));
        }
        Moment { entropy: self.random, ..self.now() }
    }
}

/// At most one `Append`, and it comes first.
pub(crate) fn is_in_order(effects: &[Effect]) {
    let is_append = |effect: &&Effect| matches!(effect, Effect::Append(_));
    assert_eq!(effects.iter().skip(1).filter(is_append).count(), 0, "{effects:?}");
    if let Some(Effect::Append(writes)) = effects.first() {
        assert!(!writes.is_empty(), "an append of nothing");
    }
}

/// The next look is never in the past.
pub(crate) fn is_ahead(engine: &Engine, now: Monotonic) {
    let at = engine.next_deadline();
    assert!(at.is_none_or(|at| at >= now), "{at:?} has passed at {now:?}: {engine:?}");
}

/// An engine with that memory, in that boot.
pub(crate) fn engine(boot: u128, snapshot: Snapshot, moment: &Moment) -> Engine {
    let identity = Identity {
        terminal_id: "T-1".into(),
        serial_number: "SN-1".into(),
        model: "mock".into(),
        agent_version: "1.0.0".into(),
        software_version: "5.0.0".into(),
        boot_id: BootId(Uuid::from_u128(0xb007 << 64 | boot)),
        boot_reason: BootReason::Power,
    };
    let kinds = OperationKind::ALL.to_vec();
    let backoff = BackoffSettings::default();
    let settings = Settings {
        supported: kinds.clone(),
        allowed: kinds,
        backoff,
        credentials: Credentials::Configured,
    };
    Engine::new(identity, settings, snapshot, None, moment)
}

/// A moment.
pub(crate) fn moment(monotonic: u64, wall: u64, wall_trusted: bool, entropy: u128) -> Moment {
    let (monotonic, wall) = (Monotonic(monotonic), Timestamp::from_unix_ms(wall));
    Moment { monotonic, wall, wall_trusted, calendar: None, entropy }
}
