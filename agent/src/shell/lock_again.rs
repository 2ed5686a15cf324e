//! Sets a lock that is in force again, as long as the payment application has not confirmed it: at
//! the start in a backend that lives in this process, and later wherever the answer to a lock or an
//! unlock left open what has become of it.
//!
//! Such a backend can end the process, and would do so at every start: a try is on the medium
//! before it is made. After some that did not come back the agent starts without, says that the
//! lock is not confirmed, and tries again later, each time after a longer wait. Operations of the
//! cloud that lock or unlock go on meanwhile.

use std::{convert::Infallible, fs, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use terminal_hal::{
    api::{self, LockRequest, Payments},
    durable,
};
use tokio::time::timeout;

use super::lock_record::LockRecord;

/// A try may take this long.
const TRY_TIME_MAX: Duration = Duration::from_secs(10);
/// So many in a row that did not come back are made at once, at the start of the process.
const TRIES_AT_ONCE: u32 = 3;
/// The first wait; each is twice the one before. Nobody else waits for the same thing: no jitter.
const WAIT_MIN: Duration = Duration::from_secs(60);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Locks again, as often as it takes.
pub(super) struct LockAgain {
    payments: Arc<dyn Payments>,
    record: Rc<LockRecord>,
    tries: Tries,
}

impl LockAgain {
    /// `tries` is the file that counts those which did not come back.
    pub(super) fn new(payments: Arc<dyn Payments>, record: Rc<LockRecord>, tries: PathBuf) -> Self {
        Self { payments, record, tries: Tries(tries) }
    }

    /// Before anything else is asked of the backend, unless it has ended the process too often, or
    /// `is_left` to an operation that locks or unlocks at once.
    pub(super) async fn at_start(&self, is_left: bool) {
        let died = self.tries.count();
        if !self.record.is_standing() {
            self.tries.forget();
        } else if is_left {
            self.record.confirm(false);
        } else if died < TRIES_AT_ONCE {
            self.try_once(died).await;
        } else {
            tracing::error!(died, "the backend ends the agent when it is locked, not locked again");
            self.record.confirm(false);
        }
    }

    /// Whenever the lock is unconfirmed, until it is confirmed or over.
    pub(super) async fn later(self) -> Infallible {
        loop {
            self.record.until_unconfirmed_is(true).await;
            self.until_confirmed().await;
        }
    }

    async fn until_confirmed(&self) {
        let mut failed = self.tries.count();
        while self.record.is_unconfirmed() {
            let wait = wait(failed);
            tracing::warn!(wait_s = wait.as_secs(), "the lock is not confirmed, trying again");
            if timeout(wait, self.record.until_unconfirmed_is(false)).await.is_ok() {
                return;
            }
            failed = failed.saturating_add(1);
            let _turn = self.record.turn.lock().await;
            // An operation that had its turn first may have settled it.
            if self.record.is_unconfirmed() {
                self.try_once(self.tries.count()).await;
            }
        }
    }

    async fn try_once(&self, died: u32) {
        let Some(lock) = self.record.standing().borrow().clone() else { return };
        self.tries.begin(died.saturating_add(1));
        let (call, _handle) = api::call(lock.operation_id, 1, TRY_TIME_MAX);
        let request = LockRequest::Lock(lock.parameters);
        let answer = timeout(TRY_TIME_MAX, self.payments.set_locked(&call, &request)).await;
        self.tries.forget();
        self.record.confirm(matches!(&answer, Ok(Ok(result)) if result.locked));
        let operation_id = call.id;
        match answer {
            Ok(Ok(result)) if !result.locked => {
                tracing::error!(%operation_id, "told to lock, and says that it is not locked");
            }
            Ok(Ok(result)) if result.changed => {
                tracing::warn!(%operation_id, "the terminal had lost its lock, locked again");
            }
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::error!(%operation_id, %failure, "not locked again"),
            Err(_) => tracing::error!(%operation_id, "not locked again in time"),
        }
    }
}

fn wait(failed: u32) -> Duration {
    let doubled = 1 << failed.saturating_sub(TRIES_AT_ONCE).min(16);
    (WAIT_MIN * doubled).min(WAIT_MAX)
}

/// How many tries in a row did not come back: a number in a file.
struct Tries(PathBuf);

impl Tries {
    fn count(&self) -> u32 {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    fn begin(&self, number: u32) {
        if let Err(error) = durable::replace(&self.0, number.to_string().as_bytes()) {
            tracing::warn!(%error, path = %self.0.display(), "a try to lock is not on record");
        }
    }

    fn forget(&self) {
        if !self.0.exists() {
            return;
        }
        if let Err(error) = durable::remove(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "record of tries to lock not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use terminal_hal::{
        BootId, OperationId, Timestamp,
        api::{Call, CloseState, HalFuture, HoldPolicy, PaymentActivity, SettingsOutcome},
        mock::{MockConfig, MockTerminal, script::Script},
        operation::{EndOfDayParameters, EndOfDayResult, LockParameters, LockResult},
    };
    use tokio::time::sleep;
    use uuid::Uuid;

    const HANGS: &str = r#"{"methods":{"set_locked":{"hang":{},"ignore_cancel":true}}}"#;
    const FAILS: &str = r#"{"methods":{"set_locked":{"fail":
        {"code":"DEVICE_FAULT","failure_reason":"x"}}}}"#;

    /// A terminal that has to be locked, and is not.
    struct Place {
        folder: tempfile::TempDir,
        mock: MockTerminal,
    }

    impl Place {
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mock = MockTerminal::open(MockConfig::default()).unwrap();
            mock.set_script(Script::parse(script).unwrap());
            let place = Self { folder, mock };
            let (id, now) = (OperationId(Uuid::from_u128(1)), Timestamp::default());
            place.starts().record.lock(id, &LockParameters::default(), now).unwrap();
            place
        }

        fn path(&self) -> &Path {
            self.folder.path()
        }

        /// A process that has read the record.
        fn starts(&self) -> LockAgain {
            let record = LockRecord::load(self.path().join("lock.json"));
            record.booted(Some(BootId(Uuid::from_u128(1))));
            let payments = self.mock.hal().payments.unwrap();
            LockAgain::new(payments, Rc::new(record), self.path().join("tries"))
        }

        /// The backend takes the process down with it.
        async fn dies_at_start(&self) -> bool {
            let process = self.starts();
            timeout(TRY_TIME_MAX / 2, process.at_start(false)).await.is_err()
        }

        fn is_locked(&self) -> bool {
            self.mock.state().lock.is_some()
        }
    }

    /// Until the lock is confirmed, or over.
    async fn settles(process: LockAgain) {
        let record = Rc::clone(&process.record);
        let settled = async {
            tokio::select! {
                never = process.later() => match never {},
                () = record.until_unconfirmed_is(false) => {}
            }
        };
        timeout(WAIT_MAX, settled).await.expect("still unconfirmed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_died_between_the_record_and_the_call_is_locked_at_the_next_start() {
        let place = Place::new(HANGS);
        assert!(place.dies_at_start().await);
        place.mock.set_script(Script::default());
        let process = place.starts();
        process.at_start(false).await;
        assert!(place.is_locked() && !process.record.is_unconfirmed());
        assert_eq!(process.tries.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_ends_every_process_which_locks_it_is_left_alone_for_a_while() {
        let place = Place::new(HANGS);
        for _ in 0..TRIES_AT_ONCE {
            assert!(place.dies_at_start().await);
        }
        // The agent comes up, says what is wrong, and tries again after a wait that grows.
        for wait in [WAIT_MIN, WAIT_MIN * 2, WAIT_MIN * 4] {
            assert!(!place.dies_at_start().await);
            let process = place.starts();
            process.at_start(false).await;
            let record = Rc::clone(&process.record);
            assert!(record.is_locked() && record.is_unconfirmed());
            let tries = process.tries.count();
            // The backend takes the process down with it.
            let _ = timeout(wait + TRY_TIME_MAX / 2, process.later()).await;
            assert_eq!(place.starts().tries.count(), tries + 1, "after {wait:?}");
        }
        place.mock.set_script(Script::default());
        let process = place.starts();
        process.at_start(false).await;
        settles(process).await;
        assert!(place.is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_refuses_to_lock_is_told_again_until_it_has_locked() {
        let place = Place::new(FAILS);
        let process = place.starts();
        process.at_start(false).await;
        let record = Rc::clone(&process.record);
        assert!(record.is_unconfirmed() && !place.is_locked());
        let mended = async {
            sleep(WAIT_MIN * 3).await;
            assert!(record.is_unconfirmed());
            place.mock.set_script(Script::default());
        };
        tokio::join!(settles(process), mended);
        assert!(place.is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_been_unlocked_meanwhile_is_not_locked_again() {
        let place = Place::new(FAILS);
        let process = place.starts();
        process.at_start(false).await;
        let record = Rc::clone(&process.record);
        let unlocked = async {
            let _turn = record.turn.lock().await;
            sleep(WAIT_MIN * 2).await;
            place.mock.set_script(Script::default());
            record.replace(None).unwrap();
        };
        let _ = tokio::join!(timeout(WAIT_MAX, process.later()), unlocked);
        assert!(!place.is_locked());
    }

    #[tokio::test]
    async fn an_application_that_says_it_is_not_locked_has_confirmed_nothing() {
        let process = LockAgain { payments: Arc::new(SaysUnlocked), ..Place::new(FAILS).starts() };
        process.at_start(false).await;
        assert!(process.record.is_unconfirmed());
    }

    /// Answers every lock without a failure, and is not locked.
    struct SaysUnlocked;

    impl Payments for SaysUnlocked {
        fn set_locked<'a>(&'a self, _: &'a Call, _: &'a LockRequest) -> HalFuture<'a, LockResult> {
            let result =
                LockResult { locked: false, changed: false, locked_at: None, pending_offline: 0 };
            Box::pin(async { Ok(result) })
        }

        fn instance(&self) -> HalFuture<'_, String> {
            unasked()
        }

        fn activity(&self) -> HalFuture<'_, PaymentActivity> {
            unasked()
        }

        fn hold_payments<'a>(&'a self, _: &'a Call, _: &'a HoldPolicy) -> HalFuture<'a, ()> {
            unasked()
        }

        fn release_payments(&self, _: OperationId) -> HalFuture<'_, ()> {
            unasked()
        }

        fn close_batch<'a>(
            &'a self,
            _: &'a Call,
            _: &'a EndOfDayParameters,
        ) -> HalFuture<'a, EndOfDayResult> {
            unasked()
        }

        fn query_close(&self, _: OperationId) -> HalFuture<'_, CloseState> {
            unasked()
        }

        fn apply_settings<'a>(
            &'a self,
            _: &'a Call,
            _: u64,
            _: &'a serde_json::Map<String, serde_json::Value>,
        ) -> HalFuture<'a, SettingsOutcome> {
            unasked()
        }
    }

    fn unasked<T>() -> T {
        unreachable!("it is only told to lock")
    }

    #[test]
    fn a_wait_doubles_and_has_an_end() {
        assert_eq!(wait(0), WAIT_MIN);
        assert_eq!(wait(TRIES_AT_ONCE + 1), WAIT_MIN * 2);
        assert_eq!(wait(u32::MAX), WAIT_MAX);
    }
}
