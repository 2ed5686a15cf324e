//! The end of a life: after a while without accidents everything has come to its end, and then
//! nothing goes on.

use terminal_core::{
    engine::OperationState,
    protocol::{OperationReport, VerdictStatus},
};
use terminal_hal::SideEffects;

use super::verdicts::is_forgotten;
use crate::world::World;

/// What has not come to its end yet, if anything.
pub(crate) fn unsettled(world: &World) -> Option<String> {
    let waiting = world.cloud.stored.operations.values().find(|o| o.verdict.is_none());
    if let Some(ordered) = waiting {
        return Some(format!("{} {} has no verdict", ordered.frame.operation, ordered.frame.id));
    }
    let terminal = &world.devices[0];
    let link = terminal.process.as_ref().and_then(|process| process.link);
    if link.is_none() || world.cloud.welcomed_link() != link || terminal.asleep_until > world.now {
        return Some("there is no link".to_owned());
    }
    if world.is_anything_on_its_way() {
        return Some("frames are on their way".to_owned());
    }
    let Some(process) = terminal.process.as_ref() else {
        return Some("the agent does not run".to_owned());
    };
    if !process.inbox.is_empty() {
        return Some("the agent has not come to all that has happened".to_owned());
    }
    let memory = process.engine.memory();
    if let Some(record) = memory.operations.values().next() {
        return Some(format!("{} {} is not finished", record.operation, record.id));
    }
    if memory.last > memory.acked {
        return Some(format!("reports after {} are not acked", memory.acked));
    }
    let wanted = world.cloud.stored.revision;
    let in_force = memory.configuration.applied.as_ref().map_or(0, |applied| applied.revision);
    let is_rejected = world.cloud.stored.rejected.contains(&wanted);
    // A cloud that went back may issue a revision again that was rejected.
    if in_force < wanted && !is_rejected && !world.cloud.was_restored {
        return Some(format!("configuration {in_force} is in force instead of {wanted}"));
    }
    if memory.configuration.desired.is_some() {
        return Some("a configuration is not settled".to_owned());
    }
    // With none in force there is nothing to go back to.
    let is_known = in_force > 0 && !terminal.lost_memory && !a_configure_has_failed_half_way(world);
    if terminal.hardware.settings != in_force && is_known {
        let settings = terminal.hardware.settings;
        return Some(format!("the application has revision {settings} instead of {in_force}"));
    }
    None
}

/// What is in force at the payment application then, nobody promises.
fn a_configure_has_failed_half_way(world: &World) -> bool {
    let ledger = &world.devices[0].hardware.ledger;
    world.cloud.stored.operations.values().any(|ordered| {
        let verdict = ordered.verdict.as_ref().map(|verdict| verdict.outcome.status);
        ordered.frame.operation == "configure"
            && verdict != Some(VerdictStatus::Completed)
            && ledger.get(&ordered.frame.id).is_some_and(|entry| entry.effects > 0)
    })
}

/// Once everything has come to its end.
pub(crate) fn settled(world: &mut World) {
    both_ends_agree_on_every_verdict(world);
    what_was_taken_has_a_verdict(world);
    no_verdict_has_become_a_lie(world);
    everything_is_given_back(world);
}

fn both_ends_agree_on_every_verdict(world: &mut World) {
    let terminal = &world.devices[0];
    if terminal.lost_memory || world.devices.len() > 1 {
        return;
    }
    let mut differing = None;
    let ordered = world.cloud.stored.operations.iter();
    let ordered = ordered.map(|(id, ordered)| (id, ordered.verdict.as_ref()));
    let foreign = world.cloud.stored.foreign.iter().map(|(id, verdict)| (id, Some(verdict)));
    for (id, verdict) in ordered.chain(foreign) {
        let stored = terminal.store.verdict(*id).map(|report| &report.body);
        let Some(terminal_core::protocol::ReportBody::Operation(stored)) = stored else { continue };
        if verdict != Some(&**stored) && !is_forgotten(stored) {
            differing = Some(*id);
        }
    }
    if let Some(id) = differing {
        world.fail("both_ends_agree_on_every_verdict", || id.to_string());
    }
}

fn what_was_taken_has_a_verdict(world: &mut World) {
    let terminal = &world.devices[0];
    if terminal.lost_memory {
        return;
    }
    let mut taken = terminal.hardware.ledger.iter().filter(|(_, entry)| entry.taken.is_some());
    let missing = taken.find(|(id, _)| {
        let is_over = terminal
            .store
            .operations
            .get(id)
            .is_none_or(|record| matches!(record.state, OperationState::Finished { .. }));
        // What a cloud has forgotten that never knew of the operation, nobody tells it again.
        let may_be_forgotten =
            world.cloud.was_restored && world.begun.values().any(|begun| begun == *id);
        let has_verdict = world.cloud.verdict(**id).is_some()
            || world.cloud.stored.foreign.contains_key(id)
            || may_be_forgotten;
        !is_over || !has_verdict
    });
    if let Some(id) = missing.map(|(id, _)| *id) {
        world.fail("what_was_taken_has_a_verdict", || id.to_string());
    }
}

fn no_verdict_has_become_a_lie(world: &mut World) {
    let said_none = |verdict: &OperationReport| {
        verdict.outcome.status == VerdictStatus::Failed
            && verdict.outcome.error.as_ref().is_some_and(|e| e.side_effects == SideEffects::None)
    };
    let terminal = &world.devices[0];
    let lie = world.cloud.stored.operations.values().find(|ordered| {
        let entry = terminal.hardware.ledger.get(&ordered.frame.id);
        ordered.verdict.as_ref().is_some_and(said_none)
            && entry.is_some_and(|entry| entry.effects > 0 && !entry.excused)
    });
    // Without memory it may have run again, after a verdict that was true.
    if terminal.lost_memory || world.devices.len() > 1 {
        return;
    }
    if let Some(id) = lie.map(|ordered| ordered.frame.id) {
        world.fail("no_side_effects_means_none", || format!("{id} took effect afterwards"));
    }
}

fn everything_is_given_back(world: &mut World) {
    let terminal = &world.devices[0];
    let generation = terminal.generation;
    let held = terminal.hardware.holds.iter().find(|(id, hold)| {
        hold.generation == generation && terminal.hardware.ticket_of(**id, generation).is_none()
    });
    if let Some(id) = held.map(|(id, _)| *id) {
        world.fail("holds_are_given_back", || id.to_string());
    }
}

/// What went on while nothing should have: between two looks at the counters.
pub(crate) fn quiet(world: &mut World, before: &crate::counters::Counters, minutes: u64) {
    let now = world.counters.clone();
    let more = |group: &str, name: &str| now.of(group, name) - before.of(group, name);
    let beats = 2 * (minutes * 60 / u64::from(world.plan.setting.heartbeat_s.max(1)) + 2);
    let reports: u64 = ["again", "dropped"].iter().map(|name| more("report", name)).sum();
    let links = more("link", "attempted");
    let starts: u64 = now.names("started").iter().map(|name| more("started", name)).sum();
    let status = more("frame", "status");
    if reports + links + starts > 0 || status > beats {
        world.fail("quiet_when_there_is_nothing_to_do", || {
            format!("{reports} reports, {links} links, {starts} starts, {status} status frames")
        });
    }
}
