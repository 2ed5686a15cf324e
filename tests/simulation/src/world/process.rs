//! The process of an agent: from its start to its end, orderly or not.

use std::collections::{BTreeSet, VecDeque};

use terminal_core::engine::{Engine, Event, LinkEnd, OperationState};
use terminal_hal::OperationId;

use super::{Device, World};
use crate::queue::Due;

/// A running agent: the engine, and what its shell keeps beside it.
#[derive(Debug)]
pub struct Process {
    /// The engine.
    pub engine: Engine,
    /// What has happened and was not stepped yet.
    pub(crate) inbox: VecDeque<Event>,
    pub(crate) round_is_due: bool,
    pub(crate) wake_at: Option<u64>,
    /// The newest link.
    pub(crate) link: Option<usize>,
    pub(crate) storage_was_low: bool,
    pub(crate) is_stopping: bool,
    pub(crate) steps: u64,
    /// Wake-ups in a row without time passing.
    pub(crate) idle_wakes: (u64, u32),
    pub(crate) health_is_read: bool,
    /// Restarts of this boot that it has called for, or found called for when it started.
    pub(crate) restarts: BTreeSet<OperationId>,
}

impl World {
    pub(crate) fn is_process(&self, device: usize, generation: u32) -> bool {
        let terminal = &self.devices[device];
        terminal.process.is_some() && terminal.generation == generation
    }

    pub(super) fn start_process(&mut self, device: usize) {
        let (now, seed) = (self.now, self.plan.seed);
        let terminal = &mut self.devices[device];
        if !terminal.is_on || terminal.process.is_some() {
            return;
        }
        let generation = terminal.generation;
        let damage = terminal.damage.take();
        let moment = terminal.moment(now, seed);
        let (identity, settings) = (terminal.identity(), terminal.settings());
        let this_boot = Device::boot_id(terminal.boot);
        let called = terminal.store.operations.values().filter(|record| match &record.state {
            OperationState::Running { restart: Some(call), .. } => call.boot_id == this_boot,
            OperationState::Running { restart: None, .. }
            | OperationState::Queued { .. }
            | OperationState::Finished { .. } => false,
        });
        let restarts = called.map(|record| record.id).collect();
        let engine = Engine::new(identity, settings, terminal.store.snapshot(), damage, &moment);
        terminal.process = Some(Process {
            engine,
            // As the shell does; a payment application that is not up yet says so when asked.
            inbox: VecDeque::from([Event::Started, Event::HalConnected]),
            round_is_due: true,
            wake_at: None,
            link: None,
            storage_was_low: false,
            is_stopping: false,
            steps: 1,
            idle_wakes: (0, 0),
            health_is_read: false,
            restarts,
        });
        self.counters.count("process", "started");
        self.log.line(now, || format!("device {device}: process {generation} starts"));
        self.after(0, Due::Round { device, generation });
    }

    /// The process ends, whyever, and is started again.
    pub(crate) fn end_process(&mut self, device: usize) {
        self.kill_process(device, false);
        let terminal = &mut self.devices[device];
        terminal.generation += 1;
        let generation = terminal.generation;
        let ms = self.plan.setting.restart_ms;
        self.after(ms, Due::Process { device, generation });
    }

    /// The process is gone, and with it what it knew.
    pub(super) fn kill_process(&mut self, device: usize, with_power: bool) {
        let Some(process) = self.devices[device].process.take() else { return };
        self.log.line(self.now, || format!("device {device}: the process is gone"));
        if let Some(link) = process.link {
            // The kernel still delivers what was written, the power does not.
            self.end_link(link, with_power, 0, None);
        }
        self.orphan_calls(device, with_power);
    }

    /// Something has happened that the agent of this device is told, if it runs.
    pub(crate) fn tell(&mut self, device: usize, event: Event) {
        let generation = self.devices[device].generation;
        let Some(process) = self.devices[device].process.as_mut() else { return };
        process.inbox.push_back(event);
        if !process.round_is_due {
            process.round_is_due = true;
            let steps = process.steps;
            let most = self.plan.setting.loop_ms;
            let busy_ms = self.random(&[1, generation.into(), steps]).below(most + 1);
            self.after(busy_ms, Due::Round { device, generation });
        }
    }

    pub(super) fn wake(&mut self, device: usize, generation: u32) {
        if !self.is_process(device, generation) {
            return;
        }
        let now = self.now;
        let Some(process) = self.devices[device].process.as_mut() else { return };
        if process.wake_at.is_some_and(|at| at <= now) {
            process.wake_at = None;
            self.tell(device, Event::Woken);
        }
    }

    /// The terminal notices the end of a link.
    pub(crate) fn tell_link_closed(&mut self, device: usize, link: usize, end: LinkEnd) {
        let Some(process) = self.devices[device].process.as_mut() else { return };
        if process.link == Some(link) {
            process.link = None;
            self.tell(device, Event::LinkClosed(end));
        }
    }

    pub(super) fn look_at_storage(&mut self, device: usize) {
        let is_full = self.devices[device].disk_is_full(self.now);
        let Some(process) = self.devices[device].process.as_mut() else { return };
        if process.storage_was_low != is_full {
            process.storage_was_low = is_full;
            self.tell(device, Event::StorageChanged { low: is_full });
        }
    }
}
