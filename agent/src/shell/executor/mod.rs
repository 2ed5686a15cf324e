//! Runs what the engine orders on the hardware: one task per call, each with a way to cancel it.
//!
//! Every order is answered by exactly one event, unless it is abandoned; only a device restart
//! that has been set in motion is answered by the next boot.

mod close_first;
mod hang;
mod hold;
mod lock;
mod operations;
mod questions;
mod restart;
mod update;

use std::{collections::HashMap, future::Future, rc::Rc, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use terminal_core::engine::{
    CallOutcome, Configuration, ConfigurationOutcome, ConfigureOrder, Event, RestartOrder,
    StartOrder,
};
use terminal_hal::{
    ErrorCode, Failure, OperationId,
    api::{Call, CallHandle, Hal, Payments, SettingsOutcome, call},
    settings,
    status::TerminalHealth,
    text::masked,
};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, LocalSet},
};

use super::lock_record::LockRecord;
use crate::uploads::{UploadLimits, Uploads};

/// Reading the state of the hardware may take this long.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);
/// Applying a configuration may take this long.
const CONFIGURE_TIME_MAX: Duration = Duration::from_secs(50);

/// Runs calls and sends what became of them into the shell's queue.
pub(super) struct Executor {
    hardware: Rc<Hardware>,
    events: mpsc::Sender<Event>,
    running: HashMap<OperationId, Running>,
    tasks: Rc<LocalSet>,
}

/// What the tasks share.
pub(super) struct Hardware {
    pub(super) hal: Hal,
    pub(super) uploads: Arc<Uploads>,
    pub(super) upload_limits: UploadLimits,
    pub(super) lock: Rc<LockRecord>,
}

struct Running {
    cancel: Rc<Notify>,
    task: AbortHandle,
}

impl Executor {
    pub(super) fn new(
        hardware: Hardware,
        events: mpsc::Sender<Event>,
        tasks: Rc<LocalSet>,
    ) -> Self {
        Self { hardware: Rc::new(hardware), events, running: HashMap::new(), tasks }
    }

    pub(super) fn start(&mut self, order: StartOrder) {
        let (id, attempt) = (order.id, order.attempt);
        let hardware = Rc::clone(&self.hardware);
        self.run(id, attempt, order.time_left_ms, |call| async move {
            Some(operations::run(&hardware, &call, &order).await)
        });
    }

    pub(super) fn restart(&mut self, order: RestartOrder) {
        let (id, attempt) = (order.id, order.attempt);
        let hardware = Rc::clone(&self.hardware);
        let events = self.events.clone();
        self.run(id, attempt, order.time_left_ms, |call| async move {
            let outcome = restart::restart(&hardware.hal, &call, &order).await;
            if matches!(outcome, Some(CallOutcome::Completed(_))) {
                let _ = events.send(Event::HalConnected).await;
            }
            outcome
        });
    }

    pub(super) fn verify(&mut self, order: StartOrder) {
        let hardware = Rc::clone(&self.hardware);
        let events = self.events.clone();
        self.tasks.spawn_local(async move {
            let answer = questions::ask(&hardware.hal, &order).await;
            let (id, attempt) = (order.id, order.attempt);
            // What the process before has held outlives it where the application has its own.
            if let (true, Some(payments)) = (questions::is_over(&answer), &hardware.hal.payments) {
                hold::release(payments.as_ref(), id).await;
            }
            let _ = events.send(Event::Verified { id, attempt, answer }).await;
        });
    }

    /// Asks a call to stop; without one, does nothing.
    pub(super) fn cancel(&self, id: OperationId) {
        if let Some(running) = self.running.get(&id) {
            running.cancel.notify_one();
        }
    }

    /// Drops a call, if it still runs, and gives back what it held.
    pub(super) fn abandon(&mut self, id: OperationId) {
        if let Some(running) = self.running.remove(&id) {
            running.task.abort();
        }
        if let Some(payments) = self.hardware.hal.payments.clone() {
            self.tasks
                .spawn_local(async move { close_first::release(payments.as_ref(), id).await });
        }
    }

    pub(super) fn configure(&self, order: ConfigureOrder) {
        let hardware = Rc::clone(&self.hardware);
        let events = self.events.clone();
        self.tasks.spawn_local(async move {
            let ConfigureOrder { call, configuration } = order;
            let outcome = configure(&hardware.hal, configuration).await;
            let _ = events.send(Event::Configured { call, outcome }).await;
        });
    }

    pub(super) fn read_health(&self, storage_free_bytes: Option<u64>) {
        let hardware = Rc::clone(&self.hardware);
        let events = self.events.clone();
        self.tasks.spawn_local(async move {
            let mut health = read_health(&hardware.hal).await;
            // A terminal that has to be locked is, also while its application is away.
            health.locked |= hardware.lock.is_locked();
            health.lock_unconfirmed = hardware.lock.is_unconfirmed();
            health.storage_free_bytes = health.storage_free_bytes.or(storage_free_bytes);
            if let Some(screen) = &mut health.screen {
                // What an application wrongly shows must not leave the terminal.
                screen.text = masked(&screen.text);
            }
            let _ = events.send(Event::HealthObserved(Box::new(health))).await;
        });
    }

    /// Runs a call in its own task. `None` as outcome means that there is nothing to tell.
    fn run<F, R>(&mut self, id: OperationId, attempt: u32, time_left_ms: u64, work: F)
    where
        F: FnOnce(Call) -> R,
        R: Future<Output = Option<CallOutcome>> + 'static,
    {
        self.running.retain(|_, running| !running.task.is_finished());
        let (call, handle) = call(id, attempt, Duration::from_millis(time_left_ms));
        let cancel = Rc::new(Notify::new());
        let work = work(call);
        let supervised =
            supervise(id, attempt, work, handle, Rc::clone(&cancel), self.events.clone());
        let task = self.tasks.spawn_local(supervised).abort_handle();
        self.running.insert(id, Running { cancel, task });
    }
}

/// Passes progress on, passes a cancellation in, and sends the outcome.
async fn supervise(
    id: OperationId,
    attempt: u32,
    work: impl Future<Output = Option<CallOutcome>>,
    mut handle: CallHandle,
    cancel: Rc<Notify>,
    events: mpsc::Sender<Event>,
) {
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            () = cancel.notified() => handle.cancel(),
            Some(progress) = handle.progress.recv() => {
                let (phase, percent) = (progress.phase, progress.percent);
                // Progress may be lost; waiting here would hold up the operation.
                let _ = events.try_send(Event::Progressed { id, phase, percent });
            }
        }
    };
    if let Some(outcome) = outcome {
        let _ = events.send(Event::Finished { id, attempt, outcome }).await;
    }
}

async fn configure(hal: &Hal, configuration: Configuration) -> ConfigurationOutcome {
    let Some(payments) = &hal.payments else {
        let reason = "no payment application to configure";
        return ConfigurationOutcome::Unavailable(Failure::new(ErrorCode::HalUnavailable, reason));
    };
    let id = OperationId(uuid::Uuid::from_u64_pair(0, configuration.revision));
    // The handle must live as long as the call: dropping it cancels.
    let (call, _handle) = call(id, 1, CONFIGURE_TIME_MAX);
    let Configuration { revision, config } = &configuration;
    let applying = apply_settings(payments.as_ref(), &call, *revision, config);
    match tokio::time::timeout(CONFIGURE_TIME_MAX, applying).await {
        Ok(Ok(SettingsOutcome::Applied(result))) => {
            ConfigurationOutcome::Applied { sha256: result.sha256 }
        }
        Ok(Ok(SettingsOutcome::Rejected(problems))) => ConfigurationOutcome::Rejected(problems),
        Ok(Err(failure)) => ConfigurationOutcome::Unavailable(failure),
        Err(_) => ConfigurationOutcome::Unavailable(Failure::new(
            ErrorCode::HalUnavailable,
            "the payment application did not apply the configuration in time",
        )),
    }
}

/// Applies a configuration whose settings are within their limits. What else its payment application
/// may know is for the application to judge.
async fn apply_settings(
    payments: &dyn Payments,
    call: &Call,
    revision: u64,
    config: &Map<String, Value>,
) -> Result<SettingsOutcome, Failure> {
    let problems = settings::problems(config);
    if !problems.is_empty() {
        return Ok(SettingsOutcome::Rejected(problems));
    }
    payments.apply_settings(call, revision, config).await
}

/// Always answers: unknown fields are absent.
async fn read_health(hal: &Hal) -> TerminalHealth {
    let Some(health) = &hal.health else { return TerminalHealth::default() };
    match tokio::time::timeout(HEALTH_TIME_MAX, health.health()).await {
        Ok(Ok(health)) => health,
        Ok(Err(failure)) => {
            tracing::warn!(%failure, "state of the hardware not read");
            TerminalHealth::default()
        }
        Err(_) => {
            tracing::warn!("state of the hardware not read in time");
            TerminalHealth::default()
        }
    }
}
