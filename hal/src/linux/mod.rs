//! What a Linux system gives: restarts and boot identity, state of the hardware, logs.
//!
//! State is read from `/proc` and `/sys`, where what cannot be read is unknown and never made up.
//! Restarts go through `systemctl`, the journal through `journalctl`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::sync::Mutex;

mod boot;
mod health;
pub mod logs;
mod network;
mod power;
mod root;
mod supply;
#[cfg(test)]
mod tests;
mod thermal;

use crate::{api::Hal, child::Runner, status::NetworkKind};
use logs::LogsConfig;
use root::Root;

/// Where things are on this system.
#[derive(Clone, Debug)]
pub struct LinuxConfig {
    /// Above `proc` and `sys`: `/`. Another one serves tests.
    pub root: PathBuf,
    /// The program that restarts the device and the application.
    pub systemctl: PathBuf,
    /// The unit of the payment application; without one it cannot be restarted.
    pub application_unit: Option<String>,
    /// How is known why the device booted.
    pub boot: BootConfig,
    /// On the disk whose free space is told.
    pub disk: PathBuf,
    /// What cannot be seen of a network interface, by its name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Which logs may leave the terminal.
    pub logs: LogsConfig,
}

/// How is known why the device booted, beside what the watchdog tells.
#[derive(Clone, Debug)]
pub struct BootConfig {
    /// Written by the firmware at every boot: the reason in one word, as `boot_reason` has it.
    pub cause_file: Option<PathBuf>,
    /// Written by whatever enforces the daily restart, before it does: the id of the boot that it
    /// ends.
    pub daily_mark: Option<PathBuf>,
    /// Where is remembered which mark has been seen.
    pub memory: PathBuf,
}

/// What is said about a network interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Of which kind it is.
    pub kind: Option<NetworkKind>,
    /// Whether its traffic costs money; that of a mobile network does when nothing is said.
    pub metered: Option<bool>,
}

/// The system; clones are the same one.
#[derive(Clone, Debug)]
struct Linux {
    config: Arc<LinuxConfig>,
    root: Root,
    runner: Runner,
    /// Held while the hardware is read: a driver that hangs costs one thread.
    reading: Arc<Mutex<()>>,
}

/// Its capabilities: power, health, and logs if there are sources of them.
pub fn hal(config: LinuxConfig, runner: &Runner) -> Hal {
    let has_logs = !config.logs.is_empty();
    let linux = Arc::new(Linux {
        root: Root::at(&config.root),
        config: Arc::new(config),
        runner: runner.clone(),
        reading: Arc::default(),
    });
    Hal {
        logs: has_logs.then(|| Arc::clone(&linux) as _),
        power: Some(Arc::clone(&linux) as _),
        health: Some(linux),
        ..Hal::default()
    }
}
