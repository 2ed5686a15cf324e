//! What the engine remembers is what it would know after a crash, and it is bounded.

use terminal_core::engine::{Engine, Memory, OperationState, Write, limits};

use crate::world::World;

/// After every commit.
pub(crate) fn memory(world: &mut World, device: usize) {
    let terminal = &world.devices[device];
    let Some(process) = terminal.process.as_ref() else { return };
    let moment = terminal.moment(world.now, world.plan.seed);
    let (identity, settings) = (terminal.identity(), terminal.settings());
    let snapshot = terminal.store.snapshot();
    let replayed = Engine::new(identity, settings, snapshot, None, &moment);
    // In a new epoch what had been acked is sent again, by place: nobody knows more about it.
    let is_muddled = terminal.lost_memory || world.cloud.was_restored || world.devices.len() > 1;
    let (live, replayed) = (process.engine.memory(), replayed.memory());
    let surplus = || {
        let unacked = replayed.waiting.keys().filter(|place| **place > live.acked).count();
        let differ = !is_muddled && unacked != live.waiting.len();
        differ.then(|| "reports are stored that nobody sends".to_owned())
    };
    let difference = differs(&live, &replayed).or_else(surplus);
    let excess = exceeds(&live);
    if let Some(difference) = difference {
        world.fail("memory_is_what_the_store_says", || difference);
    }
    if let Some(excess) = excess {
        world.fail("memory_is_bounded", || excess);
    }
}

fn differs(live: &Memory<'_>, replayed: &Memory<'_>) -> Option<String> {
    if live.operations != replayed.operations {
        return Some(format!("operations {:?}, stored {:?}", live.operations, replayed.operations));
    }
    if live.configuration != replayed.configuration {
        return Some(format!("{:?}, stored {:?}", live.configuration, replayed.configuration));
    }
    for (id, memory) in &live.finished {
        if replayed.finished.get(id) != Some(memory) {
            return Some(format!("the verdict of {id} is not stored as it is remembered"));
        }
    }
    for id in replayed.finished.keys().filter(|id| !live.finished.contains_key(id)) {
        if !live.removals.contains(&Write::RemoveOperation(*id)) {
            return Some(format!("the verdict of {id} is forgotten but stays in the store"));
        }
    }
    let mut meta = live.meta.clone();
    if live.ack_is_lazy {
        meta.acked_seq = replayed.meta.acked_seq;
        meta.acked_report_id = replayed.meta.acked_report_id;
    }
    if meta != *replayed.meta {
        return Some(format!("{meta:?}, stored {:?}", replayed.meta));
    }
    reports_differ(live, replayed)
}

fn reports_differ(live: &Memory<'_>, replayed: &Memory<'_>) -> Option<String> {
    let is_lazy = live.ack_is_lazy;
    if live.acked < replayed.acked || (live.acked > replayed.acked && !is_lazy) {
        return Some(format!("acked {}, stored {}", live.acked, replayed.acked));
    }
    if live.last != replayed.last {
        return Some(format!("last {}, stored {}", live.last, replayed.last));
    }
    for (place, id) in &live.waiting {
        if replayed.waiting.get(place) != Some(id) {
            return Some(format!("the report at {place} is not stored as it is remembered"));
        }
    }
    None
}

fn exceeds(memory: &Memory<'_>) -> Option<String> {
    let running = memory.operations.values();
    let running =
        running.filter(|record| matches!(record.state, OperationState::Running { .. })).count();
    let in_flight = memory.sent.count_after(memory.acked);
    let bounds = [
        ("operations", memory.operations.len(), limits::UNFINISHED_MAX),
        ("verdicts", memory.finished.len(), limits::REMEMBERED_MAX),
        ("reports", memory.waiting.len(), limits::UNACKED_MAX + limits::UNACKED_EVENTS_MAX),
        ("removals", memory.removals.len(), 2 * limits::LAZY_WRITES_MAX),
        ("in flight", usize::try_from(in_flight).unwrap_or(usize::MAX), 64),
        // One per lane; a wait for the hardware's answer occupies its lane, too.
        ("running", running, 3),
        ("overdue", memory.overdue, 16),
    ];
    let over = bounds.iter().find(|(_, is, most)| is > most);
    over.map(|(what, is, most)| format!("{is} {what}, want at most {most}"))
}
