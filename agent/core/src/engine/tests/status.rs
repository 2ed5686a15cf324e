//! The heartbeat, and the status between heartbeats.

use terminal_hal::{
    OperationKind,
    operation::reboot::BootReason,
    status::{PowerSource, Printer, ScreenView, Showing, TerminalHealth},
};

use super::{
    samples::{MINUTE_MS, id},
    world::World,
};
use crate::engine::{Effect, Event};
use crate::protocol::{Attention, EventName, ReportBody, TerminalState};

fn observe(w: &mut World, health: TerminalHealth) -> super::effects::Effects {
    w.step(&Event::HealthObserved(Box::new(health)))
}

fn healthy() -> TerminalHealth {
    TerminalHealth { battery_level: Some(55), ..TerminalHealth::default() }
}

#[test]
fn a_status_with_a_fresh_reading_goes_out_on_welcome_and_every_heartbeat() {
    let mut w = World::new();
    observe(&mut w, healthy());
    let welcomed = w.connect();
    assert!(welcomed.has(&Effect::ReadHealth) && welcomed.statuses().is_empty());
    assert_eq!(observe(&mut w, healthy()).statuses().len(), 1);
    for _ in 0..3 {
        let effects = w.wait(MINUTE_MS);
        assert!(effects.has(&Effect::ReadHealth) && effects.statuses().is_empty());
        assert_eq!(observe(&mut w, healthy()).statuses().len(), 1);
    }
}

#[test]
fn hardware_that_does_not_answer_does_not_silence_the_heartbeat() {
    let mut w = World::connected();
    let effects = w.wait(10 * MINUTE_MS);
    assert_eq!(effects.statuses().len(), 10);
    assert!(!effects.has(&Effect::ReadHealth), "one reading at a time");
}

#[test]
fn a_change_that_matters_is_sent_at_once_and_figures_that_always_move_are_not() {
    let mut w = World::connected();
    observe(&mut w, healthy());
    let moved =
        TerminalHealth { battery_level: Some(54), storage_free_bytes: Some(1), ..healthy() };
    assert!(observe(&mut w, moved).is_empty());
    let no_paper = TerminalHealth { printer: Some(Printer::NoPaper), ..healthy() };
    let effects = observe(&mut w, no_paper);
    assert_eq!(effects.statuses()[0].needs_attention, [Attention::NoPaper]);
    assert_eq!(effects.appends(), 0);
}

#[test]
fn what_is_on_the_screen_is_sent_when_it_changes_and_never_an_activation_code() {
    let mut w = World::connected();
    observe(&mut w, healthy());
    let showing = |showing, text: &str| {
        let screen = Some(ScreenView { showing, text: text.into() });
        TerminalHealth { screen, ..healthy() }
    };
    for (health, told) in [
        (showing(Showing::Menu, "reports"), "reports"),
        (showing(Showing::Idle, "Velkommen"), "Velkommen"),
        (showing(Showing::Payment, "4111 1111 1111 1111"), ""),
        (showing(Showing::Message, "Activation code ACT-7X9K-2M4P"), ""),
        (showing(Showing::Message, "ACT NOW"), "ACT NOW"),
    ] {
        let shown = health.screen.as_ref().unwrap().showing;
        let effects = observe(&mut w, health.clone());
        let sent = effects.statuses()[0].health.screen.clone();
        assert_eq!(sent, Some(ScreenView { showing: shown, text: told.into() }));
        assert!(observe(&mut w, health).is_empty(), "the same again is no news");
    }
    w.dispatch(1, OperationKind::OpenMenu);
    assert!(w.complete(1).has(&Effect::ReadHealth), "a menu changes the screen");
}

#[test]
fn what_needs_attention_is_named() {
    let mut w = World::connected();
    w.wall_trusted = false;
    w.step(&Event::StorageChanged { low: true });
    let health = TerminalHealth {
        battery_level: Some(14),
        power: Some(PowerSource::Battery),
        tampered: true,
        lock_unconfirmed: true,
        locked: true,
        ..TerminalHealth::default()
    };
    let effects = observe(&mut w, health.clone());
    let status = effects.statuses()[0];
    let want = [
        Attention::LowBattery,
        Attention::Tampered,
        Attention::ClockUntrusted,
        Attention::StorageLow,
        Attention::LockUnconfirmed,
    ];
    assert_eq!(status.needs_attention, want);
    assert_eq!((status.state, &status.health), (TerminalState::Locked, &health));
    w.lose_link();
    assert!(w.open_link().hello().locked);
}

#[test]
fn the_status_names_what_runs_and_what_waits() {
    let mut w = World::connected();
    w.dispatch(2, OperationKind::EndOfDay);
    w.dispatch(1, OperationKind::OpenMenu);
    let status = w.engine.view(&w.now()).status;
    assert_eq!(status.state, TerminalState::Operation);
    assert_eq!((status.active_operation, status.queued), (Some(id(2)), 1));
}

#[test]
fn a_lock_reads_the_state_again() {
    let mut w = World::connected();
    observe(&mut w, healthy());
    w.dispatch(1, OperationKind::Lock);
    assert!(w.complete(1).has(&Effect::ReadHealth));
}

#[test]
fn a_boot_is_reported_once_with_its_reason() {
    let mut w = World::connected();
    w.step(&Event::StopRequested);
    w.power_cycle(BootReason::Watchdog);
    w.restart();
    let effects = w.connect();
    assert_eq!(effects.events(), [EventName::Booted]);
    let ReportBody::Event(event) = &effects.reports[0].body else { panic!("an event") };
    assert_eq!(event.data["hardware_reason"], "watchdog");
    assert_eq!(event.data["clean_stop"], true);
}

#[test]
fn recovered_storage_is_reported_once() {
    let mut w = World::connected();
    assert!(w.step(&Event::StorageChanged { low: false }).is_empty());
    assert_eq!(w.step(&Event::StorageChanged { low: true }).appends(), 0, "the disk is full");
    assert_eq!(
        w.step(&Event::StorageChanged { low: false }).events(),
        [EventName::StorageRecovered]
    );
}

#[test]
fn people_see_operations_in_order_of_arrival_and_the_newest_verdicts() {
    let mut w = World::connected();
    for n in 1..=30 {
        w.dispatch(n, OperationKind::OpenMenu);
        w.complete(n);
    }
    w.ack(29);
    w.dispatch(9, OperationKind::EndOfDay);
    for n in [40, 35] {
        w.dispatch(n, OperationKind::EndOfDay);
    }
    let view = w.engine.view(&w.now());
    let operations: Vec<_> = view.operations.iter().map(|o| (o.id, o.state, o.attempt)).collect();
    assert_eq!(operations, [(id(40), "running", 1), (id(35), "queued", 0)]);
    assert_eq!(view.finished.len(), 20);
    assert!(view.finished[18].acked && !view.finished[19].acked);
}
