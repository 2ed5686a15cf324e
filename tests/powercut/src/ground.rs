//! Where all of it happens: a mount namespace and a file system in memory that nobody else sees,
//! and that the kernel clears away with the last process in it, however that ends.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Programs that are run.
const PROGRAMS: [&str; 3] = ["mount", "mkfs.ext4", "e2fsck"];
/// Devices that are used.
const DEVICES: [&str; 2] = ["/dev/fuse", "/dev/loop-control"];

/// A place for images and mount points, gone with this value.
#[derive(Debug)]
pub struct Ground {
    directory: TempDir,
}

impl Ground {
    /// Why there cannot be one on this machine, one line for each thing that is missing.
    pub fn missing() -> Vec<String> {
        let mut missing = Vec::new();
        if !geteuid().is_root() {
            missing.push("the rights of root".to_owned());
        }
        for device in DEVICES {
            if let Err(error) = OpenOptions::new().read(true).write(true).open(device) {
                missing.push(format!("{device} ({error})"));
            }
        }
        for program in PROGRAMS {
            if !is_installed(program) {
                missing.push(format!("the program {program}"));
            }
        }
        if missing.is_empty() {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
                missing.push(format!("a mount namespace of its own ({errno})"));
            }
        }
        missing
    }

    /// Moves this thread, and those that it starts, to a mount namespace of its own.
    ///
    /// # Errors
    ///
    /// When the system does not let it, or lacks something of [`Ground::missing`].
    pub fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("keeping mounts to this process")?;
        let directory = TempDir::with_prefix("powercut-").context("making a directory")?;
        mount(none, directory.path(), Some("tmpfs"), MsFlags::empty(), none)
            .context("mounting a tmpfs")?;
        Ok(Self { directory })
    }

    /// A file or directory below it, not made.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A directory below it, made.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = umount2(self.directory.path(), MntFlags::MNT_DETACH);
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory: PathBuf| Path::new(&directory).join(program).exists())
}
