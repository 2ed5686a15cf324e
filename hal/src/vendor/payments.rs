//! The payment application proper.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Vendor,
    once::Fate,
    request::{self, Effect, deadline, operation},
    wire::{
        About, ActivityResult, ApplySettings, ApplySettingsResult, CloseStateResult, Empty, Hold,
        SetLocked, method,
    },
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects,
    answer::drop_unreadable,
    api::{
        Call, CloseState, HalFuture, HoldPolicy, IfPaymentActive, LockRequest, PaymentActivity,
        Payments, SettingProblem, SettingsOutcome,
    },
    operation::{
        EndOfDayParameters, EndOfDayResult, LockResult,
        configure::PROBLEMS_MAX,
        end_of_day::{CloseMode, Total},
    },
};

/// Time that the answer to a hold may take beyond what it may wait for.
const HOLD_GRACE: Duration = Duration::from_secs(5);
/// The warning for rows of the totals that could not be read.
const TOTALS_TRUNCATED: &str = "TOTALS_TRUNCATED";

impl Payments for Vendor {
    fn instance(&self) -> HalFuture<'_, String> {
        // A connection belongs to one instance.
        Box::pin(async { Ok(self.connected(None).await?.hello.instance.clone()) })
    }

    fn activity(&self) -> HalFuture<'_, PaymentActivity> {
        Box::pin(async {
            let answer: ActivityResult = self.ask(method::ACTIVITY, &Empty {}).await?;
            Ok(answer.activity)
        })
    }

    fn is_alive(&self) -> HalFuture<'_, bool> {
        Box::pin(async { Ok(self.hears_anything().await) })
    }

    fn hold_payments<'a>(&'a self, call: &'a Call, policy: &'a HoldPolicy) -> HalFuture<'a, ()> {
        Box::pin(async {
            let until = Instant::now() + policy.wait_max + HOLD_GRACE;
            let hold = Hold {
                lease_ms: ms(policy.lease),
                if_payment_active: policy.if_payment_active,
                wait_max_ms: ms(policy.wait_max),
            };
            self.holds.taken(call.id, policy);
            let params = operation(call, hold);
            // A hold is given back and ends by itself; a payment that was cancelled stays so.
            let effect = match policy.if_payment_active {
                IfPaymentActive::Cancel => Effect::Possible,
                IfPaymentActive::Reject | IfPaymentActive::Wait => Effect::None,
            };
            let answer = self.repeat(method::HOLD, &params, Some(call), until, effect).await?;
            let Empty {} = request::read(method::HOLD, answer, effect)?;
            Ok(())
        })
    }

    fn release_payments(&self, id: OperationId) -> HalFuture<'_, ()> {
        self.holds.released(id);
        Box::pin(async move {
            let Empty {} = self.ask(method::RELEASE, &About { operation_id: id }).await?;
            Ok(())
        })
    }

    fn close_batch<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a EndOfDayParameters,
    ) -> HalFuture<'a, EndOfDayResult> {
        Box::pin(async move {
            match parameters.mode {
                CloseMode::Close => {
                    let ask = || self.fate_of_close(call.id);
                    self.once(method::CLOSE, parameters.clone(), call, closed, ask).await
                }
                // Reading totals changes nothing.
                CloseMode::Report | CloseMode::Previous => {
                    let params = operation(call, parameters.clone());
                    let (until, call) = (deadline(call), Some(call));
                    let answer = self.repeat(method::CLOSE, &params, call, until, Effect::None);
                    closed(answer.await?)
                }
            }
        })
    }

    fn query_close(&self, id: OperationId) -> HalFuture<'_, CloseState> {
        Box::pin(async move {
            Ok(match self.fate_of_close(id).await? {
                Fate::NotStarted => CloseState::NotStarted,
                Fate::Running => CloseState::Running,
                Fate::Done(result) => CloseState::Finished(Box::new(result)),
                Fate::Failed(failure) => CloseState::Failed(failure),
                Fate::Unknown => CloseState::Unknown,
            })
        })
    }

    fn set_locked<'a>(
        &'a self,
        call: &'a Call,
        request: &'a LockRequest,
    ) -> HalFuture<'a, LockResult> {
        Box::pin(async move {
            let params = operation(call, SetLocked::from(request));
            let result: LockResult =
                self.order(method::SET_LOCKED, &params, call, deadline(call)).await?;
            if result.locked == params.parameters.locked {
                return Ok(result);
            }
            let reason = format!("the payment application says locked: {}", result.locked);
            let failure = Failure::new(ErrorCode::DeviceFault, reason);
            Err(failure.with_side_effects(SideEffects::Unknown))
        })
    }

    fn apply_settings<'a>(
        &'a self,
        call: &'a Call,
        revision: u64,
        config: &'a Map<String, Value>,
    ) -> HalFuture<'a, SettingsOutcome> {
        Box::pin(async move {
            let params = operation(call, ApplySettings { revision, config: config.clone() });
            let answer: ApplySettingsResult =
                self.order(method::APPLY_SETTINGS, &params, call, deadline(call)).await?;
            match (answer.status.as_str(), answer.result) {
                ("applied", Some(result)) => Ok(SettingsOutcome::Applied(result.bounded())),
                ("rejected", _) => Ok(SettingsOutcome::Rejected(problems(&answer.problems))),
                (status, _) => {
                    let reason = format!("the payment application answered status {status:?}");
                    let failure = Failure::new(ErrorCode::DeviceFault, reason);
                    Err(failure.with_side_effects(SideEffects::Unknown))
                }
            }
        })
    }
}

impl Vendor {
    async fn fate_of_close(&self, id: OperationId) -> Result<Fate<EndOfDayResult>, Failure> {
        let mut answer: Value = self.ask(method::QUERY_CLOSE, &About { operation_id: id }).await?;
        let is_cut = answer.get_mut("result").is_some_and(drop_rows);
        let answer: CloseStateResult = request::read(method::QUERY_CLOSE, answer, Effect::None)?;
        Ok(match (answer.state.as_str(), answer.result, answer.failure) {
            ("not_started", ..) => Fate::NotStarted,
            ("running", ..) => Fate::Running,
            ("finished", Some(result), _) => Fate::Done(finished(result, is_cut)),
            ("failed", _, Some(failure)) => Fate::Failed(failure.data.failure(&failure.message)),
            ("unknown", ..) => Fate::Unknown,
            (state, ..) => return Err(unreadable_state(state)),
        })
    }
}

/// What became of it is not known, and asking again may help.
pub(super) fn unreadable_state(state: &str) -> Failure {
    let reason = format!("the payment application answered state {state:?} without its details");
    Failure::new(ErrorCode::DeviceFault, reason)
}

/// Reads the answer to a close.
fn closed(mut answer: Value) -> Result<EndOfDayResult, Failure> {
    let is_cut = drop_rows(&mut answer);
    let result = request::read(method::CLOSE, answer, Effect::Possible)?;
    Ok(finished(result, is_cut))
}

fn drop_rows(result: &mut Value) -> bool {
    drop_unreadable::<Total>(result, "totals")
}

fn finished(mut result: EndOfDayResult, is_cut: bool) -> EndOfDayResult {
    if is_cut {
        result.warnings.insert(0, TOTALS_TRUNCATED.to_owned());
    }
    result.bounded()
}

fn problems(problems: &[SettingProblem]) -> Vec<SettingProblem> {
    problems.iter().take(PROBLEMS_MAX).map(SettingProblem::bounded).collect()
}

impl From<&LockRequest> for SetLocked {
    fn from(request: &LockRequest) -> Self {
        match request.clone() {
            LockRequest::Lock(lock) => Self {
                locked: true,
                reason: lock.reason,
                message: lock.message,
                finish_active_payment: lock.finish_active_payment,
                clear_on_reboot: lock.clear_on_reboot,
            },
            LockRequest::Unlock(unlock) => Self {
                locked: false,
                reason: unlock.reason,
                message: None,
                finish_active_payment: true,
                clear_on_reboot: false,
            },
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
