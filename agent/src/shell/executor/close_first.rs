//! Closing the batch before an update, under an id of its own, which an interrupted update finds
//! again.

use std::time::Duration;

use terminal_hal::{
    ErrorCode, Failure, OperationId,
    api::{Call, CloseState, HoldPolicy, Payments},
    error::Effect,
    operation::{EndOfDayParameters, EndOfDayResult, UpdateResult, end_of_day::CloseOutcome},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::hold;

/// A close that still runs is asked about again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Nothing is installed over a batch that is still open, and none is closed for an update that is
/// not `ready`: that cannot begin, has to wait for its window, or has nothing to install. The last
/// has its result already.
pub(super) async fn close_first(
    payments: &dyn Payments,
    ready: impl Future<Output = Result<Option<UpdateResult>, Failure>>,
    call: &Call,
    policy: HoldPolicy,
) -> Result<Option<UpdateResult>, Failure> {
    let mut closing = call.clone();
    closing.id = id(call.id);
    let result = match fate(payments, &closing).await? {
        CloseState::Finished(result) => *result,
        CloseState::NotStarted => {
            let nothing = ready.await?;
            if nothing.is_some() {
                return Ok(nothing);
            }
            let parameters = EndOfDayParameters::default();
            let work = payments.close_batch(&closing, &parameters);
            hold::holding(payments, &closing, policy, work).await?
        }
        CloseState::Failed(failure) => return Err(failure),
        CloseState::Running | CloseState::Unknown => {
            let reason = "what became of the close before the update is not known";
            return Err(Effect::Possible.failure(ErrorCode::OutcomeUnknown, reason));
        }
    };
    // The result of an update has no place for it.
    tracing::info!(
        operation_id = %call.id, close_id = %closing.id, batch_id = %result.batch_id,
        outcome = ?result.outcome, currency = %result.currency,
        purchases_amount = result.purchases_amount, reversals_amount = result.reversals_amount,
        "end of day before the update"
    );
    check_closed(&result)?;
    Ok(None)
}

/// Under which the batch is closed for that update.
pub(super) fn id(update: OperationId) -> OperationId {
    OperationId(Uuid::new_v5(&update.0, b"close_batch_first"))
}

/// Gives back what an operation holds; an update may hold for its close.
pub(super) async fn release(payments: &dyn Payments, operation: OperationId) {
    hold::release(payments, operation).await;
    hold::release(payments, id(operation)).await;
}

/// What became of a close of an earlier attempt. One that still runs may have the rest of the
/// call's time; that an application does not answer meanwhile says nothing.
async fn fate(payments: &dyn Payments, closing: &Call) -> Result<CloseState, Failure> {
    let until = Instant::now() + closing.time_left.saturating_sub(ASK_AGAIN_AFTER);
    let mut state = payments.query_close(closing.id).await?;
    while state == CloseState::Running && Instant::now() < until {
        tokio::select! {
            biased;
            () = closing.cancellation.cancelled() => break,
            () = sleep(ASK_AGAIN_AFTER) => {}
        }
        state = payments.query_close(closing.id).await.unwrap_or(state);
    }
    Ok(state)
}

fn check_closed(result: &EndOfDayResult) -> Result<(), Failure> {
    let (code, why) = match result.outcome {
        CloseOutcome::Closed | CloseOutcome::Empty | CloseOutcome::AlreadyClosed => return Ok(()),
        CloseOutcome::Mismatch => (ErrorCode::TotalsMismatch, "terminal and host disagree"),
        CloseOutcome::Unconfirmed => (ErrorCode::CloseUnconfirmed, "the host did not confirm"),
        CloseOutcome::Report => (ErrorCode::DeviceFault, "the application only reported"),
    };
    let batch = &result.batch_id;
    let reason = format!("the close before the update left batch {batch} open: {why}");
    // Without its word, the host may have closed it all the same.
    let is_unconfirmed = result.outcome == CloseOutcome::Unconfirmed;
    let effect = if is_unconfirmed { Effect::Possible } else { Effect::None };
    Err(effect.failure(code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal_core::protocol::Policy;
    use terminal_hal::{
        SideEffects,
        api::{self, CallHandle},
        mock::{MockConfig, MockTerminal, script::Script},
    };

    fn call() -> (Call, CallHandle) {
        api::call(OperationId(Uuid::from_u128(1)), 1, Duration::from_secs(60))
    }

    /// What comes of it while the application says this of the close, for so long.
    async fn while_it_says(state: &str, time: Duration) -> Result<Option<UpdateResult>, Failure> {
        let mock = MockTerminal::open(MockConfig::default()).unwrap();
        let (call, _handle) = call();
        let policy = hold::policy(Policy::default(), call.time_left);
        close_first(&mock, async { Ok(None) }, &call, policy).await.unwrap();
        let script = format!(r#"{{"query_close_says":"{state}"}}"#);
        mock.set_script(Script::parse(&script).unwrap());
        let settle = async {
            sleep(time).await;
            mock.set_script(Script::default());
        };
        let closing = async {
            let closed = close_first(&mock, async { Ok(None) }, &call, policy);
            tokio::time::timeout(call.time_left, closed).await.unwrap()
        };
        tokio::join!(closing, settle).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_that_still_runs_is_waited_for_as_long_as_the_update_has_time() {
        assert_eq!(while_it_says("running", Duration::from_secs(30)).await, Ok(None));
        for (state, time) in [("running", 90), ("unknown", 0)] {
            let closed = while_it_says(state, Duration::from_secs(time)).await;
            let failure = closed.unwrap_err();
            assert_eq!(failure.code, ErrorCode::OutcomeUnknown, "{state}");
            assert_eq!((failure.side_effects, failure.retryable), (SideEffects::Unknown, false));
        }
    }

    #[tokio::test]
    async fn an_update_that_is_abandoned_in_its_close_holds_no_payments_any_more() {
        let mock = MockTerminal::open(MockConfig::default()).unwrap();
        let (update, _handle) = call();
        for id in [update.id, id(update.id)] {
            let (holder, _handle) = api::call(id, 1, Duration::from_secs(60));
            mock.hold_payments(&holder, &hold::EXTENSION).await.unwrap();
            release(&mock, update.id).await;
            let (other, _handle) =
                api::call(OperationId(Uuid::from_u128(2)), 1, Duration::from_secs(60));
            mock.hold_payments(&other, &hold::EXTENSION).await.unwrap();
            hold::release(&mock, other.id).await;
        }
    }

    #[tokio::test]
    async fn an_update_does_not_go_on_over_a_batch_that_stayed_open() {
        for (host, code) in [
            ("reachable", None),
            ("mismatch", Some(ErrorCode::TotalsMismatch)),
            ("unconfirmed", Some(ErrorCode::CloseUnconfirmed)),
            ("unreachable", Some(ErrorCode::HostUnreachable)),
        ] {
            let mock = MockTerminal::open(MockConfig::default()).unwrap();
            mock.set_script(Script::parse(&format!(r#"{{"host":"{host}"}}"#)).unwrap());
            let (call, _handle) = call();
            // Also when an interrupted update finds it.
            for attempt in 1..=2 {
                let policy = hold::policy(Policy::default(), call.time_left);
                let closed = close_first(&mock, async { Ok(None) }, &call, policy).await;
                let failed = closed.as_ref().err().map(|failure| failure.code);
                assert_eq!(failed, code, "{host}, attempt {attempt}");
                let is_unknown = closed.is_err_and(|f| f.side_effects == SideEffects::Unknown);
                assert_eq!(is_unknown, host == "unconfirmed", "{host}, attempt {attempt}");
            }
        }
    }
}
