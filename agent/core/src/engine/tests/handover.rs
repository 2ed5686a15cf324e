//! Rules 1 and 2: nothing happens before it is journalled, and nothing happens twice.

use terminal_hal::{ErrorCode, OperationKind, SideEffects};

use super::{
    samples::{DAY_MS, MINUTE_MS, id},
    world::World,
};
use crate::engine::limits::REPORTS_IN_FLIGHT_MAX;
use crate::engine::{Effect, Event, Write};
use crate::protocol::{AgentFrame, OperationFrame, ReportBody};

fn kinds_of(effects: &[Effect]) -> Vec<&'static str> {
    let kinds = effects.iter().filter_map(|effect| match effect {
        Effect::Append(_) => Some("append"),
        Effect::Start(_) => Some("start"),
        Effect::SendReport(_) => Some("report"),
        Effect::Send(frame) => match **frame {
            AgentFrame::Accepted(_) => Some("accepted"),
            AgentFrame::Started(_) => Some("started"),
            _ => None,
        },
        _ => None,
    });
    kinds.collect()
}

// Rule 1
#[test]
fn an_operation_is_journalled_then_accepted_then_started_in_one_commit() {
    let mut w = World::connected();
    let effects = w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(kinds_of(&effects.all), ["append", "accepted", "started", "start"]);
    assert_eq!(effects.writes().len(), 1, "the record is written once");
}

// Rule 1
#[test]
fn a_verdict_is_journalled_with_its_report_in_one_commit_before_it_is_sent() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let effects = w.complete(1);
    assert_eq!(kinds_of(&effects.all), ["append", "report"]);
    let writes = effects.writes();
    assert!(matches!(writes[..], [Write::PutReport(_), Write::PutOperation(_)]));
}

// Rule 1
#[test]
fn an_operation_costs_two_commits_and_the_removal_after_the_ack_rides_on_the_next() {
    let mut w = World::connected();
    w.configuration(1);
    let outcome = crate::engine::ConfigurationOutcome::Applied { sha256: "0".into() };
    let configured = w.configured(1, outcome);
    assert_eq!(configured.seqs(), [1]);
    let acked = w.ack(1);
    assert_eq!(acked.appends(), 0);
    assert_eq!(w.store.reports.len(), 1);
    let dispatched = w.dispatch(1, OperationKind::SendLogs);
    assert_eq!(dispatched.appends(), 1);
    assert_eq!(w.store.reports.len(), 0, "the acked report went with the commit");
    assert_eq!(w.complete(1).appends(), 1);
    assert_eq!(w.ack(2).appends(), 0);
}

// Rule 1
#[test]
fn what_is_refused_is_accepted_and_reported_in_one_commit_and_never_started() {
    let mut w = World::connected();
    let frame = OperationFrame { operation: "dance".into(), ..w.operation(1, OperationKind::Lock) };
    let effects = w.send(frame);
    assert_eq!(kinds_of(&effects.all), ["append", "accepted", "report"]);
    assert_eq!(w.failed_with(1), (ErrorCode::UnsupportedOperation, SideEffects::None));
    assert_eq!((w.verdict(1).attempt, w.verdict(1).started_at), (0, None));
}

// Rule 1
#[test]
fn parameters_and_local_permission_are_checked_before_anything_waits() {
    let mut w = World::connected();
    w.settings.allowed.retain(|kind| *kind != OperationKind::Reboot);
    w.restart();
    w.connect();
    w.dispatch(1, OperationKind::Reboot);
    assert_eq!(w.failure(1).code, ErrorCode::Unauthorized);
    let parameters = super::samples::object(serde_json::json!({"mode": "sideways"}));
    let frame = OperationFrame { parameters, ..w.operation(2, OperationKind::EndOfDay) };
    w.send(frame);
    assert_eq!(w.failure(2).code, ErrorCode::InvalidParameters);
}

// Rule 2
#[test]
fn a_redelivered_operation_starts_nothing_at_any_stage() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.dispatch(2, OperationKind::EndOfDay);
    for n in [1, 2] {
        let again = w.dispatch(n, OperationKind::EndOfDay);
        assert_eq!(again.accepted(), [(id(n), true)]);
        assert_eq!((again.appends(), again.starts().len()), (0, 0));
    }
    let finished = w.complete(1);
    assert_eq!(finished.starts(), [(id(2), 1)]);
    let first = finished.reports[0].clone();
    for _ in 0..2 {
        let again = w.dispatch(1, OperationKind::EndOfDay);
        assert_eq!(again.reports, std::slice::from_ref(&first));
        assert_eq!((again.appends(), again.starts().len()), (0, 0));
        w.ack(1);
    }
}

// Rule 2
#[test]
fn an_acked_verdict_is_sent_again_whole_with_its_first_seq_also_after_a_restart() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let first = w.complete(1).reports[0].clone();
    assert!(matches!(first.body, ReportBody::Operation(_)));
    w.ack(1);
    w.dispatch(2, OperationKind::OpenMenu);
    w.restart();
    w.connect();
    let again = w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(again.reports, [first]);
    assert!(again.starts().is_empty());
}

// Rule 2
#[test]
fn a_verdict_is_remembered_until_it_is_acked_and_past_its_not_after() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.complete(1);
    w.lose_link();
    w.pass(2 * DAY_MS);
    w.step(&Event::Woken);
    assert!(w.engine.finished.contains_key(&id(1)), "not acked yet");
    w.connect();
    w.ack(1);
    w.wait(2 * MINUTE_MS);
    assert!(!w.engine.finished.contains_key(&id(1)));
    assert!(w.store.operations.contains_key(&id(1)), "goes with the next commit");
    w.lose_link();
    w.connect();
    w.dispatch(2, OperationKind::EndOfDay);
    assert!(!w.store.operations.contains_key(&id(1)));
    assert_eq!(w.store.reports.len(), 0);
}

// Rule 2
#[test]
fn an_acked_verdict_is_kept_until_its_not_after_whatever_else_is_forgotten() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.complete(1);
    let not_after = w.cloud_time().plus_ms(MINUTE_MS);
    let frame = OperationFrame { not_after, ..w.operation(2, OperationKind::EndOfDay) };
    w.send(frame);
    w.complete(2);
    w.ack(2);
    w.pass(DAY_MS - 1);
    w.step(&Event::Woken);
    assert!(w.engine.finished.contains_key(&id(1)) && !w.engine.finished.contains_key(&id(2)));
    w.pass(2);
    w.step(&Event::Woken);
    assert!(!w.engine.finished.contains_key(&id(1)));
}

// Rule 2
#[test]
fn an_unknown_id_past_its_not_after_expires_with_unknown_side_effects() {
    let mut w = World::connected();
    let frame =
        OperationFrame { not_after: w.cloud_time(), ..w.operation(1, OperationKind::EndOfDay) };
    let effects = w.send(frame);
    assert!(effects.starts().is_empty());
    assert_eq!(w.failed_with(1), (ErrorCode::Expired, SideEffects::Unknown));
}

// Rule 2
#[test]
fn a_not_after_further_ahead_than_it_may_be_remembered_is_refused() {
    let mut w = World::connected();
    let limit = w.cloud_time().plus_ms(crate::engine::limits::NOT_AFTER_MS_MAX);
    let frame = OperationFrame { not_after: limit, ..w.operation(1, OperationKind::Lock) };
    assert_eq!(w.send(frame).starts(), [(id(1), 1)]);
    let frame =
        OperationFrame { not_after: limit.plus_ms(1), ..w.operation(2, OperationKind::Lock) };
    w.send(frame);
    assert_eq!(w.failure(2).code, ErrorCode::InvalidParameters);
}

// Rule 3
#[test]
fn a_verdict_beyond_the_window_is_not_sent_out_of_order_for_a_redelivery() {
    let mut w = World::connected();
    let many = u32::try_from(REPORTS_IN_FLIGHT_MAX).unwrap() + 2;
    for n in 1..=many {
        w.dispatch(n.into(), OperationKind::CheckUpdate);
        w.complete(n.into());
    }
    let again = w.dispatch(many.into(), OperationKind::CheckUpdate);
    assert!(again.reports.is_empty() && again.starts().is_empty(), "{again:?}");
    let rest = w.ack(2);
    assert_eq!(rest.reports.last().map(|report| report.seq.0), Some(many.into()));
}

// Rule 2
#[test]
fn a_wall_clock_that_is_wrong_makes_nothing_forgotten() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.complete(1);
    w.ack(1);
    // The ack rides on the next commit.
    w.dispatch(2, OperationKind::Lock);
    w.wall += 400 * DAY_MS;
    w.cloud_ahead_ms = 0;
    w.restart();
    w.step(&Event::Woken);
    assert!(w.engine.finished.contains_key(&id(1)), "the cloud has not said what time it is");
    w.wall -= 400 * DAY_MS;
    w.connect();
    assert!(w.engine.finished.contains_key(&id(1)));
}
