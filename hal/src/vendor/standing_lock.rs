//! A lock that is in force is set again on every connection before anything else is asked: an
//! application that comes back may have forgotten it.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use super::{
    connection::{Connection, ConnectionError},
    wire::{Operation, OperationContext, RpcError, SetLocked, method},
};
use crate::{
    OperationId,
    api::LockRequest,
    operation::{LockParameters, LockResult},
};

/// A payment that is in progress may take this long; then the connection is given up, and with it
/// the wait.
const LOCKED_WITHIN: Duration = Duration::from_secs(30);

/// A lock that is in force.
#[derive(Clone, Debug)]
pub struct StandingLock {
    /// The operation that has set it.
    pub operation_id: OperationId,
    /// How.
    pub parameters: LockParameters,
    /// Becomes false when an application that has connected says that it is locked.
    pub unconfirmed: watch::Sender<bool>,
}

/// Locks the application if it has to be locked. An application that cannot be locked is not
/// worked with.
pub(super) async fn lock_again(
    connection: &Connection,
    standing: &watch::Receiver<Option<StandingLock>>,
) -> Result<(), ConnectionError> {
    let offers_payments = connection.hello.capabilities.iter().any(|name| name == "payments");
    let standing = standing.borrow().clone();
    let Some(lock) = standing.filter(|_| offers_payments) else { return Ok(()) };
    let id = lock.operation_id;
    let time_left_ms = u64::try_from(LOCKED_WITHIN.as_millis()).unwrap_or(u64::MAX);
    let params = Operation {
        context: OperationContext { operation_id: id, attempt: 1, time_left_ms },
        parameters: SetLocked::from(&LockRequest::Lock(lock.parameters)),
    };
    let not_locked = |why: String| ConnectionError::NotLocked(why);
    let mut exchange = connection
        .begin(method::SET_LOCKED, &params, None)
        .map_err(|why| not_locked(format!("{why:?}")))?;
    let answer = timeout(LOCKED_WITHIN, &mut exchange.answer).await;
    let answer = answer.map_err(|_| not_locked("no answer in time".to_owned()))?;
    exchange.answered();
    let refused = |error: RpcError| not_locked(error.message);
    let result = answer.map_err(|_| ConnectionError::Closed)?.map_err(refused)?;
    let result: LockResult =
        serde_json::from_value(result).map_err(|error| not_locked(error.to_string()))?;
    if !result.locked {
        return Err(not_locked("it says that it is not locked".to_owned()));
    }
    if result.changed {
        tracing::warn!(operation_id = %id, "the payment application had lost the lock, locked again");
    }
    // Before anybody else can tell this application to lock or unlock: nothing newer is overwritten.
    lock.unconfirmed.send_replace(false);
    Ok(())
}
