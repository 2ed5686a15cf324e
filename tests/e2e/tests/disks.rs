//! Small file systems of their own for the agent's store: to be filled, and to fail.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

pub(crate) const MIB: u64 = 1 << 20;

/// A mounted file system; given back when this is dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
    /// The file that an ext4 is in; `None` for memory.
    image: Option<PathBuf>,
}

impl SmallDisk {
    /// Why this machine cannot give us one, if it cannot.
    pub(crate) fn missing() -> Option<&'static str> {
        if !geteuid().is_root() || run("unshare", &["--mount", "true"]).is_err() {
            return Some("only root may mount a file system");
        }
        if !Path::new("/dev/loop-control").exists() || run("mkfs.ext4", &["-V"]).is_err() {
            return Some("there are no loop devices or no mkfs.ext4");
        }
        None
    }

    /// In memory.
    pub(crate) fn memory(at: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(at)?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", text(at)?])?;
        Ok(Self { at: at.to_owned(), image: None })
    }

    /// An ext4 in a file, as it is on a terminal's flash.
    pub(crate) fn ext4(at: &Path, image: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(at)?;
        File::create(image)?.set_len(bytes)?;
        // Nothing set aside for root: the agent of the test is root.
        run("mkfs.ext4", &["-q", "-m", "0", text(image)?])?;
        let disk = Self { at: at.to_owned(), image: Some(image.to_owned()) };
        disk.mount_image()?;
        Ok(disk)
    }

    fn mount_image(&self) -> Result<()> {
        let image = self.image.as_deref().context("it is in memory")?;
        run("mount", &["-o", "loop", text(image)?, text(&self.at)?])
    }

    /// Down to the last block.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.at.join("filler"))?;
        for size in [65_536, 4_096, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
        Ok(())
    }

    pub(crate) fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.at.join("filler"))?)
    }

    /// Nothing may have a file open for writing.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        run("mount", &["-o", "remount,ro", text(&self.at)?])
    }

    pub(crate) fn make_writable(&self) -> Result<()> {
        run("mount", &["-o", "remount,rw", text(&self.at)?])
    }

    /// What the kernel does when an ext4 shows an error: it is read-only from now on, for files
    /// that are open as well.
    pub(crate) fn fail(&self) -> Result<()> {
        // It says that it cannot be mounted so, and does it.
        let _ = run("mount", &["-o", "remount,abort", text(&self.at)?]);
        let probe = File::create(self.at.join("probe"));
        ensure!(probe.is_err(), "it can still be written to");
        Ok(())
    }

    /// What a technician does then. Nothing may have a file open.
    pub(crate) fn repair(&self) -> Result<()> {
        run("umount", &[text(&self.at)?])?;
        let image = self.image.as_deref().context("it is in memory")?;
        // 1: errors were corrected.
        let status = Command::new("e2fsck").args(["-p", "-f"]).arg(image).output()?.status;
        ensure!(matches!(status.code(), Some(0 | 1)), "e2fsck: {status}");
        self.mount_image()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}
