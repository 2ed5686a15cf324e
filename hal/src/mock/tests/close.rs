//! Closing batches.

use super::*;
use crate::{
    ErrorCode, SideEffects,
    api::{CloseState, PaymentActivity, Payments},
    operation::{
        EndOfDayParameters, EndOfDayResult,
        end_of_day::{CloseMode, CloseOutcome, OfflinePending, TotalKind},
    },
};

async fn close(terminal: &MockTerminal, number: u128) -> Result<EndOfDayResult, crate::Failure> {
    let (call, _handle) = call(number);
    terminal.close_batch(&call, &EndOfDayParameters::default()).await
}

async fn with(
    terminal: &MockTerminal,
    number: u128,
    parameters: EndOfDayParameters,
) -> Result<EndOfDayResult, crate::Failure> {
    let (call, _handle) = call(number);
    terminal.close_batch(&call, &parameters).await
}

fn closes_of(terminal: &MockTerminal, batch: &str) -> u32 {
    terminal.state().closed.iter().filter(|b| b.id == batch).map(|b| b.closes).sum()
}

#[tokio::test(start_paused = true)]
async fn a_close_gives_the_totals_of_the_day_and_opens_the_next_batch() {
    let terminal = terminal();
    let before = terminal.state();
    let result = close(&terminal, 1).await.unwrap();
    assert_eq!(result.outcome, CloseOutcome::Closed);
    assert_eq!(result.batch_id, before.batch.id());
    assert!(result.purchases_count > 30, "{}", result.purchases_count);
    assert_eq!(result.purchases_amount, result.sale_amount + result.tip_amount);
    assert_eq!(result.last_end_of_day_at, before.closed[0].result.end_of_day_at);
    let rows = |kind| {
        result.totals.iter().filter(move |row| row.kind == kind).map(|row| row.amount).sum::<i64>()
    };
    assert_eq!(rows(TotalKind::Purchase), result.purchases_amount);
    assert_eq!(rows(TotalKind::Tip), result.tip_amount);
    let net = result.purchases_amount - result.reversals_amount - rows(TotalKind::Refund);
    assert_eq!(result.host_totals.unwrap().amount, net);
    let after = terminal.state();
    assert_eq!(Some(after.batch.id()), result.next_batch_id);
    assert_ne!(after.batch.id(), result.batch_id);
    assert!(after.batch.payments.is_empty());
    let next = close(&terminal, 2).await.unwrap();
    assert_eq!(next.outcome, CloseOutcome::Empty);
    assert_eq!(next.next_batch_id, None);
    assert_eq!(terminal.state().batch.id(), after.batch.id());
}

#[tokio::test(start_paused = true)]
async fn the_same_operation_closes_once_and_answers_the_same_again() {
    let terminal = terminal();
    let first = close(&terminal, 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(close(&terminal, 1).await.unwrap(), first);
    assert_eq!(terminal.effects()[&id(1)], 1);
    assert_eq!(closes_of(&terminal, &first.batch_id), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_and_a_previous_close_change_nothing() {
    let terminal = terminal();
    let before = terminal.state();
    let report = EndOfDayParameters { mode: CloseMode::Report, ..Default::default() };
    let report = with(&terminal, 1, report).await.unwrap();
    assert_eq!((report.outcome, report.end_of_day_at), (CloseOutcome::Report, None));
    let previous = EndOfDayParameters { mode: CloseMode::Previous, ..Default::default() };
    let previous = with(&terminal, 2, previous).await.unwrap();
    assert_eq!(previous.outcome, CloseOutcome::AlreadyClosed);
    assert_eq!(previous.batch_id, before.closed[0].id);
    assert!(previous.purchases_count > 50);
    assert_eq!(terminal.state(), before);
    let unknown = EndOfDayParameters { batch_id: Some("x".into()), ..Default::default() };
    let failure = with(&terminal, 3, unknown).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::BatchNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_named_batch_that_is_closed_already_is_not_closed_again() {
    let terminal = terminal();
    let first = close(&terminal, 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let again = EndOfDayParameters { batch_id: Some(first.batch_id.clone()), ..Default::default() };
    let again = with(&terminal, 2, again).await.unwrap();
    assert_eq!(again, EndOfDayResult { outcome: CloseOutcome::AlreadyClosed, ..first });
    assert_eq!(terminal.effects().get(&id(2)), None);
    assert!(!terminal.state().batch.payments.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_close_cut_off_before_the_host_has_not_started_and_one_cut_off_after_it_is_finished() {
    for (at, finished) in [("before_effect", false), ("after_effect", true)] {
        let directory = Directory::new();
        let script =
            format!(r#"{{"methods":{{"close_batch":{{"crash":{{"at":"{at}","times":1}}}}}}}}"#);
        fs::write(directory.script(), script).unwrap();
        let config =
            MockConfig { script_file: Some(directory.script()), ..kept_in(&directory.state()) };
        let terminal = MockTerminal::open(config.clone()).unwrap();
        let batch = terminal.state().batch.id();
        let cut = tokio::time::timeout(Duration::from_secs(60), close(&terminal, 1)).await;
        assert!(cut.is_err(), "a dead process answers nothing");

        let terminal = MockTerminal::open(config).unwrap();
        let state = terminal.query_close(id(1)).await.unwrap();
        assert_eq!(matches!(state, CloseState::Finished(_)), finished, "{state:?}");
        assert_eq!(state == CloseState::NotStarted, !finished, "{state:?}");
        let result = close(&terminal, 1).await.unwrap();
        assert_eq!(result.batch_id, batch);
        assert_eq!(closes_of(&terminal, &batch), 1);
        assert_eq!(terminal.effects()[&id(1)], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_is_in_the_state_file_before_the_host_is_reached() {
    let directory = Directory::new();
    let terminal = MockTerminal::open(kept_in(&directory.state())).unwrap();
    terminal
        .set_script(Script::parse(r#"{"methods":{"close_batch":{"latency_ms":2000}}}"#).unwrap());
    let running = tokio::spawn({
        let terminal = terminal.clone();
        async move { close(&terminal, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let file = fs::read_to_string(directory.state()).unwrap();
    assert!(file.contains(&id(1).to_string()));
    assert_eq!(terminal.query_close(id(1)).await.unwrap(), CloseState::Running);
    assert!(terminal.effects().is_empty());
    running.await.unwrap().unwrap();
    assert_eq!(terminal.effects()[&id(1)], 1);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_close_that_ignores_cancelling_still_finishes() {
    let terminal =
        scripted(r#"{"methods":{"close_batch":{"latency_ms":20000,"ignore_cancel":true}}}"#);
    let abandoned = tokio::time::timeout(Duration::from_secs(1), close(&terminal, 1)).await;
    assert!(abandoned.is_err());
    assert_eq!(terminal.query_close(id(1)).await.unwrap(), CloseState::Running);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let state = terminal.query_close(id(1)).await.unwrap();
    assert!(matches!(state, CloseState::Finished(_)), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_before_the_host_closes_nothing_and_after_it_gives_the_result() {
    let json = r#"{"methods":{"close_batch":{"latency_ms":2000}}}"#;
    for (after_ms, closed) in [(500, false), (1500, true)] {
        let terminal = scripted(json);
        let (call, handle) = call(1);
        let parameters = EndOfDayParameters::default();
        let close = terminal.close_batch(&call, &parameters);
        let (result, ()) = tokio::join!(close, async {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            handle.cancel();
        });
        match result {
            Ok(result) => assert!(closed && result.outcome == CloseOutcome::Closed),
            Err(failure) => {
                assert!(!closed);
                assert_eq!(failure.code, ErrorCode::Canceled);
                assert_eq!(failure.side_effects, SideEffects::None);
                let state = terminal.query_close(id(1)).await.unwrap();
                assert_eq!(state, CloseState::Failed(failure));
            }
        }
        assert_eq!(terminal.effects().len(), usize::from(closed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_a_close_that_the_query_finds() {
    let terminal = scripted(
        r#"{"methods":{"close_batch":{"fail":{"code":"HAL_UNAVAILABLE","failure_reason":"gone",
            "at":"after_effect"}}}}"#,
    );
    let failure = close(&terminal, 1).await.unwrap_err();
    assert_eq!(failure.side_effects, SideEffects::Unknown);
    assert!(matches!(terminal.query_close(id(1)).await.unwrap(), CloseState::Finished(_)));
    terminal.set_script(Script::parse(r#"{"query_close_says":"unknown"}"#).unwrap());
    assert_eq!(terminal.query_close(id(1)).await.unwrap(), CloseState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_agree_leaves_the_batch_open() {
    for (host, outcome) in [
        ("mismatch", Ok(CloseOutcome::Mismatch)),
        ("unconfirmed", Ok(CloseOutcome::Unconfirmed)),
        ("unreachable", Err(ErrorCode::HostUnreachable)),
    ] {
        let terminal = scripted(&format!(r#"{{"host":"{host}"}}"#));
        let batch = terminal.state().batch.id();
        let result = close(&terminal, 1).await;
        assert_eq!(result.map(|r| r.outcome).map_err(|f| f.code), outcome);
        assert_eq!(terminal.state().batch.id(), batch);
        assert!(terminal.effects().is_empty());
        terminal.set_script(Script::default());
        assert_eq!(close(&terminal, 2).await.unwrap().outcome, CloseOutcome::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn payments_taken_offline_are_forwarded_carried_or_a_reason_to_fail() {
    let taken = r#""payments":[{"id":"a","sale":10000,"offline":true}],"payments_per_hour":0"#;
    let pending = |offline_pending| EndOfDayParameters { offline_pending, ..Default::default() };
    let terminal = scripted(&format!("{{{taken}}}"));
    let waiting = terminal.state().offline.len() as u64;
    assert!(waiting >= 1);
    let failure = with(&terminal, 1, pending(OfflinePending::Fail)).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::OfflineQueueNotEmpty);
    let carried = with(&terminal, 2, pending(OfflinePending::Carry)).await.unwrap();
    assert_eq!(carried.offline.pending_count, waiting);
    assert_eq!(terminal.state().offline.len() as u64, waiting);
    let flushed = with(&terminal, 3, pending(OfflinePending::Flush)).await.unwrap();
    assert_eq!(flushed.offline.forwarded + flushed.offline.declined, waiting);
    assert_eq!(flushed.offline.pending_count, 0);

    let terminal = scripted(&format!(r#"{{{taken},"offline_forwarding":false}}"#));
    let kept = with(&terminal, 4, pending(OfflinePending::Flush)).await.unwrap();
    assert!(kept.offline.pending_count >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_nobody_and_refuses_a_payment_in_progress() {
    let terminal = terminal();
    terminal.start_payment(PaymentActivity::Committed, None).unwrap();
    assert_eq!(close(&terminal, 1).await.unwrap_err().code, ErrorCode::BusyPayment);
    terminal.finish_payment();
    assert_eq!(close(&terminal, 1).await.unwrap().outcome, CloseOutcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_printed_is_a_warning() {
    let terminal = scripted(r#"{"printer":"no_paper"}"#);
    let print = EndOfDayParameters { print_report: true, ..Default::default() };
    assert_eq!(with(&terminal, 1, print).await.unwrap().warnings, ["REPORT_NOT_PRINTED"]);
}

#[tokio::test(start_paused = true)]
async fn closes_and_effects_are_remembered_up_to_their_limits() {
    use super::super::state::{CLOSED_BATCHES_MAX, CLOSES_MAX, EFFECTS_MAX};
    let terminal = terminal();
    for number in 0..=CLOSES_MAX.max(CLOSED_BATCHES_MAX) as u128 {
        tokio::time::advance(Duration::from_secs(1)).await;
        terminal.take_payment(&payment()).unwrap();
        assert_eq!(close(&terminal, number).await.unwrap().outcome, CloseOutcome::Closed);
    }
    let mut state = terminal.state();
    assert_eq!((state.closes.len(), state.closed.len()), (CLOSES_MAX, CLOSED_BATCHES_MAX));
    assert_eq!(terminal.query_close(id(0)).await.unwrap(), CloseState::NotStarted);
    for number in 0..=EFFECTS_MAX as u128 {
        state.count_effect(id(10_000 + number), super::super::script::Method::OpenMenu);
    }
    assert_eq!(state.effects.len(), EFFECTS_MAX);
    assert!(!state.effects.contains_key(&id(10_000)));
}

fn payment() -> super::super::script::ScriptedPayment {
    serde_json::from_str(r#"{"id":"p","sale":5000}"#).unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_one_close_runs_and_none_beside_the_hold_of_another_operation() {
    let terminal = scripted(r#"{"methods":{"close_batch":{"latency_ms":2000}}}"#);
    let (first, second) = tokio::join!(close(&terminal, 1), close(&terminal, 2));
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().code, ErrorCode::BusyOperation);
    terminal.take_payment(&payment()).unwrap();
    let (call, _handle) = call(3);
    let policy = crate::api::HoldPolicy {
        lease: Duration::from_secs(60),
        if_payment_active: crate::api::IfPaymentActive::Wait,
        wait_max: Duration::ZERO,
    };
    terminal.hold_payments(&call, &policy).await.unwrap();
    assert_eq!(close(&terminal, 4).await.unwrap_err().code, ErrorCode::BusyOperation);
    assert!(close(&terminal, 3).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_close_of_an_earlier_life_or_of_a_restarted_application_closes_nothing() {
    use crate::api::Power;
    let json = r#"{"methods":{"close_batch":{"latency_ms":2000,"ignore_cancel":true}}}"#;
    for application_only in [false, true] {
        let terminal = scripted(json);
        let batch = terminal.state().batch.id();
        let (result, ()) = tokio::join!(close(&terminal, 1), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (call, _handle) = call(2);
            if application_only {
                terminal.restart_application(&call).await.unwrap();
            } else {
                terminal.restart().unwrap();
            }
        });
        let code = result.unwrap_err().code;
        let gone = [ErrorCode::HalUnavailable, ErrorCode::Interrupted];
        assert_eq!(code, gone[usize::from(application_only)]);
        assert_eq!(terminal.state().batch.id(), batch);
        assert_eq!(terminal.effects().get(&id(1)), None);
    }
}
