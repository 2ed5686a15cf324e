//! What the emulated machine is made of: kernel, initramfs and a disk with the root file system, written
//! without mounting anything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use super::initramfs;
use crate::root::{Root, repository, succeeded};

/// Room for two systems, two archives of one, the journal and the agent's store, in MB.
const SIZE_MB: u32 = 1200;

/// Files of a machine that is off.
pub(super) struct Media {
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    pub(super) disk: PathBuf,
}

/// Makes them in a folder.
pub(super) fn make(root: &Root, folder: &Path) -> Result<Media> {
    let place = |name: &str| folder.join(name);
    let media =
        Media { kernel: place("vmlinuz"), initramfs: place("initramfs"), disk: place("disk") };
    initramfs::make(root, &media.initramfs)?;
    fs::copy(root.path("kernel/vmlinuz"), &media.kernel)?;
    fs::remove_dir_all(root.path("kernel"))?;
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-E", "lazy_itable_init=0", "-d"]).arg(root.path(""));
    succeeded(make.arg(&media.disk).arg(format!("{SIZE_MB}M")))?;
    Ok(media)
}

/// Fits a root file system to the machine.
pub(super) fn fit(root: &Root) -> Result<()> {
    let files =
        [("commands", "etc/commands"), ("commands.service", "etc/systemd/system/commands.service")];
    for (file, place) in files {
        fs::copy(repository("tests/device/arm").join(file), root.path(place))?;
    }
    let enabled = root.run(&["systemctl", "enable", "commands"])?;
    ensure!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
    // By the name in its certificate the cloud is this machine.
    fs::write(root.path("etc/hosts"), format!("{} localhost\n", super::vm::CLOUD))?;
    Ok(fs::write(root.path("etc/fstab"), "/dev/vda / ext4 noatime 0 0\n")?)
}
