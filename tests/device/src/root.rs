//! Root file systems: Debian with systemd, made once, and a copy of it for each test.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What a system needs beside what every Debian has; polkit lets the agent restart the device.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,debconf,polkitd";

/// Whose programs a system has.
#[derive(Clone, Copy)]
pub(crate) enum Machine {
    /// This machine's.
    Own,
    /// 32-bit ARM; they run under qemu-user until the system is booted.
    Arm,
}

impl Machine {
    /// As Debian calls it.
    const fn architecture(self) -> &'static str {
        match self {
            Self::Own => "amd64",
            Self::Arm => "armhf",
        }
    }

    /// A command that starts programs of such a system.
    fn command(self, program: &str) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Arm => {
                let mut command = Command::new(repository("packaging/cross/run"));
                command.arg(program);
                command
            }
        }
    }

    /// The agent's Debian package for it.
    pub(crate) fn package(self) -> Result<PathBuf> {
        let (version, architecture) = (env!("CARGO_PKG_VERSION"), self.architecture());
        let name = format!("terminal-agent_{version}_{architecture}.deb");
        let package = repository("target/packages").join(name);
        let target = match self {
            Self::Own => "x86_64-unknown-linux-gnu",
            Self::Arm => "armv7-unknown-linux-gnueabihf",
        };
        let path = package.display();
        ensure!(package.exists(), "{path} is missing: packaging/packages {target} builds it");
        Ok(package)
    }

    /// The system that the others are copies of; made when it is not there yet.
    pub(crate) fn pattern(self) -> Result<PathBuf> {
        let name = self.architecture();
        let pattern = repository("target/device").join(format!("debian-{name}"));
        let mut make = self.command("mmdebstrap");
        make.args(["--mode=root", "--variant=essential", "--quiet", "--include", PACKAGES]);
        if matches!(self, Self::Arm) {
            // busybox is the first program that runs.
            make.args(["--architectures=armhf", "--skip=check/qemu"]);
            make.args(["--include", "busybox-static", "--customize-hook"]);
            make.arg(repository("tests/device/arm/unpack-kernel"));
        }
        for without in ["doc", "man", "locale"] {
            make.arg(format!("--dpkgopt=path-exclude=/usr/share/{without}/*"));
        }
        make.arg("--dpkgopt=path-include=/usr/share/doc/terminal-agent/*");
        // Others than those that are there are made when what they are made of has changed.
        let recipe = format!("{:?}", make.get_args().collect::<Vec<_>>());
        let made_of = pattern.with_extension("recipe");
        if fs::read_to_string(&made_of).ok().as_ref() == Some(&recipe) {
            return Ok(pattern);
        }
        let _ = fs::remove_file(&made_of);
        if pattern.exists() {
            fs::remove_dir_all(&pattern)?;
        }
        fs::create_dir_all(repository("target/device"))?;
        let mirror = succeeded(&mut Command::new(repository("packaging/debian-mirror")))?;
        make.arg("bookworm").arg(&pattern).arg(String::from_utf8(mirror.stdout)?.trim());
        succeeded(&mut make).context("making a Debian system with mmdebstrap")?;
        fs::write(made_of, recipe)?;
        Ok(pattern)
    }
}

/// The repository.
pub(crate) fn repository(relative: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}

/// A root file system that ends with its owner.
pub(crate) struct Root {
    machine: Machine,
    folder: TempDir,
}

impl Root {
    /// A fresh system, on which the agent has never been.
    pub(crate) fn fresh(machine: Machine) -> Result<Self> {
        let pattern = machine.pattern()?;
        let folder = TempDir::new()?;
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto", "--no-target-directory"]);
        succeeded(copy.arg(pattern).arg(folder.path().join("root")))?;
        Ok(Self { machine, folder })
    }

    /// A fresh system with the agent's package.
    pub(crate) fn terminal(machine: Machine) -> Result<Self> {
        let package = machine.package()?;
        let root = Self::fresh(machine)?;
        let output = root.install(&package)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(root)
    }

    /// A path of the system, as this machine sees it.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join("root").join(relative)
    }

    /// Runs a program of the system in it, with `/proc` and processes of its own.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.machine.command("unshare");
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

    /// `dpkg` with a package that lies on this machine.
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
