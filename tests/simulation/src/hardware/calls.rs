//! Calls: from `Start` to the answer. The process that asked may be gone by then; some work goes
//! on without it.

use terminal_core::engine::{CallOutcome, Event, StartOrder};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, Parameters, SideEffects,
    operation::end_of_day::CloseMode,
};

use super::{Phase, State, Work, outlives_the_agent, results};
use crate::{
    plan::CallEnd,
    queue::Due,
    world::{Device, World},
};

/// An answer to a process that is gone comes within this, if it comes.
const STRAY_MS_MAX: u64 = 60_000;

impl World {
    pub(crate) fn begin_call(&mut self, device: usize, order: &StartOrder) {
        let (id, kind) = (order.id, order.parameters.kind());
        let mut behaviour = self.behaviour(id);
        let every = self.plan.setting.rejects_every;
        if kind == OperationKind::Configure && every > 0 && revision(&order.parameters) % every == 0
        {
            behaviour.end = CallEnd::FailsBefore;
        }
        let generation = self.devices[device].generation;
        let now = self.now;
        let hardware = &mut self.devices[device].hardware;
        let is_up = hardware.is_up(now);
        let instance = hardware.instance;
        let entry = hardware.entry(id);
        entry.starts += 1;
        entry.instance = instance;
        entry.may_start_again = false;
        let is_poisonous = entry.poisoned < behaviour.crashes;
        entry.poisoned += u32::from(is_poisonous);
        let is_deferred = kind == OperationKind::Update && entry.deferrals < behaviour.deferrals;
        hardware.tickets += 1;
        let ticket = hardware.tickets;
        let work = Work {
            id,
            attempt: order.attempt,
            kind,
            behaviour,
            policy: order.policy,
            asker: Some(generation),
            phase: Phase::Waiting,
            before: State::Unheard,
            wait_until: now + wait_ms(order),
            needs_hold: needs_hold(&order.parameters),
            restart: None,
            revision: revision(&order.parameters),
            result: None,
        };
        hardware.work.insert(ticket, work);
        if is_poisonous {
            self.counters.count("fault", "poisonous call");
            self.after(behaviour.latency_ms / 2, Due::Poison { device, generation });
        }
        if is_deferred {
            let entry = self.devices[device].hardware.entry(id);
            entry.deferrals += 1;
            entry.may_start_again = true;
            self.counters.count("call", "deferred");
            let retry_after_s = behaviour.deferral_s;
            return self.end_call(device, ticket, CallOutcome::Deferred { retry_after_s });
        }
        let needs_application = !matches!(
            kind,
            OperationKind::SendLogs | OperationKind::CheckUpdate | OperationKind::Update
        );
        if needs_application && !is_up {
            self.counters.count("call", "while the application was down");
            let failure = Failure::new(ErrorCode::HalUnavailable, "not up yet");
            return self.end_call(device, ticket, CallOutcome::Failed(failure));
        }
        self.call_waits(device, ticket);
    }

    /// The call begins for good once payments are out of the way.
    pub(crate) fn run_call(&mut self, device: usize, ticket: u64) {
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.get_mut(&ticket) else { return };
        work.phase = Phase::Running;
        let (id, kind, behaviour) = (work.id, work.kind, work.behaviour);
        if outlives_the_agent(kind) {
            let entry = hardware.ledger.entry(id).or_default();
            work.before = std::mem::replace(&mut entry.state, State::Running);
        }
        let latency = behaviour.latency_ms;
        let effect = latency * behaviour.effect_percent.min(100) / 100;
        if behaviour.end != CallEnd::FailsBefore {
            self.after(effect, Due::CallEffect { device, ticket });
        }
        match behaviour.end {
            CallEnd::Hangs { ms: None } => self.counters.count("call", "hangs for ever"),
            CallEnd::Hangs { ms: Some(ms) } => {
                self.counters.count("call", "hangs for a while");
                self.after(latency + ms, Due::CallEnds { device, ticket });
            }
            CallEnd::Works | CallEnd::FailsBefore | CallEnd::FailsAfter => {
                self.after(latency, Due::CallEnds { device, ticket });
            }
        }
        self.progress(device, ticket);
    }

    /// The effect: what the operation is for.
    pub(crate) fn call_effect(&mut self, device: usize, ticket: u64) {
        let now = self.true_time();
        let boot = Device::boot_id(self.devices[device].boot);
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.get_mut(&ticket).filter(|w| w.phase == Phase::Running)
        else {
            return;
        };
        work.phase = Phase::Effective;
        let (id, kind, revision) = (work.id, work.kind, work.revision);
        // A restart takes effect when it is made.
        if kind == OperationKind::Reboot {
            return;
        }
        let nth = hardware.entry(id).effects;
        let result = results::make(kind, &results::Made { id, nth, at: now, boot, revision });
        let value = serde_json::to_value(result.clone().bounded()).unwrap_or_default();
        let entry = hardware.entry(id);
        entry.effects += u32::from(kind != OperationKind::CheckUpdate);
        entry.results.push(value);
        if kind == OperationKind::Update {
            entry.state = State::Installed;
        }
        match kind {
            OperationKind::Lock => hardware.locked = true,
            OperationKind::Unlock => hardware.locked = false,
            OperationKind::Configure => hardware.settings = revision,
            OperationKind::EndOfDay
            | OperationKind::SendLogs
            | OperationKind::CheckUpdate
            | OperationKind::OpenMenu
            | OperationKind::Reboot
            | OperationKind::Update => {}
        }
        if let Some(work) = hardware.work.get_mut(&ticket) {
            work.result = Some(Box::new(result));
        }
        self.log
            .line(self.now, || format!("device {device}: {kind} {id} takes effect, time {nth}"));
        self.counters.count("effect", kind.as_str());
        self.progress(device, ticket);
        crate::check::effect(self, device, id, kind);
    }

    pub(crate) fn call_ends(&mut self, device: usize, ticket: u64) {
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.get(&ticket).cloned() else { return };
        if work.restart.is_some() {
            if work.phase == Phase::Running {
                self.make_restart(device, ticket);
            }
            return;
        }
        if work.phase == Phase::Running && work.behaviour.end != CallEnd::FailsBefore {
            // Due at the same moment.
            self.call_effect(device, ticket);
        }
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.get(&ticket).cloned() else { return };
        let failure = match (work.behaviour.end, work.phase) {
            (CallEnd::FailsAfter, Phase::Effective) => {
                let failure = Failure::new(ErrorCode::DeviceFault, "broke off");
                Some(failure.with_side_effects(SideEffects::Partial))
            }
            (CallEnd::FailsBefore, _) => {
                Some(Failure::new(ErrorCode::HostUnreachable, "not begun"))
            }
            _ => None,
        };
        let entry = hardware.entry(work.id);
        let outcome = match (failure, work.result) {
            (Some(failure), _) => {
                entry.state = State::Failed(failure.clone());
                CallOutcome::Failed(failure)
            }
            (None, Some(result)) if work.kind != OperationKind::Update => {
                entry.state = State::Finished(result.clone());
                CallOutcome::Completed(result)
            }
            (None, _) => return self.ready_to_restart(device, ticket),
        };
        self.end_call(device, ticket, outcome);
    }

    /// The call is over: its hold is given back, and who asked is told, if somebody still waits.
    pub(crate) fn end_call(&mut self, device: usize, ticket: u64, outcome: CallOutcome) {
        let Some(work) = self.devices[device].hardware.work.remove(&ticket) else { return };
        if !matches!(outcome, CallOutcome::ReadyToRestart { .. }) {
            self.devices[device].hardware.holds.remove(&work.id);
        }
        if work.asker == Some(self.devices[device].generation) {
            let (id, attempt) = (work.id, work.attempt);
            self.tell(device, Event::Finished { id, attempt, outcome });
        }
    }

    fn progress(&mut self, device: usize, ticket: u64) {
        let terminal = &self.devices[device];
        let Some(work) = terminal.hardware.work.get(&ticket) else { return };
        if work.asker == Some(terminal.generation) {
            let (id, phase) = (work.id, "working".to_owned());
            self.tell(device, Event::Progressed { id, phase, percent: None });
        }
    }

    pub(crate) fn cancel_call(&mut self, device: usize, id: OperationId) {
        let generation = self.devices[device].generation;
        let hardware = &mut self.devices[device].hardware;
        let Some(ticket) = hardware.ticket_of(id, generation) else { return };
        let had_effect = hardware.entry(id).effects > 0;
        let Some(work) = hardware.work.get(&ticket) else { return };
        let is_hung = matches!(work.behaviour.end, CallEnd::Hangs { .. });
        let is_deaf = (work.behaviour.ignores_cancel || is_hung) && work.restart.is_none();
        if work.phase == Phase::Effective || (work.phase == Phase::Running && is_deaf) {
            return self.counters.count("call", "cancelled in vain");
        }
        self.counters.count("call", "cancelled");
        let failure = Failure::new(ErrorCode::Canceled, "withdrawn");
        // An update that waits for its restart is installed all the same; and after a store that went
        // back, an earlier call with this id may have had its effect.
        let is_installed = work.kind == OperationKind::Update && work.restart.is_some();
        let failure = if is_installed || had_effect {
            failure.with_side_effects(SideEffects::Partial)
        } else {
            failure
        };
        if work.restart.is_none() && work.phase == Phase::Running {
            hardware.entry(id).state = State::Failed(failure.clone());
        }
        self.end_call(device, ticket, CallOutcome::Failed(failure));
    }

    /// Nobody waits for it any more, and what it held is given back. What the payment application
    /// does on its own it goes on doing; the rest is dropped where it is.
    pub(crate) fn abandon_call(&mut self, device: usize, id: OperationId) {
        self.counters.count("call", "abandoned");
        let generation = self.devices[device].generation;
        let hardware = &mut self.devices[device].hardware;
        hardware.holds.remove(&id);
        let Some(ticket) = hardware.ticket_of(id, generation) else { return };
        let Some(work) = hardware.work.get_mut(&ticket) else { return };
        work.asker = None;
        if !outlives_the_agent(work.kind) || work.phase == Phase::Waiting {
            hardware.work.remove(&ticket);
        }
    }

    /// The agent of this device is gone. Requests that were on their way may or may not arrive, and
    /// while there is power an answer may still come.
    pub(crate) fn orphan_calls(&mut self, device: usize, with_power: bool) {
        let boot = self.devices[device].boot;
        let hardware = &mut self.devices[device].hardware;
        hardware.applying.clear();
        let tickets: Vec<u64> = hardware.work.keys().copied().collect();
        for ticket in tickets {
            let Some(work) = self.devices[device].hardware.work.get_mut(&ticket) else { continue };
            work.asker = None;
            let goes_on = outlives_the_agent(work.kind) && work.restart.is_none();
            if goes_on && work.phase != Phase::Waiting {
                continue;
            }
            let arrives = work.phase == Phase::Running
                && work.restart.is_none()
                && work.behaviour.end != CallEnd::FailsBefore
                && !goes_on;
            let mut random = self.random(&[3, boot.into(), ticket]);
            if arrives && random.one_in(2) {
                self.call_effect(device, ticket);
            }
            let Some(work) = self.devices[device].hardware.work.remove(&ticket) else { continue };
            if !with_power && work.restart.is_none() && random.one_in(2) {
                let (id, attempt) = (work.id, work.attempt);
                let had_effect = work.phase == Phase::Effective;
                let stray = Due::StrayAnswer { device, boot, id, attempt, had_effect };
                self.after(random.scale(1, STRAY_MS_MAX), stray);
            }
        }
    }

    /// Whoever runs now is told how the call of a process before it has ended: broken off.
    pub(crate) fn stray_answer(
        &mut self,
        device: usize,
        boot: u32,
        id: OperationId,
        attempt: u32,
        had_effect: bool,
    ) {
        if self.devices[device].boot != boot || self.devices[device].process.is_none() {
            return;
        }
        self.counters.count("call", "answered to the next process");
        let failure = Failure::new(ErrorCode::DeviceFault, "who asked is gone");
        let left = if had_effect { SideEffects::Partial } else { SideEffects::None };
        let outcome = CallOutcome::Failed(failure.with_side_effects(left));
        self.tell(device, Event::Finished { id, attempt, outcome });
    }
}

/// How long a call may wait for payments: well below its own deadline.
pub(super) fn wait_ms(order: &StartOrder) -> u64 {
    (u64::from(order.policy.wait_max_s) * 1000).min(order.time_left_ms * 3 / 4)
}

fn needs_hold(parameters: &Parameters) -> bool {
    match parameters {
        Parameters::EndOfDay(parameters) => parameters.mode == CloseMode::Close,
        Parameters::OpenMenu(_) | Parameters::Reboot(_) | Parameters::Lock(_) => true,
        // The restart of an update takes it when it comes to that.
        Parameters::SendLogs(_)
        | Parameters::CheckUpdate(_)
        | Parameters::Update(_)
        | Parameters::Unlock(_)
        | Parameters::Configure(_) => false,
    }
}

const fn revision(parameters: &Parameters) -> u64 {
    match parameters {
        Parameters::Configure(parameters) => parameters.revision,
        Parameters::EndOfDay(_)
        | Parameters::SendLogs(_)
        | Parameters::CheckUpdate(_)
        | Parameters::OpenMenu(_)
        | Parameters::Reboot(_)
        | Parameters::Update(_)
        | Parameters::Lock(_)
        | Parameters::Unlock(_) => 0,
    }
}
