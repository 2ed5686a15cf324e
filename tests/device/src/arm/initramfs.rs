//! What the emulated machine starts with: the drivers of its disk and network, and a first program that
//! mounts the disk. Debian's own would be made by ARM programs, for minutes.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::root::{Root, repository, succeeded};

/// Makes it of what came with the root file system.
pub(super) fn make(root: &Root, file: &Path) -> Result<()> {
    let tree = tempfile::TempDir::new()?;
    let tree = tree.path();
    for folder in ["bin", "dev"] {
        fs::create_dir(tree.join(folder))?;
    }
    fs::copy(root.path("kernel/busybox"), tree.join("bin/busybox"))?;
    symlink("busybox", tree.join("bin/sh"))?;
    fs::copy(repository("packaging/ab-boot"), tree.join("bin/ab-boot"))?;
    fs::copy(repository("tests/device/arm/init"), tree.join("init"))?;
    let mut drivers = Command::new("cp");
    succeeded(drivers.arg("--recursive").arg(root.path("kernel/drivers")).arg(tree))?;
    pack(tree, file)
}

fn pack(tree: &Path, into: &Path) -> Result<()> {
    let mut find = Command::new("find");
    let mut find = find.arg(".").current_dir(tree).stdout(Stdio::piped()).spawn()?;
    let names = find.stdout.take().context("no names")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet", "--owner=0:0"]).current_dir(tree);
    let packed = cpio.stdin(names).stdout(File::create(into)?).status()?;
    ensure!(packed.success() && find.wait()?.success(), "cpio: {packed}");
    Ok(())
}
