//! A whole simulated terminal: a believable day of payments, scripted faults, a memory that
//! survives kills and power cuts.
//!
//! The agent's demo and tests run on it. It must never touch the machine it runs on: `reboot`
//! calls a hook, nothing is installed, and the only file that it writes is its state file.
//!
//! A close takes effect at one definite point, a single durable write in which the simulated host
//! closes the batch. Cut off before it, nothing has happened and `query_close` says `NotStarted`;
//! after it, `query_close` has the totals. Holds and a payment in progress live in memory: they end
//! with the process.
//!
//! [`script`] describes the script file, [`state`] the state file.

use std::{
    error::Error,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::Notify, time::Instant};

mod boot;
mod close;
mod day;
mod firmware;
mod health;
mod hold;
mod lock;
mod log_lines;
pub mod logs;
mod offers;
mod payments;
mod power;
mod rng;
mod screen;
pub mod script;
mod script_file;
mod settings;
mod shared;
pub mod state;
mod store;
#[cfg(test)]
mod tests;
mod totals;
mod turn;

use crate::{
    BootId, ErrorCode, Failure, OperationId, Timestamp,
    api::{Hal, PaymentActivity},
    operation::reboot::BootReason,
};
use script::{Capability, Script, ScriptedPayment};
use script_file::ScriptFile;
use shared::{ActivePayment, Live, Shared};
use state::State;
use store::Store;

/// Tells the wall time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Called when something happens to the terminal.
pub type Hook = Arc<dyn Fn() + Send + Sync>;

/// What terminal to simulate.
#[derive(Clone)]
pub struct MockConfig {
    /// Where its memory is kept; in memory only when `None`.
    pub state_file: Option<PathBuf>,
    /// The script; none when `None`. See [`script`].
    pub script_file: Option<PathBuf>,
    /// Serial number on the case.
    pub serial_number: String,
    /// Hardware model.
    pub model: String,
    /// Another seed is another shop.
    pub seed: u64,
    /// The time; [`system_clock`] or [`tokio_clock`].
    pub clock: Clock,
    /// Called when the device restarts: the process should then end as at a shutdown.
    pub on_reboot: Hook,
    /// Called when the script crashes the process; aborts it unless set.
    pub on_crash: Hook,
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            state_file: None,
            script_file: None,
            serial_number: "SN-00482910".to_owned(),
            model: "nexgo_n92".to_owned(),
            seed: 1,
            clock: system_clock(),
            on_reboot: Arc::new(|| {}),
            on_crash: Arc::new(|| std::process::abort()),
        }
    }
}

impl fmt::Debug for MockConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockConfig")
            .field("state_file", &self.state_file)
            .field("script_file", &self.script_file)
            .field("serial_number", &self.serial_number)
            .field("model", &self.model)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The clock of the system.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// A clock that starts at `start` and goes as tokio's does: stands still while that is paused.
pub fn tokio_clock(start: Timestamp) -> Clock {
    let begin = Instant::now();
    Arc::new(move || start.plus_ms(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)))
}

/// Why a simulated terminal cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "path and source speak for themselves")]
pub enum MockError {
    /// The state file cannot be read.
    #[error("cannot read mock state {path}")]
    ReadState { path: PathBuf, source: io::Error },
    /// The state file is not one; remove it to begin anew.
    #[error("mock state {path} cannot be used, remove it to begin anew")]
    StateSyntax { path: PathBuf, source: serde_json::Error },
    /// The state file belongs to another terminal or version.
    #[error("mock state {path}: got {got}, want {want}")]
    StateMismatch { path: PathBuf, got: String, want: String },
    /// The state file cannot be written.
    #[error("cannot write mock state {path}")]
    WriteState { path: PathBuf, source: io::Error },
    /// The script cannot be read.
    #[error("cannot read mock script {path}")]
    ReadScript { path: PathBuf, source: io::Error },
    /// The script is not one; says what is wrong, where, and what is expected.
    #[error("mock script {path} cannot be used: {problem}")]
    ScriptSyntax { path: PathBuf, problem: String },
}

/// An error with what caused it, for one line of a log.
fn with_source(error: &MockError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A simulated terminal; clones are the same terminal. It implements every capability itself.
#[derive(Clone)]
pub struct MockTerminal {
    inner: Arc<Inner>,
}

struct Inner {
    config: MockConfig,
    shared: Mutex<Shared>,
    changed: Notify,
}

impl fmt::Debug for MockTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockTerminal").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl MockTerminal {
    /// Switches the terminal on, with the memory of its state file. Two terminals must not share
    /// one.
    ///
    /// # Errors
    /// When the state file or the script cannot be used.
    pub fn open(config: MockConfig) -> Result<Self, MockError> {
        let script = ScriptFile::open(config.script_file.clone())?;
        let store = Store::new(config.state_file.clone());
        let now = (config.clock)();
        let state = match store.load()? {
            Some(state) => {
                state.check(&config)?;
                state
            }
            None => State::new(&config, now),
        };
        let seed = config.seed;
        let mut shared = Shared { state, live: Live::default(), script, store, seed, now };
        shared.start(&config)?;
        let inner = Inner { config, shared: Mutex::new(shared), changed: Notify::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its capabilities, as far as the script leaves them in.
    pub fn hal(&self) -> Hal {
        let capabilities = self.script().capabilities.clone();
        let has = |capability| capabilities.contains(&capability);
        let this = Arc::new(self.clone());
        Hal {
            payments: has(Capability::Payments).then(|| Arc::clone(&this) as _),
            logs: has(Capability::Logs).then(|| Arc::clone(&this) as _),
            firmware: has(Capability::Firmware).then(|| Arc::clone(&this) as _),
            screen: has(Capability::Screen).then(|| Arc::clone(&this) as _),
            power: has(Capability::Power).then(|| Arc::clone(&this) as _),
            health: has(Capability::Health).then(|| Arc::clone(&this) as _),
        }
    }

    /// Serial number on the case.
    pub fn serial_number(&self) -> &str {
        &self.inner.config.serial_number
    }

    /// Hardware model.
    pub fn model(&self) -> &str {
        &self.inner.config.model
    }

    /// Everything that it remembers, at this moment.
    pub fn state(&self) -> State {
        self.shared().state.clone()
    }

    /// How often each operation took effect.
    pub fn effects(&self) -> std::collections::BTreeMap<OperationId, u32> {
        self.shared().state.effects.iter().map(|(id, effect)| (*id, effect.count)).collect()
    }

    /// The script in force.
    pub fn script(&self) -> Arc<Script> {
        self.shared().script()
    }

    /// Puts a script in force until the script file, if there is one, changes.
    pub fn set_script(&self, script: Script) {
        self.shared().set_script(script);
        self.changed();
    }

    /// A customer pays now.
    ///
    /// # Errors
    /// `LOCKED` while locked, `BUSY_OPERATION` while payments are held or the batch is closed.
    pub fn take_payment(&self, payment: &ScriptedPayment) -> Result<(), Failure> {
        let mut shared = self.shared();
        shared.check_open()?;
        let now = shared.now;
        shared.commit(|state| {
            shared::admit(state, payment.payment(now));
            Ok(())
        })
    }

    /// A payment begins; it ends after `lasting` or by [`Self::finish_payment`].
    ///
    /// # Errors
    /// As [`Self::take_payment`]; `BUSY_PAYMENT` while there is another.
    pub fn start_payment(
        &self,
        activity: PaymentActivity,
        lasting: Option<Duration>,
    ) -> Result<(), Failure> {
        let mut shared = self.shared();
        shared.check_open()?;
        if shared.live.payment.is_some() {
            return Err(Failure::new(ErrorCode::BusyPayment, "a payment is in progress"));
        }
        let until = lasting.map(|lasting| Instant::now() + lasting);
        shared.live.payment =
            (activity != PaymentActivity::Idle).then_some(ActivePayment { activity, until });
        drop(shared);
        self.changed();
        Ok(())
    }

    /// The active payment ends well; without one, nothing happens.
    pub fn finish_payment(&self) {
        self.shared().finish_payment();
        self.changed();
    }

    /// The process is started again on the same memory, without a file: what
    /// [`MockTerminal::open`] does after a kill or a reboot. Calls of the life before have no
    /// effect any more.
    ///
    /// # Errors
    /// When the state file cannot be written.
    pub fn restart(&self) -> Result<(), MockError> {
        let mut shared = self.shared();
        shared.live.dead = false;
        let started = shared.start(&self.inner.config);
        drop(shared);
        self.changed();
        started
    }

    /// The power fails: nothing has an effect any more until [`Self::restart`] or the next
    /// opening of the state file, which is a new boot.
    ///
    /// # Errors
    /// When the state file cannot be written.
    pub fn power_cut(&self) -> Result<(), Failure> {
        let mut shared = self.shared();
        shared.commit(|state| {
            state.rebooting = Some(BootReason::Power);
            Ok(())
        })?;
        shared.live.dead = true;
        Ok(())
    }

    /// Identity of this boot, without the script.
    pub fn current_boot(&self) -> BootId {
        self.shared().state.boot.id
    }

    /// The process is gone as far as the terminal is concerned.
    fn crash(&self) {
        self.shared().live.dead = true;
        (self.inner.config.on_crash)();
    }

    /// The terminal, caught up with the script and the time.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        let now = (self.inner.config.clock)();
        // A panic elsewhere leaves the memory whole: it is replaced in one assignment.
        let mut shared = self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.refresh(now);
        shared
    }

    /// Wakes everybody who waits for the terminal.
    fn changed(&self) {
        self.inner.changed.notify_waiters();
    }
}
