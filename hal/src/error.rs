//! The one catalogue of error codes, and the failure that carries one to a person.
//!
//! Codes are stable; the text beside them may change. The groups and the nexo (ISO 20022 catm)
//! equivalents follow the terminal-management standards that acquirers already map.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::text::{REASON_CHARS_MAX, free};

macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $name:ident $wire:literal $retryable:literal $nexo:literal;)+) => {
        /// Why an operation failed. Written on the wire in capitals, such as `BUSY_PAYMENT`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ #[serde(rename = $wire)] $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire),+ }
            }

            /// Whether the same request may succeed later without anybody changing anything.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retryable),+ }
            }

            /// The nexo result code of four letters, where the standard has one.
            pub const fn nexo(self) -> Option<&'static str> {
                let code = match self { $(Self::$name => $nexo),+ };
                if code.is_empty() { None } else { Some(code) }
            }
        }
    };
}

catalogue! {
    /// A parameter is missing, unknown or out of range.
    InvalidParameters "INVALID_PARAMETERS" false "INVC";
    /// This terminal cannot run that operation.
    UnsupportedOperation "UNSUPPORTED_OPERATION" false "NSUP";
    /// The peer speaks another version.
    UnsupportedVersion "UNSUPPORTED_VERSION" false "";
    /// The hardware lacks what was asked for, such as a printer.
    UnsupportedByHardware "UNSUPPORTED_BY_HARDWARE" false "NSUP";
    /// Addressed to another terminal.
    WrongTerminal "WRONG_TERMINAL" false "";
    /// The terminal's own configuration forbids it.
    Unauthorized "UNAUTHORIZED" false "ACCD";
    /// The terminal has no identity yet.
    NotEnrolled "NOT_ENROLLED" false "";
    /// Its time to live or its `not_after` passed before it started.
    Expired "EXPIRED" false "";
    /// The terminal does not know the time well enough.
    ClockUntrusted "CLOCK_UNTRUSTED" true "";
    /// More than the terminal can store or send.
    PayloadTooLarge "PAYLOAD_TOO_LARGE" false "LENE";
    /// A newer configuration revision is in force.
    RevisionStale "REVISION_STALE" false "";

    /// A payment is in progress.
    BusyPayment "BUSY_PAYMENT" true "";
    /// Another operation is running.
    BusyOperation "BUSY_OPERATION" true "";
    /// As many operations are waiting as the terminal queues.
    QueueFull "QUEUE_FULL" true "";
    /// The terminal is locked.
    Locked "LOCKED" false "";
    /// The terminal is being serviced.
    Maintenance "MAINTENANCE" true "";
    /// Only allowed inside the maintenance window.
    OutsideWindow "OUTSIDE_WINDOW" true "";
    /// Withdrawn by the cloud or by an operator.
    Canceled "CANCELED" false "";
    /// Ran longer than its deadline.
    DeadlineExceeded "DEADLINE_EXCEEDED" false "TIMO";
    /// Cut off by a crash or power loss and not to be repeated.
    Interrupted "INTERRUPTED" true "";
    /// It may or may not have taken effect; nobody can tell.
    OutcomeUnknown "OUTCOME_UNKNOWN" false "";

    /// Too little charge and no mains.
    LowBattery "LOW_BATTERY" true "";
    /// The terminal's storage is full.
    StorageFull "STORAGE_FULL" false "OVER";
    /// The hardware reports a fault.
    DeviceFault "DEVICE_FAULT" false "";
    /// The hardware or payment application does not answer.
    HalUnavailable "HAL_UNAVAILABLE" true "";
    /// The tamper detection has fired.
    Tampered "TAMPERED" false "";
    /// Out of paper, or no printer.
    PrinterUnavailable "PRINTER_UNAVAILABLE" false "";
    /// No network for what was asked.
    NetworkUnavailable "NETWORK_UNAVAILABLE" true "CNTE";

    /// The acquirer host cannot be reached.
    HostUnreachable "HOST_UNREACHABLE" true "CNTE";
    /// The acquirer host refused.
    HostRejected "HOST_REJECTED" false "";
    /// Terminal and host totals differ; the batch stays open.
    TotalsMismatch "TOTALS_MISMATCH" true "";
    /// Stored payments could not be forwarded first.
    OfflineQueueNotEmpty "OFFLINE_QUEUE_NOT_EMPTY" true "";
    /// No batch with that id.
    BatchNotFound "BATCH_NOT_FOUND" false "UKDT";
    /// The host did not confirm the close.
    CloseUnconfirmed "CLOSE_UNCONFIRMED" true "";

    /// No log lines in that range.
    LogRangeEmpty "LOG_RANGE_EMPTY" false "MISS";
    /// The upload URL has expired.
    UploadUrlExpired "UPLOAD_URL_EXPIRED" false "";
    /// The receiver refused the upload, or its host is not on the terminal's list.
    UploadRejected "UPLOAD_REJECTED" false "";
    /// The upload broke off.
    UploadFailed "UPLOAD_FAILED" true "";
    /// Logs could not be cleaned of card data, so they were not sent.
    RedactionFailed "REDACTION_FAILED" false "";

    /// The named version is not to be had.
    NoUpdate "NO_UPDATE" false "MISS";
    /// The download broke off.
    DownloadFailed "DOWNLOAD_FAILED" true "CNTE";
    /// The file is not the one that was promised.
    DigestMismatch "DIGEST_MISMATCH" false "INVC";
    /// The signature does not verify.
    SignatureInvalid "SIGNATURE_INVALID" false "SIGE";
    /// Signed with a key that the terminal does not trust.
    UnknownKey "UNKNOWN_KEY" false "UKRF";
    /// The update metadata has expired.
    MetadataExpired "METADATA_EXPIRED" false "";
    /// Older than what runs.
    DowngradeRefused "DOWNGRADE_REFUSED" false "";
    /// Made for another model.
    IncompatibleHardware "INCOMPATIBLE_HARDWARE" false "";
    /// The installer failed.
    InstallFailed "INSTALL_FAILED" false "";
    /// The new system did not pass its health check.
    HealthCheckFailed "HEALTH_CHECK_FAILED" false "";
    /// The old system runs again.
    RolledBack "ROLLED_BACK" false "";
    /// Put off by the merchant.
    Postponed "POSTPONED" false "";

    /// Not an activation code, or not one in use.
    ActivationCodeInvalid "ACTIVATION_CODE_INVALID" false "";
    /// The activation code has run out.
    ActivationCodeExpired "ACTIVATION_CODE_EXPIRED" true "";
    /// Too many tries.
    ActivationAttemptsExceeded "ACTIVATION_ATTEMPTS_EXCEEDED" true "";
    /// The terminal has an identity already.
    AlreadyEnrolled "ALREADY_ENROLLED" false "";

    /// A fault of the agent itself.
    Internal "INTERNAL" false "AERR";
}

/// What a failed operation may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SideEffects {
    /// Nothing happened.
    None,
    /// Part of it happened.
    Partial,
    /// Nobody can tell.
    Unknown,
}

/// Whether an answer that never came may mean that something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A question.
    None,
    /// An order.
    Possible,
}

impl Effect {
    /// A failure about which nothing else is known.
    pub fn failure(self, code: ErrorCode, reason: impl AsRef<str>) -> Failure {
        let failure = Failure::new(code, reason);
        match self {
            Self::None => failure,
            Self::Possible => failure.with_side_effects(SideEffects::Unknown),
        }
    }
}

/// Why an operation failed, for programs (`code`) and for people (`failure_reason`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{}: {failure_reason}", code.as_str())]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// 1 to 256 characters for the person who reads the dashboard.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = REASON_CHARS_MAX), regex(pattern = LINE))
    )]
    pub failure_reason: String,
    /// Whether trying again unchanged may succeed.
    pub retryable: bool,
    /// When trying again makes sense, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// What may have happened all the same.
    pub side_effects: SideEffects,
}

impl Failure {
    /// A failure without side effects; `reason` is masked, stripped of control characters and cut,
    /// as [`text::free`](crate::text::free) has it: whatever is written down of a failure, stored
    /// or sent, holds no card data.
    pub fn new(code: ErrorCode, reason: impl AsRef<str>) -> Self {
        let mut failure_reason = free(reason.as_ref(), REASON_CHARS_MAX);
        if failure_reason.is_empty() {
            code.as_str().clone_into(&mut failure_reason);
        }
        Self {
            code,
            failure_reason,
            retryable: code.is_retryable(),
            retry_after_s: None,
            side_effects: SideEffects::None,
        }
    }

    /// The same with other side effects.
    #[must_use]
    pub fn with_side_effects(mut self, side_effects: SideEffects) -> Self {
        self.side_effects = side_effects;
        self
    }

    /// The same with a time to wait before trying again.
    #[must_use]
    pub fn with_retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_as_it_is_named_and_read_back() {
        for code in ErrorCode::ALL {
            let wire = serde_json::to_string(code).unwrap();
            assert_eq!(wire, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&wire).unwrap(), *code);
        }
    }

    #[test]
    fn a_reason_is_cut_to_its_limit_and_never_empty() {
        let long = "x".repeat(REASON_CHARS_MAX + 1);
        let failure = Failure::new(ErrorCode::DeviceFault, long);
        assert_eq!(failure.failure_reason.chars().count(), REASON_CHARS_MAX);
        assert_eq!(Failure::new(ErrorCode::Internal, "\n").failure_reason, "INTERNAL");
    }
}
