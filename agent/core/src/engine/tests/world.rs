//! One terminal with its engine, a model of its store, its clocks and a cloud that it talks to.
//!
//! Every step is checked against the invariants of the engine, see `check`.

use std::collections::BTreeMap;

use terminal_hal::{Timestamp, operation::reboot::BootReason};
use uuid::Uuid;

use super::{
    check,
    effects::Effects,
    samples::{DAY_MS, HOUR_MS, identity, settings},
    store::Store,
};
use crate::engine::{
    Calendar, ConfigurationOutcome, ConfigureOrder, Effect, Endpoint, Engine, Event, Identity,
    LinkEnd, Moment, Monotonic, Settings,
};
use crate::protocol::{CloudFrame, ReportId, Seq, SessionId, StoreEpoch, Welcome, encode};

/// Wake-ups without time passing that a test allows before it calls them a busy loop.
const WAKE_UPS_MAX: u32 = 8;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) identity: Identity,
    pub(super) settings: Settings,
    pub(super) monotonic: u64,
    pub(super) wall: u64,
    pub(super) wall_trusted: bool,
    /// What the schedule says at a wall time; there is none where this is absent.
    pub(super) calendar: Option<fn(u64) -> Option<Calendar>>,
    /// By how much the cloud's clock is ahead.
    pub(super) cloud_ahead_ms: u64,
    /// Whether the cloud answers pings.
    pub(super) answers_pings: bool,
    /// Fixes the jitter, as a part of its range in 64 bits; random where absent.
    pub(super) jitter: Option<u64>,
    /// Calls that apply a configuration, made by this process.
    pub(super) configure_calls: Vec<ConfigureOrder>,
    /// Invariants that need a second engine are checked on every step.
    pub(super) compares_memory: bool,
    random: u128,
    boots: u128,
    /// What the cloud has acked, by epoch: a `welcome` repeats it.
    pub(super) acked: BTreeMap<StoreEpoch, (Seq, Option<ReportId>)>,
}

impl World {
    /// A terminal with an empty store, started, without a link.
    pub(super) fn new() -> Self {
        Self::with(settings(), Store::default(), 1)
    }

    pub(super) fn with(settings: Settings, store: Store, seed: u128) -> Self {
        let identity = identity(1);
        let moment = Moment {
            monotonic: Monotonic(0),
            wall: Timestamp::default(),
            wall_trusted: true,
            calendar: None,
            entropy: seed,
        };
        let engine =
            Engine::new(identity.clone(), settings.clone(), store.snapshot(), None, &moment);
        let mut world = Self {
            engine,
            store,
            identity,
            settings,
            monotonic: HOUR_MS,
            wall: 20_000 * DAY_MS,
            wall_trusted: true,
            calendar: None,
            cloud_ahead_ms: 0,
            answers_pings: true,
            jitter: None,
            configure_calls: Vec::new(),
            compares_memory: true,
            random: seed,
            boots: 1,
            acked: BTreeMap::new(),
        };
        world.start_process(None);
        world
    }

    /// The same, connected and welcomed.
    pub(super) fn connected() -> Self {
        let mut world = Self::new();
        world.connect();
        world
    }

    /// The moment, to look at something.
    pub(super) fn now(&self) -> Moment {
        Moment {
            monotonic: Monotonic(self.monotonic),
            wall: Timestamp::from_unix_ms(self.wall),
            wall_trusted: self.wall_trusted,
            calendar: self.calendar.and_then(|calendar| calendar(self.wall)),
            entropy: 0,
        }
    }

    /// The moment of a step.
    fn moment(&mut self) -> Moment {
        // Knuth's MMIX generator, widened: entropy that is the same in every run.
        for _ in 0..2 {
            let low = self.random as u64;
            let next = low.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x1405_7b7e_f767);
            self.random = (self.random << 64) | u128::from(next.rotate_left(17));
        }
        let entropy = match self.jitter {
            Some(jitter) => (self.random & !u128::from(u64::MAX)) | u128::from(jitter),
            None => self.random,
        };
        Moment { entropy, ..self.now() }
    }

    /// One step, with everything that it wants done done.
    pub(super) fn step(&mut self, event: &Event) -> Effects {
        self.step_cut(event, usize::MAX)
    }

    /// One step of which only the first effects are carried out: the process dies then, and the
    /// caller has to restart it.
    pub(super) fn step_cut(&mut self, event: &Event, done: usize) -> Effects {
        let moment = self.moment();
        let mut all = Vec::new();
        self.engine.step(&moment, event, &mut all);
        check::order(&all);
        check::deadline(&self.engine, moment.monotonic);
        let is_whole = done >= all.len();
        all.truncate(done);
        let mut effects = Effects::default();
        for effect in &all {
            match effect {
                Effect::Append(writes) => self.store.append(writes),
                Effect::SendReport(order) => effects.reports.push(self.store.report(order)),
                Effect::Configure(order) => self.configure_calls.push(order.clone()),
                _ => {}
            }
        }
        effects.all = all;
        if is_whole && self.compares_memory {
            let replayed = self.replayed(&moment);
            check::memory(&self.engine, &replayed);
        }
        effects
    }

    fn replayed(&self, moment: &Moment) -> Engine {
        let (identity, settings) = (self.identity.clone(), self.settings.clone());
        Engine::new(identity, settings, self.store.snapshot(), None, moment)
    }

    /// Lets time pass without anything happening, as in suspend.
    pub(super) fn pass(&mut self, ms: u64) {
        self.monotonic += ms;
        self.wall += ms;
    }

    /// Lets time pass, waking the engine whenever it wants to be woken.
    pub(super) fn wait(&mut self, ms: u64) -> Effects {
        let end = self.monotonic + ms;
        let mut effects = Effects::default();
        let mut wake_ups = 0;
        while let Some(at) = self.engine.next_deadline().filter(|at| at.0 <= end) {
            wake_ups = if at.0 > self.monotonic { 0 } else { wake_ups + 1 };
            assert!(wake_ups < WAKE_UPS_MAX, "busy loop: {:?}", self.engine);
            self.pass(at.0 - self.monotonic);
            let woken = self.step(&Event::Woken);
            if self.answers_pings && woken.has(&Effect::Ping) {
                self.step(&Event::PeerHeard);
            }
            effects.extend(woken);
        }
        self.pass(end - self.monotonic);
        effects
    }

    /// Waits until the engine wants to be woken, and wakes it.
    pub(super) fn wait_for_one_deadline(&mut self) -> Effects {
        let at = self.engine.next_deadline().expect("a deadline");
        self.pass(at.0 - self.monotonic);
        self.step(&Event::Woken)
    }

    /// The process ends without notice and starts again in the same boot.
    pub(super) fn restart(&mut self) -> Effects {
        self.start_process(None)
    }

    /// The device loses power and boots; the boot clock begins again.
    pub(super) fn power_cycle(&mut self, reason: BootReason) -> Effects {
        self.boots += 1;
        self.identity = Identity { boot_reason: reason, ..identity(self.boots) };
        self.monotonic = 20_000;
        self.wall += 20_000;
        self.start_process(None)
    }

    pub(super) fn start_process(&mut self, damage: Option<String>) -> Effects {
        let moment = self.moment();
        let (identity, settings) = (self.identity.clone(), self.settings.clone());
        self.engine = Engine::new(identity, settings, self.store.snapshot(), damage, &moment);
        self.configure_calls.clear();
        self.step(&Event::Started)
    }

    /// Waits until the engine connects, and welcomes it. Gives the effects of the welcome.
    pub(super) fn connect(&mut self) -> Effects {
        self.open_link();
        let welcome = self.welcome();
        self.receive(&CloudFrame::Welcome(welcome))
    }

    /// Waits until the engine connects, and opens the link.
    pub(super) fn open_link(&mut self) -> Effects {
        for _ in 0..1_000 {
            if self.wait_for_one_deadline().has(&Effect::Connect(Endpoint::Operations)) {
                return self.step(&Event::LinkOpened);
            }
        }
        panic!("no attempt to connect: {:?}", self.engine);
    }

    /// The newest call that applies this revision is answered.
    pub(super) fn configured(&mut self, revision: u64, outcome: ConfigurationOutcome) -> Effects {
        let mut calls = self.configure_calls.iter().rev();
        let order = calls.find(|order| order.configuration.revision == revision);
        let call = order.expect("a call of that revision").call;
        self.step(&Event::Configured { call, outcome })
    }

    pub(super) fn lose_link(&mut self) -> Effects {
        self.step(&Event::LinkClosed(LinkEnd::Lost { reason: "test".into() }))
    }

    pub(super) fn welcome(&mut self) -> Welcome {
        let acked = self.acked.get(&self.epoch()).copied();
        let (ack_seq, ack_report_id) = acked.unwrap_or((Seq(0), None));
        Welcome {
            session_id: SessionId(Uuid::from_u128(self.moment().entropy)),
            server_time: self.cloud_time(),
            heartbeat_s: 60,
            ack_seq,
            ack_report_id,
            config_revision: 0,
        }
    }

    pub(super) fn epoch(&self) -> StoreEpoch {
        self.engine.meta.store_epoch
    }

    pub(super) fn cloud_time(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.wall + self.cloud_ahead_ms)
    }

    pub(super) fn receive(&mut self, frame: &CloudFrame) -> Effects {
        self.receive_text(&encode(frame))
    }

    pub(super) fn receive_text(&mut self, text: &str) -> Effects {
        self.step(&Event::FrameReceived(text.as_bytes().to_vec()))
    }
}
