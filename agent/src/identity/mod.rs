//! Who this terminal is to the cloud: the key that it made itself and the certificate for it, on the
//! medium as a whole or not at all.
//!
//! ```text
//! DIRECTORY/pending.key      a key that no certificate has come for yet
//! DIRECTORY/00000001/        an identity: key.pem certificate.pem trust.pem identity.json
//! DIRECTORY/00000002/        the one after a renewal; 00000001 goes once the cloud has accepted it
//! ```
//!
//! An identity has a file `probation` as long as the cloud has never welcomed this terminal.
//!
//! An identity becomes one by the rename of its complete and synced folder. Whatever is cut off
//! leaves the one before, or the new one. Keys never leave this module but as files.

mod check;
mod disk;
mod key;
mod stored;

use std::{
    io,
    path::{Path, PathBuf},
};

use terminal_core::{
    engine::{Certificates, RequestKey},
    protocol::Enrolled,
};

pub use check::UnusableIdentity;
use disk::Change;
use key::SigningKey;
pub use stored::StoredIdentity;

/// A key without a certificate.
const PENDING_KEY: &str = "pending.key";
/// A folder that is being filled.
const UNFINISHED: &str = "unfinished";
/// Added to the name of a folder that cannot be read.
const DAMAGED: &str = "damaged";

/// Why an identity cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder.
    #[error("identity in {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was written by a newer agent; it is not touched.
    #[error("identity in {path}: format {format} is newer than this agent")]
    NewerFormat {
        /// Which.
        path: PathBuf,
        /// Its number.
        format: u32,
    },
    /// Not a whole identity.
    #[error("identity in {path}: {problem}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No key could be made, or the one that is there cannot be used.
    #[error("key of the terminal: {0}")]
    Key(String),
    /// What the cloud has sent.
    #[error(transparent)]
    Unusable(#[from] UnusableIdentity),
}

impl IdentityError {
    /// Whether the agent's user may not use the folder.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// The identities of a terminal.
#[derive(Debug)]
pub struct IdentityStore {
    directory: PathBuf,
    newest: Option<StoredIdentity>,
    before: Option<StoredIdentity>,
}

impl IdentityStore {
    /// Reads what is there; makes the folder if need be. A folder that is not a whole identity is
    /// set aside.
    ///
    /// # Errors
    /// When the medium fails or forbids it, or a newer agent has written there.
    pub fn open(directory: &Path) -> Result<Self, IdentityError> {
        disk::make_private_folder(directory)?;
        disk::carry_out(&[Change::RemoveFolder(directory.join(UNFINISHED))])?;
        let mut found = Vec::new();
        for number in disk::numbered_folders(directory)? {
            let folder = directory.join(disk::folder_name(number));
            match StoredIdentity::read(&folder, number) {
                Ok(identity) => found.push(identity),
                Err(damage @ IdentityError::Damaged { .. }) => set_aside(&folder, &damage)?,
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|identity| std::cmp::Reverse(identity.number));
        let mut found = found.into_iter();
        let (newest, before) = (found.next(), found.next());
        for unwanted in found {
            disk::carry_out(&removing(directory, unwanted.number))?;
        }
        let store = Self { directory: directory.to_owned(), newest, before };
        store.forget_used_key()?;
        Ok(store)
    }

    /// The newest identity.
    pub const fn newest(&self) -> Option<&StoredIdentity> {
        self.newest.as_ref()
    }

    /// The one before, until the cloud has accepted the newest.
    pub const fn before(&self) -> Option<&StoredIdentity> {
        self.before.as_ref()
    }

    /// The certificates of both.
    pub fn certificates(&self) -> Option<Certificates> {
        let newest = self.newest.as_ref()?;
        Some(Certificates {
            newest: newest.certificate,
            before: self.before.as_ref().map(|before| before.certificate),
            on_probation: newest.is_on_probation,
        })
    }

    /// A signed request (PKCS #10, PEM) for a certificate. Its key is on the medium when this
    /// returns.
    ///
    /// # Errors
    /// When there is no such key, or it cannot be kept.
    pub fn signing_request(
        &self,
        key: RequestKey,
        serial_number: &str,
    ) -> Result<String, IdentityError> {
        let key = match (key, &self.newest) {
            (RequestKey::Current, Some(newest)) => SigningKey::read(&newest.key_file())?,
            (RequestKey::Current, None) => {
                return Err(IdentityError::Key("there is no identity yet".to_owned()));
            }
            (RequestKey::New, _) => self.pending_key()?,
        };
        key.signing_request(serial_number)
    }

    /// Checks an identity and keeps it as the newest one. `now_s` is the time since 1970 that
    /// certificates are checked at.
    ///
    /// # Errors
    /// When it is not an identity of this terminal or cannot be kept. The one before still counts.
    pub fn adopt(
        &mut self,
        enrolled: &Enrolled,
        now_s: u64,
    ) -> Result<&StoredIdentity, IdentityError> {
        let key_pem = self.key_of(enrolled, now_s)?;
        // Not from memory: the medium may have kept a folder that was to be removed.
        let newest = disk::numbered_folders(&self.directory)?.into_iter().max();
        let number = newest.map_or(1, |newest| newest.saturating_add(1));
        let on_probation = self.newest.as_ref().is_none_or(|newest| newest.is_on_probation);
        let changes = stored::writing(&self.directory, number, enrolled, &key_pem, on_probation);
        disk::carry_out(&changes)?;
        let folder = self.directory.join(disk::folder_name(number));
        let adopted = StoredIdentity::read(&folder, number)?;
        let unwanted = std::mem::replace(&mut self.before, self.newest.take());
        let newest = self.newest.insert(adopted);
        if let Some(unwanted) = unwanted {
            // What is still there goes when the store is opened.
            let _ = disk::carry_out(&removing(&self.directory, unwanted.number));
        }
        Ok(newest)
    }

    /// The cloud has accepted one of the two: it is not on probation any more, and the other is
    /// forgotten.
    ///
    /// # Errors
    /// When the medium fails; both may then still be there.
    pub fn keep(&mut self, newest: bool) -> Result<(), IdentityError> {
        let unwanted = if newest { self.before.take() } else { self.newest.take() };
        if !newest {
            self.newest = self.before.take();
        }
        let mut changes = Vec::new();
        if let Some(kept) = self.newest.as_mut().filter(|kept| kept.is_on_probation) {
            kept.is_on_probation = false;
            changes.extend(kept.ending_probation());
        }
        if let Some(unwanted) = unwanted {
            changes.extend(removing(&self.directory, unwanted.number));
        }
        disk::carry_out(&changes)
    }

    /// Forgets every identity and key.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn forget(&mut self) -> Result<(), IdentityError> {
        let mut changes = vec![
            Change::RemoveFile(self.directory.join(PENDING_KEY)),
            Change::Sync(self.directory.clone()),
        ];
        // The oldest first: whatever is cut off, what is left is a beginning of the same row.
        for identity in [self.before.take(), self.newest.take()].into_iter().flatten() {
            changes.extend(removing(&self.directory, identity.number));
        }
        disk::carry_out(&changes)
    }

    /// The key that is asked for, from a request that was cut off or made now.
    fn pending_key(&self) -> Result<SigningKey, IdentityError> {
        let path = self.directory.join(PENDING_KEY);
        match SigningKey::read(&path) {
            Ok(key) => return Ok(key),
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error @ IdentityError::Io { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "making another one"),
        }
        let key = SigningKey::generate()?;
        disk::carry_out(&keeping_key(&self.directory, &key.to_pem()))?;
        Ok(key)
    }

    /// The key that a certificate is for, as PEM.
    fn key_of(&self, enrolled: &Enrolled, now_s: u64) -> Result<String, IdentityError> {
        let pending = self.directory.join(PENDING_KEY);
        let current = self.newest.as_ref().map(StoredIdentity::key_file);
        let mut problem = IdentityError::Key("there is no key that a request was for".to_owned());
        for path in [Some(pending), current].into_iter().flatten() {
            let key = match SigningKey::read(&path) {
                Ok(key) => key,
                Err(error) => {
                    problem = error;
                    continue;
                }
            };
            let pem = key.to_pem();
            match check::usable(enrolled, &pem, now_s) {
                Err(UnusableIdentity::OtherKey) => problem = UnusableIdentity::OtherKey.into(),
                checked => return checked.map(|()| pem).map_err(Into::into),
            }
        }
        Err(problem)
    }

    /// A key that has its certificate is not used for another request.
    fn forget_used_key(&self) -> Result<(), IdentityError> {
        let Some(newest) = &self.newest else { return Ok(()) };
        let pending = self.directory.join(PENDING_KEY);
        let used = disk::read(&newest.key_file())?;
        let is_used = disk::read(&pending).is_ok_and(|pending| pending == used);
        if is_used {
            let changes = [Change::RemoveFile(pending), Change::Sync(self.directory.clone())];
            disk::carry_out(&changes)?;
        }
        Ok(())
    }
}

/// What makes a key durable before it is used.
fn keeping_key(directory: &Path, pem: &str) -> Vec<Change> {
    let unfinished = directory.join("pending.key.unfinished");
    vec![
        Change::WriteSynced(unfinished.clone(), pem.as_bytes().to_vec()),
        Change::Rename(unfinished, directory.join(PENDING_KEY)),
        Change::Sync(directory.to_owned()),
    ]
}

/// Under another name first, so that half a folder is never taken for an identity.
fn removing(directory: &Path, number: u32) -> Vec<Change> {
    let unfinished = directory.join(UNFINISHED);
    vec![
        Change::RemoveFolder(unfinished.clone()),
        Change::Rename(directory.join(disk::folder_name(number)), unfinished.clone()),
        Change::Sync(directory.to_owned()),
        Change::RemoveFolder(unfinished),
    ]
}

fn set_aside(folder: &Path, damage: &IdentityError) -> Result<(), IdentityError> {
    let aside = folder.with_extension(DAMAGED);
    tracing::error!(%damage, aside = %aside.display(), "an identity is set aside");
    let directory = folder.parent().unwrap_or(folder).to_owned();
    disk::carry_out(&[
        Change::RemoveFolder(aside.clone()),
        Change::Rename(folder.to_owned(), aside),
        Change::Sync(directory),
    ])
}

#[cfg(test)]
mod tests;
