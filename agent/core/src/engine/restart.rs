//! Restarts as part of an operation: the call is journalled, then nothing else starts.

use terminal_hal::{
    OperationId, OperationResult, Parameters,
    operation::{
        RebootParameters, RebootResult,
        reboot::{BootReason, RebootScope},
    },
};

use super::{
    Effect, Engine, OperationState, RestartCall, RestartOrder, Write, limits::ATTEMPTS_MAX,
    output::Output, running::Live,
};

impl Engine {
    /// Everything before the restart is done: the call becomes durable, then it is made.
    pub(super) fn call_restart(
        &mut self,
        id: OperationId,
        instance: Option<String>,
        out: &mut Output<'_>,
    ) {
        let Some(record) = self.operations.get(&id) else { return };
        if record.cancel_requested {
            self.fail_cancelled(id, out);
            return;
        }
        let order = match self.order(record) {
            Ok(order) => order,
            Err(failure) => return self.fail(id, failure, out),
        };
        let parameters = match order.parameters {
            Parameters::Reboot(parameters) => parameters,
            // An update restarts the device as soon as it is installed.
            Parameters::EndOfDay(_)
            | Parameters::SendLogs(_)
            | Parameters::CheckUpdate(_)
            | Parameters::OpenMenu(_)
            | Parameters::Update(_)
            | Parameters::Lock(_)
            | Parameters::Unlock(_)
            | Parameters::Configure(_) => {
                RebootParameters { delay_s: 0, ..RebootParameters::default() }
            }
        };
        let call = RestartCall {
            parameters: parameters.clone(),
            boot_id: self.identity.boot_id,
            instance,
        };
        let time_left_ms = order.time_left_ms + u64::from(parameters.delay_s) * 1000;
        self.live
            .insert(id, Live::Restarting { deadline: out.moment.monotonic.plus_ms(time_left_ms) });
        let Some(record) = self.operations.get_mut(&id) else { return };
        if let OperationState::Running { restart, .. } = &mut record.state {
            *restart = Some(call);
        }
        tracing::info!(operation_id = %id, scope = ?parameters.scope, "restart called for");
        out.write(Write::PutOperation(Box::new(record.clone())));
        let attempt = order.attempt;
        let order = RestartOrder { id, attempt, parameters, time_left_ms };
        out.push(Effect::Restart(Box::new(order)));
    }

    /// What became of a restart that had been called for when the process ended.
    pub(super) fn recover_restart(
        &mut self,
        id: OperationId,
        attempt: u32,
        call: &RestartCall,
        is_update: bool,
        out: &mut Output<'_>,
    ) {
        let booted = call.boot_id != self.identity.boot_id;
        match call.parameters.scope {
            // Which version runs now, and whether it is healthy, only the hardware knows. A
            // restart that came as it was called for does not count as cut off.
            RebootScope::Device if is_update && booted => {
                self.verify_attempt(id, attempt.min(ATTEMPTS_MAX - 1) + 1, None, out);
            }
            RebootScope::Device if is_update => self.verify_attempt(id, attempt + 1, None, out),
            RebootScope::Device if booted => {
                let result = RebootResult {
                    scope: RebootScope::Device,
                    boot_id_before: call.boot_id,
                    boot_id_after: self.identity.boot_id,
                    boot_reason: self.boot_reason(call),
                };
                self.complete(id, OperationResult::Reboot(result), out);
            }
            RebootScope::Device => self.execute_attempt(id, attempt + 1, out),
            // Done when its instance has changed.
            RebootScope::Application => {
                self.verify_attempt(id, attempt + 1, Some(call.clone()), out);
            }
        }
    }

    /// "Requested" needs the record of the call and an orderly stop of the boot that made it.
    fn boot_reason(&self, call: &RestartCall) -> BootReason {
        let stopped = |meta: &super::Meta| meta.boot_id == call.boot_id && meta.clean_stop;
        let cause = self.identity.boot_reason;
        if self.previous.as_ref().is_some_and(stopped) {
            BootReason::Requested
        } else if cause == BootReason::Requested {
            // The hardware cannot know who asked; without the mark it proves nothing.
            BootReason::Unknown
        } else {
            cause
        }
    }
}
