//! Small files that a power cut leaves as they were or as they should be, never half.
//!
//! Each function returns once its effect is on the medium.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Writes beside the file, syncs, renames, and syncs the folder. Only the owner may read it.
///
/// # Errors
/// What the file system says. The file is then as it was, or replaced already where only the sync of
/// the folder has failed.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::rename(write_beside(path, content)?, path)?;
    sync_parent(path)
}

/// The first half of [`replace`]: gives the file that is to be renamed.
pub(crate) fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let beside = beside(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(beside)
}

/// Where the next edition of a file is made.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// Deletes a file that may be there.
///
/// # Errors
/// What the file system says; that there is none is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_parent(path),
    }
}

/// Makes names created, renamed or deleted beside `path` durable.
///
/// # Errors
/// What the file system says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_replaced_file_holds_the_new_content_alone_and_belongs_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        // What a power cut has left behind is in nobody's way.
        fs::write(folder.path().join("file.json.new"), "half of something longer").unwrap();
        for content in ["a longer first content", "second"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        fs::create_dir(folder.path().join("file.new")).unwrap();
        replace(&path, b"new").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn removing_twice_is_as_good_as_once_and_a_folder_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"x").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        remove(folder.path()).unwrap_err();
    }
}
