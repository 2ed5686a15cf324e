//! The second public API's way to say things: prefixed ids, camelCase, seconds since 1970.
//!
//! Shapes only; what they show is the same database and the same operations as everywhere else.

use serde_json::{Value, json};
use terminal_hal::{OperationId, OperationKind, Timestamp};
use uuid::Uuid;

use crate::db::{
    deliveries::Delivery,
    endpoints::Endpoint,
    locations::Location,
    operations::{Operation, OperationStatus},
    terminals::Terminal,
};

/// Kinds of operation that are terminal actions.
pub(crate) const ACTIONS: [OperationKind; 4] =
    [OperationKind::Reboot, OperationKind::Update, OperationKind::Lock, OperationKind::Unlock];

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Terminal,
    Action,
    Location,
    Event,
    Endpoint,
}

/// Digits of an id: 62^22 > 2^128.
const DIGITS: usize = 22;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Kind {
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Terminal => "term_",
            Self::Action => "tact_",
            Self::Location => "loc_",
            Self::Event => "evt_",
            Self::Endpoint => "we_",
        }
    }

    /// The id as this API writes it: the same 128 bits, base 62.
    pub(crate) fn id(self, id: Uuid) -> String {
        let mut rest = id.as_u128();
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            let index = usize::try_from(rest % 62).unwrap_or_default();
            *digit = ALPHABET.get(index).copied().unwrap_or(b'0');
            rest /= 62;
        }
        format!("{}{}", self.prefix(), String::from_utf8_lossy(&digits))
    }

    /// The other way; `None` for what is no id of this kind.
    pub(crate) fn parse(self, text: &str) -> Option<Uuid> {
        let digits = text.strip_prefix(self.prefix())?.as_bytes();
        if digits.len() != DIGITS {
            return None;
        }
        let number = digits.iter().try_fold(0_u128, |number, digit| {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            number.checked_mul(62)?.checked_add(u128::try_from(value).ok()?)
        })?;
        Some(Uuid::from_u128(number))
    }
}

/// Whole seconds since 1970.
pub(crate) fn seconds(at: Timestamp) -> u64 {
    at.unix_ms() / 1000
}

/// The terminal object.
pub(crate) fn terminal(terminal: &Terminal) -> Value {
    let mut shape = json!({
        "id": Kind::Terminal.id(terminal.id),
        "model": terminal.model,
        "serialNumber": terminal.serial_number,
        "status": terminal.standing,
        "locationId": terminal.location_id.map(|id| Kind::Location.id(id)),
        "softwareVersion": terminal.software_version,
        "lastSeen": terminal.last_seen_at.map(seconds),
        "batteryLevel": terminal.battery_level,
        "createdAt": seconds(terminal.created_at),
    });
    let reasons = terminal.needs_attention();
    if let Some(fields) = shape.as_object_mut() {
        if let Some(name) = &terminal.display_name {
            fields.insert("displayName".to_owned(), json!(name));
        }
        if !reasons.is_empty() {
            fields.insert("needsAttention".to_owned(), json!(reasons));
        }
    }
    shape
}

/// The terminal action object; `terminal` is the id of the resource.
pub(crate) fn action(operation: &Operation, terminal: Uuid) -> Value {
    json!({
        "id": Kind::Action.id(operation.id.0),
        "terminalId": Kind::Terminal.id(terminal),
        "action": operation.operation,
        "status": action_status(operation),
        "result": action_result(operation),
        "createdAt": seconds(operation.created_at),
    })
}

/// The operation that an action id means.
pub(crate) fn operation_id(text: &str) -> Option<OperationId> {
    Kind::Action.parse(text).map(OperationId)
}

fn action_status(operation: &Operation) -> &'static str {
    match operation.status {
        OperationStatus::Pending if operation.started => "processing",
        OperationStatus::Pending => "queued",
        OperationStatus::Completed => "completed",
        OperationStatus::Failed | OperationStatus::Timeout => "failed",
    }
}

/// `completedAt` only on success.
fn action_result(operation: &Operation) -> Value {
    match operation.status {
        OperationStatus::Pending => Value::Null,
        OperationStatus::Completed => {
            let at = operation.finished_at.unwrap_or(operation.updated_at);
            json!({ "completedAt": seconds(at), "failureReason": null })
        }
        OperationStatus::Failed => json!({ "failureReason": failure_reason(operation) }),
        OperationStatus::Timeout => json!({ "failureReason": timeout_reason(operation) }),
    }
}

fn failure_reason(operation: &Operation) -> &str {
    let reason = operation.error.as_ref().and_then(|error| error.get("failure_reason"));
    reason.and_then(Value::as_str).unwrap_or("the terminal named no reason")
}

/// A TIMEOUT proves nothing about a terminal that has the operation, and a late verdict is told.
fn timeout_reason(operation: &Operation) -> String {
    match &operation.late_result {
        Some(late) => format!(
            "the terminal did not answer in time; it said {} at {}",
            late.status.as_str(),
            late.received_at
        ),
        None if operation.dispatched => {
            "the terminal did not answer in time; it may have been done or not".to_owned()
        }
        None => "the terminal was not reached in time; nothing was done".to_owned(),
    }
}

/// The location object.
pub(crate) fn location(location: &Location) -> Value {
    json!({
        "id": Kind::Location.id(location.id),
        "storeId": location.store_id,
        "displayName": location.display_name,
        "createdAt": seconds(location.created_at),
    })
}

/// The webhook endpoint object, without its secret.
pub(crate) fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "id": Kind::Endpoint.id(endpoint.id),
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "events": endpoint.events,
        "createdAt": seconds(endpoint.created_at),
    })
}

/// A delivery to an endpoint.
pub(crate) fn delivery(delivery: &Delivery) -> Value {
    let is_pending = delivery.status == "pending";
    json!({
        "eventId": Kind::Event.id(delivery.event_id),
        "type": delivery.kind,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "nextAttemptAt": is_pending.then(|| seconds(delivery.next_at)),
        "lastAttemptAt": delivery.last_attempt_at.map(seconds),
        "lastStatus": delivery.last_status,
        "lastError": delivery.last_error,
    })
}

/// One page of a list, of which one row more than `limit` was looked up.
pub(crate) fn list(mut rows: Vec<Value>, limit: u32) -> Value {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    json!({ "object": "list", "data": rows, "has_more": has_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_and_what_is_none_is_refused() {
        for id in [Uuid::nil(), Uuid::max(), Uuid::from_u128(0x1234_5678_9abc)] {
            let text = Kind::Terminal.id(id);
            assert_eq!(text.len(), 5 + DIGITS);
            assert_eq!(Kind::Terminal.parse(&text), Some(id));
            assert_eq!(Kind::Action.parse(&text), None);
        }
        let beyond = format!("term_{}", "z".repeat(DIGITS));
        for text in ["term_4Kx9", "term_", &beyond, &"term_é".repeat(4)] {
            assert_eq!(Kind::Terminal.parse(text), None, "{text}");
        }
    }
}
