//! Lock and unlock: the record of the lock is written before the payment application is told, and
//! removed after it has said that it is unlocked. Where its answer leaves open whether it is locked,
//! the record stays and is unconfirmed.

use std::{io, mem};

use terminal_core::protocol::Policy;
use terminal_hal::{
    ErrorCode, Failure, SideEffects,
    api::{Call, HoldPolicy, IfPaymentActive, LockRequest, Payments},
    operation::{LockParameters, LockResult, UnlockParameters},
};

use super::hold;
use crate::shell::{clock, lock_record::LockRecord};

/// Locks once the policy allows it. What the application has refused is not left on record.
pub(super) async fn lock(
    payments: &dyn Payments,
    record: &LockRecord,
    call: &Call,
    policy: Policy,
    parameters: &LockParameters,
) -> Result<LockResult, Failure> {
    let if_payment_active = if parameters.finish_active_payment {
        IfPaymentActive::Wait
    } else {
        IfPaymentActive::Cancel
    };
    let policy = HoldPolicy { if_payment_active, ..hold::policy(policy, call.time_left) };
    let locking = async {
        let _turn = record.turn.lock().await;
        let before = record
            .lock(call.id, parameters, clock::wall())
            .map_err(|error| not_locked(record, call, &error))?;
        let request = LockRequest::Lock(parameters.clone());
        let answer = tell(payments, record, call, &request).await;
        let refused = |failure: &Failure| failure.side_effects == SideEffects::None;
        if answer.as_ref().is_err_and(refused) {
            if let Err(error) = record.replace(before) {
                tracing::warn!(operation_id = %call.id, %error, "the lock stays on record");
                record.confirm(false);
            }
        }
        answer
    };
    hold::holding(payments, call, policy, locking).await
}

/// Unlocks; until the application has said so, the lock stands.
pub(super) async fn unlock(
    payments: &dyn Payments,
    record: &LockRecord,
    call: &Call,
    parameters: &UnlockParameters,
) -> Result<LockResult, Failure> {
    let _turn = record.turn.lock().await;
    let request = LockRequest::Unlock(parameters.clone());
    let result = tell(payments, record, call, &request).await?;
    // At once: an application that connects from here on must not be locked again.
    record.replace(None).map_err(|error| {
        not_recorded("unlocked, but that may not be on record and it may lock again", &error)
            .with_side_effects(SideEffects::Partial)
    })?;
    Ok(result)
}

/// Tells the application. The lock that is on record becomes unconfirmed, unless the answer says
/// that the application is locked, or that nothing has happened.
async fn tell(
    payments: &dyn Payments,
    record: &LockRecord,
    call: &Call,
    request: &LockRequest,
) -> Result<LockResult, Failure> {
    let unanswered = Unanswered(record);
    let answer = payments.set_locked(call, request).await;
    mem::forget(unanswered);
    match &answer {
        Ok(result) => record.confirm(result.locked),
        Err(failure) if failure.side_effects == SideEffects::None => {}
        Err(_) => record.confirm(false),
    }
    answer
}

/// The application has been told. A call that is dropped before its answer leaves the lock
/// unconfirmed too.
struct Unanswered<'a>(&'a LockRecord);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.confirm(false);
    }
}

/// The application has not been told. Where the lock is on record all the same, it still will be.
fn not_locked(record: &LockRecord, call: &Call, error: &io::Error) -> Failure {
    if !record.is_of(call.id) {
        return not_recorded("the lock could not be recorded", error);
    }
    record.confirm(false);
    not_recorded("the lock is on record, but may not be on the medium", error)
        .with_side_effects(SideEffects::Partial)
}

fn not_recorded(what: &str, error: &io::Error) -> Failure {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let code = if is_full { ErrorCode::StorageFull } else { ErrorCode::Internal };
    Failure::new(code, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
        path::Path,
        rc::Rc,
        time::Duration,
    };

    use super::*;
    use crate::shell::lock_again::LockAgain;
    use nix::unistd::{Uid, chown, geteuid, setfsuid};
    use terminal_hal::{
        OperationId,
        api::{self, CallHandle},
        mock::{MockConfig, MockTerminal, script::Script},
    };
    use tokio::time::{sleep, timeout};
    use uuid::Uuid;

    fn terminal(script: &str) -> MockTerminal {
        let mock = MockTerminal::open(MockConfig::default()).unwrap();
        mock.set_script(Script::parse(script).unwrap());
        mock
    }

    fn record(folder: &Path) -> LockRecord {
        let record = LockRecord::load(folder.join("lock.json"));
        record.booted(None);
        record
    }

    fn call(number: u128) -> (Call, CallHandle) {
        api::call(OperationId(Uuid::from_u128(number)), 1, Duration::from_secs(60))
    }

    async fn lock_it(mock: &MockTerminal, record: &LockRecord) -> Result<LockResult, Failure> {
        let (call, _handle) = call(1);
        lock(mock, record, &call, Policy::default(), &LockParameters::default()).await
    }

    async fn unlock_it(mock: &MockTerminal, record: &LockRecord) -> Result<LockResult, Failure> {
        let (call, _handle) = call(2);
        unlock(mock, record, &call, &UnlockParameters::default()).await
    }

    #[tokio::test]
    async fn an_unlock_leaves_the_record_until_the_application_has_confirmed_it() {
        let folder = tempfile::tempdir().unwrap();
        let mock = terminal("{}");
        let locked = record(folder.path());
        lock_it(&mock, &locked).await.unwrap();
        let fails = r#"{"methods":{"set_locked":{"fail":
            {"code":"DEVICE_FAULT","failure_reason":"x"}}}}"#;
        mock.set_script(Script::parse(fails).unwrap());
        unlock_it(&mock, &locked).await.unwrap_err();
        assert!(record(folder.path()).is_locked() && !locked.is_unconfirmed());
        mock.set_script(Script::parse(r#"{"methods":{"set_locked":{"hang":{}}}}"#).unwrap());
        let died = timeout(Duration::from_millis(100), unlock_it(&mock, &locked));
        assert!(died.await.is_err(), "the application has answered");
        assert!(record(folder.path()).is_locked() && locked.is_unconfirmed());
        mock.set_script(Script::default());
        assert!(!unlock_it(&mock, &locked).await.unwrap().locked);
        assert!(!record(folder.path()).is_locked() && !locked.is_unconfirmed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_may_be_unlocked_is_told_to_lock_until_it_has() {
        for (was_locked, at) in [(false, "before_effect"), (true, "after_effect")] {
            let folder = tempfile::tempdir().unwrap();
            let (mock, locked) = (terminal("{}"), Rc::new(record(folder.path())));
            let payments = mock.hal().payments.unwrap();
            let again = LockAgain::new(payments, Rc::clone(&locked), folder.path().join("tries"));
            let fails = format!(
                r#"{{"methods":{{"set_locked":{{"fail":{{"code":"DEVICE_FAULT",
                    "failure_reason":"x","side_effects":"unknown","at":"{at}"}}}}}}}}"#
            );
            let operations = async {
                if was_locked {
                    lock_it(&mock, &locked).await.unwrap();
                }
                sleep(Duration::from_secs(7200)).await;
                assert!(!locked.is_unconfirmed());
                mock.set_script(Script::parse(&fails).unwrap());
                let answer = match was_locked {
                    true => unlock_it(&mock, &locked).await,
                    false => lock_it(&mock, &locked).await,
                };
                answer.unwrap_err();
                assert!(locked.is_locked() && locked.is_unconfirmed(), "{at}");
                assert!(mock.state().lock.is_none(), "{at}");
                mock.set_script(Script::default());
                let confirmed = locked.until_unconfirmed_is(false);
                timeout(Duration::from_secs(120), confirmed).await.expect("not told again");
                assert!(locked.is_locked() && mock.state().lock.is_some(), "{at}");
            };
            tokio::select! {
                never = again.later() => match never {},
                () = operations => {}
            }
        }
    }

    #[tokio::test]
    async fn a_lock_that_was_refused_is_not_on_record_and_one_that_may_be_in_force_is() {
        for (side_effects, stays) in [("none", false), ("unknown", true)] {
            let folder = tempfile::tempdir().unwrap();
            let fails = format!(
                r#"{{"methods":{{"set_locked":{{"fail":{{"code":"DEVICE_FAULT",
                    "failure_reason":"x","side_effects":"{side_effects}"}}}}}}}}"#
            );
            let locked = record(folder.path());
            lock_it(&terminal(&fails), &locked).await.unwrap_err();
            assert_eq!(locked.is_locked(), stays, "{side_effects}");
            assert_eq!(locked.is_unconfirmed(), stays, "{side_effects}");
            assert_eq!(record(folder.path()).is_locked(), stays, "{side_effects}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_is_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        let gone = record(folder.path());
        drop(folder);
        let mock = terminal("{}");
        let failure = lock_it(&mock, &gone).await.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (ErrorCode::Internal, SideEffects::None));
        assert!(failure.failure_reason.contains("could not be recorded"), "{failure}");
        assert!(mock.state().lock.is_none() && !gone.is_locked());
    }

    /// Runs it where files can be replaced, and the folder that they are in cannot be synced.
    async fn without_folder_sync(folder: &Path, run: impl AsyncFnOnce()) {
        let (nobody, root) = (Uid::from_raw(65_534), Uid::from_raw(0));
        let mode = |mode| fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        if geteuid().is_root() {
            chown(folder, Some(nobody), None).unwrap();
            // Of this thread only.
            setfsuid(nobody);
        }
        // It must be opened for that.
        mode(0o300);
        run().await;
        if geteuid().is_root() {
            setfsuid(root);
        }
        mode(0o700);
    }

    #[tokio::test]
    async fn a_lock_that_is_on_record_and_not_surely_on_the_medium_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mock, locked) = (terminal("{}"), record(folder.path()));
        without_folder_sync(folder.path(), async || {
            let failure = lock_it(&mock, &locked).await.unwrap_err();
            assert_eq!(failure.side_effects, SideEffects::Partial, "{failure}");
        })
        .await;
        assert!(locked.is_locked() && locked.is_unconfirmed());
        assert!(record(folder.path()).is_locked(), "the next process sees no lock");
    }

    #[tokio::test]
    async fn an_unlock_that_is_on_record_and_not_surely_on_the_medium_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mock, locked) = (terminal("{}"), record(folder.path()));
        lock_it(&mock, &locked).await.unwrap();
        without_folder_sync(folder.path(), async || {
            let failure = unlock_it(&mock, &locked).await.unwrap_err();
            assert_eq!(failure.side_effects, SideEffects::Partial, "{failure}");
        })
        .await;
        assert!(!locked.is_locked() && !locked.is_unconfirmed());
        assert!(!record(folder.path()).is_locked(), "the next process sees a lock");
    }
}
