//! What goes wrong on the socket, in the words of the catalogue.

use super::{
    connection::NotSent,
    request::Effect,
    wire::{RpcError, rpc},
};
use crate::{ErrorCode, Failure};

/// Why an answer will never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The connection has ended.
    Connection,
    /// Nobody waits any longer.
    Time,
}

impl Lost {
    pub(super) fn failure(self, method: &str, effect: Effect) -> Failure {
        let what = match self {
            Self::Connection => "the payment application went away before it answered",
            Self::Time => "the payment application did not answer in time:",
        };
        effect.failure(ErrorCode::HalUnavailable, format!("{what} {method}"))
    }
}

/// The application is not there; nothing was sent.
pub(super) fn unavailable(why: &str) -> Failure {
    let reason = format!("the payment application is not connected: {why}");
    Failure::new(ErrorCode::HalUnavailable, reason)
}

/// The request was not handed over.
pub(super) fn not_sent(method: &str, why: NotSent) -> Failure {
    match why {
        NotSent::Ended => unavailable("gone just now"),
        NotSent::TooMany => {
            let reason = format!("too many requests are open to send {method}");
            Failure::new(ErrorCode::HalUnavailable, reason)
        }
        NotSent::TooLong => {
            let reason = format!("the parameters of {method} do not fit into one message");
            Failure::new(ErrorCode::PayloadTooLarge, reason)
        }
    }
}

/// What the application answered instead of a result.
pub(super) fn refused(method: &str, error: &RpcError, effect: Effect) -> Failure {
    let text = &error.message;
    match (error.code, &error.data) {
        (rpc::OPERATION_FAILED, Some(data)) => data.failure(text),
        (rpc::METHOD_NOT_FOUND, _) => {
            let reason = format!("the payment application does not know {method}");
            Failure::new(ErrorCode::UnsupportedByHardware, reason)
        }
        (rpc::INVALID_PARAMS, _) => {
            let reason = format!("the payment application refuses the parameters: {text}");
            Failure::new(ErrorCode::InvalidParameters, reason)
        }
        (code, _) => {
            let reason = format!("the payment application answered {method} with {code}: {text}");
            effect.failure(ErrorCode::DeviceFault, reason)
        }
    }
}
