//! Unpacking what has been checked, from the very file that was checked.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use nix::unistd::syncfs;

use super::archive::{Content, Entry};
use crate::{
    ErrorCode, Failure,
    api::Cancellation,
    firmware::disk::{Disk, trouble},
};

const BUFFER_BYTES: usize = 256 << 10;

/// Unpacks everything into an empty folder; on the medium when it returns.
pub(super) fn unpack(
    disk: &Disk,
    archive: &File,
    entries: &[Entry],
    into: &Path,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    for entry in entries {
        if cancellation.is_cancelled() {
            let reason = "withdrawn while the slot was being written";
            return Err(Failure::new(ErrorCode::Canceled, reason));
        }
        let name = entry.path.display().to_string();
        make(disk, archive, entry, into).map_err(|error| trouble(&name, &error))?;
    }
    // From the innermost: a folder that may not be written is filled by now.
    for entry in entries.iter().rev() {
        if let Content::Folder { mode } = entry.content {
            let path = into.join(&entry.path);
            let set = fs::set_permissions(path, Permissions::from_mode(mode));
            set.map_err(|error| trouble("the slot", &error))?;
        }
    }
    let set = fs::set_permissions(into, Permissions::from_mode(0o755));
    let synced = set.and_then(|()| File::open(into)).and_then(|folder| Ok(syncfs(folder)?));
    synced.map_err(|error| trouble("the slot", &error))
}

fn make(disk: &Disk, archive: &File, entry: &Entry, into: &Path) -> io::Result<()> {
    disk.step()?;
    let path = into.join(&entry.path);
    match &entry.content {
        Content::Folder { .. } => fs::create_dir(path),
        Content::Link { target } => symlink(target, path),
        Content::File { mode, offset, size } => {
            // Never through a link, never over something that is there.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            copy(archive, *offset, *size, &file)?;
            file.set_permissions(Permissions::from_mode(*mode))
        }
    }
}

fn copy(archive: &File, mut offset: u64, size: u64, mut to: &File) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let end = offset.saturating_add(size);
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..left).unwrap_or_default();
        archive.read_exact_at(piece, offset)?;
        to.write_all(piece)?;
        offset += left as u64;
    }
    Ok(())
}
