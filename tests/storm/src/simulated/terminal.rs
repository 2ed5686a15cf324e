//! One terminal in virtual time: the real engine, and nothing around it but a clock.

use terminal_core::{
    engine::{
        BackoffSettings, Credentials, Effect, Endpoint, Engine, Event, Identity, LinkEnd,
        Monotonic, Settings, Snapshot,
    },
    protocol::{CloudFrame, Reconnect, Seq, SessionId, Welcome, encode},
};
use terminal_hal::{BootId, OperationKind, Timestamp, operation::reboot::BootReason};
use uuid::Uuid;

use crate::entropy::Entropy;

/// `welcome.heartbeat_s` of the simulated cloud.
pub(super) const HEARTBEAT_S: u32 = 30;
/// The link waits so long for a silent peer to answer a close.
const CLOSE_MS: u64 = 1_000;

/// A terminal whose engine is stepped from outside.
pub(super) struct Terminal {
    engine: Engine,
    pub(super) entropy: Entropy,
    effects: Vec<Effect>,
    now_ms: u64,
}

impl Terminal {
    /// Its process starts at `at_ms` with an empty store.
    pub(super) fn start(at_ms: u64, backoff: BackoffSettings, mut entropy: Entropy) -> Self {
        let kinds = vec![OperationKind::CheckUpdate];
        let settings = Settings {
            supported: kinds.clone(),
            allowed: kinds,
            backoff,
            credentials: Credentials::Configured,
        };
        let moment = entropy.moment(at_ms);
        let engine = Engine::new(identity(), settings, Snapshot::default(), None, &moment);
        let mut terminal = Self { engine, entropy, effects: Vec::new(), now_ms: at_ms };
        terminal.step(at_ms, &Event::Started);
        terminal
    }

    /// When it connects next. `network_up_ms` is when the network comes up, if it does.
    pub(super) fn attempt(&mut self, network_up_ms: Option<u64>) -> u64 {
        // A wait of nothing ends in the step that began it.
        while !self.effects.contains(&Effect::Connect(Endpoint::Operations)) {
            // A terminal without a deadline would never come back: the run shows one less.
            let Some(Monotonic(due)) = self.engine.next_deadline() else { return u64::MAX };
            match network_up_ms.filter(|up| (self.now_ms..due).contains(up)) {
                Some(up) if up > self.now_ms => self.step(up, &Event::NetworkUp),
                Some(_) | None => self.step(due.max(self.now_ms), &Event::Woken),
            }
        }
        self.now_ms
    }

    /// The attempt has failed, or the link has ended.
    pub(super) fn lose(&mut self, at_ms: u64) {
        let reason = String::new();
        self.step(at_ms, &Event::LinkClosed(LinkEnd::Lost { reason }));
    }

    /// The attempt succeeds and the cloud welcomes the terminal.
    pub(super) fn link_up(&mut self, at_ms: u64) {
        self.step(at_ms, &Event::LinkOpened);
        let welcome = Welcome {
            session_id: SessionId(Uuid::from_u128(1)),
            server_time: Timestamp::from_unix_ms(at_ms),
            heartbeat_s: HEARTBEAT_S,
            ack_seq: Seq(0),
            ack_report_id: None,
            config_revision: 0,
        };
        self.receive(at_ms, &CloudFrame::Welcome(welcome));
    }

    /// The cloud asks for a drain, and the link closes at once.
    pub(super) fn drain(&mut self, at_ms: u64, after_s: u32, spread_s: u32) {
        self.receive(at_ms, &CloudFrame::Reconnect(Reconnect { after_s, spread_s }));
        let reason = String::new();
        self.step(at_ms, &Event::LinkClosed(LinkEnd::Lost { reason }));
    }

    /// Pings are answered until `end_ms`.
    pub(super) fn stay_up(&mut self, end_ms: u64) {
        while let Some(Monotonic(due)) = self.engine.next_deadline().filter(|due| due.0 < end_ms) {
            self.step(due, &Event::Woken);
            if self.effects.contains(&Effect::Ping) {
                self.step(due, &Event::PeerHeard);
            }
        }
    }

    /// Nothing is answered any more, until the engine gives the link up.
    pub(super) fn fall_silent(&mut self) {
        while let Some(Monotonic(due)) = self.engine.next_deadline() {
            self.step(due, &Event::Woken);
            let gives_up = |effect: &Effect| matches!(effect, Effect::CloseLink { .. });
            if self.effects.iter().any(gives_up) {
                return self.lose(due + CLOSE_MS);
            }
        }
    }

    fn receive(&mut self, at_ms: u64, frame: &CloudFrame) {
        self.step(at_ms, &Event::FrameReceived(encode(frame).into_bytes()));
    }

    fn step(&mut self, at_ms: u64, event: &Event) {
        self.now_ms = at_ms;
        self.effects.clear();
        let moment = self.entropy.moment(at_ms);
        self.engine.step(&moment, event, &mut self.effects);
    }
}

fn identity() -> Identity {
    Identity {
        terminal_id: "T".into(),
        serial_number: "S".into(),
        model: "M".into(),
        agent_version: "1".into(),
        software_version: "1".into(),
        boot_id: BootId(Uuid::from_u128(1)),
        boot_reason: BootReason::Power,
    }
}
