//! Changes to files as data, so that a test can cut them off anywhere.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::IdentityError;

/// Nobody but the agent's user.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Largest file of an identity: a frame of 64 KiB has brought all of them.
const FILE_BYTES_MAX: u64 = 128 << 10;

/// One change. What is not synced may be lost with the power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Makes a folder; one that is there already is left alone.
    MakeFolder(PathBuf),
    /// Writes a file; its content is on the medium afterwards, its name not yet.
    WriteSynced(PathBuf, Vec<u8>),
    /// Gives a file or folder another name.
    Rename(PathBuf, PathBuf),
    /// Names in this folder are on the medium afterwards.
    Sync(PathBuf),
    /// Removes a file; one that is not there is fine.
    RemoveFile(PathBuf),
    /// Removes a folder with what is in it; one that is not there is fine.
    RemoveFolder(PathBuf),
}

/// One change after the other, until one fails.
pub(super) fn carry_out(changes: &[Change]) -> Result<(), IdentityError> {
    changes.iter().try_for_each(|change| {
        change.apply().map_err(|source| IdentityError::Io { path: change.path().clone(), source })
    })
}

impl Change {
    pub(super) fn apply(&self) -> io::Result<()> {
        match self {
            Self::MakeFolder(path) => existing_is_fine(folder_builder().create(path)),
            Self::WriteSynced(path, content) => {
                // A file that was left may have another mode.
                missing_is_fine(fs::remove_file(path))?;
                let mut options = OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(FILE_MODE).open(path)?;
                file.write_all(content)?;
                file.sync_all()
            }
            Self::Rename(from, to) => fs::rename(from, to),
            Self::Sync(path) => File::open(path)?.sync_all(),
            Self::RemoveFile(path) => missing_is_fine(fs::remove_file(path)),
            Self::RemoveFolder(path) => missing_is_fine(fs::remove_dir_all(path)),
        }
    }

    const fn path(&self) -> &PathBuf {
        match self {
            Self::MakeFolder(path)
            | Self::WriteSynced(path, _)
            | Self::Rename(path, _)
            | Self::Sync(path)
            | Self::RemoveFile(path)
            | Self::RemoveFolder(path) => path,
        }
    }
}

/// Makes a folder that nobody else may look into, with its name on the medium.
pub(super) fn make_private_folder(path: &Path) -> Result<(), IdentityError> {
    let fail = |source| IdentityError::Io { path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    folder_builder().recursive(true).create(path).map_err(fail)?;
    carry_out(&[Change::Sync(path.parent().unwrap_or(path).to_owned())])
}

fn folder_builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(FOLDER_MODE);
    builder
}

/// The content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

/// The name of an identity's folder.
pub(super) fn folder_name(number: u32) -> String {
    format!("{number:08}")
}

/// Numbers of the identities in a folder.
pub(super) fn numbered_folders(directory: &Path) -> Result<Vec<u32>, IdentityError> {
    let fail = |source| IdentityError::Io { path: directory.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        // `1` is not how an identity is written.
        numbers.extend(number.filter(|number| name.to_str() == Some(&folder_name(*number))));
    }
    Ok(numbers)
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn existing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
