//! What runs that were killed have left behind.

use std::{fs, path::Path};

use anyhow::Result;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::command::run;

/// Where `ip` keeps the names of namespaces.
const NAMES: &str = "/run/netns";

/// Ends agents in networks whose makers are dead, and removes those networks.
pub(super) fn leftovers() -> Result<()> {
    let Ok(names) = fs::read_dir(NAMES) else { return Ok(()) };
    for name in names {
        let name = name?.file_name().to_string_lossy().into_owned();
        let Some(pid) = maker(&name) else { continue };
        if Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        // Another run may sweep at the same time: what is gone is gone.
        let inside = run("ip", &["netns", "pids", &name], None).unwrap_or_default();
        for process in inside.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        let _ = run("ip", &["netns", "del", &name], None);
    }
    Ok(())
}

/// The process that made a namespace of this name, or `None` when it is not one of ours.
fn maker(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("tn")?.split_once('x')?;
    let number = rest.strip_suffix(['a', 'r'])?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_making_are_swept() {
        assert_eq!(maker("tn4711x3a"), Some(4711));
        assert_eq!(maker("tn4711x12r"), Some(4711));
        for foreign in ["tn4711x3", "tnx3a", "vpn4711x3a", "tn4711xyza", "tn-1x3a"] {
            assert_eq!(maker(foreign), None, "{foreign}");
        }
    }
}
