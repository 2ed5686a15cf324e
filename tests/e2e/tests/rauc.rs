//! The real RAUC, through the whole product: two loop devices as slots, a boot loader of scripts, a
//! private bus. Needs root, loop devices and the programs that are named below; elsewhere it is
//! skipped, unless `RAUC_REQUIRED` is set.
//!
//! ```sh
//! RAUC_REQUIRED=1 cargo test -p terminal-e2e rauc
//! ```

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use terminal_harness::Site;

use crate::{
    support::{create, error, has_one_verdict, result},
    update_site::{NEW, OLD, UpdateSite, at_once, executable, is_committed},
};

const PROGRAMS: [&str; 5] = ["rauc", "mksquashfs", "dbus-daemon", "losetup", "dd"];

/// The boot loader: which slot is first, and how many boots each has left ("ok" for a good one).
/// RAUC talks to it through this script.
const BACKEND: &str = r#"#!/bin/sh
cd SITE/loader
case $1 in
get-primary) cat primary ;;
set-primary) echo "$2" >primary; echo 2 >"left-$2" ;;
get-state) [ "$(cat "left-$2")" = 0 ] && echo bad || echo good ;;
set-state) [ "$3" = good ] && echo ok >"left-$2" || echo 0 >"left-$2" ;;
esac
"#;

/// What happens between a restart and the agent: a slot is chosen, it runs, and so does RAUC.
const LOADER: &str = r#"#!/bin/sh
set -eu
cd SITE/loader
slot=$(cat primary)
left=$(cat "left-$slot")
case $left in
ok) ;;
0) [ "$slot" = A ] && slot=B || slot=A ;;
*) echo $((left - 1)) >"left-$slot" ;;
esac
[ -e service.pid ] && kill "$(cat service.pid)" 2>/dev/null || :
head -n 1 "slot-$slot" >version
rauc --conf=SITE/system.conf "--override-boot-slot=$slot" service >>service.log 2>&1 &
echo $! >service.pid
tries=0
until rauc status >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ]
    sleep 0.05
done
"#;

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=SITE/bus</listen><policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"#;

const SYSTEM: &str = r"[system]
compatible=nexgo_n92
bootloader=custom
bundle-formats=plain
statusfile=SITE/central.status
mountprefix=SITE/mnt
[handlers]
bootloader-custom-backend=SITE/backend
pre-install=SITE/pre-install
[keyring]
path=SITE/rauc.pem
[slot.rootfs.0]
device=SITE/loader/slot-A
type=raw
bootname=A
[slot.rootfs.1]
device=SITE/loader/slot-B
type=raw
bootname=B
";

/// A terminal with RAUC. What it started is ended with it.
struct Terminal {
    updates: UpdateSite,
    loops: Vec<String>,
    bus: Option<String>,
}

impl Terminal {
    /// `None`, with a word about it, where it cannot be built.
    async fn new() -> Result<Option<Self>> {
        if let Some(missing) = missing() {
            let required = std::env::var_os("RAUC_REQUIRED").is_some();
            ensure!(!required, "RAUC_REQUIRED is set, but {missing}");
            println!("skipped: {missing}");
            return Ok(None);
        }
        let updates = UpdateSite::new("rauc", "SITE/loader/version", "").await?;
        let mut this = Self { updates, loops: Vec::new(), bus: None };
        this.write_files()?;
        for (slot, version) in [("A", OLD), ("B", "nothing")] {
            this.attach(slot, version)?;
        }
        let site = this.site();
        let bus = run(Command::new("dbus-daemon")
            .arg("--fork")
            .arg("--print-pid")
            .arg(format!("--config-file={}", site.path("bus.conf").display())))?;
        this.bus = Some(bus.trim().to_owned());
        let good = this.bundle("good.raucb")?;
        this.updates.offer(&good)?;
        Ok(Some(this))
    }

    fn site(&self) -> &Site {
        &self.updates.site
    }

    fn write_files(&self) -> Result<()> {
        let site = self.site();
        let folder = site.folder().display().to_string();
        let text = |template: &str| template.replace("SITE", &folder);
        fs::create_dir(site.path("loader"))?;
        fs::create_dir(site.path("mnt"))?;
        for (name, content) in [("primary", "A"), ("left-A", "ok"), ("left-B", "0")] {
            fs::write(site.path("loader").join(name), content)?;
        }
        fs::write(site.path("bus.conf"), text(BUS))?;
        fs::write(site.path("system.conf"), text(SYSTEM))?;
        executable(&site.path("backend"), &text(BACKEND))?;
        executable(&site.path("pre-install"), "#!/bin/sh\n")?;
        executable(&site.path("boot-loader"), &text(LOADER))
    }

    /// A loop device as a slot. A system is its version, and much nothing behind it.
    fn attach(&mut self, slot: &str, version: &str) -> Result<()> {
        let file = self.site().path(&format!("slot-{slot}.img"));
        fs::write(&file, system(version))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&file))?;
        let device = device.trim().to_owned();
        let link = self.site().path("loader").join(format!("slot-{slot}"));
        std::os::unix::fs::symlink(&device, link)?;
        self.loops.push(device);
        Ok(())
    }

    /// A signed bundle of the new system.
    fn bundle(&self, name: &str) -> Result<String> {
        let site = self.site();
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate()?;
        fs::write(site.path("rauc.pem"), params.self_signed(&key)?.pem())?;
        fs::write(site.path("rauc.key"), key.serialize_pem())?;
        fs::create_dir(site.path("content"))?;
        fs::write(site.path("content/system.img"), system(NEW))?;
        let manifest = format!(
            "[update]\ncompatible=nexgo_n92\nversion={NEW}\n[bundle]\nformat=plain\n\
             [image.rootfs]\nfilename=system.img\n"
        );
        fs::write(site.path("content/manifest.raucm"), manifest)?;
        let mut rauc = Command::new("rauc");
        rauc.arg("bundle").arg("--cert").arg(site.path("rauc.pem")).arg("--key");
        rauc.arg(site.path("rauc.key")).arg(site.path("content"));
        run(rauc.arg(site.path("source").join(name)))?;
        Ok(name.to_owned())
    }

    async fn switch_on(&self) -> Result<terminal_harness::Agent> {
        let bus = format!("unix:path={}", self.site().path("bus").display());
        self.updates.switch_on(&[("DBUS_SYSTEM_BUS_ADDRESS", bus)]).await
    }

    /// What the boot loader knows: the first slot, and what each has left.
    fn loader(&self) -> Result<[String; 3]> {
        let read = |name: &str| -> Result<String> {
            let text = fs::read_to_string(self.site().path("loader").join(name))?;
            Ok(text.trim().to_owned())
        };
        Ok([read("primary")?, read("left-A")?, read("left-B")?])
    }

    fn running(&self) -> Result<String> {
        let version = fs::read_to_string(self.site().path("loader/version"))?;
        Ok(version.trim().to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let service = fs::read_to_string(self.site().path("loader/service.pid")).ok();
        for pid in [service, self.bus.take()].into_iter().flatten() {
            let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
        }
        // An installation that was cut off has left its bundle mounted.
        let mounted = self.site().path("mnt/bundle");
        let _ = Command::new("umount").arg("-d").arg(mounted).stderr(Stdio::null()).status();
        for device in &self.loops {
            let _ = Command::new("losetup").arg("--detach").arg(device).status();
        }
    }
}

fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("this needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".to_owned());
    }
    let is_there = |name: &str| {
        let mut asked = Command::new(name);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let name = PROGRAMS.into_iter().find(|name| !is_there(name))?;
    Some(format!("{name} is not installed"))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn system(version: &str) -> Vec<u8> {
    let mut bytes = format!("{version}\n").into_bytes();
    bytes.resize(1 << 20, b'.');
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn rauc_installs_switches_and_is_committed() -> Result<()> {
    let Some(terminal) = Terminal::new().await? else { return Ok(()) };
    let agent = terminal.switch_on().await?;
    let site = terminal.site();
    let update = site.run("update", at_once()).await?;
    is_committed(&result(&update)?, "B")?;
    assert_eq!(terminal.running()?, NEW);
    assert_eq!(terminal.loader()?, ["B", "ok", "ok"]);
    assert_eq!(agent.starts(), 2);
    has_one_verdict(site, update.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rauc_goes_back_to_the_old_slot_when_the_new_one_fails_its_health_check() -> Result<()> {
    let Some(terminal) = Terminal::new().await? else { return Ok(()) };
    terminal.updates.health_check("exit 1")?;
    let agent = terminal.switch_on().await?;
    let site = terminal.site();
    let update = site.run("update", at_once()).await?;
    let failed = error(&update)?;
    assert_eq!(failed["code"], "ROLLED_BACK", "{failed}");
    assert_eq!(terminal.running()?, OLD);
    assert_eq!(terminal.loader()?[0], "A");
    assert_eq!(terminal.loader()?[2], "0");
    assert_eq!(agent.starts(), 3);
    has_one_verdict(site, update.id).await?;
    // It takes the next one.
    terminal.updates.health_check("exit 0")?;
    is_committed(&result(&site.run("update", at_once()).await?)?, "B")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_does_not_come_up_is_given_up_by_the_boot_loader_and_reported() -> Result<()> {
    let Some(terminal) = Terminal::new().await? else { return Ok(()) };
    // Both boots that the new slot has are spent before any agent runs.
    let loader = fs::read_to_string(terminal.site().path("boot-loader"))?;
    let hopeless =
        loader.replace("\ncase $left in", "\n[ \"$left\" = 2 ] && left=0\ncase $left in");
    executable(&terminal.site().path("boot-loader"), &hopeless)?;
    let _agent = terminal.switch_on().await?;
    let failed = error(&terminal.site().run("update", at_once()).await?)?;
    assert_eq!(failed["code"], "ROLLED_BACK", "{failed}");
    assert_eq!(terminal.running()?, OLD);
    assert_eq!(terminal.loader()?[0], "A");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_rauc_refuses_leaves_the_old_slot_as_good_as_it_was() -> Result<()> {
    let Some(terminal) = Terminal::new().await? else { return Ok(()) };
    let site = terminal.site();
    let mut bytes = fs::read(site.path("source/good.raucb"))?;
    *bytes.get_mut(200).context("a short bundle")? ^= 0xff;
    fs::write(site.path("source/bad.raucb"), bytes)?;
    // Its manifest vouches for it: only RAUC itself can tell.
    terminal.updates.offer("bad.raucb")?;
    let agent = terminal.switch_on().await?;
    let update = site.run("update", at_once()).await?;
    let failed = error(&update)?;
    assert_eq!(failed["code"], "INSTALL_FAILED", "{failed}");
    assert!(failed["failure_reason"].as_str().is_some_and(|r| r.contains("signature")), "{failed}");
    assert_eq!(terminal.loader()?[..2], ["A", "ok"]);
    assert_eq!((terminal.running()?.as_str(), agent.starts()), (OLD, 1));
    has_one_verdict(site, update.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rauc_goes_on_when_the_agent_is_killed_and_the_outcome_is_the_true_one() -> Result<()> {
    let Some(terminal) = Terminal::new().await? else { return Ok(()) };
    let site = terminal.site();
    let folder = site.folder().display().to_string();
    let waits = format!(
        "#!/bin/sh\n: >{folder}/installing\nwhile [ ! -e {folder}/go ]; do sleep 0.05; done\n"
    );
    executable(&site.path("pre-install"), &waits)?;
    let agent = terminal.switch_on().await?;
    let update = create(site, "update", at_once()).await?;
    site.until("RAUC installs", async |site| Ok(site.path("installing").exists())).await?;
    agent.kill_9()?;
    // The next one asks, and learns that it is still being installed.
    let is_told = async |site: &Site| Ok(site.agent_log()?.contains("answer=Running"));
    site.until("the next agent has asked", is_told).await?;
    fs::write(site.path("go"), "")?;
    is_committed(&result(&site.verdict(update).await?)?, "B")?;
    assert_eq!(terminal.running()?, NEW);
    has_one_verdict(site, update).await
}
