//! The tests that every backend passes, whatever it is made of: over the capability traits alone.
//!
//! They need a terminal that nobody trades with: payments are held, a batch is closed, the terminal
//! is locked and unlocked, the empty configuration is applied. Nothing is installed and no device is
//! restarted. [`run`] checks what the backend has and says what it has not.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use uuid::Uuid;

mod close;
mod firmware;
mod health;
mod holds;
mod lock;
mod logs;
mod power;
mod screen;
mod settings;
mod table;

pub use table::{matrix, table};

use crate::{
    ErrorCode, Failure, OperationId, Timestamp,
    api::{self, Call, CallHandle, Hal},
};

/// A call of a check may take this long; a backend that hangs fails the check.
const CHECK_TIME_MAX: Duration = Duration::from_secs(60);
/// What ends at once may take this long on a slow terminal.
const PROMPT: Duration = Duration::from_secs(4);

/// One check and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `payments`, `screen` …
    pub capability: &'static str,
    /// What holds.
    pub name: &'static str,
    /// Whether it does.
    pub outcome: CheckOutcome,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed(String),
    /// It could not be tried.
    Skipped(String),
    /// The backend does not have the capability.
    Absent,
}

/// What the checks must know.
#[derive(Debug)]
pub struct Circumstances {
    /// The time, as the backend has it: the end of the log range, and a configuration revision
    /// that is newer than any before.
    pub now: Timestamp,
    /// Tells the operations of this run from those of every other.
    pub run: Uuid,
    next: AtomicU64,
}

impl Circumstances {
    /// Of one run.
    pub const fn new(now: Timestamp, run: Uuid) -> Self {
        Self { now, run, next: AtomicU64::new(0) }
    }

    /// An operation that has never been.
    pub fn operation(&self) -> OperationId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        OperationId(Uuid::new_v5(&self.run, &number.to_be_bytes()))
    }

    fn call(&self) -> (Call, CallHandle) {
        self.call_of(self.operation())
    }

    fn call_of(&self, id: OperationId) -> (Call, CallHandle) {
        api::call(id, 1, CHECK_TIME_MAX)
    }
}

/// Why a check has not passed.
enum Trouble {
    Failed(String),
    Skipped(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

type Checked = Result<(), Trouble>;

/// Fails the check unless that holds.
fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if condition { Ok(()) } else { Err(Trouble::Failed(otherwise())) }
}

/// Fails the check unless the call failed with one of these codes and without side effects.
fn refused<T>(result: Result<T, Failure>, codes: &[ErrorCode]) -> Checked {
    match result {
        Ok(_) => Err(Trouble::Failed(format!("it succeeded, want {codes:?}"))),
        Err(failure) => holds(
            codes.contains(&failure.code) && failure.side_effects == crate::SideEffects::None,
            || format!("got {failure} with side effects {:?}", failure.side_effects),
        ),
    }
}

/// Runs every check that the backend has the capability for.
pub async fn run(hal: &Hal, circumstances: &Circumstances) -> Vec<Check> {
    let mut suite = Suite { checks: Vec::new() };
    let boot = match hal.power.as_deref() {
        Some(power) => Some(power.boot_id().await),
        None => None,
    };
    match hal.payments.as_deref() {
        Some(payments) => {
            holds::checks(&mut suite, payments, circumstances).await;
            close::checks(&mut suite, payments, circumstances).await;
            lock::checks(&mut suite, payments, circumstances).await;
            settings::checks(&mut suite, payments, circumstances).await;
        }
        None => suite.absent("payments"),
    }
    match hal.screen.as_deref() {
        Some(screen) => {
            screen::checks(&mut suite, screen, hal.health.as_deref(), circumstances).await;
        }
        None => suite.absent("screen"),
    }
    match hal.logs.as_deref() {
        Some(logs) => logs::checks(&mut suite, logs, circumstances).await,
        None => suite.absent("logs"),
    }
    match hal.firmware.as_deref() {
        Some(firmware) => firmware::checks(&mut suite, firmware, circumstances).await,
        None => suite.absent("firmware"),
    }
    match hal.health.as_deref() {
        Some(health) => {
            health::checks(&mut suite, health, hal.payments.as_deref(), circumstances).await;
        }
        None => suite.absent("health"),
    }
    match (hal.power.as_deref(), boot) {
        (Some(power), Some(boot)) => power::checks(&mut suite, power, &boot).await,
        (Some(_), None) | (None, _) => suite.absent("power"),
    }
    suite.checks
}

struct Suite {
    checks: Vec<Check>,
}

impl Suite {
    async fn check(
        &mut self,
        capability: &'static str,
        name: &'static str,
        check: impl Future<Output = Checked>,
    ) {
        let outcome = match tokio::time::timeout(CHECK_TIME_MAX, check).await {
            Ok(Ok(())) => CheckOutcome::Passed,
            Ok(Err(Trouble::Failed(why))) => CheckOutcome::Failed(why),
            Ok(Err(Trouble::Skipped(why))) => CheckOutcome::Skipped(why),
            Err(_) => CheckOutcome::Failed(format!("no end within {CHECK_TIME_MAX:?}")),
        };
        self.checks.push(Check { capability, name, outcome });
    }

    fn absent(&mut self, capability: &'static str) {
        self.checks.push(Check { capability, name: "everything", outcome: CheckOutcome::Absent });
    }
}
