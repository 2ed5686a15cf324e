//! The configuration: save what is wanted, apply it, save that it is in force.

use terminal_hal::{ErrorCode, Failure, operation::SettingProblem};

use super::{
    Configuration, ConfigurationOutcome, ConfigurationRecord, Effect, Engine, Monotonic,
    OperationRecord, Write,
    limits::{CONFIGURE_MS_MAX, CONFIGURE_RETRY_MS},
    output::Output,
};
use crate::protocol::{ConfigurationFrame, ConfigurationReport, ConfigurationStatus, ReportBody};

/// Most problems that a report lists, so that it fits into a frame.
const PROBLEMS_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct ConfigurationState {
    record: ConfigurationRecord,
    call: Call,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    /// Nothing to do.
    Settled,
    /// Something to apply, from this moment on.
    Due(Monotonic),
    /// Being applied.
    Running { revision: u64, deadline: Monotonic },
}

impl ConfigurationState {
    pub(super) fn restore(record: Option<ConfigurationRecord>) -> Self {
        let record = record.unwrap_or(ConfigurationRecord { desired: None, applied: None });
        Self { record, call: Call::Settled }
    }

    pub(super) fn applied_revision(&self) -> u64 {
        self.record.applied.as_ref().map_or(0, |applied| applied.revision)
    }

    /// A payment application that has (re)started may have forgotten its settings.
    pub(super) fn reapply(&mut self) {
        let something = self.record.desired.is_some() || self.record.applied.is_some();
        if something && !matches!(self.call, Call::Running { .. }) {
            self.call = Call::Due(Monotonic(0));
        }
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match self.call {
            Call::Settled => None,
            Call::Due(at) => Some(at),
            Call::Running { deadline, .. } => Some(deadline),
        }
    }

    pub(super) fn check_newer(&self, revision: u64) -> Result<(), Failure> {
        let newest = self.record.desired.as_ref().or(self.record.applied.as_ref());
        match newest {
            Some(newest) if revision < newest.revision => {
                let reason = format!("revision {} is in force already", newest.revision);
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
        if self.record.desired.as_ref().is_some_and(|desired| desired.revision <= revision) {
            self.record.desired = None;
        }
        out.write(Write::PutConfiguration(Box::new(self.record.clone())));
    }
}

impl Engine {
    pub(super) fn on_configuration(&mut self, frame: ConfigurationFrame, out: &mut Output<'_>) {
        let state = &mut self.configuration;
        let newest = state.record.desired.as_ref().or(state.record.applied.as_ref());
        if newest.is_some_and(|newest| frame.revision <= newest.revision) || frame.revision == 0 {
            return;
        }
        tracing::info!(revision = frame.revision, "configuration received");
        let desired = Configuration { revision: frame.revision, config: frame.config };
        state.record.desired = Some(desired);
        out.write(Write::PutConfiguration(Box::new(state.record.clone())));
        if !matches!(state.call, Call::Running { .. }) {
            state.call = Call::Due(out.moment.monotonic);
        }
    }

    /// Applies what is due, one at a time, never in front of a restart.
    pub(super) fn start_configuration(&mut self, out: &mut Output<'_>) {
        let now = out.moment.monotonic;
        if let Call::Running { revision, deadline } = self.configuration.call {
            if now >= deadline {
                tracing::warn!(revision, "the configuration was not applied in time");
                self.configuration.call = Call::Due(now.plus_ms(CONFIGURE_RETRY_MS));
            }
            return;
        }
        let due = matches!(self.configuration.call, Call::Due(at) if now >= at);
        if !due || self.is_restarting() {
            return;
        }
        let record = &self.configuration.record;
        let Some(next) = record.desired.as_ref().or(record.applied.as_ref()).cloned() else {
            self.configuration.call = Call::Settled;
            return;
        };
        let deadline = now.plus_ms(CONFIGURE_MS_MAX);
        self.configuration.call = Call::Running { revision: next.revision, deadline };
        out.push(Effect::Configure(next));
    }

    pub(super) fn on_configured(
        &mut self,
        revision: u64,
        outcome: &ConfigurationOutcome,
        out: &mut Output<'_>,
    ) {
        if !matches!(self.configuration.call, Call::Running { revision: r, .. } if r == revision) {
            return;
        }
        let now = out.moment.monotonic;
        match outcome {
            ConfigurationOutcome::Unavailable(failure) => {
                tracing::warn!(revision, code = failure.code.as_str(), "configuration put off");
                self.configuration.call = Call::Due(now.plus_ms(CONFIGURE_RETRY_MS));
                return;
            }
            ConfigurationOutcome::Applied { sha256 } => {
                self.configuration_settled(revision, Ok(sha256.clone()), out);
            }
            ConfigurationOutcome::Rejected(problems) => {
                self.configuration_settled(revision, Err(problems.clone()), out);
            }
        }
        // A newer revision may have come meanwhile.
        let more = self.configuration.record.desired.is_some();
        self.configuration.call = if more { Call::Due(now) } else { Call::Settled };
    }

    fn configuration_settled(
        &mut self,
        revision: u64,
        outcome: Result<String, Vec<SettingProblem>>,
        out: &mut Output<'_>,
    ) {
        let record = &mut self.configuration.record;
        let Some(desired) = record.desired.take_if(|desired| desired.revision == revision) else {
            // Applied again after a restart of the payment application: nothing new.
            return;
        };
        let (status, errors, sha256) = match outcome {
            Ok(sha256) => {
                record.applied = Some(desired);
                (ConfigurationStatus::Applied, Vec::new(), Some(sha256))
            }
            Err(mut problems) => {
                problems.truncate(PROBLEMS_MAX);
                (ConfigurationStatus::Rejected, problems, None)
            }
        };
        tracing::info!(revision, ?status, problems = errors.len(), "configuration settled");
        out.write(Write::PutConfiguration(Box::new(record.clone())));
        let body = ConfigurationReport { revision, status, errors, sha256 };
        self.enqueue(ReportBody::Configuration(body), true, out);
    }
}
