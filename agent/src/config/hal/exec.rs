//! The section `[hal.exec]`: programs that serve a capability each.

use std::path::PathBuf;

use serde::Deserialize;

use super::{HalConfig, Source};
use crate::config::Problems;

/// Programs that serve a capability each.
#[derive(Clone, Debug)]
pub struct ExecHalConfig {
    /// Opens menus and shows messages.
    pub screen: Option<PathBuf>,
    /// Tells the state of the terminal.
    pub health: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawExec {
    screen: Option<PathBuf>,
    health: Option<PathBuf>,
}

pub(super) fn checked(raw: RawExec, problems: &mut Problems<'_>) -> ExecHalConfig {
    let RawExec { screen, health } = raw;
    for (key, program) in [("hal.exec.screen", &screen), ("hal.exec.health", &health)] {
        if let Some(program) = program {
            problems.absolute(key, program);
        }
    }
    ExecHalConfig { screen, health }
}

impl ExecHalConfig {
    /// What is to be served by a program needs one.
    pub(super) fn check_use(&self, config: &HalConfig, problems: &mut Problems<'_>) {
        let screen = config.screen == Some(Source::Exec) && self.screen.is_none();
        let health = config.health.contains(&Source::Exec) && self.health.is_none();
        for (key, is_missing) in [("hal.exec.screen", screen), ("hal.exec.health", health)] {
            if is_missing {
                problems.add(key, "missing, want the path of a program");
            }
        }
    }
}
