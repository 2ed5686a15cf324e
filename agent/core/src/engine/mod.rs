//! The engine: events in, effects out.
//!
//! [`Engine::step`] is the only way in: total, without I/O, without errors. The order of the
//! effects is the durability contract: the one `Append` of a step comes first, so nothing is
//! sent, started or forgotten before the record that makes it safe is on the medium.

mod backoff;
mod configuration;
mod credentials;
mod effect;
mod enrolling;
mod event;
mod expiry;
mod frames;
mod intake;
mod kind;
pub mod limits;
mod local;
mod membership;
mod moment;
mod outbox;
mod output;
mod overdue;
mod ownership;
mod record;
mod recovery;
mod reporting;
mod restart;
mod running;
mod schedule;
mod session;
mod status;
mod verify;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use terminal_hal::{BootId, OperationId, OperationKind, Timestamp};

pub use backoff::{Backoff, BackoffSettings, Wait};
pub use credentials::{Certificate, Certificates, Credentials, MembershipState, MembershipView};
pub use effect::{
    ConfigureCall, ConfigureOrder, Effect, Endpoint, IdentityOrder, IdentityRequest, ReportOrder,
    RequestKey, RestartOrder, StartOrder,
};
pub use event::{CallOutcome, ConfigurationOutcome, Event, LinkEnd, Verification};
pub use local::{LocalAnswer, LocalRefusal, LocalRequest, LocalTaken};

pub use moment::{Moment, Monotonic};
pub use record::{
    Configuration, ConfigurationRecord, Expiry, Meta, OperationRecord, OperationState, RestartCall,
    Snapshot, StoredReport, Write,
};
pub use schedule::{Calendar, Due, LocalDate};
pub use session::LinkView;
pub use view::{EngineView, FinishedView, Memory, OperationView};

use crate::protocol::{Seq, StoreEpoch};
use configuration::ConfigurationState;
use kind::Lane;
use membership::Membership;
use outbox::Outbox;
use output::Output;
use running::Live;
use session::{Beat, Session};
use terminal_hal::operation::reboot::BootReason;

/// Facts that hold from the start of the process to its end; enrolment gives another `terminal_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// As the cloud knows this terminal; empty before it is enrolled.
    pub terminal_id: String,
    /// Printed on the device.
    pub serial_number: String,
    /// Hardware model.
    pub model: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Version of the terminal's software.
    pub software_version: String,
    /// Of this boot.
    pub boot_id: BootId,
    /// Why this boot happened, as the hardware tells it.
    pub boot_reason: BootReason,
}

/// What the terminal's owner has decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Kinds that the hardware can run.
    pub supported: Vec<OperationKind>,
    /// Kinds that the terminal's own configuration allows the cloud.
    pub allowed: Vec<OperationKind>,
    /// How to wait between connection attempts.
    pub backoff: BackoffSettings,
    /// Where the terminal's credentials come from.
    pub credentials: Credentials,
}

/// Decides everything that the agent does.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    settings: Settings,
    meta: Meta,
    /// Meta as it was when the store was opened: what the boot before left.
    previous: Option<Meta>,
    /// Why the store came up without memory, if a damaged one was moved aside.
    damage: Option<String>,
    operations: BTreeMap<OperationId, OperationRecord>,
    /// What is going on, beside the records: lost with the process.
    live: BTreeMap<OperationId, Live>,
    finished: BTreeMap<OperationId, Finished>,
    /// Newest verdicts, oldest first, for people.
    newest_finished: VecDeque<(OperationId, Seq)>,
    /// Earliest `not_after` in `finished`.
    prune_at: Option<Timestamp>,
    /// Calls that have outlived the deadline of their operation.
    overdue: Vec<overdue::Overdue>,
    outbox: Outbox,
    session: Session,
    membership: Membership,
    configuration: ConfigurationState,
    schedule: schedule::Schedule,
    cloud_clock: Option<CloudClock>,
    health: status::Health,
    storage_low: bool,
    stopping: bool,
    arrivals: u64,
    lazy: Lazy,
}

/// A verdict that is remembered so that its operation never starts again.
#[derive(Clone, Copy, Debug)]
struct Finished {
    seq: Seq,
    not_after: Timestamp,
}

/// The cloud's time at a moment of the boot clock.
#[derive(Clone, Copy, Debug)]
struct CloudClock {
    at: Monotonic,
    time: Timestamp,
}

/// Changes that may ride on the next commit: forgetting them costs a repetition, nothing else.
#[derive(Debug, Default)]
struct Lazy {
    removals: Vec<Write>,
    meta: bool,
}

/// Newest verdicts that are kept for people.
const NEWEST_FINISHED_MAX: usize = 20;

impl Engine {
    /// An engine with the memory of `snapshot`. `damage` says what was moved aside, if the store
    /// could not be read. The first event must be [`Event::Started`].
    pub fn new(
        identity: Identity,
        settings: Settings,
        snapshot: Snapshot,
        damage: Option<String>,
        moment: &Moment,
    ) -> Self {
        let outbox = Outbox::restore(&snapshot);
        let meta = snapshot.meta.clone().unwrap_or_else(|| Meta {
            store_epoch: StoreEpoch(moment.uuid(0)),
            serial_number: identity.serial_number.clone(),
            epoch_base: Seq(0),
            acked_seq: Seq(0),
            acked_report_id: None,
            boot_id: identity.boot_id,
            clean_stop: false,
            owner: None,
            held_up_to: Seq(0),
        });
        let mut engine = Self {
            session: Session::new(settings.backoff),
            membership: Membership::new(&settings.credentials, moment),
            configuration: ConfigurationState::restore(snapshot.configuration),
            identity,
            settings,
            meta,
            previous: snapshot.meta,
            damage,
            operations: BTreeMap::new(),
            live: BTreeMap::new(),
            finished: BTreeMap::new(),
            newest_finished: VecDeque::new(),
            prune_at: None,
            overdue: Vec::new(),
            outbox,
            schedule: schedule::Schedule::default(),
            cloud_clock: None,
            health: status::Health::default(),
            storage_low: false,
            stopping: false,
            arrivals: 0,
            lazy: Lazy::default(),
        };
        engine.load(snapshot.operations);
        engine
    }

    /// Tells what has happened; appends what is to be done.
    pub fn step(&mut self, moment: &Moment, event: &Event, effects: &mut Vec<Effect>) {
        let mut out = Output::new(moment);
        if self.stopping {
            self.handle_late(event, &mut out);
        } else {
            self.handle(event, &mut out);
            self.settle(&mut out);
        }
        self.finish_step(out, effects);
    }

    /// When [`Event::Woken`] is wanted at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        if self.stopping {
            return None;
        }
        // While it is held, an event will end that.
        let is_due = self.configuration.is_running() || !self.configuration_is_held();
        let configuration = self.configuration.deadline().filter(|_| is_due);
        let others = [
            self.session.deadline(),
            self.membership_deadline(),
            configuration,
            self.schedule.look_at,
        ];
        others.into_iter().flatten().chain(self.operations_deadline()).min()
    }

    fn handle(&mut self, event: &Event, out: &mut Output<'_>) {
        match event {
            Event::Started => self.on_started(out),
            Event::Woken => {}
            Event::LinkOpened => self.on_link_opened(out),
            Event::FrameReceived(bytes) => self.on_frame(bytes, out),
            Event::PeerHeard => {
                self.session.heard(out.moment);
            }
            Event::LinkClosed(end) => self.on_link_closed(end, out),
            Event::NetworkUp => self.session.network_up(out.moment),
            Event::Finished { id, attempt, outcome } => {
                self.on_finished(*id, *attempt, outcome, out);
            }
            Event::Progressed { id, phase, percent } => {
                self.on_progress(*id, phase, *percent, out);
            }
            Event::Verified { id, attempt, answer } => {
                self.on_verified(*id, *attempt, answer, out);
            }
            Event::Configured { call, outcome } => self.on_configured(*call, outcome, out),
            Event::HalConnected => self.on_hal_connected(out),
            Event::HealthObserved(health) => self.on_health(health, out),
            Event::StorageChanged { low } => self.on_storage(*low, out),
            Event::IdentityAdopted { terminal_id, certificate } => {
                self.on_identity_adopted(terminal_id, *certificate, out);
            }
            Event::IdentityRefused { reason } => self.on_identity_refused(reason, out),
            Event::OperationRequested(request) => self.on_requested(request, out),
            Event::ActivationRequested => self.on_activation_requested(out),
            Event::DiscardRequested => self.on_discard_requested(out),
            Event::StopRequested => self.on_stop(out),
        }
    }

    /// After the stop only outcomes are journalled: nothing is sent or started any more.
    fn handle_late(&mut self, event: &Event, out: &mut Output<'_>) {
        if let Event::Finished { id, attempt, outcome } = event {
            if matches!(outcome, CallOutcome::Completed(_) | CallOutcome::Failed(_)) {
                self.on_finished(*id, *attempt, outcome, out);
            }
        }
        out.effects.clear();
    }

    /// Does what has become due, whatever the event was.
    fn settle(&mut self, out: &mut Output<'_>) {
        if self.stopping {
            return;
        }
        self.expire_queued(out);
        self.check_deadlines(out);
        self.begin_scheduled(out);
        self.configuration.check_deadline(out.moment.monotonic);
        self.start_ready(out);
        self.start_configuration(out);
        self.settle_membership(out);
        match self.session.tick(out.moment, &mut out.effects) {
            Beat::Connect => {
                let endpoint = self.membership.endpoint(self.cloud_now(out.moment));
                self.session.connecting_to(endpoint);
                out.push(Effect::Connect(endpoint));
            }
            Beat::Status => self.status_due(out),
            Beat::Nothing => {}
        }
        self.update_screen(out);
        self.prune(out);
        self.pump_outbox(out);
    }

    fn pump_outbox(&mut self, out: &mut Output<'_>) {
        if !self.session.is_up() {
            return;
        }
        let (base, store_epoch) = (self.meta.epoch_base, self.meta.store_epoch);
        self.outbox.pump(|place| {
            let seq = Seq(place.count_after(base));
            out.effects.push(Effect::SendReport(ReportOrder { place, seq, store_epoch }));
        });
        self.session.reports_in_flight(self.outbox.in_flight(), false, out.moment);
    }

    /// Puts what must be durable in front of everything else.
    fn finish_step(&mut self, out: Output<'_>, effects: &mut Vec<Effect>) {
        let Output { writes, commit_meta, effects: then, .. } = out;
        let is_too_lazy = self.lazy.removals.len() >= limits::LAZY_WRITES_MAX;
        if !writes.is_empty() || commit_meta || is_too_lazy {
            let mut append = std::mem::take(&mut self.lazy.removals);
            append.extend(writes);
            if commit_meta || self.lazy.meta {
                self.lazy.meta = false;
                append.push(Write::PutMeta(self.meta.clone()));
            }
            effects.push(Effect::Append(append));
        }
        effects.extend(then);
    }

    /// The cloud's time as well as it is known: from `welcome`, else from a wall clock that
    /// somebody vouches for.
    fn cloud_now(&self, moment: &Moment) -> Option<Timestamp> {
        self.cloud_time(moment).or_else(|| moment.wall_trusted.then_some(moment.wall))
    }

    /// The cloud's time, once it has told it.
    fn cloud_time(&self, moment: &Moment) -> Option<Timestamp> {
        let clock = self.cloud_clock?;
        Some(clock.time.plus_ms(moment.monotonic.ms_since(clock.at)))
    }

    fn lane_is_free(&self, lane: Lane) -> bool {
        !self.operations.values().any(|record| {
            matches!(record.state, OperationState::Running { .. }) && record_lane(record) == lane
        })
    }

    /// What the hardware does beside operations and must not be asked to do twice at a time.
    fn lane_is_idle(&self, lane: Lane) -> bool {
        match lane {
            Lane::Main | Lane::Lock => true,
            Lane::Configuration => !self.configuration.is_running(),
        }
    }

    fn on_stop(&mut self, out: &mut Output<'_>) {
        self.stopping = true;
        self.meta.clean_stop = true;
        out.commit_meta = true;
        self.session.close(
            crate::protocol::close_code::GOING_AWAY,
            "the agent stops",
            &mut out.effects,
            out.moment,
        );
        out.push(Effect::Stop);
    }
}

/// The lane of a record; an operation of an unknown kind never runs, so any lane does.
fn record_lane(record: &OperationRecord) -> Lane {
    OperationKind::from_name(&record.operation).map_or(Lane::Main, kind::lane)
}
