//! Restarts as part of an operation: the call is journalled, then nothing else starts.

use serde_json::Value;
use terminal_hal::{
    BootId, OperationId, OperationKind, OperationResult, Parameters,
    operation::{
        RebootParameters, RebootResult,
        reboot::{BootReason, RebootScope},
    },
};

use super::{
    Effect, Engine, OperationState, RestartCall, RestartOrder, Write, output::Output,
    recovery::Attempt, running::Live,
};
use crate::protocol::EventName;

/// What is known when everything before a restart is done.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Instance of the payment application, where it says it.
    pub(super) instance: Option<String>,
    /// It answers nothing, and payments are not held.
    pub(super) application_hangs: bool,
}

impl Engine {
    /// Everything before the restart is done: the call becomes durable, then it is made.
    pub(super) fn call_restart(&mut self, id: OperationId, ready: Ready, out: &mut Output<'_>) {
        let Ready { instance, application_hangs } = ready;
        let Some(record) = self.operations.get(&id) else { return };
        if record.cancel_requested {
            // What was held for the restart is given back.
            out.push(Effect::Abandon(id));
            self.fail_cancelled(id, out);
            return;
        }
        let order = match self.order(record) {
            Ok(order) => order,
            Err(failure) => {
                out.push(Effect::Abandon(id));
                return self.fail(id, failure, out);
            }
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
        let (attempt, policy) = (order.attempt, order.policy);
        let order =
            RestartOrder { id, attempt, parameters, policy, time_left_ms, application_hangs };
        out.push(Effect::Restart(Box::new(order)));
        if application_hangs {
            let data = [("id", Value::from(id.to_string()))];
            self.report_event(EventName::ApplicationHangs, data, out);
        }
    }

    /// What became of a restart that had been called for when the process ended.
    pub(super) fn recover_restart(
        &mut self,
        id: OperationId,
        cut_off: &Attempt,
        call: &RestartCall,
        out: &mut Output<'_>,
    ) {
        let has_booted = call.boot_id != self.identity.boot_id;
        let next = cut_off.number.saturating_add(1);
        match call.parameters.scope {
            RebootScope::Device if cut_off.kind == OperationKind::Update => {
                self.recover_update(id, cut_off, call, has_booted, out);
            }
            RebootScope::Device if has_booted => {
                self.complete_reboot(id, call.boot_id, self.boot_reason(call), out);
            }
            RebootScope::Device if cut_off.is_cancelled => self.fail_cancelled(id, out),
            // The call stays on record: it may still come, and nothing else starts before it.
            RebootScope::Device => {
                if self.journal_attempt(id, next, Some(call.clone()), out) {
                    self.execute(id, out);
                }
            }
            // Done when its instance has changed.
            RebootScope::Application => self.verify_attempt(id, next, Some(call.clone()), out),
        }
    }

    /// Which version runs now, and whether it is healthy, only the hardware knows.
    fn recover_update(
        &mut self,
        id: OperationId,
        cut_off: &Attempt,
        call: &RestartCall,
        has_booted: bool,
        out: &mut Output<'_>,
    ) {
        let call_is_of_this_attempt = cut_off.boot_id == call.boot_id;
        let next = cut_off.number.saturating_add(1);
        match (has_booted, call_is_of_this_attempt) {
            // The restart came as it was called for: it is a part of the attempt.
            (true, true) => self.verify_attempt(id, cut_off.number, Some(call.clone()), out),
            // The question after the restart was cut off.
            (true, false) => self.verify_attempt(id, next, Some(call.clone()), out),
            (false, _) if cut_off.is_cancelled => self.fail_cancelled(id, out),
            (false, _) => self.verify_attempt(id, next, Some(call.clone()), out),
        }
    }

    /// A reboot that was cut off before its call has what it wanted if the device has booted
    /// for another reason. False when it has not.
    pub(super) fn complete_if_booted(
        &mut self,
        id: OperationId,
        boot_before: BootId,
        out: &mut Output<'_>,
    ) -> bool {
        let order = self.operations.get(&id).and_then(|record| self.order(record).ok());
        let is_of_device = order.is_some_and(|order| {
            matches!(order.parameters, Parameters::Reboot(p) if p.scope == RebootScope::Device)
        });
        if !is_of_device || boot_before == self.identity.boot_id {
            return false;
        }
        self.complete_reboot(id, boot_before, self.unrequested_reason(), out);
        true
    }

    fn complete_reboot(
        &mut self,
        id: OperationId,
        boot_id_before: BootId,
        boot_reason: BootReason,
        out: &mut Output<'_>,
    ) {
        let result = RebootResult {
            scope: RebootScope::Device,
            boot_id_before,
            boot_id_after: self.identity.boot_id,
            boot_reason,
        };
        self.complete(id, OperationResult::Reboot(result), out);
    }

    /// "Requested" needs the record of the call and an orderly stop of the boot that made it. The
    /// enforced daily restart stops a device in good order too: that it came first is on record.
    fn boot_reason(&self, call: &RestartCall) -> BootReason {
        let stopped = |meta: &super::Meta| meta.boot_id == call.boot_id && meta.clean_stop;
        let is_daily = self.identity.boot_reason == BootReason::Daily;
        if !is_daily && self.previous.as_ref().is_some_and(stopped) {
            BootReason::Requested
        } else {
            self.unrequested_reason()
        }
    }

    fn unrequested_reason(&self) -> BootReason {
        match self.identity.boot_reason {
            // The hardware cannot know who asked; without the mark it proves nothing.
            BootReason::Requested => BootReason::Unknown,
            cause @ (BootReason::Watchdog
            | BootReason::Power
            | BootReason::Update
            | BootReason::Daily
            | BootReason::Unknown) => cause,
        }
    }
}
