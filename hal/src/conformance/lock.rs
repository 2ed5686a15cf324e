//! Lock and unlock.

use super::{Checked, Circumstances, Suite, holds};
use crate::{
    api::{LockRequest, Payments},
    operation::{LockParameters, LockResult, UnlockParameters},
};

pub(super) async fn checks(suite: &mut Suite, payments: &dyn Payments, at: &Circumstances) {
    let name = "a lock is set and cleared, and repeating either changes nothing";
    suite.check("payments", name, set_and_cleared(payments, at)).await;
}

async fn set_and_cleared(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let lock = LockRequest::Lock(LockParameters {
        message: Some("Conformance check".to_owned()),
        ..LockParameters::default()
    });
    let unlock = LockRequest::Unlock(UnlockParameters::default());
    // Whatever it was before.
    set(payments, at, &unlock).await?;
    let locked = set(payments, at, &lock).await?;
    let since = locked.locked_at;
    holds(locked.locked && locked.changed && since.is_some(), || format!("{locked:?}"))?;
    let again = set(payments, at, &lock).await?;
    holds(again.locked && !again.changed && again.locked_at == since, || format!("{again:?}"))?;
    let unlocked = set(payments, at, &unlock).await?;
    holds(!unlocked.locked && unlocked.changed, || format!("{unlocked:?}"))?;
    let again = set(payments, at, &unlock).await?;
    holds(!again.locked && !again.changed, || format!("{again:?}"))
}

async fn set(
    payments: &dyn Payments,
    at: &Circumstances,
    request: &LockRequest,
) -> Result<LockResult, crate::Failure> {
    let (call, _handle) = at.call();
    payments.set_locked(&call, request).await
}
