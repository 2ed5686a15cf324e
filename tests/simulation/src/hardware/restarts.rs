//! Restarts of the device and of the payment application, and what a loss of power does to what
//! was going on.

use terminal_core::engine::{CallOutcome, Event, RestartOrder};
use terminal_hal::{
    ErrorCode, Failure, OperationKind, OperationResult, SideEffects,
    operation::{
        RebootResult,
        reboot::{BootReason, RebootScope},
    },
};

use super::{Phase, State, Work};
use crate::{
    plan::{PowerLoss, RestartEnd},
    queue::Due,
    world::{Device, World},
};

/// From the shutdown to the loss of power.
const SHUTDOWN_MS: u64 = 1_500;
/// Without power until the device boots.
const BOOT_MS: u64 = 20_000;
/// The payment application restarts within this.
const APPLICATION_MS: u64 = 3_000;

impl World {
    /// Everything before the restart is done; the hold stays.
    pub(super) fn ready_to_restart(&mut self, device: usize, ticket: u64) {
        let hardware = &self.devices[device].hardware;
        let instance = hardware.is_up(self.now).then(|| hardware.instance.to_string());
        self.counters.count("call", "ready to restart");
        let application_hangs = instance.is_none();
        self.end_call(device, ticket, CallOutcome::ReadyToRestart { instance, application_hangs });
    }

    pub(crate) fn begin_restart(&mut self, device: usize, order: &RestartOrder) {
        let behaviour = self.behaviour(order.id);
        let now = self.now;
        let generation = self.devices[device].generation;
        let is_update = matches!(
            self.devices[device].hardware.entry(order.id).state,
            State::Installed | State::Running
        );
        let kind = if is_update { OperationKind::Update } else { OperationKind::Reboot };
        let wait = (u64::from(order.policy.wait_max_s) * 1000).min(order.time_left_ms * 3 / 4);
        let hardware = &mut self.devices[device].hardware;
        hardware.tickets += 1;
        let ticket = hardware.tickets;
        let work = Work {
            id: order.id,
            attempt: order.attempt,
            kind,
            behaviour,
            policy: order.policy,
            asker: Some(generation),
            phase: Phase::Waiting,
            before: State::Unheard,
            wait_until: now + wait,
            needs_hold: true,
            restart: Some(order.parameters.clone()),
            revision: 0,
            result: None,
        };
        hardware.work.insert(ticket, work);
        self.call_waits(device, ticket);
    }

    /// Payments are held off; a cancellation within the delay still counts.
    pub(super) fn delay_restart(&mut self, device: usize, ticket: u64) {
        let Some(work) = self.devices[device].hardware.work.get(&ticket) else { return };
        let delay_s = work.restart.as_ref().map_or(0, |restart| restart.delay_s);
        if let Some(work) = self.devices[device].hardware.work.get_mut(&ticket) {
            work.phase = Phase::Running;
        }
        self.after(u64::from(delay_s) * 1000, Due::CallEnds { device, ticket });
    }

    /// The restart is made.
    pub(super) fn make_restart(&mut self, device: usize, ticket: u64) {
        let Some(work) = self.devices[device].hardware.work.get(&ticket).cloned() else { return };
        let Some(restart) = &work.restart else { return };
        let boot = self.devices[device].boot;
        if restart.scope == RebootScope::Application {
            return self.restart_application(device, ticket, work.id);
        }
        match work.behaviour.restart {
            RestartEnd::Never => {
                self.counters.count("restart", "never happens");
                // Nobody tells; the call stays open.
                if let Some(work) = self.devices[device].hardware.work.get_mut(&ticket) {
                    work.phase = Phase::Effective;
                }
            }
            RestartEnd::Fails => {
                self.counters.count("restart", "fails");
                let failure = Failure::new(ErrorCode::DeviceFault, "cannot restart");
                let failure = match work.kind {
                    OperationKind::Update => failure.with_side_effects(SideEffects::Partial),
                    _ => failure,
                };
                self.end_call(device, ticket, CallOutcome::Failed(failure));
            }
            end @ (RestartEnd::Clean | RestartEnd::Unclean | RestartEnd::RollsBack) => {
                let clean = end != RestartEnd::Unclean;
                self.counters.count("restart", if clean { "clean" } else { "unclean" });
                self.devices[device].hardware.entry(work.id).effects +=
                    u32::from(work.kind == OperationKind::Reboot);
                if let Some(work) = self.devices[device].hardware.work.get_mut(&ticket) {
                    work.phase = Phase::Effective;
                }
                if clean {
                    self.tell(device, Event::StopRequested);
                    self.after(SHUTDOWN_MS, Due::Restarts { device, boot, clean });
                } else {
                    self.after(1, Due::Restarts { device, boot, clean });
                }
            }
        }
    }

    fn restart_application(&mut self, device: usize, ticket: u64, id: terminal_hal::OperationId) {
        let boot = Device::boot_id(self.devices[device].boot);
        self.counters.count("restart", "application");
        let result = RebootResult {
            scope: RebootScope::Application,
            boot_id_before: boot,
            boot_id_after: boot,
            boot_reason: BootReason::Requested,
        };
        let result = OperationResult::Reboot(result);
        let value = serde_json::to_value(result.clone()).unwrap_or_default();
        let entry = self.devices[device].hardware.entry(id);
        entry.effects += 1;
        entry.results.push(value);
        self.take_application_down(device, APPLICATION_MS);
        self.end_call(device, ticket, CallOutcome::Completed(Box::new(result)));
    }

    pub(crate) fn restarts(&mut self, device: usize, boot: u32, clean: bool) {
        if self.devices[device].boot == boot {
            let reason = if clean { BootReason::Requested } else { BootReason::Watchdog };
            self.cut_power(device, PowerLoss { off_ms: BOOT_MS, clock_lost_ms: None }, reason);
        }
    }

    /// What was going on ends with the power. What the payment application had begun it finds
    /// again when it comes up: done, or not begun.
    pub(crate) fn lose_power_of_hardware(&mut self, device: usize) {
        let boot = self.devices[device].boot;
        let hardware = &mut self.devices[device].hardware;
        hardware.payment_until = 0;
        hardware.holds.clear();
        let tickets: Vec<u64> = hardware.work.keys().copied().collect();
        for ticket in tickets {
            let arrives = self.random(&[4, boot.into(), ticket]).one_in(2);
            let hardware = &mut self.devices[device].hardware;
            let Some(work) = hardware.work.get(&ticket).cloned() else { continue };
            let may = work.behaviour.end != crate::plan::CallEnd::FailsBefore;
            if work.phase == Phase::Running && may && arrives && work.restart.is_none() {
                self.call_effect(device, ticket);
            }
            self.resolve(device, ticket);
        }
    }

    fn resolve(&mut self, device: usize, ticket: u64) {
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.remove(&ticket) else { return };
        let entry = hardware.entry(work.id);
        if !matches!(entry.state, State::Running) {
            return;
        }
        entry.state = match work.result {
            Some(result) => State::Finished(result),
            None => work.before,
        };
    }

    /// What was installed runs now, or the version before does again.
    pub(crate) fn boot_hardware(&mut self, device: usize) {
        let now = self.now;
        let ms = self.plan.setting.application_ms;
        let forgets = self.plan.setting.forgets_settings;
        let behaviours = &self.behaviours;
        let hardware = &mut self.devices[device].hardware;
        hardware.up_at = now + ms;
        hardware.instance += 1;
        if forgets {
            hardware.settings = 0;
        }
        for (id, entry) in &mut hardware.ledger {
            if !matches!(entry.state, State::Installed) {
                continue;
            }
            let rolls_back = behaviours.get(id).is_some_and(|b| b.restart == RestartEnd::RollsBack);
            let made = entry.results.last().cloned().unwrap_or_default();
            entry.state = match serde_json::from_value(made) {
                Ok(result) if !rolls_back => {
                    State::Finished(Box::new(OperationResult::Update(result)))
                }
                _ => State::Failed(
                    Failure::new(ErrorCode::RolledBack, "the old version runs again")
                        .with_side_effects(SideEffects::Partial),
                ),
            };
        }
        let instance = self.devices[device].hardware.instance;
        self.after(ms, Due::ApplicationUp { device, instance });
    }
}
