//! The configuration: save what is wanted, apply it, save that it is in force.

use std::collections::BTreeMap;

use terminal_hal::{
    ErrorCode, Failure, OperationKind,
    operation::{SettingProblem, configure::PROBLEMS_MAX},
    text::{NAME_CHARS_MAX, bounded},
};

use super::{
    Configuration, ConfigurationOutcome, ConfigurationRecord, ConfigureCall, ConfigureOrder,
    Effect, Engine, Monotonic, OperationRecord, Write,
    kind::Lane,
    limits::{CONFIGURE_MS_MAX, CONFIGURE_RETRY_MS},
    output::Output,
};
use crate::protocol::{
    ConfigurationFrame, ConfigurationReport, ConfigurationStatus, ReportBody, error_code,
};

/// Most calls without an answer that are remembered. The shell answers sooner than the engine gives
/// up, so there is more than one only where the device was suspended again and again.
const GIVEN_UP_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct ConfigurationState {
    pub(super) record: ConfigurationRecord,
    call: Call,
    /// The payment application may have forgotten what is in force.
    stale: bool,
    /// Refused by this process; the cloud may send it on every link.
    rejected: Option<u64>,
    /// How many calls have been made.
    calls: u64,
    /// What was not applied in time. These calls go on.
    given_up: BTreeMap<ConfigureCall, Configuration>,
    /// What one of them has put in force all the same.
    late: Option<Late>,
}

#[derive(Debug)]
struct Late {
    configuration: Configuration,
    sha256: String,
    /// The payment application has come back since, and may have forgotten it.
    is_stale: bool,
}

#[derive(Debug)]
enum Call {
    /// Nothing to do.
    Settled,
    /// Something to apply, from this moment on.
    Due(Monotonic),
    /// Being applied.
    Running(RunningCall),
}

#[derive(Clone, Debug)]
struct RunningCall {
    call: ConfigureCall,
    configuration: Configuration,
    deadline: Monotonic,
    was_stale: bool,
}

impl ConfigurationState {
    pub(super) fn restore(record: Option<ConfigurationRecord>) -> Self {
        let record = record.unwrap_or(ConfigurationRecord { desired: None, applied: None });
        Self {
            record,
            call: Call::Settled,
            stale: false,
            rejected: None,
            calls: 0,
            given_up: BTreeMap::new(),
            late: None,
        }
    }

    /// Forgets everything: it was meant for another device, or came from another owner.
    pub(super) fn forget(&mut self, out: &mut Output<'_>) {
        let is_stored = self.newest().is_some();
        *self = Self { calls: self.calls, ..Self::restore(None) };
        if is_stored {
            out.write(Write::PutConfiguration(Box::new(self.record.clone())));
        }
    }

    pub(super) fn applied_revision(&self) -> u64 {
        self.record.applied.as_ref().map_or(0, |applied| applied.revision)
    }

    /// What is on record may not be in force any more.
    fn reapply(&mut self, now: Monotonic) {
        self.stale |= self.record.applied.is_some();
        self.look(now);
    }

    /// Something may have to be applied, from `at` on.
    fn look(&mut self, at: Monotonic) {
        if !self.is_running() {
            let wanted = self.record.desired.is_some() || self.stale;
            self.call = if wanted { Call::Due(at) } else { Call::Settled };
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.call, Call::Running(_))
    }

    /// When a call is to begin, or to have ended.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match &self.call {
            Call::Settled => None,
            Call::Due(at) => Some(*at),
            Call::Running(running) => Some(running.deadline),
        }
    }

    /// The newest revision that is known.
    fn newest(&self) -> Option<&Configuration> {
        self.record.desired.as_ref().or(self.record.applied.as_ref())
    }

    /// A call that has not answered in time is made again later.
    pub(super) fn check_deadline(&mut self, now: Monotonic) {
        match &self.call {
            Call::Running(running) if now >= running.deadline => {
                let RunningCall { call, configuration, was_stale, .. } = running.clone();
                let revision = configuration.revision;
                tracing::warn!(revision, "the configuration was not applied in time");
                self.given_up.insert(call, configuration);
                if self.given_up.len() > GIVEN_UP_MAX {
                    self.given_up.pop_first();
                }
                self.put_off(was_stale, now);
            }
            Call::Running(_) | Call::Due(_) | Call::Settled => {}
        }
    }

    fn put_off(&mut self, was_stale: bool, now: Monotonic) {
        // It may come into force all the same: what is on record has to be applied again, unless
        // a newer one is.
        self.stale |= was_stale || self.record.applied.is_some();
        self.call = Call::Settled;
        self.look(now.plus_ms(CONFIGURE_RETRY_MS));
    }

    pub(super) fn check_newer(&self, revision: u64) -> Result<(), Failure> {
        match self.newest() {
            Some(newest) if revision < newest.revision => {
                let reason = format!("revision {} is newer", newest.revision);
                Err(Failure::new(ErrorCode::RevisionStale, reason))
            }
            _ => Ok(()),
        }
    }

    /// A `configure` operation has put this revision in force.
    pub(super) fn applied_by_operation(
        &mut self,
        record: &OperationRecord,
        revision: u64,
        out: &mut Output<'_>,
    ) {
        let config = record.parameters.get("config").and_then(serde_json::Value::as_object);
        let config = config.cloned().unwrap_or_default();
        self.record.applied = Some(Configuration { revision, config });
        self.late = None;
        if self.record.desired.as_ref().is_some_and(|desired| desired.revision <= revision) {
            self.record.desired = None;
        }
        out.write(Write::PutConfiguration(Box::new(self.record.clone())));
    }
}

impl Engine {
    pub(super) fn on_configuration(&mut self, frame: ConfigurationFrame, out: &mut Output<'_>) {
        let newest = self.configuration.newest().map_or(0, |newest| newest.revision);
        if frame.revision <= newest || self.configuration.rejected == Some(frame.revision) {
            return;
        }
        if self.storage_low {
            let message = "storage is full, the configuration was not stored".to_owned();
            let reference = Some(frame.revision.to_string());
            return out.send_error(error_code::STORAGE_FULL, message, reference);
        }
        tracing::info!(revision = frame.revision, "configuration received");
        let state = &mut self.configuration;
        state.record.desired =
            Some(Configuration { revision: frame.revision, config: frame.config });
        out.write(Write::PutConfiguration(Box::new(state.record.clone())));
        state.look(out.moment.monotonic);
    }

    /// A payment application that has (re)started may have forgotten its settings, also those that
    /// it has just been given and has not answered about.
    pub(super) fn on_hal_connected(&mut self, out: &mut Output<'_>) {
        self.membership.forget_screen();
        let by_operation = !self.lane_is_free(Lane::Configuration);
        self.configuration.stale |= by_operation || self.configuration.is_running();
        if let Some(late) = &mut self.configuration.late {
            late.is_stale = true;
        }
        self.configuration.reapply(out.moment.monotonic);
    }

    /// Whether applying has to wait for something that is not a moment: a restart, or an
    /// operation that configures.
    pub(super) fn configuration_is_held(&self) -> bool {
        let overdue = self.overdue.iter().any(|call| call.kind == OperationKind::Configure);
        self.is_restarting() || overdue || !self.lane_is_free(Lane::Configuration)
    }

    /// Applies what is due.
    pub(super) fn start_configuration(&mut self, out: &mut Output<'_>) {
        let now = out.moment.monotonic;
        let due = matches!(self.configuration.call, Call::Due(at) if now >= at);
        if !due || self.configuration_is_held() {
            return;
        }
        let state = &mut self.configuration;
        let Some(next) = state.newest().cloned() else {
            state.call = Call::Settled;
            state.stale = false;
            return;
        };
        let deadline = now.plus_ms(CONFIGURE_MS_MAX);
        let was_stale = std::mem::take(&mut state.stale);
        state.calls += 1;
        let (call, configuration) = (ConfigureCall(state.calls), next.clone());
        state.call = Call::Running(RunningCall { call, configuration, deadline, was_stale });
        out.push(Effect::Configure(ConfigureOrder { call, configuration: next }));
    }

    pub(super) fn on_configured(
        &mut self,
        call: ConfigureCall,
        outcome: &ConfigurationOutcome,
        out: &mut Output<'_>,
    ) {
        let now = out.moment.monotonic;
        let state = &mut self.configuration;
        let (configuration, was_stale) = match std::mem::replace(&mut state.call, Call::Settled) {
            Call::Running(running) if running.call == call => {
                (running.configuration, running.was_stale)
            }
            other @ (Call::Settled | Call::Due(_) | Call::Running(_)) => {
                state.call = other;
                return self.on_configured_late(call, outcome, out);
            }
        };
        let revision = configuration.revision;
        match outcome {
            ConfigurationOutcome::Unavailable(failure) => {
                tracing::warn!(revision, code = failure.code.as_str(), "configuration put off");
                return self.configuration.put_off(was_stale, now);
            }
            ConfigurationOutcome::Applied { sha256 } => {
                self.configuration_applied(configuration, sha256, out);
            }
            ConfigurationOutcome::Rejected(problems) => {
                if self.configuration_rejected(revision, problems, out) {
                    // The one before is still to be applied again.
                    self.configuration.stale |= was_stale;
                }
            }
        }
        self.settle_late(out);
        // A newer revision may have come meanwhile.
        self.configuration.look(now);
    }

    fn on_configured_late(
        &mut self,
        call: ConfigureCall,
        outcome: &ConfigurationOutcome,
        out: &mut Output<'_>,
    ) {
        let given_up = self.configuration.given_up.remove(&call);
        if let (Some(configuration), ConfigurationOutcome::Applied { sha256 }) = (given_up, outcome)
        {
            let sha256 = sha256.clone();
            self.configuration.late = Some(Late { configuration, sha256, is_stale: false });
            // It may have replaced what is on record.
            self.configuration.reapply(out.moment.monotonic);
            self.settle_late(out);
        }
    }

    /// What came into force late is in force as long as nothing else is wanted.
    fn settle_late(&mut self, out: &mut Output<'_>) {
        if self.configuration.newest().is_some() {
            return;
        }
        if let Some(Late { configuration, sha256, is_stale }) = self.configuration.late.take() {
            self.configuration_applied(configuration, &sha256, out);
            self.configuration.stale |= is_stale;
        }
    }

    fn configuration_applied(
        &mut self,
        configuration: Configuration,
        sha256: &str,
        out: &mut Output<'_>,
    ) {
        let revision = configuration.revision;
        self.configuration.late = None;
        let record = &mut self.configuration.record;
        if record.applied.as_ref().is_some_and(|applied| applied.revision == revision) {
            return;
        }
        record.applied = Some(configuration);
        record.desired.take_if(|desired| desired.revision == revision);
        self.configuration_settled(
            ConfigurationReport {
                revision,
                status: ConfigurationStatus::Applied,
                errors: Vec::new(),
                sha256: Some(bounded(sha256, NAME_CHARS_MAX)),
            },
            out,
        );
    }

    /// False when it was one that had been applied before.
    fn configuration_rejected(
        &mut self,
        revision: u64,
        problems: &[SettingProblem],
        out: &mut Output<'_>,
    ) -> bool {
        let record = &mut self.configuration.record;
        if record.applied.as_ref().is_some_and(|applied| applied.revision == revision) {
            tracing::warn!(revision, "a configuration that was in force is refused");
            return false;
        }
        record.desired.take_if(|desired| desired.revision == revision);
        self.configuration.rejected = Some(revision);
        self.configuration_settled(
            ConfigurationReport {
                revision,
                status: ConfigurationStatus::Rejected,
                errors: problems.iter().take(PROBLEMS_MAX).map(SettingProblem::bounded).collect(),
                sha256: None,
            },
            out,
        );
        true
    }

    fn configuration_settled(&mut self, report: ConfigurationReport, out: &mut Output<'_>) {
        let (revision, status) = (report.revision, report.status);
        tracing::info!(revision, ?status, problems = report.errors.len(), "configuration settled");
        let record = self.configuration.record.clone();
        out.write(Write::PutConfiguration(Box::new(record)));
        self.report_news(ReportBody::Configuration(report), out);
    }
}
