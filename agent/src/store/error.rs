//! Why the store could not do something, and what the caller wants to know about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The store could not do something. After any error of [`super::Store::append`] the process must
/// end: the next opening finds out what is on the medium.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {} is in use by another process", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// Written by a later version of the agent. That is not damage: nothing was touched.
    #[error(
        "the store {} has format {found}, and this version of the agent reads formats up to \
         {known}; install the later version again",
        path.display()
    )]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// Format that was found.
        found: u64,
        /// Highest format that this agent reads.
        known: u64,
    },
    /// No space, even without the ballast.
    #[error("no space left while {action} {}", path.display())]
    Full {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user that runs the agent may not.
    #[error("no permission while {action} {}", path.display())]
    Denied {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("read-only file system while {action} {}", path.display())]
    ReadOnly {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other fault of the storage.
    #[error("i/o error while {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The medium did not take what was written. Nobody knows what is on it; the next opening
    /// copies the store to a fresh one before it is used.
    #[error("the medium did not confirm {}", path.display())]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Damage that showed after opening; the next opening moves the store aside.
    #[error("the store {} is damaged: {reason}", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// For people.
        reason: String,
    },
    /// A record beyond what any frame can hold.
    #[error("a record of {bytes} bytes is too large for the store {}", path.display())]
    TooLarge {
        /// The store.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// Used after an error that ended it.
    #[error("the store {} is closed because of an earlier error", path.display())]
    Closed {
        /// The store.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether freeing space on the medium would help.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether what can be read may not be on the medium: a write or a sync has failed, and another
    /// handle may not be told again.
    pub(super) const fn leaves_medium_in_doubt(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unsynced { .. })
    }

    /// Whether only a person, or another version of the agent, can help: starting again would end
    /// the same way.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::NewerFormat { .. } | Self::Denied { .. } | Self::ReadOnly { .. })
    }

    /// Exit code of a process that ends because of it: 77 for permission, 74 for the rest.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Denied { .. } => 77,
            Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::Io { .. }
            | Self::Unsynced { .. }
            | Self::Damaged { .. }
            | Self::TooLarge { .. }
            | Self::Closed { .. } => 74,
        }
    }

    /// Sorts a system error by what can be done about it.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_no_space(&source) {
            return Self::Full { action, path, source };
        }
        if source.kind() == ErrorKind::PermissionDenied {
            return Self::Denied { action, path, source };
        }
        if source.kind() == ErrorKind::ReadOnlyFilesystem {
            return Self::ReadOnly { action, path, source };
        }
        Self::Io { action, path, source }
    }
}

/// Adds to a system error what was being done to what.
pub(super) trait While<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> While<T> for io::Result<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::io(action, path, source))
    }
}

/// Why a store could not be read: damage can be moved aside, the rest cannot.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes on the medium are not what was written.
    Damage(String),
    /// Anything else.
    Error(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

impl Fault {
    /// Sorts an error of sled. What it reports as an I/O error is damage where the system did not
    /// fail but something that must be there is not.
    pub(super) fn sled(action: &'static str, path: &Path, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if !is_missing_data(&source) => {
                Self::Error(StoreError::io(action, path, source))
            }
            sled::Error::Corruption { at: Some(at), .. } => {
                Self::Damage(format!("{action} it found corrupted data at {at}"))
            }
            sled::Error::Corruption { at: None, .. } => {
                Self::Damage(format!("{action} it found corrupted data"))
            }
            sled::Error::Io(_)
            | sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_) => Self::Damage(format!("{action} it failed: {error}")),
        }
    }

    /// The same where nothing can be moved aside any more.
    pub(super) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Damage(reason) => StoreError::Damaged { path: path.to_path_buf(), reason },
            Self::Error(error) => error,
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn is_missing_data(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::NotFound
    )
}
