//! Orders that must not be carried out twice: a close and an installation. When the connection
//! breaks while one runs, the application is asked by id what became of it.

use std::{future::Future, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Vendor,
    failure::{self, Lost},
    request::{Effect, Ended, operation},
};
use crate::{
    ErrorCode, Failure, SideEffects,
    api::{Call, HoldPolicy, Payments},
};

/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// An order that has outlived its operation is asked about by the agent, who then drops the call.
/// This bounds a call that nobody drops.
const OVERDUE_MAX: Duration = Duration::from_secs(3_600);
/// How often an order is sent at most: each time the application has said that nothing happened.
const SENDS_MAX: u32 = 3;

/// What became of an order, as the application tells it.
pub(super) enum Fate<T> {
    NotStarted,
    Running,
    Done(T),
    Failed(Failure),
    Unknown,
}

impl Vendor {
    /// Gives an order once. `read` reads its answer, `ask` asks what became of it.
    pub(super) async fn once<T, P, A>(
        &self,
        method: &'static str,
        parameters: P,
        call: &Call,
        read: impl Fn(Value) -> Result<T, Failure>,
        ask: impl Fn() -> A,
    ) -> Result<T, Failure>
    where
        P: Serialize + Clone,
        A: Future<Output = Result<Fate<T>, Failure>>,
    {
        let begun = Instant::now();
        let until = begun + call.time_left + OVERDUE_MAX;
        let mut call = call.clone();
        let time_left = call.time_left;
        for _ in 0..SENDS_MAX {
            call.time_left = time_left.saturating_sub(begun.elapsed());
            let call = &call;
            let params = operation(call, parameters.clone());
            match self.send(method, &params, Some(call), until).await {
                Ended::Answered(answer) => match read(answer) {
                    Ok(result) => return Ok(result),
                    Err(failure) => return self.in_doubt(failure, until, &ask).await,
                },
                Ended::Refused(error) => {
                    let failure = failure::refused(method, &error, Effect::Possible);
                    return self.in_doubt(failure, until, &ask).await;
                }
                Ended::NotSent(failure) => return Err(failure),
                Ended::Lost(Lost::Connection) => {}
                Ended::Lost(Lost::Time) => {
                    return Err(Lost::Time.failure(method, Effect::Possible));
                }
            }
            tracing::warn!(operation_id = %call.id, method, "answer lost, asking by id");
            match self.fate(until, &ask).await {
                Some(Fate::Done(result)) => return Ok(result),
                Some(Fate::Failed(failure)) => return Err(failure),
                Some(Fate::NotStarted) => self.ready_again(call).await?,
                Some(Fate::Unknown) => {
                    let reason = "the payment application cannot tell what became of it";
                    return Err(Failure::new(ErrorCode::OutcomeUnknown, reason)
                        .with_side_effects(SideEffects::Unknown));
                }
                Some(Fate::Running) | None => {
                    return Err(Lost::Time.failure(method, Effect::Possible));
                }
            }
        }
        let reason = "the payment application restarted before anything happened, every time";
        Err(Failure::new(ErrorCode::Interrupted, reason))
    }

    /// Asks until there is an answer that lasts; `None` when nobody waits any longer.
    async fn fate<T, A>(&self, until: Instant, ask: &impl Fn() -> A) -> Option<Fate<T>>
    where
        A: Future<Output = Result<Fate<T>, Failure>>,
    {
        let asking = async {
            loop {
                match ask().await {
                    Ok(Fate::Running) => {}
                    Ok(fate) => return fate,
                    Err(failure) => tracing::info!(%failure, "no answer yet"),
                }
                sleep(ASK_EVERY).await;
            }
        };
        timeout_at(until, asking).await.ok()
    }

    /// Nothing had happened. Payments are held again: another instance knows nothing of the hold.
    async fn ready_again(&self, call: &Call) -> Result<(), Failure> {
        if call.cancellation.is_cancelled() {
            let reason = "withdrawn; nothing had happened";
            return Err(Failure::new(ErrorCode::Canceled, reason));
        }
        let Some(policy) = self.holds.policy(call.id) else { return Ok(()) };
        let wait_max = policy.wait_max.min(call.time_left * 3 / 4);
        self.hold_payments(call, &HoldPolicy { wait_max, ..policy }).await
    }

    /// An answer that leaves open what has happened: the question may be answered better.
    async fn in_doubt<T, A>(
        &self,
        failure: Failure,
        until: Instant,
        ask: &impl Fn() -> A,
    ) -> Result<T, Failure>
    where
        A: Future<Output = Result<Fate<T>, Failure>>,
    {
        if failure.side_effects != SideEffects::Unknown {
            return Err(failure);
        }
        let mut fate = ask().await.ok();
        if matches!(fate, Some(Fate::Running)) {
            fate = self.fate(until, ask).await;
        }
        match fate {
            Some(Fate::Done(result)) => Ok(result),
            Some(Fate::Failed(failure)) => Err(failure),
            Some(Fate::NotStarted) => Err(failure.with_side_effects(SideEffects::None)),
            Some(Fate::Running | Fate::Unknown) | None => Err(failure),
        }
    }
}
