//! Once the process has been told to stop, outcomes are journalled and nothing else happens.

use terminal_hal::{Failure, OperationKind, status::TerminalHealth};

use super::{
    samples::{DAY_MS, id, result},
    world::World,
};
use crate::engine::{CallOutcome, Effect, Event, Verification};

#[test]
fn a_stop_is_marked_before_the_link_is_closed_and_the_process_ends() {
    let mut w = World::connected();
    let effects = w.step(&Event::StopRequested);
    let [Effect::Append(_), Effect::CloseLink { code, .. }, Effect::Stop] = &effects.all[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*code, 1001);
    assert!(w.store.meta.as_ref().unwrap().clean_stop);
    assert_eq!(w.engine.next_deadline(), None);
    w.restart();
    assert!(!w.store.meta.as_ref().unwrap().clean_stop);
}

#[test]
fn a_stop_without_a_link_ends_the_process_too() {
    let effects = World::new().step(&Event::StopRequested);
    assert!(matches!(effects.all[..], [Effect::Append(_), Effect::Stop]));
}

#[test]
fn after_a_stop_nothing_is_sent_or_started_but_outcomes_are_journalled() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.dispatch(2, OperationKind::OpenMenu);
    w.dispatch(3, OperationKind::Lock);
    // Otherwise a reading is on its way, and the end of a lock orders none.
    w.step(&Event::HealthObserved(Box::<TerminalHealth>::default()));
    w.step(&Event::StopRequested);
    w.pass(2 * DAY_MS);
    let silent = [
        Event::StopRequested,
        Event::Woken,
        Event::LinkOpened,
        Event::NetworkUp,
        Event::HalConnected,
        Event::StorageChanged { low: true },
        Event::HealthObserved(Box::<TerminalHealth>::default()),
        Event::Verified { id: id(1), attempt: 1, answer: Verification::NotStarted },
        Event::Finished {
            id: id(1),
            attempt: 1,
            outcome: CallOutcome::ReadyToRestart { instance: None, application_hangs: false },
        },
        Event::Finished {
            id: id(1),
            attempt: 1,
            outcome: CallOutcome::Deferred { retry_after_s: 1 },
        },
    ];
    for event in silent {
        assert!(w.step(&event).is_empty(), "{event:?}");
    }
    assert!(w.dispatch(4, OperationKind::OpenMenu).is_empty());
    assert!(w.cancel(2).is_empty());
    let failed = CallOutcome::Failed(Failure::new(terminal_hal::ErrorCode::Locked, "x"));
    let completed = CallOutcome::Completed(Box::new(result(OperationKind::Lock)));
    for (n, outcome) in [(3, completed), (1, failed)] {
        let effects = w.step(&Event::Finished { id: id(n), attempt: 1, outcome });
        assert!(matches!(effects.all[..], [Effect::Append(_)]));
        assert!(w.has_verdict(id(n)));
    }
    w.wall_trusted = false;
    w.monotonic -= 2 * DAY_MS;
    assert_eq!(w.restart().starts(), [(id(2), 1)], "what waited goes on waiting");
}
