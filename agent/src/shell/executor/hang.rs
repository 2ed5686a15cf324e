//! A payment application that answers nothing: a restart is its cure and must not wait for it.

use std::time::Duration;

use terminal_hal::{
    ErrorCode, Failure,
    api::{Call, HoldPolicy, Payments},
};
use tokio::time::{Instant, sleep, timeout};

use super::hold;

/// An application that has answered nothing for so long hangs. It owes an answer to the question
/// about its activity within [`ANSWER_TIME_MAX`], also during a payment and while a hold waits.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// `ANSWER_MS_MAX` of the vendor socket, and a little more, so that what it says comes first.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(6);
/// It is asked this often, and a hold that it was not there for is tried again after this.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Who keeps payments from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The payment application, as it has answered.
    ByApplication,
    /// It hangs, or does not run: it takes no payments either.
    ByNobody,
}

/// Takes the hold, unless the application is found to hang. One that answers anything is alive and
/// may be in the middle of a payment: without its hold nothing restarts.
pub(super) async fn take_unless_hung(
    payments: &dyn Payments,
    call: &Call,
    policy: &HoldPolicy,
) -> Result<Held, Failure> {
    let begun = Instant::now();
    tokio::select! {
        biased;
        taken = take_patiently(payments, call, policy) => taken.map(|()| Held::ByApplication),
        () = silent(payments) => {
            let silent_s = begun.elapsed().as_secs();
            tracing::warn!(
                operation_id = %call.id, silent_s,
                "the payment application hangs, restarting without holding payments"
            );
            Ok(Held::ByNobody)
        }
    }
}

/// An application that is just coming up is given a part of the time that there is.
async fn take_patiently(
    payments: &dyn Payments,
    call: &Call,
    policy: &HoldPolicy,
) -> Result<(), Failure> {
    let until = Instant::now() + call.time_left / 2;
    loop {
        let failure = match hold::take(payments, call, policy).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let is_unavailable = failure.code == ErrorCode::HalUnavailable;
        if !is_unavailable || Instant::now() >= until || call.cancellation.is_cancelled() {
            return Err(failure);
        }
        sleep(ASK_EVERY).await;
    }
}

/// Ends when the application has answered nothing for [`SILENCE_MAX`].
async fn silent(payments: &dyn Payments) {
    let mut answered_at = Instant::now();
    while answered_at.elapsed() < SILENCE_MAX {
        let answer = timeout(ANSWER_TIME_MAX, payments.is_alive()).await;
        // A failure is an answer.
        if answer.is_ok_and(|is_alive| is_alive.unwrap_or(true)) {
            answered_at = Instant::now();
        }
        sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal_core::protocol::Policy;
    use terminal_hal::{
        OperationId, Timestamp,
        api::{self, PaymentActivity},
        mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
    };
    use uuid::Uuid;

    const HANGS: &str = r#"{"methods":{
        "hold_payments":{"hang":{},"ignore_cancel":true},"activity":{"hang":{}}}}"#;
    const DEAF_TO_HOLDS: &str = r#"{"methods":{"hold_payments":{"hang":{},"ignore_cancel":true}}}"#;
    const FAILS: &str = r#"{"methods":{"hold_payments":{"hang":{},"ignore_cancel":true},
        "activity":{"fail":{"code":"DEVICE_FAULT","failure_reason":"x"}}}}"#;

    fn terminal(script: &str) -> MockTerminal {
        let clock = tokio_clock(Timestamp::parse("2026-06-29T09:00:00Z").unwrap());
        let mock = MockTerminal::open(MockConfig { clock, ..MockConfig::default() }).unwrap();
        mock.set_script(Script::parse(script).unwrap());
        mock
    }

    /// `None` while it still waits for the hold when the operation ends at its deadline.
    async fn take_within(mock: &MockTerminal, s: u64) -> Option<Result<Held, Failure>> {
        let id = OperationId(Uuid::from_u128(1));
        let (call, _handle) = api::call(id, 1, Duration::from_secs(s));
        let policy = hold::policy(Policy::default(), call.time_left);
        timeout(call.time_left, take_unless_hung(mock, &call, &policy)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_answers_nothing_for_a_minute_hangs() {
        let begun = Instant::now();
        assert_eq!(take_within(&terminal(HANGS), 300).await, Some(Ok(Held::ByNobody)));
        let elapsed = begun.elapsed();
        assert!(elapsed >= SILENCE_MAX && elapsed < SILENCE_MAX + ASK_EVERY * 3, "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_answers_anything_does_not_hang() {
        for script in [DEAF_TO_HOLDS, FAILS] {
            assert_eq!(take_within(&terminal(script), 300).await, None, "{script}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_that_goes_on_is_no_silence() {
        let mock = terminal("{}");
        mock.start_payment(PaymentActivity::Committed, Some(Duration::from_secs(200))).unwrap();
        let begun = Instant::now();
        assert_eq!(take_within(&mock, 300).await, Some(Ok(Held::ByApplication)));
        assert!(begun.elapsed() >= Duration::from_secs(200));
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_comes_back_in_time_is_asked_to_hold() {
        let mock = terminal(HANGS);
        let comes_back = async {
            sleep(SILENCE_MAX - ASK_EVERY * 3).await;
            mock.start_payment(PaymentActivity::Committed, Some(SILENCE_MAX * 2)).unwrap();
            mock.set_script(Script::parse(DEAF_TO_HOLDS).unwrap());
        };
        let (taken, ()) = tokio::join!(take_within(&mock, 300), comes_back);
        assert_eq!(taken, None, "a payment is in progress, and nobody has held it off");
    }
}
