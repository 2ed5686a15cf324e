//! Updates of the whole system: from a signed manifest into one of two slots, tried by a boot,
//! then kept or rolled back. FIRMWARE.md says how to set it up.
//!
//! Everything that matters is on the medium before the step that depends on it, so that a power
//! cut at any moment leaves a terminal that runs a whole system and can say what became of the
//! update. It never restarts the device and never decides whether an update may run.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    BootId, Failure, OperationId, Timestamp,
    api::{Call, Firmware, HalFuture, Health, InstallOutcome, Power, UpdateState},
    child::Runner,
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters, UpdateResult,
        check_update::{Channel, Component, ComponentVersion},
    },
    status::TerminalHealth,
};

mod ab;
mod admission;
mod disk;
mod download;
mod health_checks;
mod install;
mod journal;
mod manifest;
mod memory;
mod offers;
mod rauc;
mod readiness;
mod retry;
mod slots;
mod source;
mod trial;
mod trust;
mod window;

pub use ab::AbConfig;
pub use health_checks::HealthProgram;
pub use manifest::{FORMAT, MANIFEST_BYTES_MAX, MODELS_MAX, Manifest, RELEASES_MAX, Release};

pub use rauc::RaucConfig;
pub use source::{Bytes, Folder, PIECE_BYTES, Source};
pub use trust::{SIGNATURE_BYTES_MAX, TrustedKeys};
pub use window::{Window, second_of_day};

use disk::{Disk, trouble};
use install::Prospect;
use journal::Journal;
use memory::Memory;
use slots::Slots;

/// Telling its state may take the terminal this long.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);

/// What this terminal takes, and where it keeps what it knows.
#[derive(Clone, Debug)]
pub struct FirmwareConfig {
    /// Belongs to the agent alone, is on a medium that both slots share, and has room for an image.
    pub directory: PathBuf,
    /// Its first line is the version of the system that runs.
    pub version_file: PathBuf,
    /// Hardware model, as manifests name it.
    pub model: String,
    /// Whose manifests are believed.
    pub keys: TrustedKeys,
    /// Where an update without a version looks.
    pub channel: Channel,
    /// When updates are installed that do not say `now`.
    pub window: Window,
    /// Whether the parameter of that name is of any effect.
    pub allow_downgrade: bool,
    /// Largest image.
    pub size_bytes_max: u64,
    /// What a new system must pass.
    pub health_checks: Vec<HealthProgram>,
    /// How systems are kept.
    pub slots: SlotsConfig,
}

/// How systems are kept.
#[derive(Clone, Debug)]
pub enum SlotsConfig {
    /// Two folders.
    Ab(AbConfig),
    /// RAUC.
    Rauc(RaucConfig),
}

/// What the terminal knows about the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Never before a time that is known to have been.
    pub now: Timestamp,
    /// Whether somebody vouches for it.
    pub is_trusted: bool,
}

/// What the updates need of the rest of the terminal.
#[derive(Clone)]
pub struct Surroundings {
    /// Where manifests and images come from.
    pub source: Arc<dyn Source>,
    /// Tells one boot from the next.
    pub power: Arc<dyn Power>,
    /// Battery, network and payments; what is unknown stops nothing.
    pub health: Option<Arc<dyn Health>>,
    /// The time.
    pub clock: Arc<dyn Fn() -> Time + Send + Sync>,
    /// Runs programs.
    pub runner: Runner,
}

/// A terminal whose system is in two slots.
#[derive(Clone)]
pub struct SlotFirmware {
    config: Arc<FirmwareConfig>,
    around: Surroundings,
    slots: Arc<dyn Slots>,
    disk: Disk,
    state: Arc<Mutex<State>>,
}

struct State {
    journal: Journal,
    memory: Memory,
    /// The installation that is going on in this process.
    installing: Option<OperationId>,
}

impl SlotFirmware {
    /// Opens the records, then settles in the background what a boot has tried. Needs a runtime.
    ///
    /// # Errors
    /// When a record cannot be read. A damaged one is not replaced: without the version floor an
    /// old system could be installed, without the journal a new one would never be committed.
    pub fn open(config: FirmwareConfig, around: Surroundings) -> io::Result<Self> {
        Self::open_on(Disk::default(), config, around)
    }

    fn open_on(disk: Disk, config: FirmwareConfig, around: Surroundings) -> io::Result<Self> {
        disk.make_folder(&config.directory)?;
        let slots: Arc<dyn Slots> = match &config.slots {
            SlotsConfig::Ab(ab) => Arc::new(ab::AbSlots::new(disk.clone(), ab.clone())),
            SlotsConfig::Rauc(rauc) => {
                Arc::new(rauc::Rauc::new(rauc.clone(), around.runner.clone()))
            }
        };
        let state = State {
            journal: Journal::open(disk.clone(), &config.directory)?,
            memory: Memory::open(disk.clone(), &config.directory)?,
            installing: None,
        };
        let state = Arc::new(Mutex::new(state));
        let firmware = Self { config: Arc::new(config), around, slots, disk, state };
        tokio::spawn(firmware.clone().settle());
        Ok(firmware)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Version of the system that runs.
    fn running_version(&self) -> Result<String, Failure> {
        let path = &self.config.version_file;
        let what = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| trouble(&what, &error))?;
        let version = text.lines().next().unwrap_or_default().trim();
        let problem = crate::text::line_problem(version, 1, 64);
        problem.map_or(Ok(version.to_owned()), |problem| {
            Err(trouble(&what, &io::Error::other(format!("the version {problem}"))))
        })
    }

    async fn boot_id(&self) -> Result<BootId, Failure> {
        self.around.power.boot_id().await
    }

    /// What is not known stops no update.
    async fn health(&self) -> TerminalHealth {
        let Some(health) = &self.around.health else { return TerminalHealth::default() };
        let answer = tokio::time::timeout(HEALTH_TIME_MAX, health.health()).await;
        answer.ok().and_then(Result::ok).unwrap_or_default()
    }

    fn time(&self) -> Time {
        (self.around.clock)()
    }
}

impl Firmware for SlotFirmware {
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>> {
        Box::pin(async {
            let version = self.running_version()?;
            Ok(vec![ComponentVersion { component: Component::Firmware, version }])
        })
    }

    fn check<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = call.cancellation.cancelled() => Err(download::canceled()),
                result = self.look(parameters) => result,
            }
        })
    }

    fn check_ready<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>> {
        Box::pin(async move {
            let running = self.running_version()?;
            if let Prospect::Nothing(result) = self.prospect(call, parameters, &running).await? {
                return Ok(Some(result));
            }
            let (health, time) = (self.health().await, self.time());
            readiness::check_download(&health, parameters, self.around.source.is_remote())?;
            readiness::check_install(&health, parameters, self.config.window, time)?;
            Ok(None)
        })
    }

    fn install<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome> {
        Box::pin(self.clone().install_apart(call.clone(), parameters.clone()))
    }

    fn query_update(&self, id: OperationId) -> HalFuture<'_, UpdateState> {
        Box::pin(self.tell(id))
    }
}

#[cfg(test)]
mod tests;
