//! Why the device booted: what software has left behind for this boot, what the firmware says,
//! what the watchdog remembers, in this order. The engine adds what it knows of its own requests.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BootConfig,
    root::{Root, text_of},
};
use crate::{BootId, operation::reboot::BootReason};

/// Bits of a watchdog's `bootstatus`, as `linux/watchdog.h` has them.
const WDIOF_POWERUNDER: u32 = 0x10;
const WDIOF_CARDRESET: u32 = 0x20;

pub(super) fn reason(config: &BootConfig, root: &Root, boot_id: BootId) -> BootReason {
    if is_daily(config, boot_id) {
        return BootReason::Daily;
    }
    let told = config.cause_file.as_deref().and_then(told_by_firmware);
    told.or_else(|| told_by_watchdog(root)).unwrap_or(BootReason::Unknown)
}

/// One word; one that nobody knows says nothing.
fn told_by_firmware(file: &Path) -> Option<BootReason> {
    let word = text_of(file)?;
    serde_json::from_value(Value::from(word)).ok().filter(|reason| *reason != BootReason::Unknown)
}

fn told_by_watchdog(root: &Root) -> Option<BootReason> {
    const FOLDER: &str = "sys/class/watchdog";
    let names = root.entries(FOLDER);
    let status = names.iter().filter_map(|name| {
        // The text is a decimal number.
        root.number::<u32>(&format!("{FOLDER}/{name}/bootstatus"))
    });
    let bits = status.fold(0, |all, bits| all | bits);
    if bits & WDIOF_CARDRESET != 0 {
        Some(BootReason::Watchdog)
    } else if bits & WDIOF_POWERUNDER != 0 {
        Some(BootReason::Power)
    } else {
        None
    }
}

/// What was seen when this boot was first asked about.
#[derive(Serialize, Deserialize)]
struct Memory {
    boot_id: BootId,
    is_daily: bool,
    /// The last boot that a mark has ended.
    ended: Option<BootId>,
}

/// Whether a mark has been written since the boot before was asked about. Nobody has to remove it.
fn is_daily(config: &BootConfig, boot_id: BootId) -> bool {
    let Some(mark) = &config.daily_mark else { return false };
    let memory = recall(&config.memory);
    if let Some(memory) = memory.as_ref().filter(|memory| memory.boot_id == boot_id) {
        return memory.is_daily;
    }
    let marked = text_of(mark).and_then(|text| uuid::Uuid::parse_str(&text).ok()).map(BootId);
    // That of this boot is about its end, which is to come.
    let ended = marked.filter(|ended| *ended != boot_id);
    // Without a memory a mark may be of any age.
    let seen = memory.as_ref().map(|memory| memory.ended);
    let is_daily = ended.is_some() && seen.is_some_and(|seen| seen != ended);
    let ended = ended.or(seen.flatten());
    if let Err(error) = remember(&config.memory, &Memory { boot_id, is_daily, ended }) {
        let path = config.memory.display();
        tracing::warn!(%error, %path, "cannot remember why the device booted");
    }
    is_daily
}

fn recall(file: &Path) -> Option<Memory> {
    serde_json::from_str(&text_of(file)?).ok()
}

/// A power cut may lose it: the next boot then counts as one of unknown reason.
fn remember(file: &Path, memory: &Memory) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(memory)?)?;
    fs::rename(new, file)
}
