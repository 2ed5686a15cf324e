//! What must hold in every life, one small function for each thing, named as it is reported.
//!
//! Each compares what the engine did with something else that knows: the store, the hardware's
//! own memory, the cloud. None looks at how the engine came to it.

mod local;
mod memory;
mod settled;
mod starts;
mod verdicts;

use terminal_core::{
    engine::{
        Effect, Event, Monotonic, OperationState, ReportOrder, RestartOrder, StartOrder, Write,
    },
    protocol::AgentFrame,
};
use terminal_hal::{OperationId, OperationKind};

use crate::{cloud::Verdict, world::World};

pub(crate) use local::answered;
pub(crate) use memory::memory;
pub(crate) use settled::{quiet, settled, unsettled};

/// After every step.
pub(crate) fn step(
    world: &mut World,
    device: usize,
    event: &Event,
    effects: &[Effect],
    now: Monotonic,
) {
    the_append_comes_first(world, effects);
    the_next_deadline_is_not_in_the_past(world, device, event, now);
    if let Event::FrameReceived(bytes) = event {
        starts::note_arrived(world, device, bytes, effects);
        if bytes.starts_with(br#"{"type":"ack""#) {
            nothing_counts_as_acked_that_is_not_stored(world, device);
        }
    }
}

fn the_append_comes_first(world: &mut World, effects: &[Effect]) {
    let later = effects.iter().skip(1).any(|effect| matches!(effect, Effect::Append(_)));
    let is_empty = matches!(effects.first(), Some(Effect::Append(writes)) if writes.is_empty());
    if later || is_empty {
        world.fail("the_append_comes_first", || format!("{effects:?}"));
    }
}

fn the_next_deadline_is_not_in_the_past(
    world: &mut World,
    device: usize,
    event: &Event,
    now: Monotonic,
) {
    let process = world.devices[device].process.as_ref();
    let at = process.and_then(|process| process.engine.next_deadline());
    if at.is_some_and(|at| at < now) {
        world.fail("the_next_deadline_is_not_in_the_past", || {
            format!("{at:?} at {now:?} after {event:?}")
        });
    }
}

fn nothing_counts_as_acked_that_is_not_stored(world: &mut World, device: usize) {
    let Some(process) = world.devices[device].process.as_ref() else { return };
    let memory = process.engine.memory();
    let acked = memory.acked.count_after(memory.meta.epoch_base);
    let stored = world.cloud.ever_acked.get(&memory.meta.store_epoch).copied().unwrap_or(0);
    if acked > stored {
        world.fail("nothing_counts_as_acked_that_is_not_stored", || {
            format!("acked {acked}, stored {stored}")
        });
    }
}

/// Before each change of the store.
pub(crate) fn write(world: &mut World, device: usize, write: &Write) {
    verdicts::there_is_one_verdict_and_it_never_changes(world, device, write);
    verdicts::nothing_is_forgotten_too_early(world, device, write);
    local::note_begun(world, device, write);
    starts::note_attempt(world, device, write);
}

/// Before a frame is sent.
pub(crate) fn sent(world: &mut World, device: usize, frame: &AgentFrame) {
    match frame {
        AgentFrame::Accepted(accepted) => {
            what_is_accepted_is_durable(world, device, accepted.id);
            if !accepted.duplicate {
                starts::note_taken(world, device, accepted.id);
            }
        }
        AgentFrame::Started(started) => {
            what_is_started_is_durable(world, device, started.id, started.attempt);
        }
        AgentFrame::Hello(_)
        | AgentFrame::Progress(_)
        | AgentFrame::Report(_)
        | AgentFrame::Status(_)
        | AgentFrame::LogEnd(_)
        | AgentFrame::Error(_) => {}
    }
}

fn what_is_accepted_is_durable(world: &mut World, device: usize, id: OperationId) {
    if !world.devices[device].store.operations.contains_key(&id) {
        world.fail("what_is_accepted_is_durable", || id.to_string());
    }
}

fn what_is_started_is_durable(world: &mut World, device: usize, id: OperationId, attempt: u32) {
    let record = world.devices[device].store.operations.get(&id);
    let known = record.map(|record| match record.state {
        OperationState::Queued { attempts } => attempts + 1,
        OperationState::Running { attempt, .. } => attempt,
        OperationState::Finished { .. } => u32::MAX,
    });
    if known.is_none_or(|known| known < attempt) {
        world.fail("what_is_started_is_durable", || format!("{id}, attempt {attempt}"));
    }
}

/// Before a report is sent.
pub(crate) fn report(world: &mut World, device: usize, order: &ReportOrder) {
    let terminal = &world.devices[device];
    if !terminal.store.reports.contains_key(&order.place) {
        world.counters.count("report", "of an empty place");
        // Only a new epoch counts places that have been emptied.
        if !world.devices[device].lost_memory
            && !world.cloud.was_restored
            && world.devices.len() < 2
        {
            world.fail("what_is_reported_is_durable", || format!("{order:?}"));
        }
    }
}

/// Before a call is made.
pub(crate) fn start(world: &mut World, device: usize, order: &StartOrder) {
    world.counters.count("started", order.parameters.kind().as_str());
    starts::what_starts_is_durable(world, device, order);
    starts::nothing_starts_after_its_verdict(world, device, order.id);
    starts::nothing_starts_after_its_cancellation(world, device, order.id);
    starts::one_runs_at_a_time(world, device, order);
    starts::nothing_starts_beside_a_restart(world, device, Some(order.id));
    starts::an_id_runs_once(world, device, order);
    starts::attempts_are_bounded(world, device, order);
    starts::nothing_starts_after_its_time_to_live(world, device, order);
}

/// Before a call is asked to stop.
pub(crate) fn cancel(world: &mut World, device: usize, id: OperationId) {
    let terminal = &mut world.devices[device];
    let is_durable = terminal.store.verdicts.contains_key(&id)
        || terminal.store.operations.get(&id).is_some_and(|record| record.cancel_requested);
    terminal.hardware.entry(id).is_cancelled = true;
    if !is_durable {
        world.fail("a_cancellation_is_durable", || id.to_string());
    }
}

/// Before a restart is made.
pub(crate) fn restart(world: &mut World, device: usize, order: &RestartOrder) {
    let record = world.devices[device].store.operations.get(&order.id);
    let is_durable = record.is_some_and(|record| match &record.state {
        OperationState::Running { attempt, restart, .. } => {
            *attempt == order.attempt && restart.is_some()
        }
        OperationState::Queued { .. } | OperationState::Finished { .. } => false,
    });
    if let Some(process) = world.devices[device].process.as_mut() {
        process.restarts.insert(order.id);
    }
    if !is_durable {
        world.fail("a_restart_is_durable", || format!("{order:?}"));
    }
}

/// Before a configuration is applied.
pub(crate) fn configure(world: &mut World, device: usize) {
    starts::nothing_starts_beside_a_restart(world, device, None);
    let terminal = &world.devices[device];
    let is_running = terminal.hardware.work.values().any(|work| {
        work.kind == OperationKind::Configure
            && work.asker == Some(terminal.generation)
            && !terminal.hardware.has_verdict(work.id)
    });
    if is_running || terminal.hardware.is_applying(world.now) {
        world.fail("one_configuration_is_applied_at_a_time", || "two at a time".to_owned());
    }
}

/// After an operation has taken effect.
pub(crate) fn effect(world: &mut World, device: usize, id: OperationId, kind: OperationKind) {
    starts::it_takes_effect_once(world, device, id, kind);
}

/// A hold of payments was not given back.
pub(crate) fn hold_ran_out(world: &mut World, device: usize, id: OperationId, generation: u32) {
    let terminal = &world.devices[device];
    if terminal.generation == generation && terminal.hardware.has_verdict(id) {
        world.fail("holds_are_given_back", || id.to_string());
    }
}

/// The cloud has got a verdict.
pub(crate) fn verdict(world: &mut World, link: usize, verdict: &Verdict) {
    let device = world.links[link].device;
    verdicts::the_first_verdict_stays(world, device, verdict);
    verdicts::completed_means_done(world, device, verdict);
    verdicts::no_side_effects_means_none(world, device, verdict);
    verdicts::expired_means_too_late(world, device, verdict);
    local::a_verdict_says_who_began_it(world, verdict);
}

/// The cloud has stored a report.
pub(crate) fn stored_report(world: &mut World, seq: u64, reused: bool) {
    let may_be = world.cloud.was_restored || world.devices.iter().any(|d| d.lost_memory);
    if reused && !may_be {
        world.fail("a_seq_is_not_used_twice", || seq.to_string());
    }
}

/// A name that lives as long as the program, for counting.
pub(crate) fn kind_name(operation: &str) -> &'static str {
    OperationKind::from_name(operation).map_or("unknown kind", OperationKind::as_str)
}
