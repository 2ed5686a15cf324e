//! Checks of verdicts: one for each operation, never another one, never a lie.

use terminal_core::{
    engine::{OperationState, Write},
    protocol::{OperationReport, ReportBody, VerdictStatus},
};
use terminal_hal::{
    ErrorCode, OperationKind, SideEffects,
    operation::{RebootResult, reboot::RebootScope},
};

use super::starts::boot_is_of;
use crate::{cloud::Verdict, world::World};

/// By how much the terminal's idea of the cloud's time may be early or late.
const CLOCK_SLACK_MS: u64 = 16_000;

pub(super) fn there_is_one_verdict_and_it_never_changes(
    world: &mut World,
    device: usize,
    write: &Write,
) {
    let store = &world.devices[device].store;
    match write {
        Write::PutReport(report) => {
            let before = store.reports.get(&report.seq).map(|before| &before.body);
            if let Some(ReportBody::Operation(before)) = before {
                if ReportBody::Operation(before.clone()) != report.body {
                    let id = before.id;
                    world.fail("a_verdict_never_changes", || id.to_string());
                }
            } else if let ReportBody::Operation(verdict) = &report.body {
                let id = verdict.id;
                if store.verdicts.contains_key(&id) {
                    world.fail("there_is_one_verdict", || id.to_string());
                }
                world.devices[device].hardware.entry(id).has_verdict = true;
            }
        }
        Write::PutOperation(record) => {
            let is_over = |state: &OperationState| matches!(state, OperationState::Finished { .. });
            let was_over = store.operations.get(&record.id).is_some_and(|r| is_over(&r.state));
            if was_over && !is_over(&record.state) {
                let id = record.id;
                world.fail("a_verdict_never_changes", || format!("{id} is open again"));
            }
        }
        Write::PutMeta(_)
        | Write::RemoveOperation(_)
        | Write::RemoveReport(_)
        | Write::PutConfiguration(_) => {}
    }
}

pub(super) fn nothing_is_forgotten_too_early(world: &mut World, device: usize, write: &Write) {
    let terminal = &world.devices[device];
    let is_muddled = terminal.lost_memory || world.cloud.was_restored || world.devices.len() > 1;
    match write {
        Write::RemoveReport(place) => {
            let report = terminal.store.reports.get(place);
            // A cloud that has forgotten cannot tell two histories apart.
            let may_err =
                world.cloud.was_restored && (terminal.lost_memory || world.devices.len() > 1);
            let is_stored = report.is_none_or(|r| world.cloud.ever_stored.contains(&r.report_id));
            if !is_stored && !may_err {
                world.fail("no_report_is_forgotten_before_it_is_stored", || place.to_string());
            }
        }
        Write::RemoveOperation(id) => {
            let Some(record) = terminal.store.operations.get(id) else { return };
            let not_after = record.not_after;
            let report = terminal.store.verdict(*id);
            let is_stored = report.is_some_and(|r| world.cloud.ever_stored.contains(&r.report_id));
            let is_over = world.true_time().plus_ms(CLOCK_SLACK_MS) >= not_after;
            if !is_over || (!is_stored && !is_muddled) {
                world.fail("no_verdict_is_forgotten_before_it_is_stored_and_over", || {
                    format!("{id}, stored {is_stored}, not after {not_after}")
                });
            } else {
                world.counters.count("forgotten", "verdict");
            }
        }
        Write::PutMeta(_)
        | Write::PutOperation(_)
        | Write::PutReport(_)
        | Write::PutConfiguration(_) => {}
    }
}

pub(super) fn the_first_verdict_stays(world: &mut World, device: usize, verdict: &Verdict) {
    let Some(first) = verdict.first.as_ref().filter(|first| **first != verdict.report) else {
        return;
    };
    let id = first.id;
    let terminal = &world.devices[device];
    let is_excused = terminal.lost_memory || world.devices.len() > 1;
    if !is_excused && !is_forgotten(&verdict.report) && !is_forgotten(first) {
        let second = verdict.report.outcome.clone();
        world.fail("the_first_verdict_stays", || format!("{id}, then {second:?}"));
    }
}

/// Asked for again when it was so old that the terminal had forgotten it.
pub(super) fn is_forgotten(verdict: &OperationReport) -> bool {
    verdict.outcome.error.as_ref().is_some_and(|error| {
        error.code == ErrorCode::Expired && error.side_effects == SideEffects::Unknown
    })
}

pub(super) fn completed_means_done(world: &mut World, device: usize, verdict: &Verdict) {
    let report = &verdict.report;
    if report.outcome.status != VerdictStatus::Completed {
        return;
    }
    let id = report.id;
    let result = report.outcome.result.clone().unwrap_or_default();
    let is_true = if OperationKind::from_name(&report.operation) == Some(OperationKind::Reboot) {
        has_restarted(world, device, &result, report.id)
    } else {
        let entries = world.devices.iter().filter_map(|d| d.hardware.ledger.get(&id));
        entries.flat_map(|entry| &entry.results).any(|made| *made == result)
    };
    if !is_true {
        world.fail("completed_means_done", || format!("{id}: {result}"));
    }
}

fn has_restarted(
    world: &World,
    device: usize,
    result: &serde_json::Value,
    id: terminal_hal::OperationId,
) -> bool {
    let Ok(result) = serde_json::from_value::<RebootResult>(result.clone()) else { return false };
    let (before, after) = (result.boot_id_before, result.boot_id_after);
    let are_real = (0..world.devices.len())
        .any(|device| boot_is_of(before, device, world) && boot_is_of(after, device, world));
    let hardware = &world.devices[device].hardware;
    match result.scope {
        RebootScope::Device => before != after && (are_real || world.devices.len() > 1),
        RebootScope::Application => {
            let started = hardware.ledger.get(&id).map_or(0, |entry| entry.instance);
            hardware.instance > started || world.devices.len() > 1
        }
    }
}

pub(super) fn no_side_effects_means_none(world: &mut World, device: usize, verdict: &Verdict) {
    let report = &verdict.report;
    let is_none = |error: &terminal_hal::Failure| error.side_effects == SideEffects::None;
    if !report.outcome.error.as_ref().is_some_and(is_none) {
        return;
    }
    let Some(entry) = world.devices[device].hardware.ledger.get(&report.id) else { return };
    if entry.effects > 0 && !entry.excused {
        let (id, effects) = (report.id, entry.effects);
        let error = report.outcome.error.clone();
        world.fail("no_side_effects_means_none", || {
            format!("{} {id} took effect {effects} times: {error:?}", report.operation)
        });
    }
}

pub(super) fn expired_means_too_late(world: &mut World, device: usize, verdict: &Verdict) {
    let code = verdict.report.outcome.error.as_ref().map(|error| error.code);
    let Some(ordered) = verdict.ordered.as_ref() else { return };
    if code != Some(ErrorCode::Expired) || world.devices[device].clock_lied {
        return;
    }
    let time = world.true_time().plus_ms(CLOCK_SLACK_MS);
    if time < ordered.expires_at() && time < ordered.frame.not_after {
        let id = ordered.frame.id;
        world.fail("expired_means_too_late", || id.to_string());
    }
}
