//! Asking the hardware what became of an operation that was cut off.

use std::{future::Future, time::Duration};

use terminal_core::engine::{StartOrder, Verification};
use terminal_hal::{
    Failure, OperationKind, OperationResult,
    api::{CloseState, Hal, UpdateState},
    operation::{
        RebootResult,
        reboot::{BootReason, RebootScope},
    },
};

/// One question may take this long; the engine asks again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

pub(super) async fn ask(hal: &Hal, order: &StartOrder) -> Verification {
    match order.parameters.kind() {
        OperationKind::EndOfDay => match &hal.payments {
            Some(payments) => close_answer(in_time(payments.query_close(order.id)).await),
            None => Verification::Unavailable,
        },
        OperationKind::Update => match &hal.firmware {
            Some(firmware) => update_answer(in_time(firmware.query_update(order.id)).await),
            None => Verification::Unavailable,
        },
        OperationKind::Reboot => application_restart(hal, order).await,
        OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Lock
        | OperationKind::Unlock
        | OperationKind::Configure => Verification::Unknown,
    }
}

/// Whether the attempt that was asked about is over; the next one holds payments by itself.
pub(super) const fn is_over(answer: &Verification) -> bool {
    match answer {
        Verification::NotStarted
        | Verification::Completed(_)
        | Verification::Failed(_)
        | Verification::Unknown => true,
        Verification::Running | Verification::Unavailable | Verification::RestartRequired => false,
    }
}

/// `None` when the hardware does not answer.
async fn in_time<T>(question: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    match tokio::time::timeout(ANSWER_TIME_MAX, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(failure)) => {
            tracing::info!(%failure, "no answer yet");
            None
        }
        Err(_) => None,
    }
}

fn close_answer(state: Option<CloseState>) -> Verification {
    match state {
        None => Verification::Unavailable,
        Some(CloseState::NotStarted) => Verification::NotStarted,
        Some(CloseState::Running) => Verification::Running,
        Some(CloseState::Finished(result)) => {
            Verification::Completed(Box::new(OperationResult::EndOfDay(*result)))
        }
        Some(CloseState::Failed(failure)) => Verification::Failed(failure),
        Some(CloseState::Unknown) => Verification::Unknown,
    }
}

fn update_answer(state: Option<UpdateState>) -> Verification {
    match state {
        None => Verification::Unavailable,
        Some(UpdateState::NotStarted) => Verification::NotStarted,
        Some(UpdateState::Running) => Verification::Running,
        Some(UpdateState::RestartRequired) => Verification::RestartRequired,
        Some(UpdateState::Committed(result)) => {
            Verification::Completed(Box::new(OperationResult::Update(result)))
        }
        Some(UpdateState::Failed(failure)) => Verification::Failed(failure),
        Some(UpdateState::Unknown) => Verification::Unknown,
    }
}

/// An application has restarted when its instance is another one.
async fn application_restart(hal: &Hal, order: &StartOrder) -> Verification {
    let Some(restart) = &order.restart else { return Verification::Unknown };
    // Without a name of the instance before, no answer would prove anything.
    let Some(before) = &restart.instance else { return Verification::Unknown };
    let Some(payments) = &hal.payments else { return Verification::Unavailable };
    match in_time(payments.instance()).await {
        None => Verification::Unavailable,
        Some(instance) if instance == *before => Verification::NotStarted,
        Some(_) => Verification::Completed(Box::new(OperationResult::Reboot(RebootResult {
            scope: RebootScope::Application,
            boot_id_before: restart.boot_id,
            boot_id_after: restart.boot_id,
            boot_reason: BootReason::Requested,
        }))),
    }
}
