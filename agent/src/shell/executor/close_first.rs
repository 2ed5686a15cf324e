//! Closing the batch before an update, under an id of its own, which an interrupted update finds
//! again.

use terminal_hal::{
    ErrorCode, Failure, OperationId,
    api::{Call, CloseState, HoldPolicy, Payments},
    operation::{EndOfDayParameters, end_of_day::CloseOutcome},
};
use uuid::Uuid;

use super::hold;

/// Nothing is installed over a batch that is still open, and none is closed for an update that is
/// not `ready`: that cannot begin, or has to wait for its window.
pub(super) async fn close_first(
    payments: &dyn Payments,
    ready: impl Future<Output = Result<(), Failure>>,
    call: &Call,
    policy: HoldPolicy,
) -> Result<(), Failure> {
    let id = OperationId(Uuid::new_v5(&call.id.0, b"close_batch_first"));
    let mut call = call.clone();
    call.id = id;
    let result = match payments.query_close(id).await? {
        CloseState::Finished(result) => *result,
        CloseState::NotStarted => {
            ready.await?;
            let parameters = EndOfDayParameters::default();
            let closing = payments.close_batch(&call, &parameters);
            hold::holding(payments, &call, policy, closing).await?
        }
        CloseState::Failed(failure) => return Err(failure),
        CloseState::Running | CloseState::Unknown => {
            let reason = "what became of the close before the update is not known";
            return Err(Failure::new(ErrorCode::CloseUnconfirmed, reason));
        }
    };
    let (code, why) = match result.outcome {
        CloseOutcome::Closed | CloseOutcome::Empty | CloseOutcome::AlreadyClosed => return Ok(()),
        CloseOutcome::Mismatch => (ErrorCode::TotalsMismatch, "terminal and host disagree"),
        CloseOutcome::Unconfirmed => (ErrorCode::CloseUnconfirmed, "the host did not confirm"),
        CloseOutcome::Report => (ErrorCode::DeviceFault, "the application only reported"),
    };
    let batch = result.batch_id;
    let reason = format!("the close before the update left batch {batch} open: {why}");
    Err(Failure::new(code, reason))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use terminal_core::protocol::Policy;
    use terminal_hal::{
        api,
        mock::{MockConfig, MockTerminal, script::Script},
    };

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
            let (call, _handle) =
                api::call(OperationId(Uuid::from_u128(1)), 1, Duration::from_secs(60));
            // Also when an interrupted update finds it.
            for attempt in 1..=2 {
                let policy = hold::policy(Policy::default(), call.time_left);
                let closed = close_first(&mock, async { Ok(()) }, &call, policy).await;
                let failed = closed.err().map(|failure| failure.code);
                assert_eq!(failed, code, "{host}, attempt {attempt}");
            }
        }
    }
}
