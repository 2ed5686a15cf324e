//! One terminal with its engine, a model of its store, its clocks and a cloud that it talks to.
//!
//! Every step is checked against the invariants of the engine, see `check`.

use std::collections::BTreeMap;

use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, SideEffects, Timestamp,
    operation::reboot::BootReason,
};
use uuid::Uuid;

use super::{
    check,
    effects::Effects,
    samples::{DAY_MS, HOUR_MS, id, identity, parameters, result, settings},
    store::Store,
};
use crate::engine::{
    CallOutcome, Effect, Engine, Event, Identity, LinkEnd, Moment, Monotonic, OperationState,
    Settings, Verification,
};
use crate::protocol::{
    Ack, Cancel, CloudFrame, ConfigurationFrame, OperationFrame, OperationReport, Policy, ReportId,
    Seq, SessionId, StoreEpoch, Welcome, encode,
};

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
    /// By how much the cloud's clock is ahead.
    pub(super) cloud_ahead_ms: u64,
    /// Whether the cloud answers pings.
    pub(super) answers_pings: bool,
    /// Fixes the jitter, as a part of its range in 64 bits; random where absent.
    pub(super) jitter: Option<u64>,
    /// Invariants that need a second engine are checked on every step.
    pub(super) compares_memory: bool,
    random: u128,
    boots: u128,
    /// What the cloud has acked, by epoch: a `welcome` repeats it.
    acked: BTreeMap<StoreEpoch, (Seq, Option<ReportId>)>,
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
            cloud_ahead_ms: 0,
            answers_pings: true,
            jitter: None,
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
            if self.wait_for_one_deadline().has(&Effect::Connect) {
                return self.step(&Event::LinkOpened);
            }
        }
        panic!("no attempt to connect: {:?}", self.engine);
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

    /// An operation as the cloud dispatches it first.
    pub(super) fn operation(&self, n: u128, kind: OperationKind) -> OperationFrame {
        OperationFrame {
            id: id(n),
            operation: kind.as_str().into(),
            parameters: parameters(kind),
            created_at: self.cloud_time(),
            created_by: "test".into(),
            first_epoch: None,
            ttl_s: 600,
            not_after: self.cloud_time().plus_ms(DAY_MS),
            deadline_s: 120,
            policy: Policy::default(),
        }
    }

    pub(super) fn dispatch(&mut self, n: u128, kind: OperationKind) -> Effects {
        let frame = self.operation(n, kind);
        self.send(frame)
    }

    pub(super) fn send(&mut self, frame: OperationFrame) -> Effects {
        self.receive(&CloudFrame::Operation(Box::new(frame)))
    }

    pub(super) fn configuration(&mut self, revision: u64) -> Effects {
        let config = parameters(OperationKind::Configure);
        self.receive(&CloudFrame::Configuration(ConfigurationFrame { revision, config }))
    }

    pub(super) fn cancel(&mut self, n: u128) -> Effects {
        self.receive(&CloudFrame::Cancel(Cancel { id: id(n) }))
    }

    /// The cloud has stored everything up to `seq`.
    pub(super) fn ack(&mut self, seq: u64) -> Effects {
        let store_epoch = self.epoch();
        let place = Seq(self.engine.meta.epoch_base.0 + seq);
        let report_id = self.store.reports.get(&place).map(|report| report.report_id);
        self.acked.insert(store_epoch, (Seq(seq), report_id));
        self.receive(&CloudFrame::Ack(Ack { store_epoch, seq: Seq(seq) }))
    }

    /// The current attempt ends well.
    pub(super) fn complete(&mut self, n: u128) -> Effects {
        let kind = OperationKind::from_name(&self.store.operations[&id(n)].operation);
        let result = result(kind.expect("a kind"));
        self.finish(n, CallOutcome::Completed(Box::new(result)))
    }

    /// The current attempt ends.
    pub(super) fn finish(&mut self, n: u128, outcome: CallOutcome) -> Effects {
        let attempt = self.attempt(n);
        self.step(&Event::Finished { id: id(n), attempt, outcome })
    }

    pub(super) fn verified(&mut self, n: u128, answer: Verification) -> Effects {
        let attempt = self.attempt(n);
        self.step(&Event::Verified { id: id(n), attempt, answer })
    }

    /// An answer to an attempt that may not be the current one.
    pub(super) fn verified_stray(
        &mut self,
        n: u128,
        attempt: u32,
        answer: Verification,
    ) -> Effects {
        self.step(&Event::Verified { id: id(n), attempt, answer })
    }

    /// The attempt that is journalled; 0 where none is.
    pub(super) fn attempt(&self, n: u128) -> u32 {
        match self.store.operations[&id(n)].state {
            OperationState::Running { attempt, .. } => attempt,
            OperationState::Queued { .. } | OperationState::Finished { .. } => 0,
        }
    }

    /// The verdict of an operation, as it is stored.
    pub(super) fn verdict(&self, n: u128) -> OperationReport {
        self.store.verdict(id(n)).expect("a verdict")
    }

    /// Why an operation failed, as it is stored.
    pub(super) fn failure(&self, n: u128) -> Failure {
        self.verdict(n).outcome.error.expect("a failure")
    }

    pub(super) fn failed_with(&self, n: u128) -> (ErrorCode, SideEffects) {
        let failure = self.failure(n);
        (failure.code, failure.side_effects)
    }

    pub(super) fn has_verdict(&self, id: OperationId) -> bool {
        self.store.verdict(id).is_some()
    }
}
