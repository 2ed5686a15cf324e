//! Answers to questions: what became of an operation, what the state of the hardware is, whether
//! a configuration was applied.

use terminal_core::engine::{
    ConfigurationOutcome, ConfigureCall, ConfigureOrder, Event, StartOrder, Verification,
};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, OperationResult,
    operation::{
        RebootResult, SettingProblem,
        reboot::{BootReason, RebootScope},
    },
    status::TerminalHealth,
};

use super::State;
use crate::{queue::Due, world::World};

/// Most time that an answer takes.
const ANSWER_MS: u64 = 3_000;
/// The executor gives a configuration up after this.
const CONFIGURE_MS: u64 = 50_000;

impl World {
    pub(crate) fn ask(&mut self, device: usize, order: &StartOrder) {
        let generation = self.devices[device].generation;
        let (id, attempt) = (order.id, order.attempt);
        let labels = [5, generation.into(), self.now, u64::from(attempt)];
        let ms = self.random(&labels).below(ANSWER_MS);
        self.after(ms, Due::Answer { device, generation, id, attempt });
    }

    pub(crate) fn answer(&mut self, device: usize, generation: u32, id: OperationId, attempt: u32) {
        if !self.is_process(device, generation) {
            return;
        }
        let answer = self.verification(device, id);
        self.counters.count("verify answer", answer_name(&answer));
        if answer == Verification::NotStarted {
            self.devices[device].hardware.entry(id).may_start_again = true;
        }
        self.tell(device, Event::Verified { id, attempt, answer });
    }

    fn verification(&mut self, device: usize, id: OperationId) -> Verification {
        let behaviour = self.behaviour(id);
        let now = self.now;
        let terminal = &mut self.devices[device];
        let record = terminal.store.operations.get(&id);
        let Some(kind) = record.and_then(|r| OperationKind::from_name(&r.operation)) else {
            return Verification::Unknown;
        };
        let is_up = terminal.hardware.is_up(now);
        if !is_up && kind != OperationKind::Update {
            return Verification::Unavailable;
        }
        if kind == OperationKind::Reboot {
            return self.application_restart(device, id);
        }
        if behaviour.forgets {
            return Verification::Unknown;
        }
        match terminal.hardware.entry(id).state.clone() {
            State::Unheard => Verification::NotStarted,
            State::Running => Verification::Running,
            State::Finished(result) => Verification::Completed(result),
            State::Failed(failure) => Verification::Failed(failure),
            State::Installed => Verification::RestartRequired,
        }
    }

    /// An application has restarted when its instance is another one.
    fn application_restart(&self, device: usize, id: OperationId) -> Verification {
        let terminal = &self.devices[device];
        let record = terminal.store.operations.get(&id);
        let call = record.and_then(|record| match &record.state {
            terminal_core::engine::OperationState::Running { restart, .. } => restart.clone(),
            terminal_core::engine::OperationState::Queued { .. }
            | terminal_core::engine::OperationState::Finished { .. } => None,
        });
        let Some(call) = call.filter(|call| call.instance.is_some()) else {
            return Verification::Unknown;
        };
        if call.instance == Some(terminal.hardware.instance.to_string()) {
            return Verification::NotStarted;
        }
        Verification::Completed(Box::new(OperationResult::Reboot(RebootResult {
            scope: RebootScope::Application,
            boot_id_before: call.boot_id,
            boot_id_after: call.boot_id,
            boot_reason: BootReason::Requested,
        })))
    }

    pub(crate) fn health(&mut self, device: usize, generation: u32) {
        if !self.is_process(device, generation) {
            return;
        }
        let now = self.now;
        let terminal = &mut self.devices[device];
        let hardware = &terminal.hardware;
        let health = TerminalHealth {
            locked: hardware.locked,
            payment_active: hardware.payment_until > now,
            ..TerminalHealth::default()
        };
        if let Some(process) = terminal.process.as_mut() {
            process.health_is_read = false;
        }
        self.tell(device, Event::HealthObserved(Box::new(health)));
    }

    pub(crate) fn configure(&mut self, device: usize, order: ConfigureOrder) {
        let generation = self.devices[device].generation;
        let ConfigureOrder { call, configuration } = order;
        let labels = [6, generation.into(), call.0];
        let mut random = self.random(&labels);
        let ms = if random.one_in(8) { 2 * CONFIGURE_MS } else { random.below(2_000) };
        if ms > CONFIGURE_MS {
            self.counters.count("configuration", "hangs");
        }
        self.devices[device].hardware.applying.insert(call, (configuration, self.now));
        self.after(ms.min(CONFIGURE_MS), Due::Configured { device, generation, call });
    }

    pub(crate) fn configured(&mut self, device: usize, generation: u32, call: ConfigureCall) {
        if !self.is_process(device, generation) {
            return;
        }
        let now = self.now;
        let rejects_every = self.plan.setting.rejects_every;
        let mut random = self.random(&[6, generation.into(), call.0]);
        let hangs = random.one_in(8) && !self.is_calm;
        let hardware = &mut self.devices[device].hardware;
        let Some((configuration, _)) = hardware.applying.remove(&call) else { return };
        let revision = configuration.revision;
        let is_up = hardware.is_up(now);
        if hangs && is_up && random.one_in(2) {
            self.counters.count("configuration", "in force without an answer");
            hardware.settings = revision;
        }
        let outcome = if hangs || !is_up {
            let failure = Failure::new(ErrorCode::HalUnavailable, "no answer");
            ConfigurationOutcome::Unavailable(failure)
        } else if rejects_every > 0 && revision % rejects_every == 0 {
            ConfigurationOutcome::Rejected(vec![SettingProblem {
                path: "a".to_owned(),
                code: "BAD".to_owned(),
                message: "bad".to_owned(),
            }])
        } else {
            hardware.settings = revision;
            ConfigurationOutcome::Applied { sha256: format!("{revision:064x}") }
        };
        self.counters.count("configuration", outcome_name(&outcome));
        self.tell(device, Event::Configured { call, outcome });
    }
}

const fn answer_name(answer: &Verification) -> &'static str {
    match answer {
        Verification::NotStarted => "not started",
        Verification::Running => "running",
        Verification::Unavailable => "unavailable",
        Verification::Completed(_) => "completed",
        Verification::Failed(_) => "failed",
        Verification::RestartRequired => "restart required",
        Verification::Unknown => "unknown",
    }
}

const fn outcome_name(outcome: &ConfigurationOutcome) -> &'static str {
    match outcome {
        ConfigurationOutcome::Applied { .. } => "call applied it",
        ConfigurationOutcome::Rejected(_) => "call rejected it",
        ConfigurationOutcome::Unavailable(_) => "call did not answer",
    }
}
