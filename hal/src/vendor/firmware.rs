//! Software updates that the payment application carries out.

use serde_json::Value;

use super::{
    Vendor,
    once::Fate,
    payments::unreadable_state,
    request::{self, Effect, deadline, operation},
    wire::{About, Check, Empty, InstallResult, UpdateStateResult, VersionsResult, method},
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects,
    answer::drop_unreadable,
    api::{Call, Firmware, HalFuture, InstallOutcome, UpdateState},
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters, UpdateResult,
        check_update::{AvailableUpdate, ComponentVersion, UPDATES_MAX},
        update::Apply,
    },
    text::bounded,
};

/// An application with a closed window is asked again after this.
const WINDOW_ASKED_AGAIN_S: u32 = 900;

impl Firmware for Vendor {
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>> {
        Box::pin(async {
            let mut answer: Value = self.ask(method::VERSIONS, &Empty {}).await?;
            drop_unreadable::<ComponentVersion>(&mut answer, "components");
            let answer: VersionsResult = request::read(method::VERSIONS, answer, Effect::None)?;
            let mut components = answer.components;
            components.truncate(UPDATES_MAX);
            for component in &mut components {
                component.version = bounded(&component.version, 64);
            }
            Ok(components)
        })
    }

    fn check<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult> {
        Box::pin(async move {
            let components = parameters.components.clone();
            let params = operation(call, Check { channel: parameters.channel, components });
            let until = deadline(call);
            let answer = self.repeat(method::CHECK, &params, Some(call), until, Effect::None);
            let mut answer = answer.await?;
            drop_unreadable::<ComponentVersion>(&mut answer, "current");
            drop_unreadable::<AvailableUpdate>(&mut answer, "updates");
            drop_unreadable::<ErrorCode>(&mut answer, "blocked_by");
            let result: CheckUpdateResult = request::read(method::CHECK, answer, Effect::None)?;
            let available = !result.updates.is_empty();
            Ok(CheckUpdateResult { available, ..result }.bounded())
        })
    }

    /// It is the application that knows the window, and its own clock.
    fn window_follows_system_clock(&self) -> bool {
        false
    }

    /// The application says when it checks for updates what an installation would meet. Whether
    /// there is anything to install it alone knows.
    fn check_ready<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>> {
        Box::pin(async move {
            let found = self.check(call, &CheckUpdateParameters::default()).await?;
            let is_closed = found.blocked_by.contains(&ErrorCode::OutsideWindow);
            if is_closed && parameters.apply == Apply::Window {
                let failure = Failure::new(ErrorCode::OutsideWindow, "the window is closed");
                return Err(failure.with_retry_after_s(WINDOW_ASKED_AGAIN_S));
            }
            Ok(None)
        })
    }

    fn install<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome> {
        Box::pin(async move {
            let ask = || self.fate_of_install(call.id);
            self.once(method::INSTALL, parameters.clone(), call, installed, ask).await
        })
    }

    fn query_update(&self, id: OperationId) -> HalFuture<'_, UpdateState> {
        Box::pin(async move {
            Ok(match self.fate_of_install(id).await? {
                Fate::NotStarted => UpdateState::NotStarted,
                Fate::Running => UpdateState::Running,
                Fate::Done(InstallOutcome::RestartRequired) => UpdateState::RestartRequired,
                Fate::Done(InstallOutcome::AlreadyRunning(result)) => {
                    UpdateState::Committed(result)
                }
                Fate::Failed(failure) => UpdateState::Failed(failure),
                Fate::Unknown => UpdateState::Unknown,
            })
        })
    }
}

impl Vendor {
    async fn fate_of_install(&self, id: OperationId) -> Result<Fate<InstallOutcome>, Failure> {
        let about = About { operation_id: id };
        let answer: UpdateStateResult = self.ask(method::QUERY_UPDATE, &about).await?;
        Ok(match (answer.state.as_str(), answer.result, answer.failure) {
            ("not_started", ..) => Fate::NotStarted,
            ("running", ..) => Fate::Running,
            ("restart_required", ..) => Fate::Done(InstallOutcome::RestartRequired),
            ("committed", Some(result), _) => {
                Fate::Done(InstallOutcome::AlreadyRunning(result.bounded()))
            }
            ("failed", _, Some(failure)) => Fate::Failed(failure.data.failure(&failure.message)),
            ("unknown", ..) => Fate::Unknown,
            (state, ..) => return Err(unreadable_state(state)),
        })
    }
}

fn installed(answer: Value) -> Result<InstallOutcome, Failure> {
    let answer: InstallResult = request::read(method::INSTALL, answer, Effect::Possible)?;
    match (answer.outcome.as_str(), answer.result) {
        ("restart_required", _) => Ok(InstallOutcome::RestartRequired),
        ("already_running", Some(result)) => Ok(InstallOutcome::AlreadyRunning(result.bounded())),
        (outcome, _) => {
            let reason = format!("the payment application answered outcome {outcome:?}");
            let failure = Failure::new(ErrorCode::DeviceFault, reason);
            Err(failure.with_side_effects(SideEffects::Unknown))
        }
    }
}
