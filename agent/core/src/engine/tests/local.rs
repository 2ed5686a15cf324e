//! Operations begun at the terminal. Rule 14: their ids are derived from what triggered them.

use serde_json::{Map, json};
use terminal_hal::{ErrorCode, OperationId, OperationKind, operation::reboot::BootReason};

use super::{
    effects::Effects,
    samples::{DAY_MS, MINUTE_MS, object, result, settings},
    store::Store,
    world::World,
};
use crate::engine::{
    CallOutcome, Effect, Event, LocalRequest, LocalTaken, OperationState, Settings,
    limits::{LOCAL_MEMORY_MS, QUEUED_MAX},
};
use crate::protocol::{AgentFrame, Origin, VerdictStatus};

fn request(trigger: &str, kind: OperationKind) -> LocalRequest {
    LocalRequest {
        trigger: trigger.to_owned(),
        kind,
        parameters: Map::new(),
        created_by: "menu".to_owned(),
    }
}

fn ask(w: &mut World, trigger: &str, kind: OperationKind) -> Effects {
    w.step(&Event::OperationRequested(Box::new(request(trigger, kind))))
}

fn taken(effects: &Effects) -> LocalTaken {
    let [answer] = effects.answers()[..] else { panic!("no answer: {effects:?}") };
    answer.outcome.clone().expect("taken")
}

fn refused(effects: &Effects) -> &'static str {
    let [answer] = effects.answers()[..] else { panic!("no answer: {effects:?}") };
    assert_eq!(effects.appends(), 0, "a refusal stores nothing");
    answer.outcome.clone().expect_err("refused").code
}

fn finish(w: &mut World, id: OperationId, kind: OperationKind) -> Effects {
    let outcome = CallOutcome::Completed(Box::new(result(kind)));
    w.step(&Event::Finished { id, attempt: 1, outcome })
}

#[test]
fn a_local_operation_is_journalled_then_started_then_answered_and_no_accepted_is_sent() {
    let mut w = World::connected();
    let effects = ask(&mut w, "a", OperationKind::EndOfDay);
    let LocalTaken { id, duplicate } = taken(&effects);
    assert!(!duplicate);
    let [Effect::Append(_), Effect::Send(started), Effect::Start(order), Effect::Answer(_)] =
        &effects.all[..]
    else {
        panic!("{effects:?}")
    };
    assert!(matches!(&**started, AgentFrame::Started(started) if started.id == id));
    assert_eq!((order.id, order.attempt), (id, 1));
    let record = &w.store.operations[&id];
    assert_eq!((record.origin, record.created_by.as_str()), (Origin::Local, "menu"));
}

#[test]
fn it_runs_while_offline_and_is_reported_as_local_with_who_began_it_once_there_is_a_link() {
    let mut w = World::new();
    let id = taken(&ask(&mut w, "a", OperationKind::EndOfDay)).id;
    finish(&mut w, id, OperationKind::EndOfDay);
    let verdict = w.store.verdict(id).expect("a verdict");
    assert_eq!(verdict.outcome.status, VerdictStatus::Completed);
    assert_eq!((verdict.origin, verdict.created_by.as_str()), (Origin::Local, "menu"));
    let reports = w.connect().reports;
    let crate::protocol::ReportBody::Operation(report) = &reports[0].body else {
        panic!("{reports:?}")
    };
    assert_eq!((report.id, report.origin), (id, Origin::Local));
}

#[test]
fn the_same_trigger_is_the_same_operation_before_and_after_its_verdict_and_a_restart() {
    let mut w = World::connected();
    let first = taken(&ask(&mut w, "a", OperationKind::EndOfDay));
    let again = LocalTaken { duplicate: true, ..first };
    let repeated = ask(&mut w, "a", OperationKind::EndOfDay);
    assert_eq!((taken(&repeated), repeated.starts()), (again, Vec::new()));
    finish(&mut w, first.id, OperationKind::EndOfDay);
    assert_eq!(taken(&ask(&mut w, "a", OperationKind::EndOfDay)), again);
    w.restart();
    let repeated = ask(&mut w, "a", OperationKind::EndOfDay);
    assert_eq!((taken(&repeated), repeated.starts()), (again, Vec::new()));
    assert_ne!(taken(&ask(&mut w, "b", OperationKind::CheckUpdate)).id, first.id);
}

#[test]
fn two_terminals_derive_different_ids_from_the_same_trigger() {
    let (mut a, mut b) = (World::new(), World::new());
    b.identity.serial_number = "SN-2".to_owned();
    b.store = Store::default();
    b.restart();
    let kind = OperationKind::EndOfDay;
    assert_ne!(taken(&ask(&mut a, "a", kind)).id, taken(&ask(&mut b, "a", kind)).id);
}

#[test]
fn it_waits_for_its_turn_like_one_of_the_cloud_whichever_came_first() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let effects = ask(&mut w, "a", OperationKind::EndOfDay);
    let id = taken(&effects).id;
    assert!(effects.starts().is_empty());
    assert!(matches!(w.store.operations[&id].state, OperationState::Queued { .. }));
    assert_eq!(w.complete(1).starts(), [(id, 1)]);
    assert!(w.dispatch(2, OperationKind::EndOfDay).starts().is_empty());
    assert_eq!(finish(&mut w, id, OperationKind::EndOfDay).starts(), [(super::samples::id(2), 1)]);
}

#[test]
fn a_cut_off_local_end_of_day_is_asked_about_and_not_run_again() {
    let mut w = World::new();
    let id = taken(&ask(&mut w, "a", OperationKind::EndOfDay)).id;
    let recovered = w.power_cycle(BootReason::Power);
    assert_eq!((recovered.questions(), recovered.starts()), (vec![(id, 2)], Vec::new()));
}

#[test]
fn what_is_the_clouds_to_ask_for_is_refused_and_stored_nowhere() {
    let mut w = World::connected();
    for kind in [OperationKind::Unlock, OperationKind::Configure] {
        assert_eq!(refused(&ask(&mut w, "a", kind)), ErrorCode::Unauthorized.as_str());
    }
    let mut wrong = request("a", OperationKind::EndOfDay);
    wrong.parameters = object(json!({"mode": "open"}));
    let effects = w.step(&Event::OperationRequested(Box::new(wrong)));
    assert_eq!(refused(&effects), ErrorCode::InvalidParameters.as_str());
    assert!(w.store.operations.is_empty());
}

#[test]
fn what_the_cloud_may_not_ask_for_may_be_begun_at_the_terminal_unless_the_hardware_cannot() {
    let supported = vec![OperationKind::EndOfDay];
    let few = Settings { supported, allowed: Vec::new(), ..settings() };
    let mut w = World::with(few, Store::default(), 1);
    let effects = ask(&mut w, "a", OperationKind::EndOfDay);
    assert_eq!(effects.starts(), [(taken(&effects).id, 1)]);
    let refusal = refused(&ask(&mut w, "b", OperationKind::Reboot)).to_owned();
    assert_eq!(refusal, ErrorCode::UnsupportedOperation.as_str());
}

#[test]
fn bounds_hold_for_local_operations_as_well() {
    let mut w = World::new();
    w.step(&Event::StorageChanged { low: true });
    assert_eq!(refused(&ask(&mut w, "a", OperationKind::EndOfDay)), "STORAGE_FULL");
    w.step(&Event::StorageChanged { low: false });
    w.compares_memory = false;
    // One runs, the others wait.
    for n in 0..=QUEUED_MAX {
        taken(&ask(&mut w, &format!("n{n}"), OperationKind::EndOfDay));
    }
    let refusal = refused(&ask(&mut w, "one more", OperationKind::EndOfDay)).to_owned();
    assert_eq!(refusal, ErrorCode::QueueFull.as_str());
}

#[test]
fn what_waits_expires_and_without_a_known_time_no_other_boot_starts_it() {
    let mut w = World::new();
    w.wall_trusted = false;
    taken(&ask(&mut w, "a", OperationKind::EndOfDay));
    let waiting = taken(&ask(&mut w, "b", OperationKind::CheckUpdate)).id;
    w.wall_trusted = true;
    w.power_cycle(BootReason::Power);
    let verdict = w.store.verdict(waiting).expect("a verdict");
    assert_eq!(verdict.outcome.error.expect("a failure").code, ErrorCode::Expired);
}

#[test]
fn it_is_remembered_until_it_is_acked_and_a_month_has_passed() {
    let mut w = World::connected();
    let id = taken(&ask(&mut w, "a", OperationKind::CheckUpdate)).id;
    finish(&mut w, id, OperationKind::CheckUpdate);
    w.ack(1);
    w.wall += LOCAL_MEMORY_MS - DAY_MS;
    w.lose_link();
    w.connect();
    assert!(w.engine.is_known(id));
    w.wall += 2 * DAY_MS;
    w.lose_link();
    w.connect();
    assert!(!w.engine.is_known(id));
}

#[test]
fn what_was_taken_while_nobody_knew_the_time_is_not_forgotten_once_it_is_acked() {
    let mut w = World::new();
    w.wall_trusted = false;
    let id = taken(&ask(&mut w, "a", OperationKind::CheckUpdate)).id;
    finish(&mut w, id, OperationKind::CheckUpdate);
    w.connect();
    w.ack(1);
    w.wait(MINUTE_MS);
    let again = ask(&mut w, "a", OperationKind::CheckUpdate);
    assert_eq!((taken(&again).duplicate, again.starts()), (true, Vec::new()));
    w.restart();
    assert!(taken(&ask(&mut w, "a", OperationKind::CheckUpdate)).duplicate);
}

#[test]
fn the_cloud_may_cancel_what_was_begun_at_the_terminal() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let id = taken(&ask(&mut w, "a", OperationKind::EndOfDay)).id;
    w.cancel(id.0.as_u128());
    let verdict = w.store.verdict(id).expect("a verdict");
    assert_eq!(verdict.outcome.error.expect("a failure").code, ErrorCode::Canceled);
}
