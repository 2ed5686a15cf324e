//! The payment application.

use serde_json::{Map, Value};

use super::{
    MockTerminal,
    script::{Method, ScriptedPayment},
    state::Payment,
};
use crate::{
    OperationId, Timestamp,
    api::{
        Call, CloseState, HalFuture, HoldPolicy, LockRequest, PaymentActivity, Payments,
        SettingsOutcome,
    },
    operation::{EndOfDayParameters, EndOfDayResult, LockResult},
};

impl Payments for MockTerminal {
    fn instance(&self) -> HalFuture<'_, String> {
        Box::pin(self.perform(Method::Instance, None, |shared| {
            Ok(shared.state.application.instance.clone())
        }))
    }

    fn activity(&self) -> HalFuture<'_, PaymentActivity> {
        Box::pin(self.perform(Method::Activity, None, |shared| {
            Ok(shared.live.payment.map_or(PaymentActivity::Idle, |payment| payment.activity))
        }))
    }

    fn hold_payments<'a>(&'a self, call: &'a Call, policy: &'a HoldPolicy) -> HalFuture<'a, ()> {
        Box::pin(self.hold(call, policy))
    }

    fn release_payments(&self, id: OperationId) -> HalFuture<'_, ()> {
        Box::pin(self.perform(Method::ReleasePayments, None, move |shared| {
            shared.live.hold = shared.live.hold.filter(|hold| hold.id != id);
            Ok(())
        }))
    }

    fn close_batch<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a EndOfDayParameters,
    ) -> HalFuture<'a, EndOfDayResult> {
        Box::pin(self.close(call, parameters))
    }

    fn query_close(&self, id: OperationId) -> HalFuture<'_, CloseState> {
        Box::pin(self.perform(Method::QueryClose, None, move |shared| Ok(shared.query_close(id))))
    }

    fn set_locked<'a>(
        &'a self,
        call: &'a Call,
        request: &'a LockRequest,
    ) -> HalFuture<'a, LockResult> {
        Box::pin(self.lock_or_unlock(call, request))
    }

    fn apply_settings<'a>(
        &'a self,
        call: &'a Call,
        revision: u64,
        config: &'a Map<String, Value>,
    ) -> HalFuture<'a, SettingsOutcome> {
        Box::pin(self.perform(Method::ApplySettings, Some(call), move |shared| {
            shared.apply_settings(call.id, revision, config)
        }))
    }
}

impl ScriptedPayment {
    pub(super) fn payment(&self, at: Timestamp) -> Payment {
        Payment {
            at,
            scheme: self.scheme.clone().unwrap_or_else(|| "visa".to_owned()),
            kind: self.kind,
            sale: self.sale.into(),
            tip: self.tip.into(),
            outcome: self.outcome,
            offline: self.offline,
        }
    }
}
