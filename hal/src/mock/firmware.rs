//! Firmware in two slots: installed into the one that does not run, tried by a boot, then kept
//! or rolled back.

use std::time::Duration;

use super::{
    MockTerminal,
    offers::{Target, available, blocked_by, check_ready, current, target},
    script::{HealthCheckBehaviour, Method, Point},
    shared::Shared,
    state::{
        Download, FirmwareState, INSTALLATIONS_MAX, InstallProgress, Installation, Slot, State,
        push_bounded,
    },
    turn::Turn,
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects, Timestamp,
    api::{Call, Firmware, HalFuture, InstallOutcome, UpdateState},
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters, UpdateResult,
        check_update::ComponentVersion, update::HealthCheck,
    },
};

/// Pieces of a download; what has arrived is remembered after each.
const PIECES: u32 = 4;

/// The software of a new terminal.
pub(super) fn factory() -> FirmwareState {
    FirmwareState {
        slot: Slot::A,
        a: "3.14.2".to_owned(),
        b: "3.14.1".to_owned(),
        application: "8.2.0".to_owned(),
        download: None,
        installations: Vec::new(),
    }
}

impl Firmware for MockTerminal {
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>> {
        Box::pin(self.perform(Method::Versions, None, |shared| Ok(current(&shared.state.firmware))))
    }

    fn check<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult> {
        Box::pin(self.perform(Method::CheckUpdate, Some(call), |shared| shared.check(parameters)))
    }

    fn window_follows_system_clock(&self) -> bool {
        self.shared().script().window_follows_clock
    }

    fn check_ready<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>> {
        Box::pin(self.perform(Method::CheckReady, Some(call), |shared| {
            Ok(match shared.prospect(call.id, parameters)? {
                Begun::Answer(InstallOutcome::AlreadyRunning(result)) => Some(result),
                Begun::Answer(InstallOutcome::RestartRequired) | Begun::Install { .. } => None,
            })
        }))
    }

    fn install<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome> {
        Box::pin(async move {
            let (terminal, call, parameters) = (self.clone(), call.clone(), parameters.clone());
            // As in a real terminal it goes on when nobody waits for the answer any more.
            let install = async move { terminal.run_install(&call, &parameters).await };
            tokio::spawn(install).await.map_err(|error| {
                Failure::new(ErrorCode::InstallFailed, format!("the installer died: {error}"))
                    .with_side_effects(SideEffects::Unknown)
            })?
        })
    }

    fn query_update(&self, id: OperationId) -> HalFuture<'_, UpdateState> {
        Box::pin(self.perform(Method::QueryUpdate, None, move |shared| Ok(shared.query_update(id))))
    }
}

impl MockTerminal {
    async fn run_install(
        &self,
        call: &Call,
        parameters: &UpdateParameters,
    ) -> Result<InstallOutcome, Failure> {
        let turn = self.turn(Method::InstallUpdate, Some(call));
        let (version, bytes) = match turn.effect(|shared| shared.begin(call.id, parameters))? {
            Begun::Answer(outcome) => return Ok(outcome),
            Begun::Install { version, bytes } => (version, bytes),
        };
        let _installing = Installing { terminal: self.clone(), life: turn.life, id: call.id };
        let total = Duration::from_millis(turn.rule.latency_ms);
        call.progress("checking", Some(0));
        turn.wait("checking", 0, 5, total / 20).await?;
        call.progress("downloading", Some(5));
        self.download(&turn, &version, bytes, total * 12 / 20).await?;
        call.progress("verifying", Some(60));
        turn.wait("verifying", 60, 70, total * 2 / 20).await?;
        call.progress("installing", Some(70));
        turn.wait("installing", 70, 100, total * 5 / 20).await?;
        turn.strike(Point::BeforeEffect).await?;
        turn.effect(|shared| shared.install(call.id, &version))?;
        turn.strike(Point::AfterEffect).await?;
        Ok(InstallOutcome::RestartRequired)
    }

    /// Piece by piece, going on where an earlier try broke off.
    async fn download(
        &self,
        turn: &Turn,
        version: &str,
        bytes: u64,
        duration: Duration,
    ) -> Result<(), Failure> {
        for piece in 1..=PIECES {
            let upto = bytes * u64::from(piece) / u64::from(PIECES);
            let there = turn.effect(|shared| {
                let download = shared.state.firmware.download.as_ref();
                Ok(download.is_some_and(|download| download.bytes >= upto))
            })?;
            if there {
                continue;
            }
            let (from, to) = (5 + 55 * (piece - 1) / PIECES, 5 + 55 * piece / PIECES);
            turn.wait("downloading", from, to, duration / PIECES).await?;
            turn.effect(|shared| shared.downloaded(version, upto))?;
        }
        Ok(())
    }
}

/// How an installation began.
enum Begun {
    Answer(InstallOutcome),
    Install { version: String, bytes: u64 },
}

/// The installation is running, until this is dropped.
struct Installing {
    terminal: MockTerminal,
    life: u64,
    id: OperationId,
}

impl Drop for Installing {
    fn drop(&mut self) {
        let mut shared = self.terminal.shared();
        if shared.live.life == self.life {
            shared.live.installing = shared.live.installing.filter(|id| *id != self.id);
        }
    }
}

impl Shared {
    fn check(&self, parameters: &CheckUpdateParameters) -> Result<CheckUpdateResult, Failure> {
        let script = self.script();
        if script.network.is_none() {
            return Err(Failure::new(ErrorCode::NetworkUnavailable, "there is no network"));
        }
        let wanted = |component| {
            let name = serde_json::to_value(component).unwrap_or_default();
            let all = parameters.components.is_empty();
            all || parameters.components.iter().any(|wanted| name == wanted.as_str())
        };
        let mut current = current(&self.state.firmware);
        let mut updates = available(&script, &current, parameters.channel);
        current.retain(|running| wanted(running.component));
        updates.retain(|update| wanted(update.component));
        Ok(CheckUpdateResult {
            available: !updates.is_empty(),
            current,
            updates,
            checked_at: self.now,
            blocked_by: blocked_by(self),
        })
    }

    /// What an installation would do now.
    fn prospect(&self, id: OperationId, parameters: &UpdateParameters) -> Result<Begun, Failure> {
        match self.query_update(id) {
            UpdateState::RestartRequired => {
                return Ok(Begun::Answer(InstallOutcome::RestartRequired));
            }
            UpdateState::Committed(result) => {
                return Ok(Begun::Answer(InstallOutcome::AlreadyRunning(result)));
            }
            UpdateState::Failed(failure) => return Err(failure),
            UpdateState::NotStarted | UpdateState::Running | UpdateState::Unknown => {}
        }
        if self.live.installing.is_some() || self.state.firmware.is_pending() {
            let reason = "another installation is running or waits for a restart";
            return Err(Failure::new(ErrorCode::BusyOperation, reason));
        }
        let target = target(&self.script(), &self.state.firmware, parameters)?;
        let Target::Install { version, bytes } = target else {
            let running = self.state.firmware.running();
            let result = result(running, running, self.state.firmware.slot);
            return Ok(Begun::Answer(InstallOutcome::AlreadyRunning(result)));
        };
        check_ready(self, parameters)?;
        Ok(Begun::Install { version, bytes })
    }

    fn begin(&mut self, id: OperationId, parameters: &UpdateParameters) -> Result<Begun, Failure> {
        let begun = self.prospect(id, parameters)?;
        let Begun::Install { version, .. } = &begun else { return Ok(begun) };
        self.commit(|state| {
            let resumed = state.firmware.download.take().filter(|d| d.version == *version);
            state.firmware.download = Some(match resumed {
                Some(download) => Download { resumes: download.resumes + 1, ..download },
                None => Download { version: version.clone(), bytes: 0, resumes: 0 },
            });
            Ok(())
        })?;
        self.live.installing = Some(id);
        Ok(begun)
    }

    fn downloaded(&mut self, version: &str, bytes: u64) -> Result<(), Failure> {
        self.commit(|state| {
            let download = state.firmware.download.as_mut();
            if let Some(download) = download.filter(|download| download.version == version) {
                download.bytes = bytes;
            }
            Ok(())
        })
    }

    /// The other slot is written whole and will be tried at the next boot.
    fn install(&mut self, id: OperationId, version: &str) -> Result<(), Failure> {
        self.commit(|state| {
            let firmware = &mut state.firmware;
            let slot = firmware.slot.other();
            let mut result = result(firmware.running(), version, slot);
            result.installed = true;
            if let Some(download) = firmware.download.take() {
                result.bytes_downloaded = download.bytes;
                result.resumes = download.resumes;
            }
            match slot {
                Slot::A => version.clone_into(&mut firmware.a),
                Slot::B => version.clone_into(&mut firmware.b),
            }
            let installation = Installation { id, result, progress: InstallProgress::Installed };
            push_bounded(&mut firmware.installations, installation, INSTALLATIONS_MAX);
            state.count_effect(id, Method::InstallUpdate);
            Ok(())
        })
    }

    fn query_update(&self, id: OperationId) -> UpdateState {
        if self.live.installing == Some(id) {
            return UpdateState::Running;
        }
        let known = self.state.firmware.installations.iter().find(|known| known.id == id);
        let Some(known) = known else { return UpdateState::NotStarted };
        match &known.progress {
            InstallProgress::Installed => UpdateState::RestartRequired,
            InstallProgress::OnTrial { .. } => UpdateState::Running,
            InstallProgress::Committed => UpdateState::Committed(known.result.clone()),
            InstallProgress::Failed { failure } => UpdateState::Failed(failure.clone()),
        }
    }
}

fn result(from: &str, to: &str, slot: Slot) -> UpdateResult {
    UpdateResult {
        from: from.to_owned(),
        to: to.to_owned(),
        installed: false,
        bytes_downloaded: 0,
        resumes: 0,
        slot: Some(slot.as_str().to_owned()),
        health_checks: Vec::new(),
    }
}

impl Slot {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl FirmwareState {
    /// The version that runs.
    pub fn running(&self) -> &str {
        match self.slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// The version in the other slot.
    pub(super) fn standby(&self) -> &str {
        match self.slot {
            Slot::A => &self.b,
            Slot::B => &self.a,
        }
    }

    /// Whether an installation waits for a restart.
    pub(super) fn is_pending(&self) -> bool {
        self.installations.iter().any(|known| known.progress == InstallProgress::Installed)
    }
}

impl State {
    /// A boot tries what has been installed. True when that failed and the device has booted once
    /// more, back into what ran before.
    pub(super) fn boot_firmware(&mut self, now: Timestamp, check: HealthCheckBehaviour) -> bool {
        let firmware = &mut self.firmware;
        let installed = |known: &&mut Installation| known.progress == InstallProgress::Installed;
        let Some(known) = firmware.installations.iter_mut().find(installed) else { return false };
        known.result.health_checks = health_checks(check);
        if !check.passes {
            let reason = format!("{} failed its health check", known.result.to);
            let failure = Failure::new(ErrorCode::RolledBack, reason);
            known.progress = InstallProgress::Failed { failure };
            return true;
        }
        known.progress = InstallProgress::OnTrial { until: now.plus_ms(check.for_ms) };
        firmware.slot = firmware.slot.other();
        self.end_trials(now);
        false
    }

    /// Keeps what has passed its health check.
    pub(super) fn end_trials(&mut self, now: Timestamp) {
        for known in &mut self.firmware.installations {
            if matches!(known.progress, InstallProgress::OnTrial { until } if until <= now) {
                known.progress = InstallProgress::Committed;
            }
        }
    }
}

fn health_checks(check: HealthCheckBehaviour) -> Vec<HealthCheck> {
    ["system", "payment_application", "network"]
        .map(|name| HealthCheck {
            name: name.to_owned(),
            ok: check.passes || name != "payment_application",
            duration_ms: check.for_ms / 3,
        })
        .to_vec()
}
