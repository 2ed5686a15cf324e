//! Firmware slots and installations.

use serde::{Deserialize, Serialize};

use crate::{Failure, OperationId, Timestamp, operation::update::UpdateResult};

/// Software and its two slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirmwareState {
    /// The slot that runs.
    pub slot: Slot,
    /// Firmware in slot a.
    pub a: String,
    /// Firmware in slot b.
    pub b: String,
    /// Version of the payment application.
    pub application: String,
    /// What has been downloaded and not installed yet.
    pub download: Option<Download>,
    /// Installations, oldest first, at most [`INSTALLATIONS_MAX`](super::INSTALLATIONS_MAX).
    pub installations: Vec<Installation>,
}

/// One of the two places where firmware lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// A download that can be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// Of which version.
    pub version: String,
    /// How much of it is there.
    pub bytes: u64,
    /// How often it was resumed.
    pub resumes: u32,
}

/// One installation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Installation {
    /// The operation.
    pub id: OperationId,
    /// What the result will say.
    pub result: UpdateResult,
    /// How far it came.
    #[serde(flatten)]
    pub progress: InstallProgress,
}

/// How far an installation came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum InstallProgress {
    /// In the other slot, runs after a boot.
    Installed,
    /// Runs; its health check ends then.
    OnTrial {
        /// End of the health check.
        until: Timestamp,
    },
    /// Runs for good.
    Committed,
    /// Rolled back.
    Failed {
        /// Why.
        failure: Failure,
    },
}
