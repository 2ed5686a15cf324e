//! An installation from the request to the restart that it needs.

use super::{
    SlotFirmware,
    disk::trouble,
    download::{self, Download, Image, canceled},
    journal::{Installation, Phase},
    manifest::Release,
    readiness,
    slots::{Interrupted, Pair},
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects,
    api::{Call, InstallOutcome, UpdateState},
    operation::{UpdateParameters, UpdateResult},
};

/// What a request comes to.
pub(super) enum Prospect {
    /// What runs is what it asks for.
    Nothing(UpdateResult),
    /// This release.
    Install(Release),
}

impl SlotFirmware {
    /// Installs in a task of its own: once a slot is being written it is written to the end, also
    /// when nobody waits for the answer any more.
    pub(super) async fn install_apart(
        self,
        call: Call,
        parameters: UpdateParameters,
    ) -> Result<InstallOutcome, Failure> {
        let task = tokio::spawn(async move { self.install_once(&call, &parameters).await });
        task.await.map_err(|error| {
            Failure::new(ErrorCode::InstallFailed, format!("the installer died: {error}"))
                .with_side_effects(SideEffects::Unknown)
        })?
    }

    async fn install_once(
        &self,
        call: &Call,
        parameters: &UpdateParameters,
    ) -> Result<InstallOutcome, Failure> {
        let _installing = self.enter(call.id)?;
        match self.interrupted(call.id).await? {
            UpdateState::RestartRequired => return Ok(InstallOutcome::RestartRequired),
            UpdateState::Committed(result) => return Ok(InstallOutcome::AlreadyRunning(result)),
            UpdateState::Failed(failure) => return Err(failure),
            UpdateState::Running => return Err(busy("its slot is still being written")),
            UpdateState::NotStarted | UpdateState::Unknown => {}
        }
        call.progress("checking", Some(0));
        let running = self.running_version()?;
        let release = match self.prospect(call, parameters, &running).await? {
            Prospect::Nothing(result) => return Ok(InstallOutcome::AlreadyRunning(result)),
            Prospect::Install(release) => release,
        };
        if self.take_over(call.id, &release).await? {
            return Ok(InstallOutcome::RestartRequired);
        }
        self.install_release(call, parameters, running, &release).await?;
        Ok(InstallOutcome::RestartRequired)
    }

    /// What a request comes to as things are; changes nothing but what is known of manifests.
    pub(super) async fn prospect(
        &self,
        call: &Call,
        parameters: &UpdateParameters,
        running: &str,
    ) -> Result<Prospect, Failure> {
        let chosen = tokio::select! {
            biased;
            () = call.cancellation.cancelled() => return Err(canceled()),
            chosen = self.choose(parameters, running) => chosen?,
        };
        if let Some(release) = chosen {
            return Ok(Prospect::Install(release));
        }
        self.check_none_left(call.id)?;
        Ok(Prospect::Nothing(self.nothing_to_do(running.to_owned()).await?))
    }

    async fn install_release(
        &self,
        call: &Call,
        parameters: &UpdateParameters,
        running: String,
        release: &Release,
    ) -> Result<(), Failure> {
        let is_remote = self.around.source.is_remote();
        readiness::check_download(&self.health().await, parameters, is_remote)?;
        let download = Download {
            disk: &self.disk,
            folder: &self.config.directory,
            source: self.around.source.as_ref(),
            call,
        };
        let image = download.fetch(release).await?;
        let (health, time) = (self.health().await, self.time());
        readiness::check_install(&health, parameters, self.config.window, time)
            .inspect_err(|_| call.progress("waiting_window", None))?;
        if call.cancellation.is_cancelled() {
            return Err(canceled());
        }
        call.progress("installing", Some(70));
        let slots = self.slots.pair().await?;
        self.write(call, running, release, &image, slots).await
    }

    /// From here on the slot that does not run is no system any more, until the end.
    async fn write(
        &self,
        call: &Call,
        running: String,
        release: &Release,
        image: &Image,
        slots: Pair,
    ) -> Result<(), Failure> {
        let boot_id = self.boot_id().await?;
        let begun = self.state().journal.begin(Installation {
            id: call.id,
            from: running,
            to: release.version.clone(),
            slot: slots.standby.clone(),
            sha256: release.sha256.clone(),
            bytes_downloaded: image.bytes_downloaded,
            resumes: image.resumes,
            health_checks: Vec::new(),
            phase: Phase::Installing,
        });
        begun.map_err(|error| trouble("the update journal", &error))?;
        let written = self.slots.install(call, image, &slots.standby).await;
        if let Err(failure) = written {
            let failure = match self.slots.interrupted(call.id, &slots.standby).await {
                // The installer did its work all the same, or is still at it.
                Ok(Interrupted::Installed) => return self.installed(boot_id),
                Ok(Interrupted::Writing) | Err(_) => {
                    return Err(failure.with_side_effects(SideEffects::Unknown));
                }
                Ok(Interrupted::GivenUp | Interrupted::Broken) => {
                    failure.with_side_effects(SideEffects::Partial)
                }
            };
            self.enter_phase(Phase::Failed { failure: failure.clone() })?;
            return Err(failure);
        }
        self.installed(boot_id)
    }

    /// Written whole: what was downloaded is of no more use.
    fn installed(&self, boot_id: crate::BootId) -> Result<(), Failure> {
        self.enter_phase(Phase::Installed { boot_id })?;
        if let Err(error) = download::discard(&self.disk, &self.config.directory) {
            tracing::warn!(%error, "the downloaded image stays until the next one");
        }
        Ok(())
    }

    /// What became of the operation, as far as this process has to find out first.
    pub(super) async fn interrupted(&self, id: OperationId) -> Result<UpdateState, Failure> {
        let known = self.state().journal.find(id).cloned();
        let Some(known) = known else { return Ok(UpdateState::NotStarted) };
        let boot_id = self.boot_id().await?;
        Ok(match known.phase.clone() {
            Phase::Installing => match self.slots.interrupted(id, &known.slot).await? {
                // Given up: about to be settled.
                Interrupted::Writing | Interrupted::GivenUp => UpdateState::Running,
                Interrupted::Broken => UpdateState::NotStarted,
                Interrupted::Installed if self.slots.pair().await?.running == known.slot => {
                    // A power cut came between; the trial is about to be noticed.
                    UpdateState::Running
                }
                Interrupted::Installed => {
                    self.installed(boot_id)?;
                    UpdateState::RestartRequired
                }
            },
            Phase::Installed { boot_id: since }
            | Phase::Leaving { boot_id: since, is_rejected: true, .. }
                if since == boot_id =>
            {
                UpdateState::RestartRequired
            }
            // About to be settled.
            Phase::Installed { .. }
            | Phase::Leaving { .. }
            | Phase::Testing
            | Phase::Committing => UpdateState::Running,
            Phase::Committed => UpdateState::Committed(known.result()),
            Phase::Failed { failure } => UpdateState::Failed(failure),
        })
    }

    /// Answers `query_update`.
    pub(super) async fn tell(&self, id: OperationId) -> Result<UpdateState, Failure> {
        if self.state().installing == Some(id) {
            return Ok(UpdateState::Running);
        }
        self.interrupted(id).await
    }

    /// An installation that another operation has left is finished, or taken over when it is the
    /// same release. False when there is none.
    async fn take_over(&self, id: OperationId, release: &Release) -> Result<bool, Failure> {
        let left = self.state().journal.open_one().cloned();
        let Some(left) = left.filter(|left| left.id != id) else { return Ok(false) };
        match self.interrupted(left.id).await? {
            UpdateState::NotStarted => {
                let failure = Failure::new(ErrorCode::Interrupted, "cut off while being written");
                self.enter_phase(Phase::Failed { failure })?;
                Ok(false)
            }
            UpdateState::RestartRequired if left.sha256 == release.sha256 => {
                let changed = self.state().journal.change(|installation| installation.id = id);
                changed.map_err(|error| trouble("the update journal", &error))?;
                Ok(true)
            }
            UpdateState::Committed(_) | UpdateState::Failed(_) => Ok(false),
            UpdateState::RestartRequired | UpdateState::Running | UpdateState::Unknown => {
                Err(unproved(&left.to))
            }
        }
    }

    /// What runs is not what will run while another operation's update has not proved itself.
    fn check_none_left(&self, id: OperationId) -> Result<(), Failure> {
        let state = self.state();
        let left = state.journal.open_one().filter(|left| left.id != id);
        left.map_or(Ok(()), |left| Err(unproved(&left.to)))
    }

    async fn nothing_to_do(&self, running: String) -> Result<UpdateResult, Failure> {
        Ok(UpdateResult {
            from: running.clone(),
            to: running,
            installed: false,
            bytes_downloaded: 0,
            resumes: 0,
            slot: Some(self.slots.pair().await?.running),
            health_checks: Vec::new(),
        })
    }

    pub(super) fn enter_phase(&self, phase: Phase) -> Result<(), Failure> {
        let id = self.state().journal.open_one().map(|update| update.id);
        tracing::info!(operation_id = ?id, ?phase, "the update has come further");
        let changed = self.state().journal.change(|installation| installation.phase = phase);
        changed.map_err(|error| trouble("the update journal", &error))
    }

    /// One at a time.
    fn enter(&self, id: OperationId) -> Result<Installing, Failure> {
        let mut state = self.state();
        if state.installing.is_some() {
            return Err(busy("another installation is running"));
        }
        state.installing = Some(id);
        Ok(Installing(self.clone()))
    }
}

/// An installation is going on, until this is dropped.
struct Installing(SlotFirmware);

impl Drop for Installing {
    fn drop(&mut self) {
        self.0.state().installing = None;
    }
}

fn unproved(version: &str) -> Failure {
    busy(&format!("{version} is installed and has not proved itself yet"))
}

fn busy(reason: &str) -> Failure {
    Failure::new(ErrorCode::BusyOperation, reason)
}
