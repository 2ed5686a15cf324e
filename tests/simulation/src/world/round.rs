//! One round of the shell's loop: what is ready is stepped, what it wants durable is committed in
//! one, then the rest is done in order. A crash may come between any two effects.

use terminal_core::{
    engine::{Effect, Event, Write},
    protocol::AgentFrame,
};
use terminal_hal::operation::reboot::BootReason;

use super::World;
use crate::{check, log, queue::Due};

/// Events that the shell steps together.
const BATCH_MAX: usize = 16;
/// Wake-ups without time passing before it is a busy loop.
const IDLE_WAKES_MAX: u32 = 8;

/// What becomes of the process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Stop,
    Dead,
}

impl World {
    pub(super) fn round(&mut self, device: usize, generation: u32) {
        if !self.is_process(device, generation) {
            return;
        }
        if let Some(process) = self.devices[device].process.as_mut() {
            process.round_is_due = false;
        }
        let effects = self.step_all_ready(device);
        let next = self.carry_out(device, effects);
        match next {
            Next::Dead => self.end_process(device),
            Next::Stop => self.begin_farewell(device),
            Next::GoOn => self.look_ahead(device),
        }
    }

    fn step_all_ready(&mut self, device: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..BATCH_MAX {
            let (now, seed) = (self.now, self.plan.seed);
            let moment = self.devices[device].moment(now, seed);
            let Some(process) = self.devices[device].process.as_mut() else { break };
            let Some(event) = process.inbox.pop_front() else { break };
            process.steps += 1;
            self.log.line(now, || format!("device {device} < {}", shown(&event)));
            let before = effects.len();
            process.engine.step(&moment, &event, &mut effects);
            let errors = log::take_errors();
            let of_step = &effects[before..];
            self.log.line(now, || format!("device {device} > {}", shown_all(of_step)));
            if errors > 0 {
                self.fail("no_error_is_logged", || format!("{errors} at {event:?}"));
            }
            check::step(self, device, &event, of_step, moment.monotonic);
            // What the link before still says must not be taken for the next one's.
            if of_step.iter().any(|effect| matches!(effect, Effect::Connect(_))) {
                break;
            }
        }
        effects
    }

    fn carry_out(&mut self, device: usize, effects: Vec<Effect>) -> Next {
        let mut writes: Vec<Write> = Vec::new();
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Append(more) => writes.extend(more),
                other => rest.push(other),
            }
        }
        self.read_bodies_that_go(device, &writes, &mut rest);
        let mut left =
            self.effects_before_crash(device, usize::from(!writes.is_empty()) + rest.len());
        if !writes.is_empty() {
            if left == Some(0) {
                return self.crash(device);
            }
            left = left.map(|left| left - 1);
            if !self.commit(device, &writes) {
                return Next::Dead;
            }
        }
        for effect in rest {
            if left == Some(0) {
                return self.crash(device);
            }
            left = left.map(|left| left - 1);
            if self.perform(device, effect) == Next::Stop {
                return Next::Stop;
            }
        }
        if left.is_some() { self.crash(device) } else { Next::GoOn }
    }

    /// A removal that rides on the commit must not overtake a report that was asked for before.
    fn read_bodies_that_go(&self, device: usize, writes: &[Write], rest: &mut [Effect]) {
        for effect in rest {
            let Effect::SendReport(order) = effect else { continue };
            if writes.contains(&Write::RemoveReport(order.place)) {
                let report = self.devices[device].store.report(order);
                *effect = Effect::Send(Box::new(AgentFrame::Report(Box::new(report))));
            }
        }
    }

    /// How many effects are carried out before the process dies, if it does in this round.
    fn effects_before_crash(&mut self, device: usize, effects: usize) -> Option<usize> {
        let (rounds, cut, _) = self.devices[device].crashes.front_mut()?;
        if effects == 0 {
            return None;
        }
        if *rounds > 0 {
            *rounds -= 1;
            return None;
        }
        Some(usize::try_from(*cut).unwrap_or(usize::MAX).min(effects))
    }

    fn crash(&mut self, device: usize) -> Next {
        let Some((_, effects, power)) = self.devices[device].crashes.pop_front() else {
            return Next::GoOn;
        };
        let before = if effects == 0 { "before any effect" } else { "after some effects" };
        self.counters.count("crash", before);
        self.log.line(self.now, || format!("device {device}: crash after {effects} effects"));
        match power {
            Some(loss) => {
                self.cut_power(device, loss, BootReason::Power);
                Next::GoOn
            }
            None => {
                self.counters.count("fault", "crash");
                Next::Dead
            }
        }
    }

    /// Makes changes durable together. False when that fails: then the process ends.
    fn commit(&mut self, device: usize, writes: &[Write]) -> bool {
        let is_hard_full =
            self.devices[device].disk_is_full(self.now) && self.devices[device].disk_full_hard;
        let fails = self.devices[device].append_fails.take();
        if is_hard_full || fails == Some(false) {
            self.counters.count("fault", "append failed");
            return false;
        }
        for write in writes {
            check::write(self, device, write);
            self.devices[device].store.apply(write);
        }
        if fails == Some(true) {
            self.counters.count("fault", "append failed but is durable");
            return false;
        }
        check::memory(self, device);
        self.look_at_storage(device);
        true
    }

    fn begin_farewell(&mut self, device: usize) {
        let generation = self.devices[device].generation;
        if let Some(process) = self.devices[device].process.as_mut() {
            if process.is_stopping {
                return;
            }
            process.is_stopping = true;
        }
        self.counters.count("process", "stopped in order");
        self.after(2_000, Due::Farewell { device, generation });
        self.look_ahead(device);
    }

    /// The next round, and the next wake-up.
    fn look_ahead(&mut self, device: usize) {
        let now = self.now;
        let terminal = &mut self.devices[device];
        let generation = terminal.generation;
        let Some(process) = terminal.process.as_ref() else { return };
        let deadline = process.engine.next_deadline();
        let at = deadline.map(|at| terminal.when(at).max(now));
        let terminal = &mut self.devices[device];
        let Some(process) = terminal.process.as_mut() else { return };
        if !process.inbox.is_empty() && !process.round_is_due {
            process.round_is_due = true;
            self.after(0, Due::Round { device, generation });
            return;
        }
        let Some(at) = at else { return };
        if at == now {
            let (last, times) = process.idle_wakes;
            let times = if last == now { times + 1 } else { 1 };
            process.idle_wakes = (now, times);
            if times > IDLE_WAKES_MAX {
                return self.fail("no_busy_loop", || {
                    format!("woken {times} times without time passing, next deadline {deadline:?}")
                });
            }
        }
        if process.wake_at.is_none_or(|wake| wake > at || wake <= now) {
            process.wake_at = Some(at);
            self.after(at - now, Due::Wake { device, generation });
        }
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::FrameReceived(bytes) => String::from_utf8_lossy(bytes).chars().take(400).collect(),
        other => format!("{other:?}"),
    }
}

fn shown_all(effects: &[Effect]) -> String {
    effects
        .iter()
        .map(|effect| format!("{effect:?}"))
        .collect::<Vec<_>>()
        .join("\n                  ")
}
