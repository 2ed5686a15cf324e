//! What has been installed and how far it has come, durable before each step that depends on it.
//!
//! Unknown fields are ignored: after a rollback the system before reads what a newer one has written.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, read_record};
use crate::{
    BootId, Failure, OperationId,
    operation::{UpdateResult, update::HealthCheck},
};

/// Installations that are remembered.
const INSTALLATIONS_MAX: usize = 8;

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installation {
    /// The operation that it serves.
    pub(super) id: OperationId,
    pub(super) from: String,
    pub(super) to: String,
    /// The slot that is written.
    pub(super) slot: String,
    pub(super) sha256: String,
    pub(super) bytes_downloaded: u64,
    pub(super) resumes: u32,
    pub(super) health_checks: Vec<HealthCheck>,
    pub(super) phase: Phase,
}

/// How far an installation has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(super) enum Phase {
    /// The slot is being written; what runs is untouched.
    Installing,
    /// Written in this boot; the next one tries it.
    Installed { boot_id: BootId },
    /// It runs, and has not proved itself yet.
    Testing,
    /// It has proved itself and is being made the one that stays.
    Committing,
    /// It runs, has failed in this boot, and has to be left. `is_rejected` says that it should not
    /// boot any more.
    Leaving { boot_id: BootId, failure: Failure, is_rejected: bool },
    /// It runs and stays.
    Committed,
    /// It does not run, or should not.
    Failed { failure: Failure },
}

impl Installation {
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Committed | Phase::Failed { .. })
    }

    pub(super) fn result(&self) -> UpdateResult {
        UpdateResult {
            from: self.from.clone(),
            to: self.to.clone(),
            installed: true,
            bytes_downloaded: self.bytes_downloaded,
            resumes: self.resumes,
            slot: Some(self.slot.clone()),
            health_checks: self.health_checks.clone(),
        }
    }
}

/// The last installations; only the newest may be unfinished.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Disk,
    path: PathBuf,
    installations: Vec<Installation>,
}

impl Journal {
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub(super) fn open(disk: Disk, folder: &Path) -> io::Result<Self> {
        let path = folder.join("journal.json");
        let installations = read_record(&path)?.unwrap_or_default();
        Ok(Self { disk, path, installations })
    }

    pub(super) fn find(&self, id: OperationId) -> Option<&Installation> {
        self.installations.iter().rev().find(|known| known.id == id)
    }

    /// The one that is not over.
    pub(super) fn open_one(&self) -> Option<&Installation> {
        self.installations.last().filter(|newest| !newest.is_over())
    }

    /// Begins another one. The one of the same operation before is forgotten.
    pub(super) fn begin(&mut self, installation: Installation) -> io::Result<()> {
        let mut installations = self.installations.clone();
        installations.retain(|known| known.id != installation.id);
        installations.push(installation);
        let too_many = installations.len().saturating_sub(INSTALLATIONS_MAX);
        installations.drain(..too_many);
        self.keep(installations)
    }

    /// Changes the newest one.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Installation)) -> io::Result<()> {
        let mut installations = self.installations.clone();
        if let Some(newest) = installations.last_mut() {
            change(newest);
        }
        self.keep(installations)
    }

    fn keep(&mut self, installations: Vec<Installation>) -> io::Result<()> {
        self.disk.write_record(&self.path, &installations)?;
        self.installations = installations;
        Ok(())
    }
}
