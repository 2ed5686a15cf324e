//! An image without polkit, in which what belongs to the one terminal lies on a data partition: made
//! of the examples that the package brings, as the guide says.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use anyhow::{Result, ensure};

use crate::{root::Root, settings};

/// What the agent asks to restart the device.
const SYSTEMCTL: &str = "usr/libexec/terminal-agent/terminal-agent-systemctl";
/// What restarts it.
const PATH_UNIT: &str = "terminal-agent-reboot.path";
const CONFIG: &str = "etc/terminal-agent/agent.toml";
const TOKEN: &str = "terminal-agent.token";

/// Makes such an image of a system that can be booted, whose configuration ends in `[hal.linux]`.
pub(crate) fn prepare(root: &Root) -> Result<()> {
    settings::append(root, &format!("systemctl = \"/{SYSTEMCTL}\"\n"))?;
    restart_without_polkit(root)?;
    move_to_data_partition(root)
}

fn restart_without_polkit(root: &Root) -> Result<()> {
    let examples = root.path(settings::EXAMPLES);
    symlink("/dev/null", root.path("etc/systemd/system/polkit.service"))?;
    fs::copy(examples.join("terminal-agent-systemctl"), root.path(SYSTEMCTL))?;
    fs::set_permissions(root.path(SYSTEMCTL), fs::Permissions::from_mode(0o755))?;
    fs::copy(examples.join(PATH_UNIT), root.path("etc/systemd/system").join(PATH_UNIT))?;
    let enabled = root.run(&["systemctl", "enable", PATH_UNIT])?;
    ensure!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
    Ok(())
}

/// `/etc` is left without anything to start with.
fn move_to_data_partition(root: &Root) -> Result<()> {
    for folder in ["data/terminal-agent/state", "data/credstore", "var/lib/terminal-agent"] {
        fs::create_dir_all(root.path(folder))?;
    }
    fs::rename(root.path(CONFIG), root.path("data/terminal-agent/agent.toml"))?;
    fs::rename(root.path("etc/credstore").join(TOKEN), root.path("data/credstore").join(TOKEN))?;
    let state = "/data/terminal-agent/state /var/lib/terminal-agent none bind 0 0\n";
    fs::write(root.path("etc/fstab"), state)?;
    let drop_in = fs::read_to_string(root.path(settings::EXAMPLES).join("data-partition.conf"))?;
    ensure!(drop_in.contains(state.trim_end()), "the drop-in names another mount");
    settings::drop_in(root, "data-partition", &drop_in)
}
