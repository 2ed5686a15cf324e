//! A terminal whose system is in two slots, as the backend `ab` keeps them: each slot holds `/usr`;
//! `/etc` and `/var` are shared. What it may update to lies in a folder of its disk.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use minisign::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    root::{Root, succeeded},
    settings,
};

/// What runs at first.
const OLD: &str = "3.14.2";
/// Works.
pub(super) const NEW: &str = "3.15.0";
/// Has nothing that could be started.
pub(super) const BROKEN: &str = "3.16.0";

/// Everything in a slot is the agent's user's. An archive of a system may hold no link that leads out
/// of it, such as those to `/etc/alternatives`, and nobody's own files.
const FIT_FOR_A_SLOT: &str = "
find /usr -type l -lname '/*' | while read -r link; do
    target=$(readlink -f \"$link\")
    case $target in
        /usr/*) ln -snrf \"$target\" \"$link\" ;;
        *) rm \"$link\" ;;
    esac
done
chmod -R a+rX /usr
chown -Rh terminal-agent: /usr /firmware";

/// Written for `[hal.updates]`, KEY being that of whoever makes updates.
const SETTINGS: &str = r#"
[hal.updates]
source = "/srv/updates"
directory = "/var/lib/terminal-agent/updates"
version-file = "/firmware/booted/VERSION"
public-keys = ["KEY"]

[hal.updates.ab]
directory = "/firmware"
boot-attempts = 2
"#;

/// Puts the system of a root file system into the first of two slots.
pub(super) fn split(root: &Root) -> Result<()> {
    let slot = root.path("firmware/slot-a");
    fs::create_dir_all(&slot)?;
    fs::write(slot.join("VERSION"), format!("{OLD}\n"))?;
    symlink("slot-a", root.path("firmware/active"))?;
    let fitted = root.run(&["sh", "-euc", FIT_FOR_A_SLOT])?;
    ensure!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
    fs::rename(root.path("usr"), slot.join("usr"))?;
    fs::create_dir(root.path("usr"))?;
    offer(root, &slot)
}

/// Makes and signs updates, and lets the terminal take them.
fn offer(root: &Root, slot: &Path) -> Result<()> {
    let source = root.path("srv/updates");
    fs::create_dir(&source)?;
    let work = tempfile::TempDir::new()?;
    fs::create_dir(work.path().join("usr"))?;
    let key = KeyPair::generate_unencrypted_keypair()?;
    let releases = json!([
        release(&source, NEW, work.path(), slot)?,
        release(&source, BROKEN, work.path(), work.path())?,
    ]);
    let manifest = json!({
        "format": 1, "channel": "stable", "sequence": 1, "expires_at": "2099-12-31T00:00:00Z",
        "releases": releases,
    });
    let manifest = manifest.to_string();
    let signature = minisign::sign(None, &key.sk, manifest.as_bytes(), None, None)?;
    fs::write(source.join("stable.json"), &manifest)?;
    fs::write(source.join("stable.json.minisig"), signature.to_string())?;

    settings::replace(root, &[("# firmware = \"vendor\"", "firmware = \"ab\"")])?;
    settings::append(root, &SETTINGS.replace("KEY", &key.pk.to_base64()))?;
    settings::drop_in(root, "slots", "[Service]\nReadWritePaths=/firmware\n")
}

/// An archive with that `usr` and its own version.
fn release(source: &Path, version: &str, work: &Path, usr_in: &Path) -> Result<Value> {
    fs::write(work.join("VERSION"), format!("{version}\n"))?;
    let file = format!("{version}.tar");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=gnu", "--hard-dereference", "--file"]).arg(source.join(&file));
    tar.arg("--directory").arg(work).arg("VERSION").arg("--directory").arg(usr_in).arg("usr");
    succeeded(&mut tar).context("archive of a system")?;
    let bytes = fs::read(source.join(&file))?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!({
        "version": version, "models": ["nexgo_n92"], "file": file, "size_bytes": bytes.len(),
        "sha256": sha256, "security_fix": false,
    }))
}
