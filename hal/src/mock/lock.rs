//! The lock of the payment application.

use super::{
    MockTerminal,
    hold::{Try, end_payment},
    script::Method,
    shared::Shared,
    state::Lock,
};
use crate::{
    Failure, OperationId,
    api::{Call, IfPaymentActive, LockRequest},
    operation::lock::{LockParameters, LockResult},
};

/// Shown while locked, unless the lock says something else.
const LOCKED_MESSAGE: &str = "This terminal is locked";

impl MockTerminal {
    pub(super) async fn lock_or_unlock(
        &self,
        call: &Call,
        request: &LockRequest,
    ) -> Result<LockResult, Failure> {
        let turn = self.turn(Method::SetLocked, Some(call));
        turn.before("locking").await?;
        let result = match request {
            LockRequest::Unlock(_) => turn.effect(|shared| shared.unlock(call.id))?,
            LockRequest::Lock(parameters) => {
                let policy = if parameters.finish_active_payment {
                    IfPaymentActive::Wait
                } else {
                    IfPaymentActive::Cancel
                };
                let locked = |shared: &mut Shared| match end_payment(shared, policy) {
                    Try::Done(()) => Try::Done(shared.set_lock(call.id, parameters)),
                    Try::Busy { why, until } => Try::Busy { why, until },
                    Try::Refused(why) => Try::Refused(why),
                };
                self.wait_until(&turn, call.time_left, locked).await??
            }
        };
        turn.after().await?;
        Ok(result)
    }
}

impl Shared {
    /// A lock on a locked terminal replaces its texts, never weakens it.
    fn set_lock(
        &mut self,
        id: OperationId,
        parameters: &LockParameters,
    ) -> Result<LockResult, Failure> {
        let now = self.now;
        self.commit(|state| {
            let before = state.lock.take();
            let since = before.as_ref().map_or(now, |lock| lock.since);
            let survives = before.as_ref().is_some_and(|lock| !lock.clear_on_reboot);
            state.lock = Some(Lock {
                since,
                reason: parameters.reason.clone(),
                clear_on_reboot: parameters.clear_on_reboot && !survives,
            });
            let message = parameters.message.as_deref().unwrap_or(LOCKED_MESSAGE);
            state.screen.lock_message = Some(message.to_owned());
            if before.is_none() {
                state.count_effect(id, Method::SetLocked);
            }
            Ok(before.is_none())
        })
        .map(|changed| self.lock_result(changed))
    }

    fn unlock(&mut self, id: OperationId) -> Result<LockResult, Failure> {
        self.commit(|state| {
            state.screen.lock_message = None;
            let changed = state.lock.take().is_some();
            if changed {
                state.count_effect(id, Method::SetLocked);
            }
            Ok(changed)
        })
        .map(|changed| self.lock_result(changed))
    }

    fn lock_result(&self, changed: bool) -> LockResult {
        LockResult {
            locked: self.state.lock.is_some(),
            changed,
            locked_at: self.state.lock.as_ref().map(|lock| lock.since),
            pending_offline: u64::try_from(self.state.offline.len()).unwrap_or(u64::MAX),
        }
    }
}
