//! What is shipped, on a system of its own: the Debian package through its life, and a booted
//! systemd with the agent in it. Root is needed; the machine itself is not touched.

mod arm;
mod nspawn;
mod packages;
mod root;
mod settings;
mod small_image;
mod story;
mod system;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use terminal_harness::{Site, SiteOptions};

use crate::{
    nspawn::Container,
    root::{Machine, Root},
    story::Day,
};

const USAGE: &str = "\
usage: terminal-device packages | nspawn | arm | arm-update

  packages    install, upgrade, downgrade, remove and purge target/packages/*_amd64.deb
  nspawn      boot the package under systemd-nspawn, cut its power, hang it, restart it
  arm         the same with target/packages/*_armhf.deb on an emulated ARM machine, and figures
  arm-update  an update of the whole system on that machine, and one that does not come up
";

/// In its sandbox the agent sees a fresh `/proc`, with the boot id of this machine, which stays the same
/// when the container is restarted. That of the container is copied to where it looks instead.
const BOOT_ID_OF_CONTAINER: &str = "\
[Service]
ExecStartPre=+/usr/bin/install -D --mode=644 \\
    /proc/sys/kernel/random/boot_id /run/container/proc/sys/kernel/random/boot_id
";

/// How long an agent that hangs is waited for, in seconds, where nothing else is slow.
const WATCHDOG_S: u32 = 5;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terminal-device: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["forward", port] = arguments.as_slice() {
        return arm::forward(port.parse()?);
    }
    ensure!(nix::unistd::geteuid().is_root(), "only root can make and boot a root file system");
    match arguments.as_slice() {
        ["packages"] => packages::life().await,
        ["nspawn"] => container().await,
        ["arm"] => arm::day().await,
        ["arm-update"] => arm::update().await,
        _ => bail!("{USAGE}"),
    }
}

async fn container() -> Result<()> {
    let (root, site) = bootable().await?;
    Day { site, system: Container::new(&root) }.tell().await?;

    let (root, site) = bootable().await?;
    small_image::prepare(&root)?;
    let mut day = Day { site, system: Container::new(&root) };
    day.boot("no polkit, everything of the terminal's own on /data").await?;
    day.restarted_by_the_cloud().await
}

/// A system with the package, ready to be booted in a container, and its cloud.
async fn bootable() -> Result<(Root, Site)> {
    let root = Root::terminal(Machine::Own)?;
    let site = Site::start(SiteOptions::default()).await?;
    settings::write(&site, &root)?;
    settings::prepare_boot(&root, WATCHDOG_S)?;
    settings::drop_in(&root, "container", BOOT_ID_OF_CONTAINER)?;
    settings::append(&root, "\n[hal.linux]\nroot = \"/run/container\"\n")?;
    Ok((root, site))
}
