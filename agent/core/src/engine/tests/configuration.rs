//! Rule 18: save what is wanted, apply it, save that it is in force.

use serde_json::json;
use terminal_hal::{ErrorCode, Failure, OperationKind, operation::SettingProblem};

use super::{
    samples::{MINUTE_MS, id, object},
    world::World,
};
use crate::engine::{ConfigurationOutcome, ConfigureCall, Effect, Event};
use crate::protocol::{
    AgentFrame, ConfigurationReport, ConfigurationStatus, OperationFrame, Report, ReportBody,
    TEXT_FRAME_BYTES_MAX, encode,
};

fn applied() -> ConfigurationOutcome {
    ConfigurationOutcome::Applied { sha256: "a".repeat(64) }
}

fn rejected() -> ConfigurationOutcome {
    ConfigurationOutcome::Rejected(vec![problem("tip.mode")])
}

fn problem(path: &str) -> SettingProblem {
    SettingProblem { path: path.into(), code: "TOO_LONG".into(), message: "x".into() }
}

fn unavailable() -> ConfigurationOutcome {
    ConfigurationOutcome::Unavailable(Failure::new(ErrorCode::HalUnavailable, "starting"))
}

fn configure(w: &World, n: u128, revision: u64) -> OperationFrame {
    let parameters = object(json!({"revision": revision, "config": {"b": revision}}));
    OperationFrame { parameters, ..w.operation(n, OperationKind::Configure) }
}

/// Connected, with that revision in force.
fn configured(revision: u64) -> World {
    let mut w = World::connected();
    w.configuration(revision);
    w.configured(revision, applied());
    w
}

/// Desired and applied revision, as they are stored.
fn stored(w: &World) -> (Option<u64>, Option<u64>) {
    let record = w.store.configuration.as_ref().expect("a configuration");
    let revision = |configuration: &Option<crate::engine::Configuration>| {
        configuration.as_ref().map(|configuration| configuration.revision)
    };
    (revision(&record.desired), revision(&record.applied))
}

fn report(effects: &super::effects::Effects) -> &ConfigurationReport {
    let found = effects.reports.iter().find_map(|report| match &report.body {
        ReportBody::Configuration(configuration) => Some(configuration),
        _ => None,
    });
    found.expect("a configuration report")
}

// Rule 18
#[test]
fn what_is_wanted_is_saved_before_it_is_applied_and_saved_again_when_it_is_in_force() {
    let mut w = World::connected();
    let effects = w.configuration(5);
    assert!(matches!(effects.all[..], [Effect::Append(_), Effect::Configure(_)]));
    assert_eq!(stored(&w), (Some(5), None));
    let effects = w.configured(5, applied());
    assert_eq!((effects.appends(), stored(&w)), (1, (None, Some(5))));
    let report = report(&effects);
    assert_eq!((report.revision, report.status), (5, ConfigurationStatus::Applied));
    assert_eq!(report.sha256, Some("a".repeat(64)));
    w.lose_link();
    assert_eq!(w.open_link().hello().config_revision, 5);
}

// Rule 18
#[test]
fn an_older_or_equal_revision_changes_nothing() {
    let mut w = configured(5);
    for revision in [1, 4, 5] {
        assert!(w.configuration(revision).is_empty());
    }
    assert_eq!(w.configuration(0).error_codes(), ["INVALID_MESSAGE"]);
    w.configuration(7);
    assert!(w.configuration(6).is_empty(), "a newer one is pending");
}

// Rule 18
#[test]
fn a_newer_revision_supersedes_a_pending_one() {
    let mut w = configured(1);
    w.configuration(2);
    assert!(w.configuration(3).configured().is_empty(), "one at a time");
    w.configuration(4);
    let effects = w.configured(2, applied());
    assert_eq!((effects.configured(), stored(&w)), (vec![4], (Some(4), Some(2))));
    assert_eq!(report(&effects).revision, 2);
    let effects = w.configured(4, rejected());
    assert_eq!(stored(&w), (None, Some(2)), "what was in force last is known");
    assert_eq!(report(&effects).status, ConfigurationStatus::Rejected);
}

// Rule 18
#[test]
fn a_rejected_revision_is_reported_and_the_one_before_stays_in_force() {
    let mut w = configured(1);
    w.configuration(2);
    let effects = w.configured(2, rejected());
    assert_eq!(report(&effects).errors, [problem("tip.mode")]);
    assert_eq!(stored(&w), (None, Some(1)));
    w.ack(2);
    assert!(w.wait(10 * MINUTE_MS).configured().is_empty());
    assert_eq!(w.configuration(3).configured(), [3]);
}

// Rule 18
#[test]
fn however_many_problems_there_are_the_report_fits_into_a_frame() {
    let mut w = configured(1);
    w.configuration(2);
    let long = SettingProblem {
        path: "\"".repeat(10_000),
        code: "\"".repeat(10_000),
        message: "\u{1F4B3}".repeat(10_000),
    };
    let effects = w.configured(2, ConfigurationOutcome::Rejected(vec![long; 1_000]));
    let report: &Report = &effects.reports[0];
    assert!(encode(&AgentFrame::Report(Box::new(report.clone()))).len() < TEXT_FRAME_BYTES_MAX);
}

// Rule 18
#[test]
fn without_the_payment_application_it_is_tried_again_until_it_answers() {
    let mut w = World::connected();
    w.configuration(2);
    for _ in 0..3 {
        assert_eq!(w.configured(2, unavailable()).appends(), 0);
        assert!(w.wait(29_999).configured().is_empty());
        assert_eq!(w.wait(1).configured(), [2]);
    }
    assert!(w.wait(59_999).configured().is_empty());
    assert!(w.wait(1).configured().is_empty(), "given up, but not yet made again");
    assert_eq!(w.wait(30_000).configured(), [2]);
    w.configured(2, applied());
    assert_eq!(stored(&w), (None, Some(2)));
    assert!(w.configured(2, applied()).is_empty(), "an answer that nobody waits for");
}

// Rule 18
#[test]
fn what_is_in_force_is_applied_again_whenever_the_payment_application_connects() {
    let mut w = configured(3);
    assert_eq!(w.step(&Event::HalConnected).configured(), [3]);
    assert_eq!(w.configured(3, applied()).appends(), 0, "nothing new");
    assert!(w.restart().configured().is_empty(), "nothing to talk to yet");
    assert_eq!(w.step(&Event::HalConnected).configured(), [3]);
    w.configured(3, rejected());
    assert!(w.wait(MINUTE_MS).configured().is_empty());
    assert_eq!(stored(&w), (None, Some(3)));
    assert!(World::connected().step(&Event::HalConnected).is_empty());
}

// Rule 18
#[test]
fn applying_again_is_tried_again_until_the_payment_application_answers() {
    let mut w = configured(3);
    w.ack(1);
    w.step(&Event::HalConnected);
    for _ in 0..3 {
        w.configured(3, unavailable());
        assert_eq!(w.wait(30_000).configured(), [3]);
    }
    w.configured(3, applied());
    assert!(w.wait(MINUTE_MS).configured().is_empty());
}

// Rule 18
#[test]
fn a_connect_while_it_is_being_applied_applies_it_once_more() {
    let mut w = configured(3);
    w.configuration(4);
    assert!(w.step(&Event::HalConnected).configured().is_empty());
    assert_eq!(w.configured(4, applied()).configured(), [4]);
    assert!(w.configured(4, applied()).is_empty());
}

// Rule 18
#[test]
fn a_connect_while_the_first_one_is_being_applied_applies_it_once_more() {
    let mut w = World::connected();
    w.configuration(1);
    assert!(w.step(&Event::HalConnected).configured().is_empty());
    assert_eq!(w.configured(1, applied()).configured(), [1]);
    assert!(w.configured(1, applied()).is_empty());
    w.configuration(2);
    assert!(w.configured(2, applied()).configured().is_empty());
}

// Rule 18
#[test]
fn a_connect_while_an_operation_configures_applies_what_it_has_put_in_force_once_more() {
    for mut w in [World::connected(), configured(1)] {
        let frame = configure(&w, 1, 1);
        w.send(frame);
        assert!(w.step(&Event::HalConnected).configured().is_empty());
        assert_eq!(w.complete(1).configured(), [1]);
        w.configured(1, applied());
        let frame = configure(&w, 2, 1);
        w.send(frame);
        assert!(w.complete(2).configured().is_empty());
    }
}

// Rule 18
#[test]
fn after_a_connect_a_rejected_revision_makes_room_for_the_one_in_force() {
    let mut w = configured(3);
    w.configuration(4);
    w.restart();
    assert_eq!(w.step(&Event::HalConnected).configured(), [4]);
    assert_eq!(w.configured(4, rejected()).configured(), [3]);
    assert!(w.configured(3, applied()).configured().is_empty());
}

// Rule 18
#[test]
fn what_was_wanted_before_a_crash_is_applied_after_it() {
    let mut w = World::connected();
    w.configuration(2);
    w.restart();
    assert_eq!(w.step(&Event::HalConnected).configured(), [2]);
    w.configured(2, applied());
    assert_eq!(stored(&w), (None, Some(2)));
}

// Rules 6 and 18
#[test]
fn configurations_and_configure_operations_are_applied_one_after_the_other() {
    let mut w = World::connected();
    let frame = configure(&w, 1, 1);
    assert_eq!(w.send(frame).starts(), [(id(1), 1)]);
    assert!(w.configuration(2).configured().is_empty());
    assert_eq!(w.complete(1).configured(), [2]);
    assert_eq!(stored(&w), (Some(2), Some(1)));
    let frame = configure(&w, 2, 3);
    assert!(w.send(frame).starts().is_empty());
    assert_eq!(w.configured(2, applied()).starts(), [(id(2), 1)]);
}

// Rule 18
#[test]
fn a_stale_configure_operation_fails_without_having_started() {
    let mut w = configured(5);
    for (n, revision, stale) in [(1, 4, true), (2, 5, false)] {
        let frame = configure(&w, n, revision);
        let effects = w.send(frame);
        assert_eq!(effects.starts().is_empty(), stale);
        if stale {
            assert_eq!(w.failure(n).code, ErrorCode::RevisionStale);
            assert_eq!(w.verdict(n).attempt, 0);
        }
    }
}

// Rule 18
#[test]
fn a_rejected_revision_that_comes_again_on_the_next_link_is_not_tried_again() {
    let mut w = World::connected();
    w.configuration(5);
    w.configured(5, rejected());
    w.lose_link();
    w.connect();
    let again = w.configuration(5);
    assert!(!again.all.iter().any(|effect| matches!(effect, Effect::Configure(_))), "{again:?}");
    let newer = w.configuration(6);
    assert!(newer.all.iter().any(|effect| matches!(effect, Effect::Configure(_))));
}

// Rule 18
#[test]
fn what_was_given_up_and_may_be_in_force_all_the_same_is_replaced_by_what_is_on_record() {
    let mut w = configured(1);
    w.configuration(2);
    w.lose_link();
    w.wait(MINUTE_MS);
    w.connect();
    let effects = w.configuration(3);
    assert_eq!(effects.configured(), [3]);
    let effects = w.configured(3, rejected());
    assert_eq!((effects.configured(), stored(&w)), (vec![1], (None, Some(1))));
}

// Rule 18
#[test]
fn what_was_given_up_and_came_into_force_is_on_record_when_nothing_else_is() {
    for late_first in [true, false] {
        let mut w = World::connected();
        w.configuration(1);
        w.lose_link();
        w.wait(MINUTE_MS);
        w.connect();
        assert_eq!(w.configuration(2).configured(), [2]);
        let effects = if late_first {
            assert!(w.configured(1, applied()).reports.is_empty(), "2 is still wanted");
            w.configured(2, rejected())
        } else {
            w.configured(2, rejected());
            w.configured(1, applied())
        };
        assert_eq!(stored(&w), (None, Some(1)));
        let said = effects.reports.iter().any(|report| match &report.body {
            ReportBody::Configuration(report) => report.revision == 1,
            _ => false,
        });
        assert!(said, "the cloud hears of it");
    }
}

// Rule 18
#[test]
fn what_came_into_force_late_is_applied_again_when_the_application_has_come_back_since() {
    for comes_back in [true, false] {
        let mut w = World::connected();
        w.configuration(1);
        w.lose_link();
        w.wait(MINUTE_MS);
        w.connect();
        w.configuration(2);
        w.configured(1, applied());
        w.configured(2, unavailable());
        if comes_back {
            w.step(&Event::HalConnected);
        } else {
            w.wait(MINUTE_MS);
        }
        let effects = w.configured(2, rejected());
        assert_eq!(stored(&w), (None, Some(1)));
        let again = if comes_back { vec![1] } else { Vec::new() };
        assert_eq!(effects.configured(), again);
    }
}

/// Connected, with that revision wanted, a call of it given up and made again.
fn made_again(revision: u64) -> (World, ConfigureCall, ConfigureCall) {
    let mut w = World::connected();
    w.configuration(revision);
    w.wait(90_000);
    let calls: Vec<ConfigureCall> = w.configure_calls.iter().map(|order| order.call).collect();
    assert_eq!(calls, [ConfigureCall(1), ConfigureCall(2)]);
    (w, calls[0], calls[1])
}

// Rule 18
#[test]
fn the_answer_of_a_call_that_was_given_up_does_not_settle_the_next_one_of_the_same_revision() {
    for outcome in [applied(), rejected(), unavailable()] {
        let (mut w, first, second) = made_again(1);
        w.step(&Event::Configured { call: first, outcome });
        assert_eq!(stored(&w), (Some(1), None), "the second call has not answered");
        assert!(w.configuration(2).configured().is_empty(), "one at a time");
        let effects = w.step(&Event::Configured { call: second, outcome: applied() });
        assert_eq!((effects.configured(), stored(&w)), (vec![2], (Some(2), Some(1))));
    }
}

// Rule 18
#[test]
fn an_answer_that_comes_after_a_newer_revision_has_been_applied_is_put_right() {
    let (mut w, first, second) = made_again(1);
    w.step(&Event::Configured { call: second, outcome: applied() });
    w.configuration(2);
    w.configured(2, applied());
    let effects = w.step(&Event::Configured { call: first, outcome: applied() });
    assert_eq!(effects.configured(), [2], "1 has replaced it");
    assert!(w.configured(2, applied()).is_empty());
    assert!(w.step(&Event::Configured { call: first, outcome: applied() }).is_empty());
    assert_eq!(stored(&w), (None, Some(2)));
}

// Rule 18
#[test]
fn of_all_calls_that_were_given_up_the_one_that_came_into_force_last_is_on_record() {
    let mut w = World::connected();
    w.configuration(1);
    w.wait(80_000);
    w.configuration(2);
    w.wait(70_000);
    w.configuration(3);
    w.wait(30_000);
    let revisions: Vec<u64> =
        w.configure_calls.iter().map(|order| order.configuration.revision).collect();
    assert_eq!(revisions, [1, 2, 3]);
    w.configured(2, applied());
    w.configured(1, applied());
    w.configured(3, rejected());
    assert_eq!(stored(&w), (None, Some(1)));
}
