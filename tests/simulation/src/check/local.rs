//! Checks of what is begun at the terminal: taken as promised, by its schedule only when it may.

use terminal_core::{
    engine::{LocalAnswer, OperationRecord, Write},
    protocol::{Origin, ReportBody},
};
use terminal_hal::{OperationId, OperationKind};

use crate::{
    cloud::Verdict,
    hardware::Taken,
    world::{Trigger, World},
};

const DAY_MS: u64 = 86_400_000;

/// An operation is written that this store does not know.
pub(super) fn note_begun(world: &mut World, device: usize, write: &Write) {
    let Write::PutOperation(record) = write else { return };
    let is_known = world.devices[device].store.operations.contains_key(&record.id);
    if record.origin != Origin::Local || is_known {
        return;
    }
    // What fails at once has its verdict before it in the same commit, and keeps no more than that.
    let by = match world.devices[device].store.verdict(record.id).map(|report| &report.body) {
        Some(ReportBody::Operation(verdict)) => verdict.created_by.clone(),
        _ => record.created_by.clone(),
    };
    let Some((trigger, ttl_ms)) = trigger(world, device, record, &by) else {
        return world.fail("what_begins_was_wanted", || format!("{} by {by:?}", record.id));
    };
    one_trigger_is_one_operation(world, trigger, record.id);
    it_is_taken_once(world, device, trigger, record.id);
    let terminal = &mut world.devices[device];
    let taken = Taken { at: world.now, boot: terminal.boot, ttl_ms };
    let entry = terminal.hardware.entry(record.id);
    entry.taken = Some(taken);
    entry.is_cancelled = false;
    // The schedule knows that a memory that was lost may have begun it: it asks.
    entry.excused &= !matches!(trigger, Trigger::Schedule { .. });
}

/// What has triggered it, and within which time it has to start.
fn trigger(
    world: &mut World,
    device: usize,
    record: &OperationRecord,
    by: &str,
) -> Option<(Trigger, u64)> {
    let terminal = &world.devices[device];
    let serial = terminal.serial;
    if by != "schedule" {
        let n = by.parse().ok()?;
        let planned = world.wanted.get(&n)?;
        world.behaviours.insert(record.id, planned.hardware);
        let is_it = planned.operation == record.operation;
        return is_it.then_some((Trigger::Request { serial, n }, local_ttl_ms(&record.operation)));
    }
    let schedule = terminal.schedule?;
    let wall = terminal.wall(world.now).unix_ms();
    let day = (wall.checked_sub(schedule.at_ms)?) / DAY_MS;
    let late_ms = wall - schedule.at_ms - day * DAY_MS;
    if !terminal.wall_trusted || late_ms >= schedule.window_ms {
        let is_trusted = terminal.wall_trusted;
        world.fail("the_schedule_keeps_its_window", || {
            format!("{late_ms} ms late, clock trusted: {is_trusted}")
        });
    }
    world.counters.count("begun at the terminal", "by its schedule");
    Some((Trigger::Schedule { serial, day }, schedule.window_ms - late_ms.min(schedule.window_ms)))
}

/// As the protocol has it.
fn local_ttl_ms(operation: &str) -> u64 {
    match OperationKind::from_name(operation) {
        Some(OperationKind::OpenMenu) => 60_000,
        Some(OperationKind::Update) => 604_800_000,
        _ => 900_000,
    }
}

fn one_trigger_is_one_operation(world: &mut World, trigger: Trigger, id: OperationId) {
    let before = world.begun.insert(trigger, id);
    let is_anothers = world.begun.iter().any(|(other, known)| *known == id && *other != trigger);
    if before.is_some_and(|before| before != id) || is_anothers {
        world.fail("one_trigger_is_one_operation", || format!("{trigger:?} is {id}"));
    }
}

fn it_is_taken_once(world: &mut World, device: usize, trigger: Trigger, id: OperationId) {
    let terminal = &world.devices[device];
    let is_taken = terminal.hardware.ledger.get(&id).is_some_and(|e| e.taken.is_some());
    // A month is longer than a life, but for one whose clock somebody has set.
    let may_be_forgotten = terminal.clock_lied || !terminal.wall_trusted;
    if is_taken && !may_be_forgotten {
        world.fail("an_operation_is_taken_once", || format!("{trigger:?} is {id}"));
    }
}

/// Before somebody at the terminal is told.
pub(crate) fn answered(world: &mut World, device: usize, answer: &LocalAnswer) {
    match &answer.outcome {
        Ok(taken) if !world.devices[device].store.operations.contains_key(&taken.id) => {
            world.fail("what_is_answered_is_durable", || answer.trigger.clone());
        }
        Ok(_) => {}
        Err(refusal) => {
            let known = ["STORAGE_FULL", "OVERLOADED", "QUEUE_FULL", "UNAUTHORIZED"];
            if !known.contains(&refusal.code) && refusal.code != "INVALID_PARAMETERS" {
                world.fail("a_refusal_says_why", || format!("{refusal:?}"));
            }
        }
    }
}

/// A verdict of the cloud's own is not taken for one of the terminal's, or the other way round.
pub(super) fn a_verdict_says_who_began_it(world: &mut World, verdict: &Verdict) {
    let report = &verdict.report;
    let is_local = world.begun.values().any(|id| *id == report.id);
    if (report.origin == Origin::Local) != is_local || report.created_by.is_empty() == is_local {
        let (id, origin, by) = (report.id, report.origin, report.created_by.clone());
        world.fail("a_verdict_says_who_began_it", || format!("{id}: {origin:?} by {by:?}"));
    }
}
