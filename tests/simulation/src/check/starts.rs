//! Checks of what is begun: durable before, once, one at a time, never too late.

use terminal_core::{
    engine::{Effect, OperationState, StartOrder, Write},
    protocol::{AgentFrame, CloudFrame, decode_cloud_frame},
};
use terminal_hal::{OperationId, OperationKind};

use crate::{
    hardware::{Arrived, Taken, may_repeat},
    world::{Device, World},
};

/// Attempts of one operation.
const ATTEMPTS_MAX: u32 = 3;
/// By how much the terminal's idea of the cloud's time may be late: `welcome` took as long.
const CLOCK_SLACK_MS: u64 = 16_000;

/// A dispatch is being taken: what it says counts.
pub(super) fn note_arrived(world: &mut World, device: usize, bytes: &[u8], effects: &[Effect]) {
    let is_taken = |frame: &AgentFrame| matches!(frame, AgentFrame::Accepted(a) if !a.duplicate);
    if !effects.iter().any(|effect| matches!(effect, Effect::Send(frame) if is_taken(frame))) {
        return;
    }
    let Ok(CloudFrame::Operation(frame)) = decode_cloud_frame(bytes) else { return };
    let arrived = Arrived { at: world.now, first_epoch: frame.first_epoch, ttl_s: frame.ttl_s };
    world.devices[device].hardware.entry(frame.id).arrived = Some(arrived);
}

/// The terminal has taken an operation for the first time that it remembers.
pub(super) fn note_taken(world: &mut World, device: usize, id: OperationId) {
    let terminal = &mut world.devices[device];
    let sent = terminal.hardware.entry(id).arrived;
    let epoch = terminal.store.meta.as_ref().map(|meta| meta.store_epoch);
    let boot = terminal.boot;
    let Some(sent) = sent else { return };
    // From then on the terminal may have forgotten it, and says so.
    let not_after = world.cloud.stored.operations.get(&id).map(|o| o.frame.not_after);
    let may_be_forgotten =
        not_after.is_some_and(|at| at <= world.true_time().plus_ms(CLOCK_SLACK_MS));
    let terminal = &mut world.devices[device];
    let entry = terminal.hardware.entry(id);
    if entry.taken.is_some() && !entry.excused && !may_be_forgotten {
        return world.fail("an_operation_is_taken_once", || id.to_string());
    }
    if sent.first_epoch.is_some() && sent.first_epoch != epoch {
        // Rule 4: the terminal knows that it may have run.
        entry.excused = false;
        world.counters.count("accepted", "from a lost epoch");
    }
    let ttl_ms = u64::from(sent.ttl_s) * 1000;
    // What fails at once has it in the same commit.
    let has_verdict = world.devices[device].store.verdicts.contains_key(&id);
    let entry = world.devices[device].hardware.entry(id);
    entry.is_cancelled = false;
    entry.has_verdict = has_verdict;
    entry.taken = Some(Taken { at: sent.at, boot, ttl_ms });
}

pub(super) fn what_starts_is_durable(world: &mut World, device: usize, order: &StartOrder) {
    let record = world.devices[device].store.operations.get(&order.id);
    let is_durable = record.is_some_and(|record| {
        matches!(record.state, OperationState::Running { attempt, .. } if attempt == order.attempt)
    });
    if !is_durable {
        world.fail("what_starts_is_durable", || format!("{}, attempt {}", order.id, order.attempt));
    }
}

pub(super) fn nothing_starts_after_its_verdict(world: &mut World, device: usize, id: OperationId) {
    let entry = world.devices[device].hardware.ledger.get(&id);
    let is_excused = entry.is_some_and(|entry| entry.excused);
    let may_be_forgotten = world.devices[device].lost_memory;
    let has_verdict = world.devices[device].store.verdicts.contains_key(&id);
    let is_stored = world.cloud.verdict(id).is_some_and(|v| boot_is_of(v.boot_id, device, world));
    if has_verdict || (is_stored && !is_excused && !may_be_forgotten) {
        world.fail("nothing_starts_after_its_verdict", || id.to_string());
    }
}

/// Whether it is a boot that this device has had.
pub(super) fn boot_is_of(boot: terminal_hal::BootId, device: usize, world: &World) -> bool {
    let newest = world.devices[device].boot;
    let first = newest - newest % 10_000;
    (first..=newest).any(|n| Device::boot_id(n) == boot)
}

pub(super) fn nothing_starts_after_its_cancellation(
    world: &mut World,
    device: usize,
    id: OperationId,
) {
    let entry = world.devices[device].hardware.ledger.get(&id);
    if entry.is_some_and(|entry| entry.is_cancelled && !entry.excused) {
        world.fail("nothing_starts_after_its_cancellation", || id.to_string());
    }
}

fn lane(kind: OperationKind) -> u8 {
    match kind {
        OperationKind::Lock | OperationKind::Unlock => 1,
        OperationKind::Configure => 2,
        OperationKind::EndOfDay
        | OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Reboot
        | OperationKind::Update => 0,
    }
}

pub(super) fn one_runs_at_a_time(world: &mut World, device: usize, order: &StartOrder) {
    let terminal = &world.devices[device];
    let kind = order.parameters.kind();
    let mut others = terminal.hardware.work.values().filter(|work| {
        let is_open = !terminal.hardware.has_verdict(work.id);
        work.asker == Some(terminal.generation) && is_open && lane(work.kind) == lane(kind)
    });
    let other = others.next().map(|work| work.id);
    let is_configuring =
        kind == OperationKind::Configure && terminal.hardware.is_applying(world.now);
    if other.is_some() || is_configuring {
        world.fail("one_runs_at_a_time", || format!("{} beside {other:?}", order.id));
    }
}

pub(super) fn nothing_starts_beside_a_restart(
    world: &mut World,
    device: usize,
    id: Option<OperationId>,
) {
    let terminal = &world.devices[device];
    let this_boot = Device::boot_id(terminal.boot);
    let Some(process) = terminal.process.as_ref() else { return };
    let called = terminal.store.operations.values().filter(|record| match &record.state {
        OperationState::Running { restart: Some(call), .. } => call.boot_id == this_boot,
        OperationState::Running { restart: None, .. }
        | OperationState::Queued { .. }
        | OperationState::Finished { .. } => false,
    });
    let mut others =
        called.filter(|record| Some(record.id) != id && process.restarts.contains(&record.id));
    if let Some(other) = others.next().map(|record| record.id) {
        world.fail("nothing_starts_beside_a_restart", || format!("{id:?} beside {other}"));
    }
}

pub(super) fn an_id_runs_once(world: &mut World, device: usize, order: &StartOrder) {
    let kind = order.parameters.kind();
    let Some(entry) = world.devices[device].hardware.ledger.get(&order.id) else { return };
    if entry.starts > 0 && !may_repeat(kind) && !entry.may_start_again && !entry.excused {
        world.fail("an_id_runs_once", || format!("{kind} {} started again", order.id));
    }
}

pub(super) fn attempts_are_bounded(world: &mut World, device: usize, order: &StartOrder) {
    let Some(entry) = world.devices[device].hardware.ledger.get(&order.id) else { return };
    let starts = entry.starts - entry.deferrals;
    let is_memorable = !entry.excused && !world.devices[device].lost_memory;
    if order.attempt > ATTEMPTS_MAX || (starts >= ATTEMPTS_MAX && is_memorable) {
        world.fail("attempts_are_bounded", || {
            format!("{}: attempt {} after {starts} starts", order.id, order.attempt)
        });
    }
}

/// Before an attempt is journalled: whether its time to live counts for it. Within a boot what was
/// cut off goes on.
pub(super) fn note_attempt(world: &mut World, device: usize, write: &Write) {
    let Write::PutOperation(record) = write else { return };
    let OperationState::Running { boot_id, .. } = record.state else { return };
    let terminal = &mut world.devices[device];
    let before = terminal.store.operations.get(&record.id).map(|before| &before.state);
    let goes_on = match before {
        Some(OperationState::Running { boot_id: before, .. }) => *before == boot_id,
        Some(OperationState::Queued { .. } | OperationState::Finished { .. }) | None => false,
    };
    terminal.hardware.entry(record.id).is_timely = goes_on;
}

pub(super) fn nothing_starts_after_its_time_to_live(
    world: &mut World,
    device: usize,
    order: &StartOrder,
) {
    let now = world.now;
    let boot = world.devices[device].boot;
    let lied = world.devices[device].clock_lied;
    let entry = world.devices[device].hardware.entry(order.id);
    let Some(taken) = entry.taken.filter(|_| !entry.is_timely) else { return };
    let slack = if taken.boot == boot { 0 } else { CLOCK_SLACK_MS };
    let may_err = lied && taken.boot != boot;
    if !may_err && now >= taken.at + taken.ttl_ms + slack {
        world.fail("nothing_starts_after_its_time_to_live", || {
            format!("{} taken at {} with {} ms", order.id, taken.at, taken.ttl_ms)
        });
    }
}

pub(super) fn it_takes_effect_once(
    world: &mut World,
    device: usize,
    id: OperationId,
    kind: OperationKind,
) {
    let Some(entry) = world.devices[device].hardware.ledger.get(&id) else { return };
    let most = if may_repeat(kind) { ATTEMPTS_MAX } else { 1 };
    if entry.effects > most && !entry.excused && !world.devices[device].lost_memory {
        let effects = entry.effects;
        world.fail("it_takes_effect_once", || format!("{kind} {id}: {effects} times"));
    } else if !may_repeat(kind) && entry.effects > 1 && !entry.excused {
        world.fail("it_takes_effect_once", || format!("{kind} {id}: twice"));
    }
}
