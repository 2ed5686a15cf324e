//! Root file systems: Debian with systemd, made once, and a copy of it for each test.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What the system needs beside what every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,debconf";

/// The repository.
pub(crate) fn repository(relative: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}

/// The Debian package for this machine.
pub(crate) fn package() -> Result<PathBuf> {
    let folder = repository("target/packages");
    let name = format!("terminal-agent_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let package = folder.join(name);
    ensure!(
        package.exists(),
        "{} is missing: packaging/packages x86_64-unknown-linux-gnu builds it",
        package.display()
    );
    Ok(package)
}

/// A root file system that ends with its owner.
pub(crate) struct Root {
    folder: TempDir,
}

impl Root {
    /// A fresh system, on which the agent has never been.
    pub(crate) fn fresh() -> Result<Self> {
        let pattern = pattern()?;
        let folder = TempDir::new()?;
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto", "--no-target-directory"]);
        succeeded(copy.arg(pattern).arg(folder.path().join("root")))?;
        Ok(Self { folder })
    }

    /// A path of the system, as this machine sees it.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join("root").join(relative)
    }

    /// Runs a program of the system in it, with `/proc` and processes of its own.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        command.arg(format!("--mount-proc={}", self.path("proc").display()));
        environment(&mut command).arg("chroot").arg(self.path(""));
        Ok(command.args(arguments).stdin(Stdio::null()).output()?)
    }

    /// A command that runs the agent in the system, as the agent's user.
    pub(crate) fn agent(&self) -> Command {
        let mut command = Command::new("chroot");
        environment(&mut command).arg("--userspec=terminal-agent:terminal-agent");
        command.arg(self.path("")).arg("/usr/bin/terminal-agent");
        command
    }

    /// `dpkg` with a package of this machine.
    pub(crate) fn install(&self, package: &Path) -> Result<Output> {
        fs::copy(package, self.path("tmp/package.deb"))?;
        self.run(&["dpkg", "--install", "/tmp/package.deb"])
    }
}

/// That of a system that asks nothing.
fn environment(command: &mut Command) -> &mut Command {
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env_remove("NOTIFY_SOCKET")
}

/// The system that the others are copies of; made when it is not there yet.
fn pattern() -> Result<PathBuf> {
    let pattern = repository("target/device/debian-amd64");
    if !pattern.exists() {
        let mirror = succeeded(&mut Command::new(repository("packaging/debian-mirror")))?;
        let half = pattern.with_extension("half");
        fs::create_dir_all(half.parent().context("no folder")?)?;
        let _ = fs::remove_dir_all(&half);
        let mut make = Command::new("mmdebstrap");
        make.args(["--mode=root", "--variant=essential", "--quiet", "--include", PACKAGES]);
        for without in ["doc", "man", "locale"] {
            make.arg(format!("--dpkgopt=path-exclude=/usr/share/{without}/*"));
        }
        make.arg("--dpkgopt=path-include=/usr/share/doc/terminal-agent/*");
        make.arg("bookworm").arg(&half).arg(String::from_utf8(mirror.stdout)?.trim());
        succeeded(&mut make).context("making a Debian system with mmdebstrap")?;
        fs::rename(half, &pattern)?;
    }
    Ok(pattern)
}

/// What a command has said, when it ended well.
pub(crate) fn succeeded(command: &mut Command) -> Result<Output> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned);
    let output = command.output().with_context(|| format!("cannot run {name:?}"))?;
    ensure!(
        output.status.success(),
        "{name:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
