//! What must hold after every step.

use crate::engine::{Effect, Engine, Monotonic, Write};
use crate::protocol::Seq;

/// At most one `Append`, and it comes first.
pub(super) fn order(effects: &[Effect]) {
    let later = effects.iter().skip(1).filter(|effect| matches!(effect, Effect::Append(_)));
    assert_eq!(later.count(), 0, "an append that is not the first effect: {effects:?}");
    if let Some(Effect::Append(writes)) = effects.first() {
        assert!(!writes.is_empty(), "an append of nothing");
    }
}

/// The next look is never in the past.
pub(super) fn deadline(engine: &Engine, now: Monotonic) {
    let at = engine.next_deadline();
    assert!(at.is_none_or(|at| at >= now), "{at:?} has passed at {now:?}: {engine:?}");
}

/// What the engine remembers is what it would know after a crash, but for removals that wait for
/// the next commit.
pub(super) fn memory(engine: &Engine, replayed: &Engine) {
    assert_eq!(engine.operations, replayed.operations);
    finished(engine, replayed);
    outbox(engine, replayed);
    assert_eq!(engine.configuration.record, replayed.configuration.record);
    let mut meta = engine.meta.clone();
    if engine.lazy.meta {
        meta.acked_seq = replayed.meta.acked_seq;
        meta.acked_report_id = replayed.meta.acked_report_id;
    }
    assert_eq!(meta, replayed.meta);
}

fn finished(engine: &Engine, replayed: &Engine) {
    for (id, memory) in &engine.finished {
        let replay = replayed.finished.get(id).expect("a verdict that only memory knows");
        assert_eq!((memory.seq, memory.not_after), (replay.seq, replay.not_after));
    }
    for id in replayed.finished.keys().filter(|id| !engine.finished.contains_key(id)) {
        let is_pruned = engine.lazy.removals.contains(&Write::RemoveOperation(*id));
        assert!(is_pruned, "{id} is forgotten in memory and for ever in the store");
    }
}

fn outbox(engine: &Engine, replayed: &Engine) {
    let (memory, replay) = (&engine.outbox, &replayed.outbox);
    assert_eq!(memory.held(), replay.held());
    assert_eq!(memory.last(), replay.last());
    assert!(memory.acked() >= replay.acked());
    assert!(engine.lazy.meta || memory.acked() == replay.acked());
    for place in (memory.acked().0 + 1..=memory.last().0).map(Seq) {
        let known = memory.report_id(place);
        assert!(known.is_none() || known == replay.report_id(place), "{place}");
    }
    assert!(memory.sent() >= memory.acked() && memory.sent() <= memory.last());
}
