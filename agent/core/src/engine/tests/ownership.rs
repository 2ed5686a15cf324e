//! What was accepted under one `terminal_id` is never told under another.

use terminal_hal::{ErrorCode, Failure, OperationKind, SideEffects};

use super::{
    effects::Effects,
    enrolment::certificate,
    samples::{DAY_MS, id},
    world::World,
};
use crate::engine::{CallOutcome, Effect, Event, Write};
use crate::protocol::{CloudFrame, EventName, ReportBody, Seq, Welcome};

/// One acked verdict, one that is not, an operation that runs and one that waits.
fn used() -> World {
    let mut w = World::connected();
    for n in 1..=2 {
        w.dispatch(n, OperationKind::SendLogs);
        w.complete(n);
    }
    w.ack(1);
    w.dispatch(10, OperationKind::EndOfDay);
    w.dispatch(11, OperationKind::OpenMenu);
    w.configuration(4);
    w.lose_link();
    w
}

/// The same after the configuration gave it another id.
fn moved() -> World {
    let mut w = used();
    w.identity.terminal_id = "T-2".into();
    let started = w.restart();
    assert!(started.starts().is_empty() && started.questions().is_empty());
    w
}

fn verdicts(effects: &Effects) -> usize {
    let is_verdict = |body: &ReportBody| matches!(body, ReportBody::Operation(_));
    effects.reports.iter().filter(|report| is_verdict(&report.body)).count()
}

/// Why an operation failed that only the report of knows.
fn held_failure(w: &World, n: u128) -> (ErrorCode, SideEffects) {
    let failure = w.store.reports.values().find_map(|report| match &report.body {
        ReportBody::Operation(verdict) if verdict.id == id(n) => verdict.outcome.error.clone(),
        _ => None,
    });
    let failure = failure.expect("a failure");
    (failure.code, failure.side_effects)
}

#[test]
fn what_was_accepted_under_another_id_is_kept_and_never_sent() {
    let mut w = moved();
    for (n, left) in [(10, SideEffects::Unknown), (11, SideEffects::None)] {
        assert_eq!(held_failure(&w, n), (ErrorCode::WrongTerminal, left));
    }
    for _ in 0..2 {
        let effects = w.connect();
        assert_eq!((effects.seqs(), effects.events()), (vec![1], vec![EventName::EpochChanged]));
        assert_eq!(w.engine.view(&w.now()).held, 3, "what was acked is not kept");
        w.restart();
    }
}

#[test]
fn a_new_epoch_of_the_new_owner_does_not_bring_them_back() {
    let mut w = moved();
    w.open_link();
    let welcome = Welcome { ack_seq: Seq(50), ..w.welcome() };
    w.receive(&CloudFrame::Welcome(welcome));
    w.lose_link();
    let effects = w.connect();
    assert_eq!(verdicts(&effects), 0);
    assert_eq!(effects.events(), [EventName::EpochChanged, EventName::EpochChanged]);
}

#[test]
fn the_new_owner_learns_nothing_of_an_id_and_of_a_configuration_of_the_one_before() {
    let mut w = moved();
    let hello = w.open_link();
    assert!(hello.hello().unfinished.is_empty());
    assert_eq!((hello.hello().config_revision, hello.hello().session_id), (0, None));
    let welcome = w.welcome();
    w.receive(&CloudFrame::Welcome(welcome));
    for n in [1, 2] {
        let effects = w.dispatch(n, OperationKind::SendLogs);
        assert_eq!((verdicts(&effects), effects.starts()), (0, vec![(id(n), 1)]));
        w.complete(n);
    }
    assert_eq!(w.engine.view(&w.now()).held, 3);
}

#[test]
fn the_same_id_again_changes_nothing() {
    let mut w = used();
    let epoch = w.epoch();
    let adopted = w.step(&Event::IdentityAdopted {
        terminal_id: "T-1".into(),
        certificate: certificate(&w, 90),
    });
    assert_eq!((adopted.appends(), w.epoch()), (0, epoch));
    assert_eq!(verdicts(&w.connect()), 1);
}

#[test]
fn what_runs_when_the_terminal_gets_another_id_is_dropped_and_its_end_is_nobodys() {
    let mut w = used();
    let event =
        Event::IdentityAdopted { terminal_id: "T-2".into(), certificate: certificate(&w, 90) };
    let attempt = w.attempt(10);
    let adopted = w.step(&event);
    assert!(adopted.has(&Effect::Abandon(id(10))));
    assert_eq!(adopted.appends(), 1, "all of it or nothing");
    let outcome = CallOutcome::Failed(Failure::new(ErrorCode::HostUnreachable, "no line"));
    assert_eq!(w.step(&Event::Finished { id: id(10), attempt, outcome }).appends(), 0);
    assert_eq!(verdicts(&w.connect()), 0);
}

#[test]
fn what_was_noted_before_there_was_an_owner_is_the_first_ones() {
    let mut w = super::enrolment::applicant();
    w.identity.terminal_id.clear();
    w.store = super::store::Store::default();
    w.start_process(Some("torn page".into()));
    let event =
        Event::IdentityAdopted { terminal_id: "T-2".into(), certificate: certificate(&w, 90) };
    w.step(&event);
    w.identity.terminal_id = "T-2".into();
    w.wait(DAY_MS / 24);
    assert_eq!(w.engine.view(&w.now()).held, 0);
    assert_eq!(w.engine.memory().waiting.len(), 1, "the event about the damage");
}

#[test]
fn a_person_discards_what_is_held_and_nothing_else() {
    let mut w = moved();
    let discarded = w.step(&Event::DiscardRequested);
    let removed = discarded.all.iter().find_map(|effect| match effect {
        Effect::Append(writes) => Some(writes.clone()),
        _ => None,
    });
    let removals = removed.unwrap().into_iter();
    assert_eq!(removals.filter(|write| matches!(write, Write::RemoveReport(_))).count(), 3);
    assert_eq!(w.engine.view(&w.now()).held, 0);
    assert_eq!(w.step(&Event::DiscardRequested).appends(), 0);
    w.restart();
    assert_eq!(w.engine.view(&w.now()).held, 0);
    assert_eq!(w.connect().seqs(), [1], "its own report is still there");
}
