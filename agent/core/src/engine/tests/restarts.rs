//! Rule 12: a restart is called for durably, and what runs afterwards says what became of it.

use serde_json::json;
use terminal_hal::{
    ErrorCode, Failure, OperationKind, SideEffects,
    operation::reboot::{BootReason, RebootScope},
};

use super::{
    samples::{HOUR_MS, MINUTE_MS, boot, id, object, result},
    world::World,
};
use crate::engine::{CallOutcome, Effect, Event, OperationState, Verification};
use crate::protocol::{EventName, OperationFrame, TerminalState};

fn ready() -> CallOutcome {
    CallOutcome::ReadyToRestart { instance: Some("A".into()), application_hangs: false }
}

/// Operation 1, of that kind, has called for its restart.
fn called(kind: OperationKind, scope: &str) -> (World, super::effects::Effects) {
    let mut w = World::connected();
    let parameters = match kind {
        OperationKind::Reboot => object(json!({"scope": scope, "delay_s": 30})),
        _ => serde_json::Map::new(),
    };
    let frame = OperationFrame { parameters, ..w.operation(1, kind) };
    w.send(frame);
    let effects = w.finish(1, ready());
    (w, effects)
}

fn reboot_result(w: &World) -> serde_json::Value {
    w.verdict(1).outcome.result.expect("a completed reboot")
}

// Rule 12
#[test]
fn the_call_is_durable_before_it_is_made() {
    let (w, effects) = called(OperationKind::Reboot, "device");
    assert_eq!(effects.restarts(), [(id(1), 1)]);
    assert_eq!(effects.appends(), 1);
    let OperationState::Running { restart: Some(call), .. } = &w.store.operations[&id(1)].state
    else {
        panic!("no call on record")
    };
    assert_eq!((call.boot_id, call.instance.as_deref()), (boot(1), Some("A")));
}

// Rule 10
#[test]
fn a_restart_that_nobody_holds_payments_for_is_told_in_the_same_commit() {
    for application_hangs in [false, true] {
        let mut w = World::connected();
        w.dispatch(1, OperationKind::Reboot);
        let ready = CallOutcome::ReadyToRestart { instance: None, application_hangs };
        let effects = w.finish(1, ready);
        assert_eq!(effects.appends(), 1);
        assert_eq!(effects.restarts(), [(id(1), 1)]);
        let events = if application_hangs { vec![EventName::ApplicationHangs] } else { vec![] };
        assert_eq!(effects.events(), events);
    }
}

// Rule 12
#[test]
fn after_the_call_nothing_starts_in_this_boot() {
    let (mut w, _) = called(OperationKind::Reboot, "device");
    for (n, kind) in
        [(2, OperationKind::EndOfDay), (3, OperationKind::Lock), (4, OperationKind::Configure)]
    {
        let effects = w.dispatch(n, kind);
        assert_eq!((effects.accepted().len(), effects.starts().len()), (1, 0));
    }
    assert!(w.configuration(9).configured().is_empty());
    assert!(w.step(&Event::HalConnected).configured().is_empty());
    assert_eq!(w.engine.view(&w.now()).status.state, TerminalState::Restarting);
    assert!(w.finish(1, ready()).is_empty(), "one call is enough");
    let effects = w.wait(2 * MINUTE_MS);
    assert!(effects.starts().is_empty() && effects.configured().is_empty());
}

// Rule 12
#[test]
fn a_device_restart_is_done_when_the_boot_id_has_changed_and_requested_needs_a_clean_stop() {
    for (stops, hardware, reason) in [
        (true, BootReason::Power, "requested"),
        (true, BootReason::Watchdog, "requested"),
        (true, BootReason::Daily, "daily"),
        (false, BootReason::Power, "power"),
        (false, BootReason::Watchdog, "watchdog"),
        (false, BootReason::Requested, "unknown"),
    ] {
        let (mut w, _) = called(OperationKind::Reboot, "device");
        if stops {
            w.step(&Event::StopRequested);
        }
        w.power_cycle(hardware);
        let result = reboot_result(&w);
        assert_eq!(result["boot_reason"], reason);
        assert_eq!(result["boot_id_before"], boot(1).to_string());
        assert_eq!(result["boot_id_after"], boot(2).to_string());
    }
}

// Rule 12
#[test]
fn a_clean_stop_in_an_earlier_process_of_the_boot_does_not_prove_a_request() {
    let mut w = World::connected();
    w.step(&Event::StopRequested);
    w.restart();
    w.connect();
    w.dispatch(1, OperationKind::Reboot);
    w.finish(1, ready());
    w.power_cycle(BootReason::Watchdog);
    assert_eq!(reboot_result(&w)["boot_reason"], "watchdog");
}

// Rule 12
#[test]
fn a_device_that_did_not_restart_is_restarted_again() {
    let (mut w, _) = called(OperationKind::Reboot, "device");
    assert_eq!(w.restart().starts(), [(id(1), 2)]);
    assert_eq!(w.finish(1, ready()).restarts(), [(id(1), 2)]);
    w.power_cycle(BootReason::Unknown);
    assert_eq!(w.verdict(1).attempt, 2);
}

// Rule 12
#[test]
fn a_restart_that_was_called_for_holds_everything_back_also_after_a_crash() {
    for kind in [OperationKind::Reboot, OperationKind::Update] {
        let (mut w, _) = called(kind, "device");
        w.restart();
        w.connect();
        assert!(w.dispatch(2, OperationKind::Lock).starts().is_empty(), "{kind}");
        assert!(w.configuration(9).configured().is_empty(), "{kind}");
        let failure = Failure::new(ErrorCode::BusyPayment, "a payment");
        let after = match kind {
            OperationKind::Update => w.verified(1, Verification::Failed(failure)),
            _ => w.finish(1, CallOutcome::Failed(failure)),
        };
        assert_eq!(after.starts(), [(id(2), 1)], "{kind}: it will not come any more");
    }
}

// Rule 12
#[test]
fn a_boot_before_the_call_is_the_fresh_boot_that_was_asked_for_but_nobody_requested_it() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Reboot);
    w.step(&Event::StopRequested);
    assert!(w.power_cycle(BootReason::Power).starts().is_empty());
    assert_eq!(reboot_result(&w)["boot_reason"], "power");
}

// Rule 12
#[test]
fn an_application_restart_is_done_when_its_call_says_so() {
    let (mut w, _) = called(OperationKind::Reboot, "application");
    w.dispatch(2, OperationKind::OpenMenu);
    assert_eq!(w.complete(1).starts(), [(id(2), 1)]);
    assert_eq!(reboot_result(&w)["scope"], "application");
}

// Rule 12
#[test]
fn an_application_restart_that_was_cut_off_is_asked_about_with_its_call() {
    let (mut w, _) = called(OperationKind::Reboot, "application");
    let started = w.restart();
    let question = started.all.iter().find_map(|effect| match effect {
        Effect::Verify(order) => Some(order),
        _ => None,
    });
    let call = question.unwrap().restart.clone().unwrap();
    assert_eq!(call.parameters.scope, RebootScope::Application);
    assert_eq!(call.instance.as_deref(), Some("A"));
    assert_eq!(w.verified(1, Verification::NotStarted).starts(), [(id(1), 2)]);
    w.finish(1, ready());
    w.power_cycle(BootReason::Power);
    w.verified(1, Verification::Completed(Box::new(result(OperationKind::Reboot))));
    assert_eq!(w.verdict(1).attempt, 3);
}

// Rule 12
#[test]
fn a_restart_that_never_happens_fails_at_its_deadline_and_the_terminal_goes_on() {
    let (mut w, _) = called(OperationKind::Reboot, "device");
    w.dispatch(2, OperationKind::Reboot);
    let frame = OperationFrame { ttl_s: 3600, ..w.operation(3, OperationKind::OpenMenu) };
    w.send(frame);
    w.wait(2 * MINUTE_MS + 30_000 - 1);
    assert!(!w.has_verdict(id(1)), "the delay comes on top");
    let effects = w.wait(1);
    assert_eq!(w.failed_with(1), (ErrorCode::DeadlineExceeded, SideEffects::Unknown));
    assert_eq!(w.failure(2).code, ErrorCode::HalUnavailable);
    assert_eq!(effects.starts(), [(id(3), 1)]);
}

// Rule 12
#[test]
fn a_restart_that_cannot_be_made_fails_with_the_reason() {
    let (mut w, _) = called(OperationKind::Reboot, "device");
    w.dispatch(2, OperationKind::OpenMenu);
    let failure = Failure::new(ErrorCode::DeviceFault, "no power control");
    assert_eq!(w.finish(1, CallOutcome::Failed(failure.clone())).starts(), [(id(2), 1)]);
    assert_eq!(w.failure(1), failure);
}

// Rules 11 and 12
#[test]
fn an_update_is_completed_by_the_version_that_runs_after_its_restart() {
    let (mut w, effects) = called(OperationKind::Update, "");
    assert_eq!(effects.restarts(), [(id(1), 1)]);
    w.step(&Event::StopRequested);
    let booted = w.power_cycle(BootReason::Update);
    assert_eq!(booted.questions(), [(id(1), 1)], "the restart is a part of the attempt");
    w.verified(1, Verification::Running);
    assert_eq!(w.wait(5_000).questions(), [(id(1), 1)]);
    w.verified(1, Verification::Completed(Box::new(result(OperationKind::Update))));
    assert_eq!((w.verdict(1).attempt, w.verdict(1).boot_id), (1, boot(2)));
}

// Rules 9 and 12
#[test]
fn an_update_that_always_wants_another_restart_ends_after_three() {
    let (mut w, _) = called(OperationKind::Update, "");
    for attempt in 1..=2 {
        assert_eq!(w.power_cycle(BootReason::Update).questions(), [(id(1), attempt)]);
        let again = w.verified(1, Verification::RestartRequired);
        assert_eq!(again.restarts(), [(id(1), attempt + 1)]);
    }
    w.power_cycle(BootReason::Update);
    assert!(w.verified(1, Verification::RestartRequired).restarts().is_empty());
    assert_eq!(w.failure(1).code, ErrorCode::Interrupted);
}

// Rules 9 and 12
#[test]
fn an_update_that_is_never_there_after_its_restart_is_installed_three_times_at_most() {
    let (mut w, _) = called(OperationKind::Update, "");
    for attempt in 2..=3 {
        w.power_cycle(BootReason::Update);
        assert_eq!(w.verified(1, Verification::NotStarted).starts(), [(id(1), attempt)]);
        w.finish(1, ready());
    }
    w.power_cycle(BootReason::Update);
    assert!(w.verified(1, Verification::NotStarted).starts().is_empty());
    assert_eq!(w.failure(1).code, ErrorCode::Interrupted);
}

// Rules 7, 9 and 12
#[test]
fn an_update_that_is_not_there_after_a_boot_without_time_waits_and_has_spent_its_attempt() {
    let (mut w, _) = called(OperationKind::Update, "");
    w.wall_trusted = false;
    w.power_cycle(BootReason::Update);
    assert!(w.verified(1, Verification::NotStarted).starts().is_empty());
    assert_eq!(w.connect().starts(), [(id(1), 2)]);
}

// Rules 9 and 12
#[test]
fn a_question_after_the_restart_that_crashes_the_agent_every_time_is_given_up() {
    let (mut w, _) = called(OperationKind::Update, "");
    assert_eq!(w.power_cycle(BootReason::Update).questions(), [(id(1), 1)]);
    assert_eq!(w.restart().questions(), [(id(1), 2)]);
    assert_eq!(w.power_cycle(BootReason::Watchdog).questions(), [(id(1), 3)]);
    assert!(w.restart().questions().is_empty());
    assert_eq!(w.failed_with(1), (ErrorCode::Interrupted, SideEffects::Unknown));
}

// Rule 12
#[test]
fn an_installed_update_that_was_cut_off_before_its_restart_is_restarted() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    w.restart();
    let effects = w.verified(1, Verification::RestartRequired);
    assert_eq!((effects.restarts(), effects.appends()), (vec![(id(1), 2)], 1));
    assert!(w.connect().starts().is_empty());
    assert!(w.dispatch(2, OperationKind::Lock).starts().is_empty());
}

// Rule 12
#[test]
fn what_a_crash_cut_off_does_not_run_again_beside_a_restart_that_was_called_for() {
    let mut w = World::connected();
    w.dispatch(2, OperationKind::Unlock);
    w.dispatch(1, OperationKind::Reboot);
    w.finish(1, ready());
    let started = w.restart();
    assert_eq!(started.starts(), [(id(1), 2)], "only the restart itself is called for again");
    let failure = Failure::new(ErrorCode::BusyPayment, "a payment");
    assert_eq!(w.finish(1, CallOutcome::Failed(failure)).starts(), [(id(2), 2)]);
}

// Rule 12
#[test]
fn what_was_held_for_a_restart_is_given_back_when_the_deadline_was_first() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Reboot);
    w.wait(HOUR_MS);
    let late = Event::Finished { id: id(1), attempt: 1, outcome: ready() };
    assert!(!w.step(&late).has(&Effect::Abandon(id(1))), "it had been abandoned");

    let mut w = World::connected();
    let frame = w.operation(1, OperationKind::Reboot);
    let deadline_ms = u64::from(frame.deadline_s) * 1000;
    w.send(frame);
    w.wait(deadline_ms);
    assert_eq!(w.failure(1).code, ErrorCode::DeadlineExceeded);
    let late = Event::Finished { id: id(1), attempt: 1, outcome: ready() };
    assert!(w.step(&late).has(&Effect::Abandon(id(1))));
}
