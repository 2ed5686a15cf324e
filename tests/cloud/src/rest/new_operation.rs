//! The body that creates an operation.

use axum::body::Bytes;
use serde_json::{Map, Value, json};
use terminal_core::protocol::{
    CloudFrame, IfBusy, IfPaymentActive, OperationFrame, Policy, TEXT_FRAME_BYTES_MAX, encode,
};
use terminal_hal::{OperationId, OperationKind, Timestamp};
use uuid::Uuid;

use super::{error::ApiError, problems::Fields};
use crate::{db::operations::NewOperation, secret};

/// Longest time to live, 30 days: the protocol's limit of `not_after`.
const TTL_S_MAX: u32 = 30 * 86_400;
const DEADLINE_S_MAX: u32 = 86_400;
const WAIT_S_MAX: u32 = 3600;

/// What is to be created, and a digest of the request for the idempotency key.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) new: NewOperation,
    pub(super) fingerprint: String,
}

/// Reads and checks a body; `created_by` counts towards the size of the frame.
pub(super) fn read(body: &Bytes, created_by: &str) -> Result<Body, ApiError> {
    let mut fields = Fields::parse(body)?;
    let terminal_id = fields.required_line("terminal_id", 64);
    let operation = kind(&mut fields);
    let parameters = fields.object("parameters").unwrap_or_default();
    let policy = fields.nested("policy", policy).unwrap_or_default();
    let ttl_s = fields.integer("ttl_s", 1, TTL_S_MAX);
    let deadline_s = fields.integer("deadline_s", 1, DEADLINE_S_MAX);
    let new = terminal_id.zip(operation).map(|(terminal_id, operation)| {
        let mut new = NewOperation::new(terminal_id, operation.as_str());
        new.parameters = parameters;
        new.policy = policy;
        new.ttl_s = ttl_s.unwrap_or(new.ttl_s);
        new.deadline_s = deadline_s.unwrap_or(new.deadline_s);
        new.exclusive = true;
        new
    });
    if let Some(new) = &new {
        check_size(new, created_by, &mut fields);
    }
    let new = fields.finish(new)?;
    let fingerprint = fingerprint(&new);
    Ok(Body { new, fingerprint })
}

fn kind(fields: &mut Fields) -> Option<OperationKind> {
    let kinds = OperationKind::ALL.map(|kind| (kind.as_str(), kind));
    fields.required_choice("operation", &kinds)
}

fn policy(fields: &mut Fields) -> Policy {
    let default = Policy::default();
    Policy {
        if_busy: fields
            .choice("if_busy", &[("queue", IfBusy::Queue), ("reject", IfBusy::Reject)])
            .unwrap_or(default.if_busy),
        if_payment_active: fields
            .choice(
                "if_payment_active",
                &[
                    ("reject", IfPaymentActive::Reject),
                    ("wait", IfPaymentActive::Wait),
                    ("cancel", IfPaymentActive::Cancel),
                ],
            )
            .unwrap_or(default.if_payment_active),
        wait_max_s: fields.integer("wait_max_s", 0, WAIT_S_MAX).unwrap_or(default.wait_max_s),
    }
}

/// What cannot be sent in one frame is not accepted.
pub(super) fn check_size(new: &NewOperation, created_by: &str, fields: &mut Fields) {
    let frame = CloudFrame::Operation(Box::new(OperationFrame {
        id: OperationId(Uuid::nil()),
        operation: new.operation.clone(),
        parameters: new.parameters.clone(),
        created_at: Timestamp::default(),
        created_by: created_by.to_owned(),
        first_epoch: Some(terminal_core::protocol::StoreEpoch(Uuid::nil())),
        ttl_s: u32::MAX,
        not_after: Timestamp::default(),
        deadline_s: u32::MAX,
        policy: new.policy,
    }));
    let bytes = encode(&frame).len();
    if bytes > TEXT_FRAME_BYTES_MAX {
        let problem = format!("make a frame of {bytes} bytes, want at most {TEXT_FRAME_BYTES_MAX}");
        fields.problem("parameters", problem);
    }
}

/// The same for every spelling of the same request: defaults filled in, keys in order.
pub(super) fn fingerprint(new: &NewOperation) -> String {
    let parameters: Map<String, Value> = new.parameters.clone();
    let request =
        json!([new.terminal_id, new.operation, parameters, new.policy, new.ttl_s, new.deadline_s,]);
    secret::sha256(request.to_string().as_bytes())
}
