//! A world to tell a story in.

use serde_json::Value;
use terminal_core::protocol::{OperationReport, VerdictStatus};
use terminal_hal::{ErrorCode, OperationId, OperationKind, SideEffects};
use terminal_simulation::{
    life,
    plan::{Plan, PlannedOperation, PowerLoss, Setting, What},
    world::World,
};

pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 60 * MINUTE_MS;

/// A terminal that has just been switched on.
pub(crate) fn begin() -> World {
    begin_with(Setting { application_ms: 0, latency_ms: 10, ..Setting::default() })
}

pub(crate) fn begin_with(setting: Setting) -> World {
    begin_with_seed(7, setting)
}

/// The same with another choice of what the setting leaves open.
pub(crate) fn begin_with_seed(seed: u64, setting: Setting) -> World {
    World::new(Plan { seed, setting, items: Vec::new() })
}

/// The same, once it is connected.
pub(crate) fn connected() -> World {
    let mut world = begin();
    connect(&mut world);
    world
}

pub(crate) fn connect(world: &mut World) {
    let up = world.run_until_that(HOUR_MS, |world| world.cloud.welcomed_link().is_some());
    assert!(up, "no link: {:?}", world.violation);
}

/// An operation of that kind, with what is special about it.
pub(crate) fn planned(
    n: u32,
    kind: OperationKind,
    change: impl FnOnce(&mut PlannedOperation),
) -> PlannedOperation {
    let mut planned = PlannedOperation::new(n, kind);
    if kind == OperationKind::Configure {
        parameters(&mut planned, &serde_json::json!({"revision": n, "config": {}}));
    }
    change(&mut planned);
    planned
}

pub(crate) fn parameters(planned: &mut PlannedOperation, value: &Value) {
    planned.parameters = value.as_object().cloned().unwrap();
}

pub(crate) fn order(world: &mut World, planned: PlannedOperation) -> OperationId {
    let id = planned.id();
    world.apply(&What::Operation(Box::new(planned)));
    id
}

pub(crate) fn plain(world: &mut World, n: u32, kind: OperationKind) -> OperationId {
    order(world, planned(n, kind, |_| {}))
}

pub(crate) fn power_cut(off_ms: u64) -> What {
    What::PowerCut(PowerLoss { off_ms, clock_lost_ms: None })
}

pub(crate) fn crash_after(effects: u32) -> What {
    What::Crash { rounds: 0, effects, power: None }
}

/// Waits until the hardware has been asked to run it.
pub(crate) fn until_started(world: &mut World, id: OperationId) {
    let started = |world: &World| {
        world.devices[0].hardware.ledger.get(&id).is_some_and(|entry| entry.starts > 0)
    };
    assert!(world.run_until_that(HOUR_MS, started), "{id} never started: {:?}", world.violation);
}

/// Waits for the verdict at the cloud.
pub(crate) fn verdict(world: &mut World, id: OperationId) -> OperationReport {
    let has = world.run_until_that(24 * HOUR_MS, |world| world.cloud.verdict(id).is_some());
    assert!(has, "{id} has no verdict: {:?}", world.violation);
    world.cloud.verdict(id).cloned().unwrap()
}

pub(crate) fn code(verdict: &OperationReport) -> Option<ErrorCode> {
    verdict.outcome.error.as_ref().map(|error| error.code)
}

pub(crate) fn side_effects(verdict: &OperationReport) -> Option<SideEffects> {
    verdict.outcome.error.as_ref().map(|error| error.side_effects)
}

pub(crate) fn is_completed(verdict: &OperationReport) -> bool {
    verdict.outcome.status == VerdictStatus::Completed
}

pub(crate) fn starts(world: &World, id: OperationId) -> u32 {
    world.devices[0].hardware.ledger.get(&id).map_or(0, |entry| entry.starts)
}

pub(crate) fn effects(world: &World, id: OperationId) -> u32 {
    world.devices[0].hardware.effects(id)
}

/// The quiet end of every story.
pub(crate) fn end(mut world: World) {
    life::end(&mut world);
    assert_eq!(world.violation, None);
}
