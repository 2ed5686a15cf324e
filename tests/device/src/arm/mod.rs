//! The package for 32-bit ARM on an emulated machine: Debian's own ARM kernel and systemd, with the
//! unit's sandbox. It shows what no container and no emulation of single programs does.

mod disk;
mod figures;
mod initramfs;
mod slots;
mod update;
mod vm;

use anyhow::{Context, Result, bail};
use terminal_harness::{Site, SiteOptions};

use crate::{
    root::{Machine, Root},
    settings,
    story::Day,
};

use vm::Emulated;
pub(crate) use vm::forward;

/// How long an agent that hangs is waited for, in seconds; everything is slow under emulation.
const WATCHDOG_S: u32 = 20;

/// Debian's packages of what is started on this machine.
const TOOLS: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-system-arm", "qemu-system-arm"),
    ("cpio", "cpio"),
    ("mke2fs", "e2fsprogs"),
    ("depmod", "kmod"),
];

/// The bad day, and what can only be measured here.
pub(crate) async fn day() -> Result<()> {
    let (site, root) = terminal().await?;
    let system = Emulated::new(&root, site.cloud()?.addr().port())?;
    let mut day = Day { site, system };
    let told = async {
        day.tell().await?;
        figures::print(&mut day).await
    };
    told.await.with_context(|| day.system.console())
}

/// Updates of the system in two slots.
pub(crate) async fn update() -> Result<()> {
    let (site, root) = terminal().await?;
    slots::split(&root)?;
    let system = Emulated::new(&root, site.cloud()?.addr().port())?;
    let mut day = Day { site, system };
    update::tell(&mut day).await.with_context(|| day.system.console())
}

/// A cloud, and the root file system of a terminal that it knows.
async fn terminal() -> Result<(Site, Root)> {
    tools_are_there()?;
    let site = Site::start(SiteOptions::default()).await?;
    let root = Root::terminal(Machine::Arm)?;
    settings::write(&site, &root)?;
    settings::prepare_boot(&root, WATCHDOG_S)?;
    disk::fit(&root)?;
    Ok((site, root))
}

fn tools_are_there() -> Result<()> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name| std::env::split_paths(&paths).any(|path| path.join(name).exists());
    let missing: Vec<_> =
        TOOLS.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "this machine lacks what an ARM machine is emulated with: apt-get install {}",
        missing.join(" ")
    )
}
