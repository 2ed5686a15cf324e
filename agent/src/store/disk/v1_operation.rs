//! Format 1 of operations.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_core::engine::{self, Monotonic, OperationRecord, OperationState, RestartCall};
use terminal_core::protocol::{self, IfBusy, IfPaymentActive, Seq};
use terminal_hal::operation::RebootParameters;
use terminal_hal::operation::reboot::RebootScope;
use terminal_hal::{BootId, OperationId};
use uuid::Uuid;

use super::v1::{Hex, Ms, Origin, is_false};

/// An operation. What decides whether and how it runs is `order`, which goes with the verdict.
#[derive(Serialize, Deserialize)]
pub(super) struct Operation {
    #[serde(rename = "o")]
    operation: String,
    #[serde(rename = "g")]
    origin: Origin,
    #[serde(rename = "n")]
    not_after: Ms,
    #[serde(rename = "a")]
    arrival: u64,
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    cancel_requested: bool,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    #[serde(rename = "s")]
    state: State,
}

#[derive(Serialize, Deserialize)]
struct Order {
    #[serde(rename = "p", default, skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
    #[serde(rename = "u", default, skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(rename = "d")]
    deadline_s: u32,
    #[serde(rename = "v", default, skip_serializing_if = "is_false")]
    may_have_run: bool,
    #[serde(rename = "b")]
    if_busy: IfBusy,
    #[serde(rename = "y")]
    if_payment_active: IfPaymentActive,
    #[serde(rename = "m")]
    wait_max_s: u32,
    #[serde(rename = "i")]
    expiry_boot: Hex,
    #[serde(rename = "t")]
    expiry_monotonic: u64,
    #[serde(rename = "x")]
    expiry_cloud: Ms,
}

#[derive(Serialize, Deserialize)]
enum State {
    #[serde(rename = "q")]
    Queued(u32),
    #[serde(rename = "r")]
    Running {
        #[serde(rename = "n")]
        attempt: u32,
        #[serde(rename = "f")]
        started_at: Ms,
        #[serde(rename = "s")]
        since: u64,
        #[serde(rename = "b")]
        boot: Hex,
        #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
        restart: Option<Restart>,
    },
    #[serde(rename = "f")]
    Finished(u64),
}

#[derive(Serialize, Deserialize)]
struct Restart {
    #[serde(rename = "s")]
    scope: RebootScope,
    #[serde(rename = "d")]
    delay_s: u32,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(rename = "b")]
    boot: Hex,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl From<&OperationRecord> for Operation {
    fn from(record: &OperationRecord) -> Self {
        let is_finished = matches!(record.state, OperationState::Finished { .. });
        Self {
            operation: record.operation.clone(),
            origin: record.origin.into(),
            not_after: record.not_after.into(),
            arrival: record.arrival,
            cancel_requested: record.cancel_requested,
            order: (!is_finished).then(|| Order::from(record)),
            state: State::from(&record.state),
        }
    }
}

impl From<&OperationRecord> for Order {
    fn from(record: &OperationRecord) -> Self {
        Self {
            parameters: record.parameters.clone(),
            created_by: record.created_by.clone(),
            deadline_s: record.deadline_s,
            may_have_run: record.may_have_run,
            if_busy: record.policy.if_busy,
            if_payment_active: record.policy.if_payment_active,
            wait_max_s: record.policy.wait_max_s,
            expiry_boot: Hex(record.expiry.boot_id.0),
            expiry_monotonic: record.expiry.monotonic.0,
            expiry_cloud: record.expiry.cloud.into(),
        }
    }
}

impl Operation {
    pub(super) fn into_record(self, id: OperationId) -> OperationRecord {
        let order = self.order.unwrap_or_else(|| Order::gone(self.not_after));
        OperationRecord {
            id,
            operation: self.operation,
            parameters: order.parameters,
            origin: self.origin.into(),
            created_by: order.created_by,
            not_after: self.not_after.into(),
            deadline_s: order.deadline_s,
            policy: protocol::Policy {
                if_busy: order.if_busy,
                if_payment_active: order.if_payment_active,
                wait_max_s: order.wait_max_s,
            },
            arrival: self.arrival,
            expiry: engine::Expiry {
                boot_id: BootId(order.expiry_boot.0),
                monotonic: Monotonic(order.expiry_monotonic),
                cloud: order.expiry_cloud.into(),
            },
            may_have_run: order.may_have_run,
            cancel_requested: self.cancel_requested,
            state: self.state.into(),
        }
    }
}

impl Order {
    /// In place of the one that went with the verdict.
    fn gone(not_after: Ms) -> Self {
        let policy = protocol::Policy::default();
        Self {
            parameters: Map::new(),
            created_by: String::new(),
            deadline_s: 0,
            may_have_run: false,
            if_busy: policy.if_busy,
            if_payment_active: policy.if_payment_active,
            wait_max_s: policy.wait_max_s,
            expiry_boot: Hex(Uuid::nil()),
            expiry_monotonic: 0,
            expiry_cloud: not_after,
        }
    }
}

impl From<&OperationState> for State {
    fn from(state: &OperationState) -> Self {
        match state {
            OperationState::Queued { attempts } => Self::Queued(*attempts),
            OperationState::Running { attempt, started_at, since, boot_id, restart } => {
                Self::Running {
                    attempt: *attempt,
                    started_at: (*started_at).into(),
                    since: since.0,
                    boot: Hex(boot_id.0),
                    restart: restart.as_ref().map(Restart::from),
                }
            }
            OperationState::Finished { seq } => Self::Finished(seq.0),
        }
    }
}

impl From<State> for OperationState {
    fn from(state: State) -> Self {
        match state {
            State::Queued(attempts) => Self::Queued { attempts },
            State::Running { attempt, started_at, since, boot, restart } => Self::Running {
                attempt,
                started_at: started_at.into(),
                since: Monotonic(since),
                boot_id: BootId(boot.0),
                restart: restart.map(RestartCall::from),
            },
            State::Finished(seq) => Self::Finished { seq: Seq(seq) },
        }
    }
}

impl From<&RestartCall> for Restart {
    fn from(call: &RestartCall) -> Self {
        Self {
            scope: call.parameters.scope,
            delay_s: call.parameters.delay_s,
            reason: call.parameters.reason.clone(),
            boot: Hex(call.boot_id.0),
            instance: call.instance.clone(),
        }
    }
}

impl From<Restart> for RestartCall {
    fn from(call: Restart) -> Self {
        Self {
            parameters: RebootParameters {
                scope: call.scope,
                delay_s: call.delay_s,
                reason: call.reason,
            },
            boot_id: BootId(call.boot.0),
            instance: call.instance,
        }
    }
}
