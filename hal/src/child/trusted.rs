//! Whether a program may be started: nobody but root can have changed it.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// In a folder with this bit only the owner of a file can replace it.
const STICKY: u32 = 0o1000;

/// Why it may not.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Untrusted {
    #[error("{path}: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path} is no program, want a regular file")]
    NoFile { path: String },
    #[error("{path} belongs to user {owner}, want root")]
    Owner { path: String, owner: u32 },
    #[error("{path} can be written by others than its owner (mode {mode:04o}), want 0755")]
    Writable { path: String, mode: u32 },
}

/// Looks at the file and at every folder above it, on the path as it is written and on the one
/// that symbolic links lead to. `owner` is trusted beside root.
///
/// # Errors
/// Names the file or folder that somebody else could have changed.
pub fn check(program: &Path, owner: u32) -> Result<(), Untrusted> {
    let unreadable = |path: &Path, source| Untrusted::Unreadable { path: shown(path), source };
    let real = fs::canonicalize(program).map_err(|source| unreadable(program, source))?;
    for path in real.ancestors().chain(program.ancestors()) {
        let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        check_one(path, &metadata, owner)?;
    }
    if fs::metadata(&real).map_err(|source| unreadable(&real, source))?.is_file() {
        Ok(())
    } else {
        Err(Untrusted::NoFile { path: shown(program) })
    }
}

fn check_one(path: &Path, metadata: &Metadata, trusted: u32) -> Result<(), Untrusted> {
    let owner = metadata.uid();
    if owner != ROOT && owner != trusted {
        return Err(Untrusted::Owner { path: shown(path), owner });
    }
    let mode = metadata.mode() & 0o7777;
    let is_sticky_folder = metadata.is_dir() && mode & STICKY != 0;
    if mode & WRITABLE_BY_OTHERS != 0 && !is_sticky_folder {
        return Err(Untrusted::Writable { path: shown(path), mode });
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_is_trusted_when_nobody_else_could_have_changed_it() {
        let own = fs::metadata("/proc/self").unwrap().uid();
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        let program = folder.join("program");
        fs::create_dir(&folder).unwrap();
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let said = |path: &Path, owner| check(path, owner).err().map(|error| error.to_string());
        for (file_mode, folder_mode, want) in [
            (0o755, 0o755, None),
            (0o700, 0o1777, None),
            (0o775, 0o755, Some("program can be written by others than its owner (mode 0775)")),
            (0o757, 0o755, Some("program can be written")),
            (0o755, 0o775, Some("folder can be written by others than its owner (mode 0775)")),
            (0o755, 0o777, Some("folder can be written")),
            // The bit protects the files of a folder, not a file.
            (0o1777, 0o755, Some("program can be written")),
        ] {
            set_mode(&program, file_mode);
            set_mode(&folder, folder_mode);
            let said = said(&program, own);
            let as_wanted = match (&said, want) {
                (None, None) => true,
                (Some(said), Some(want)) => said.contains(want),
                _ => false,
            };
            assert!(as_wanted, "{file_mode:o} in {folder_mode:o}: {said:?}");
        }
        set_mode(&folder, 0o755);
        assert!(said(&folder, own).unwrap().contains("no program"));
        assert!(said(&folder.join("other"), own).unwrap().contains("No such file"));
        // The folder of a link is as good as the file itself.
        set_mode(&program, 0o755);
        let open_folder = directory.path().join("open");
        fs::create_dir(&open_folder).unwrap();
        set_mode(&open_folder, 0o777);
        let link = open_folder.join("link");
        symlink(&program, &link).unwrap();
        assert!(said(&link, own).unwrap().contains("open can be written"));
        set_mode(&open_folder, 0o755);
        assert_eq!(said(&link, own), None);
        set_mode(&folder, 0o777);
        assert!(said(&link, own).unwrap().contains("folder can be written"));
    }

    #[test]
    fn a_program_of_another_user_is_not_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Only root can give a file away; everybody else's own file will do.
        let _ = std::os::unix::fs::chown(file.path(), Some(12_345), None);
        let error = check(file.path(), 54_321).unwrap_err().to_string();
        assert!(error.contains("belongs to user") && error.contains("want root"), "{error}");
    }
}
