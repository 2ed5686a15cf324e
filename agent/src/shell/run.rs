//! From a configuration to a running agent.

use std::{collections::VecDeque, iter, rc::Rc, sync::Arc, time::Duration};

use terminal_core::{
    engine::{
        Effect, Engine, Event, Identity, IdentityOrder, Moment, OperationState, ReportOrder,
        Settings, Snapshot, Write,
    },
    protocol::{AgentFrame, Report, encode},
};
use terminal_hal::{Failure, OperationKind, status::TerminalHealth};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc},
    task::LocalSet,
};

use super::{
    access::Access,
    alarm::Alarm,
    batch,
    clock::{self, LastGoodTime},
    control::{self, ControlCall, ControlRequest, Facts},
    executor::{Executor, Hardware},
    hardware::{self, HardwareNews},
    lock_again::LockAgain,
    lock_record::LockRecord,
    requests::{self, Requests},
    screen::Screen,
    surroundings::{boot, https_uploads, watch_network},
    watchdog::Watchdog,
};
use crate::{
    config::Config,
    identity::IdentityError,
    link::{self, LinkEvent, LinkHandle, VerificationClock},
    schedule::Schedule,
    store::{OpenedStore, Store, StoreError, StoreLimits},
    sys,
    uploads::{UploadLimits, Uploads},
};

/// Events that may wait for the loop; their senders then wait.
const EVENTS_MAX: usize = 64;
/// Events that are stepped together before their effects are carried out.
const BATCH_MAX: usize = 16;

/// Most compressed bytes of one upload, whatever the cloud asks for.
const UPLOAD_BYTES_MAX: u64 = 64 << 20;
/// At the end the link may take this long to close.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The identity of the terminal cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The simulated terminal cannot be had.
    #[cfg(feature = "mock")]
    #[error("hardware layer: {0}")]
    Mock(#[from] terminal_hal::mock::MockError),
    /// The hardware layer does not say who or where it is.
    #[error("hardware layer: {0}")]
    Hardware(Failure),
    /// The control socket cannot be made.
    #[error("control socket {path}: {source}")]
    Control {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The directory of the store cannot be made.
    #[error("cannot make {path}: {source}")]
    Directory {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Signals or timers cannot be had.
    #[error("cannot set up the process: {0}")]
    Process(#[from] std::io::Error),
}

/// Runs until the process is told to stop.
///
/// # Errors
/// When the store, the hardware layer or the process itself fails. Never because the network or
/// the cloud is away.
pub fn run(config: Config) -> Result<(), RunError> {
    sys::keep_heap_small();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = Rc::new(LocalSet::new());
    let shell = Shell::start(config, Rc::clone(&tasks));
    let ended = runtime.block_on(tasks.run_until(async { shell.await?.run().await }));
    // Resolving a name may hang in the C library; nothing waits for that.
    runtime.shutdown_timeout(FAREWELL_TIME_MAX);
    ended
}

struct Shell {
    engine: Engine,
    store: Store,
    executor: Executor,
    events: mpsc::Receiver<Event>,
    access: Access,
    screen: Screen,
    link: Option<LinkHandle>,
    /// Of the newest link.
    link_events: mpsc::Receiver<LinkEvent>,
    uploads: Arc<Uploads>,
    control: mpsc::Receiver<ControlCall>,
    facts: Facts,
    schedule: Option<Schedule>,
    requests: Requests,
    alarm: Alarm,
    watchdog: Watchdog,
    verification_clock: Arc<VerificationClock>,
    last_good_time: LastGoodTime,
    /// Events that arose while effects were carried out.
    arisen: VecDeque<Event>,
    storage_was_low: bool,
    terminate: Signal,
    interrupt: Signal,
    /// The hardware layer restarts the device: stop as at a shutdown.
    rebooting: Arc<Notify>,
    /// The hardware layer has news: its state is worth a look before the next heartbeat.
    health_changes: mpsc::Receiver<()>,
}

/// What became of a batch.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Shell {
    async fn start(config: Config, tasks: Rc<LocalSet>) -> Result<Self, RunError> {
        let limits = StoreLimits {
            ballast_bytes: config.store.ballast_bytes,
            reserve_bytes: config.store.reserve_bytes,
        };
        std::fs::create_dir_all(&config.store.directory).map_err(|source| RunError::Directory {
            path: config.store.directory.display().to_string(),
            source,
        })?;
        let lock = Rc::new(LockRecord::load(config.store.directory.join("terminal-lock.json")));
        let OpenedStore { store, snapshot, damage } =
            Store::open(&config.store.directory.join("store"), limits)?;
        let rebooting = Arc::new(Notify::new());
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (health_changed, health_changes) = mpsc::channel(1);
        let news = HardwareNews { events: event_sender.clone(), health_changed };
        let verification_clock = Arc::new(VerificationClock::default());
        let good_time_file = config.store.directory.join("last-good-time");
        let last_good_time = LastGoodTime::load(good_time_file, &verification_clock);
        let hal =
            hardware::open(&config, &rebooting, &tasks, news, lock.standing(), &verification_clock)
                .await?;
        let (boot_id, boot_reason) = boot(&hal).await?;
        // The bridge locks an application that connects, if it knew by then that it has to.
        let is_told = lock.is_standing() && hardware::is_vendor(config.hal.payments);
        lock.booted(hal.power.is_some().then_some(boot_id));
        if let Some(payments) = hal.payments.clone() {
            let tries = config.store.directory.join("terminal-lock-tries");
            let again = LockAgain::new(payments, Rc::clone(&lock), tries);
            if !is_told {
                // What is unfinished is run again at once, and given up if it never ends.
                again.at_start(is_lock_unfinished(&snapshot)).await;
            }
            tasks.spawn_local(again.later());
        }
        let access = Access::open(&config, &verification_clock)?;
        let identity = Identity {
            terminal_id: access.terminal_id().to_owned(),
            serial_number: config.terminal.serial_number.clone(),
            model: config.terminal.model.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            software_version: config.terminal.software_version.clone(),
            boot_id,
            boot_reason,
        };
        let settings = Settings {
            supported: hal.operations(),
            allowed: config.allowed_operations.clone(),
            backoff: config.backoff,
            credentials: access.credentials(),
        };
        let damage = damage
            .map(|damage| format!("{}; moved to {}", damage.reason, damage.moved_to.display()));
        let engine = Engine::new(identity, settings, snapshot, damage, &clock::moment());

        let uploads = Arc::new(Uploads::new(https_uploads(&config, &verification_clock)));
        let (_, link_events) = mpsc::channel(1);
        let (control_sender, control) = mpsc::channel(control::CALLS_MAX);
        control::serve(&config.control, control_sender, &tasks).map_err(|source| {
            RunError::Control { path: config.control.socket.display().to_string(), source }
        })?;
        let upload_limits = UploadLimits {
            hosts: config.uploads.hosts,
            bytes_max: UPLOAD_BYTES_MAX,
            allow_private_addresses: config.uploads.allow_private_addresses,
        };
        let screen = Screen::new(hal.screen.clone(), &tasks);
        let is_locked = lock.is_locked();
        let hardware = Hardware { hal, uploads: Arc::clone(&uploads), upload_limits, lock };
        watch_network(&tasks, event_sender.clone());
        Ok(Self {
            engine,
            store,
            executor: Executor::new(hardware, event_sender, Rc::clone(&tasks)),
            events,
            access,
            screen,
            link: None,
            link_events,
            uploads,
            control,
            facts: Facts::default(),
            schedule: config.schedule,
            requests: Requests::default(),
            alarm: Alarm::new()?,
            watchdog: Watchdog::from_environment(),
            verification_clock,
            last_good_time,
            arisen: first_events(is_locked),
            storage_was_low: false,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            rebooting,
            health_changes,
        })
    }

    async fn run(mut self) -> Result<(), RunError> {
        self.watchdog.ready();
        loop {
            let event = self.next_event().await?;
            self.watchdog.feed();
            if self.step_all_ready(event)? == Next::Stop {
                return self.farewell().await;
            }
            // The link writes what this round has queued before the next one queues more.
            tokio::task::yield_now().await;
        }
    }

    /// Everything is on the medium; the link gets a moment to close, and what ends meanwhile is
    /// journalled.
    async fn farewell(mut self) -> Result<(), RunError> {
        self.watchdog.stopping();
        let end = tokio::time::sleep(FAREWELL_TIME_MAX);
        tokio::pin!(end);
        loop {
            tokio::select! {
                event = self.link_events.recv() => match event {
                    Some(LinkEvent::Closed(_)) | None => return Ok(()),
                    Some(LinkEvent::Opened | LinkEvent::Text(_) | LinkEvent::Heard) => {}
                },
                Some(event) = self.events.recv() => {
                    self.step_all_ready(event)?;
                }
                () = &mut end => return Ok(()),
            }
        }
    }

    /// Steps everything that is ready, then carries out the effects.
    fn step_all_ready(&mut self, first: Event) -> Result<Next, RunError> {
        let mut effects = Vec::new();
        let mut next = Some(first);
        let mut stepped = 0;
        while let Some(event) = next {
            let moment = self.moment();
            self.note(&event, &moment);
            self.engine.step(&moment, &event, &mut effects);
            stepped += 1;
            // What the link before still says must not be taken for the next one's.
            let another_link = effects.iter().any(|effect| matches!(effect, Effect::Connect(_)));
            let full = stepped >= BATCH_MAX || another_link;
            next = if full { None } else { self.ready_event() };
        }
        self.carry_out(effects)
    }

    /// This moment, with what the schedule says of it.
    fn moment(&self) -> Moment {
        let moment = clock::moment();
        let calendar = self.schedule.as_ref().and_then(|schedule| schedule.calendar(moment.wall));
        Moment { calendar, ..moment }
    }

    /// What the shell itself has to know.
    fn note(&mut self, event: &Event, moment: &Moment) {
        self.last_good_time.observe(moment, &self.verification_clock);
        if let Event::LinkClosed(end) = event {
            self.facts.last_link_end = Some(end.to_string());
            self.link = None;
            self.uploads.link_down();
        }
    }

    /// In as few commits as the order of the effects allows.
    fn carry_out(&mut self, mut effects: Vec<Effect>) -> Result<Next, RunError> {
        while !effects.is_empty() {
            let later = effects.split_off(batch::first(&effects));
            if self.carry_out_together(effects)? == Next::Stop {
                return Ok(Next::Stop);
            }
            effects = later;
        }
        Ok(Next::GoOn)
    }

    /// Commits everything first, in one; then does the rest in order.
    fn carry_out_together(&mut self, effects: Vec<Effect>) -> Result<Next, RunError> {
        let mut writes: Vec<Write> = Vec::new();
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            if let Effect::Append(more) = effect {
                writes.extend(more);
            } else {
                rest.push(effect);
            }
        }
        if !writes.is_empty() {
            self.store.append(&writes)?;
            self.look_at_storage();
        }
        for effect in rest {
            if self.perform(effect)? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::GoOn)
    }

    fn perform(&mut self, effect: Effect) -> Result<Next, RunError> {
        match effect {
            // Taken out before.
            Effect::Append(writes) => self.store.append(&writes)?,
            Effect::Connect(endpoint) => {
                // A channel of its own: the link before may still speak.
                let (events, link_events) = mpsc::channel(EVENTS_MAX);
                self.link_events = link_events;
                self.link = Some(link::spawn(self.access.connector(endpoint), events));
            }
            Effect::Send(frame) => self.send(&frame),
            Effect::SendReport(order) => self.send_report(order)?,
            Effect::Ping => self.with_link(LinkHandle::ping),
            Effect::CloseLink { code, reason } => {
                self.with_link(|link| link.close(code, &reason));
            }
            Effect::Start(order) => self.executor.start(*order),
            Effect::Cancel(id) => self.executor.cancel(id),
            Effect::Abandon(id) => self.executor.abandon(id),
            Effect::Verify(order) => self.executor.verify(*order),
            Effect::Restart(order) => self.executor.restart(*order),
            Effect::Configure(order) => self.executor.configure(order),
            Effect::ReadHealth => {
                self.look_at_storage();
                self.executor.read_health(self.store.free_bytes());
            }
            Effect::UploadAcked(ack) => self.uploads.acked(ack),
            Effect::UploadRefused { id, code } => self.uploads.refused(id, &code),
            Effect::AllowUploads => {
                if let Some(link) = &self.link {
                    self.uploads.link_up(link.bulk());
                }
            }
            Effect::Identity(order) => self.carry_out_identity(order),
            Effect::Answer(answer) => self.requests.answer(&answer),
            Effect::Stop => return Ok(Next::Stop),
        }
        Ok(Next::GoOn)
    }

    fn carry_out_identity(&mut self, order: IdentityOrder) {
        match order {
            IdentityOrder::Request(request) => match self.access.request(&request) {
                Ok(frame) => self.with_link(|link| link.send_text(frame)),
                Err(event) => self.arisen.push_back(event),
            },
            IdentityOrder::Adopt(enrolled) => self.arisen.push_back(self.access.adopt(&enrolled)),
            IdentityOrder::Keep(endpoint) => self.access.keep(endpoint),
            IdentityOrder::Forget => self.access.forget(),
            IdentityOrder::Show(line) => self.screen.show(line),
        }
    }

    fn with_link(&self, act: impl FnOnce(&LinkHandle)) {
        if let Some(link) = &self.link {
            act(link);
        }
    }

    fn send(&self, frame: &AgentFrame) {
        self.with_link(|link| link.send_text(encode(frame)));
    }

    fn send_report(&self, order: ReportOrder) -> Result<(), RunError> {
        let ReportOrder { place, seq, store_epoch } = order;
        let report = match self.store.report(place)? {
            Some(stored) => Report { seq, store_epoch, ..stored },
            None => Report::dropped(seq, store_epoch),
        };
        self.send(&AgentFrame::Report(Box::new(report)));
        Ok(())
    }

    fn look_at_storage(&mut self) {
        let low = self.store.storage_low();
        if low != self.storage_was_low {
            self.storage_was_low = low;
            self.arisen.push_back(Event::StorageChanged { low });
        }
    }

    /// The next thing that happens, however long that takes.
    async fn next_event(&mut self) -> Result<Event, RunError> {
        loop {
            if let Some(event) = self.arisen.pop_front() {
                return Ok(event);
            }
            let until_deadline = self.until_deadline();
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return Ok(Event::StopRequested),
                _ = self.interrupt.recv() => return Ok(Event::StopRequested),
                () = self.rebooting.notified() => return Ok(Event::StopRequested),
                Some(call) = self.control.recv() => self.answer(call),
                Some(event) = self.events.recv() => return Ok(event),
                Some(()) = self.health_changes.recv() => {
                    self.executor.read_health(self.store.free_bytes());
                }
                Some(event) = self.link_events.recv() => return Ok(link_event(event)),
                rung = self.alarm.after(until_deadline) => {
                    rung?;
                    return Ok(Event::Woken);
                }
            }
        }
    }

    /// Something that has happened already.
    fn ready_event(&mut self) -> Option<Event> {
        if let Some(event) = self.arisen.pop_front() {
            return Some(event);
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(event);
        }
        self.link_events.try_recv().ok().map(link_event)
    }

    /// Time until the engine or the watchdog wants to be woken.
    fn until_deadline(&self) -> Option<Duration> {
        let now = clock::monotonic();
        let engine = self.engine.next_deadline().map(|at| Duration::from_millis(at.ms_since(now)));
        [engine, self.watchdog.due_in()].into_iter().flatten().min()
    }

    fn answer(&mut self, call: ControlCall) {
        match &call.request {
            ControlRequest::Start(request) => {
                match requests::from_control(request, call.uid) {
                    Ok(request) => {
                        self.requests.wait(&request, call.reply);
                        self.arisen.push_back(Event::OperationRequested(Box::new(request)));
                    }
                    Err(problem) => drop(call.reply.send(control::unfit(&problem))),
                }
                return;
            }
            ControlRequest::Activate => self.arisen.push_back(Event::ActivationRequested),
            ControlRequest::Discard => self.arisen.push_back(Event::DiscardRequested),
            ControlRequest::Status | ControlRequest::Operations => {}
        }
        let moment = self.moment();
        self.facts.end_of_day_next = moment.calendar.map(|calendar| calendar.next);
        let view = self.engine.view(&moment);
        let answer = control::answer(&call.request, &self.facts, &view, &self.store);
        // The asker may be gone.
        let _ = call.reply.send(answer);
    }
}

fn is_lock_unfinished(snapshot: &Snapshot) -> bool {
    let is_lock = |name: &str| {
        [OperationKind::Lock, OperationKind::Unlock].into_iter().any(|kind| kind.as_str() == name)
    };
    snapshot.operations.iter().any(|operation| {
        is_lock(&operation.operation) && matches!(operation.state, OperationState::Running { .. })
    })
}

/// What the engine is told first, before there is a link. That the terminal is locked is known
/// before its hardware has been read.
fn first_events(is_locked: bool) -> VecDeque<Event> {
    let locked = TerminalHealth { locked: true, ..TerminalHealth::default() };
    let locked = is_locked.then(|| Event::HealthObserved(Box::new(locked)));
    iter::once(Event::Started).chain(locked).chain([Event::HalConnected]).collect()
}

fn link_event(event: LinkEvent) -> Event {
    match event {
        LinkEvent::Opened => Event::LinkOpened,
        LinkEvent::Text(bytes) => Event::FrameReceived(bytes),
        LinkEvent::Heard => Event::PeerHeard,
        LinkEvent::Closed(end) => Event::LinkClosed(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_recovers_before_it_is_told_anything_else() {
        for is_locked in [false, true] {
            let events = first_events(is_locked);
            assert_eq!(events.front(), Some(&Event::Started));
            assert_eq!(events.back(), Some(&Event::HalConnected));
            assert_eq!(events.len(), if is_locked { 3 } else { 2 });
        }
    }
}
