//! Answers of programs that are not the agent's own: payment applications and exec programs.
//!
//! They may be newer than the agent: what can be left out without telling a lie is left out.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    ErrorCode, Failure, SideEffects,
    status::{Batch, Network, OfflineQueue, PowerSource, Printer, ScreenView, TerminalHealth},
};

/// Longest wait that a failure may ask for.
const RETRY_AFTER_S_MAX: u32 = 86_400;

/// What programs must know about a failed operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureData {
    /// From the catalogue.
    pub code: String,
    /// As the catalogue says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// When trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// `none`, `partial` or `unknown`; anything else counts as `unknown`.
    #[serde(default)]
    pub side_effects: String,
}

impl From<&Failure> for FailureData {
    fn from(failure: &Failure) -> Self {
        let side_effects = match failure.side_effects {
            SideEffects::None => "none",
            SideEffects::Partial => "partial",
            SideEffects::Unknown => "unknown",
        };
        Self {
            code: failure.code.as_str().to_owned(),
            retryable: Some(failure.retryable),
            retry_after_s: failure.retry_after_s,
            side_effects: side_effects.to_owned(),
        }
    }
}

/// A failure in the answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFailure {
    /// For people.
    #[serde(default)]
    pub message: String,
    /// For programs.
    #[serde(flatten)]
    pub data: FailureData,
}

impl From<Failure> for WireFailure {
    fn from(failure: Failure) -> Self {
        Self { data: FailureData::from(&failure), message: failure.failure_reason }
    }
}

impl FailureData {
    /// The failure as the agent knows it. A code that is not in the catalogue becomes
    /// `DEVICE_FAULT` with that code in the reason.
    pub(crate) fn failure(&self, message: &str) -> Failure {
        // That nobody answers is nobody's answer.
        let mut codes = ErrorCode::ALL.iter().filter(|code| **code != ErrorCode::HalUnavailable);
        let known = codes.find(|code| code.as_str() == self.code);
        let mut failure = match known {
            Some(code) => Failure::new(*code, message),
            None => Failure::new(ErrorCode::DeviceFault, format!("{}: {message}", self.code)),
        };
        failure.retryable = self.retryable.unwrap_or(failure.retryable);
        failure.retry_after_s = self.retry_after_s.map(|seconds| seconds.min(RETRY_AFTER_S_MAX));
        failure.side_effects = match self.side_effects.as_str() {
            "none" => SideEffects::None,
            "partial" => SideEffects::Partial,
            _ => SideEffects::Unknown,
        };
        failure
    }
}

/// The state of a terminal: a field that cannot be read is not known.
///
/// # Errors
/// When it is no object, or one of its plain yes and no cannot be read.
pub(crate) fn health(mut answer: Value) -> serde_json::Result<TerminalHealth> {
    forget_unreadable::<Option<u8>>(&mut answer, "battery_level");
    forget_unreadable::<Option<PowerSource>>(&mut answer, "power");
    forget_unreadable::<Option<Network>>(&mut answer, "network");
    forget_unreadable::<Option<i16>>(&mut answer, "temperature_c");
    forget_unreadable::<Option<Printer>>(&mut answer, "printer");
    forget_unreadable::<Option<OfflineQueue>>(&mut answer, "offline_queue");
    forget_unreadable::<Option<Batch>>(&mut answer, "batch");
    forget_unreadable::<Option<ScreenView>>(&mut answer, "screen");
    TerminalHealth::deserialize(answer).map(TerminalHealth::bounded)
}

/// Removes the items of a list that cannot be read. True when there were some.
#[cfg(feature = "vendor")]
pub(crate) fn drop_unreadable<T: DeserializeOwned>(answer: &mut Value, list: &str) -> bool {
    let Some(items) = answer.get_mut(list).and_then(Value::as_array_mut) else { return false };
    let before = items.len();
    items.retain(|item| T::deserialize(item).is_ok());
    items.len() < before
}

/// Removes a field that cannot be read: absent means unknown.
pub(crate) fn forget_unreadable<T: DeserializeOwned>(answer: &mut Value, field: &str) {
    let Some(fields) = answer.as_object_mut() else { return };
    if fields.get(field).is_some_and(|value| T::deserialize(value).is_err()) {
        fields.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[cfg(feature = "vendor")]
    fn only_what_cannot_be_read_is_left_out() {
        let mut answer = json!({ "list": [1, "x", 2], "level": "high", "name": "n" });
        assert!(drop_unreadable::<u8>(&mut answer, "list"));
        assert!(!drop_unreadable::<u8>(&mut answer, "list"));
        forget_unreadable::<u8>(&mut answer, "level");
        forget_unreadable::<String>(&mut answer, "name");
        assert_eq!(answer, json!({ "list": [1, 2], "name": "n" }));
    }
}
