//! One life, from its plan to what was wrong with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    check,
    counters::Counters,
    log::{self, ErrorCounter, Violation},
    plan::Plan,
    world::World,
};

/// After the last accident everything comes to its end within this: the longest wait before a
/// connection, then every operation with all its attempts and questions, one after the other.
const SETTLE_MS: u64 = 24 * 3_600_000;
/// Between two looks whether it has.
const LOOK_MS: u64 = 30_000;
/// So long it is watched while there is nothing to do.
const QUIET_MINUTES: u64 = 10;
/// What is still on its way when everything is settled, such as the last ack.
const REST_MS: u64 = 65_000;
/// Events that may be due at the same time.
const QUEUE_MAX: usize = 20_000;

/// What became of a life.
#[derive(Clone, Debug)]
pub struct Life {
    /// What happened, counted.
    pub counters: Counters,
    /// What was wrong first.
    pub violation: Option<Violation>,
    /// The story, if it was asked for.
    pub story: Vec<String>,
    /// How long it was, in virtual milliseconds.
    pub ms: u64,
}

/// Lives a plan.
pub fn live(plan: &Plan) -> Life {
    live_with(plan, false)
}

/// The same, and tells everything that happens.
pub fn tell(plan: &Plan) -> Life {
    live_with(plan, true)
}

/// A panic of the engine is one more thing that must never be.
fn live_with(plan: &Plan, with_story: bool) -> Life {
    let lived = tracing::subscriber::with_default(ErrorCounter, || {
        log::take_errors();
        catch_unwind(AssertUnwindSafe(|| live_through(plan, with_story)))
    });
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Life {
            counters: Counters::default(),
            violation: Some(Violation {
                check: "nothing_panics",
                at_ms: 0,
                detail: text.unwrap_or_default(),
            }),
            story: Vec::new(),
            ms: 0,
        }
    })
}

fn live_through(plan: &Plan, with_story: bool) -> Life {
    let mut world = World::new(plan.clone());
    if with_story {
        world.tell_story();
    }
    world.run_until(plan.setting.horizon_ms);
    end(&mut world);
    if world.violation.is_none() && world.queue.len() > QUEUE_MAX {
        let due = world.queue.len();
        world.fail("memory_is_bounded", || format!("{due} events are due"));
    }
    Life {
        counters: world.counters,
        violation: world.violation,
        story: world.log.lines.unwrap_or_default(),
        ms: world.now,
    }
}

/// Ends a life: no more accidents, everything comes to its end, and what must hold then holds.
pub fn end(world: &mut World) {
    world.calm();
    settle(world);
}

fn settle(world: &mut World) {
    let end = world.now + SETTLE_MS;
    while world.violation.is_none() {
        let Some(unsettled) = check::unsettled(world) else { break };
        if world.now >= end {
            return world.fail("everything_comes_to_its_end", || unsettled);
        }
        world.run_for(LOOK_MS);
    }
    world.run_for(REST_MS);
    check::settled(world);
    let before = world.counters.clone();
    world.run_for(QUIET_MINUTES * 60_000);
    check::quiet(world, &before, QUIET_MINUTES);
}
