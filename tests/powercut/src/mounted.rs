//! An ext4 in a file, mounted through a loop device, and unmounted whatever happens.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// sled lets go of its files in the background, on a busy machine late.
const BUSY_TRIES_MAX: u32 = 1_000;
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// A mounted file system. The loop device goes with it: the mount is its only user.
#[derive(Debug)]
pub struct Mounted {
    directory: PathBuf,
    is_mounted: bool,
}

impl Mounted {
    /// Mounts the ext4 in `file` on `directory`, with the journal in its default mode.
    ///
    /// # Errors
    ///
    /// What `mount` says: also when the file system needs a repair.
    pub fn new(file: &Path, directory: &Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        // -n: nothing outside this mount namespace hears of it.
        mount.args(["-n", "-t", "ext4", "-o", "loop,noatime"]).args([file, directory]);
        output_of(mount)?;
        Ok(Self { directory: directory.to_path_buf(), is_mounted: true })
    }

    /// Unmounts; waits for those who still have files open.
    ///
    /// # Errors
    ///
    /// When they do not let go.
    pub fn unmount(mut self) -> Result<()> {
        unmount(&self.directory)?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = umount2(&self.directory, MntFlags::MNT_DETACH);
        }
    }
}

/// Unmounts what is on `directory`; waits for those who still have files open.
pub(crate) fn unmount(directory: &Path) -> Result<()> {
    for _ in 0..BUSY_TRIES_MAX {
        match umount2(directory, MntFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) => thread::sleep(BUSY_WAIT),
            Err(errno) => {
                return Err(errno).with_context(|| format!("unmounting {}", directory.display()));
            }
        }
    }
    bail!("what is mounted on {} stayed busy", directory.display())
}

/// Makes an ext4 in a file of `bytes`.
///
/// # Errors
///
/// What `mkfs.ext4` says.
pub fn make_ext4(file: &Path, bytes: u64) -> Result<()> {
    let mut mkfs = Command::new("mkfs.ext4");
    // Everything is initialised at once: a kernel thread would otherwise do it during the recording.
    // The block size of a large file system, and the smallest journal that it can have.
    mkfs.args(["-q", "-F", "-b", "4096", "-J", "size=4"]);
    mkfs.args(["-E", "lazy_itable_init=0,lazy_journal_init=0"]);
    mkfs.arg(file).arg(format!("{}k", bytes / 1024));
    output_of(mkfs).map(drop)
}

/// Repairs what mounting alone cannot, as a device does when it starts.
///
/// # Errors
///
/// What `e2fsck` says when something is left.
pub fn repair_ext4(file: &Path) -> Result<()> {
    let mut fsck = Command::new("e2fsck");
    fsck.args(["-f", "-y"]).arg(file);
    let output = fsck.output().context("running e2fsck")?;
    // 1: errors were corrected.
    match output.status.code() {
        Some(0 | 1) => Ok(()),
        Some(_) | None => {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("e2fsck: {}", said.lines().next().unwrap_or("it said nothing"))
        }
    }
}

fn output_of(mut command: Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
