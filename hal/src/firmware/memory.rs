//! What must outlive every store: how far manifests have counted, and the oldest version allowed.

use std::{
    cmp::Ordering,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    disk::{Disk, read_record},
    manifest::Manifest,
};
use crate::{ErrorCode, Failure, operation::check_update::Channel, version::compare};

/// In a file of its own, outside the agent's store.
#[derive(Debug)]
pub(super) struct Memory {
    disk: Disk,
    path: PathBuf,
    known: Known,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// The newest version that has been committed.
    version_floor: Option<String>,
    stable_sequence: u64,
    beta_sequence: u64,
}

impl Memory {
    /// # Errors
    /// When the file is damaged: without it an attacker could go back to an old version, so that
    /// nothing is installed until somebody has looked.
    pub(super) fn open(disk: Disk, folder: &Path) -> io::Result<Self> {
        let path = folder.join("floor.json");
        let known = read_record(&path)?.unwrap_or_default();
        Ok(Self { disk, path, known })
    }

    pub(super) fn version_floor(&self) -> Option<&str> {
        self.known.version_floor.as_deref()
    }

    /// Refuses a manifest that is older than one seen before, and remembers a newer one.
    pub(super) fn admit(&mut self, manifest: &Manifest) -> Result<(), Failure> {
        let mut known = self.known.clone();
        let seen = match manifest.channel {
            Channel::Stable => &mut known.stable_sequence,
            Channel::Beta => &mut known.beta_sequence,
        };
        if manifest.sequence < *seen {
            let reason = format!(
                "the update manifest is an old one: number {}, {seen} has been seen",
                manifest.sequence
            );
            return Err(Failure::new(ErrorCode::MetadataExpired, reason));
        }
        *seen = manifest.sequence;
        self.keep(known).map_err(|error| super::disk::trouble("the version floor", &error))
    }

    /// Raises the floor to a version that has been committed; never lowers it.
    pub(super) fn raise_floor(&mut self, version: &str) -> io::Result<()> {
        let mut known = self.known.clone();
        let higher = |floor: &str| compare(version, floor) == Some(Ordering::Greater);
        if known.version_floor.as_deref().is_none_or(higher) {
            known.version_floor = Some(version.to_owned());
        }
        self.keep(known)
    }

    fn keep(&mut self, known: Known) -> io::Result<()> {
        if known != self.known {
            self.disk.write_record(&self.path, &known)?;
            self.known = known;
        }
        Ok(())
    }
}
