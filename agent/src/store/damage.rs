//! What is done with a store that cannot be read: moved aside, and told until it is on record.
//!
//! The note is written before the store is moved and deleted after the first commit of the new
//! one, in which the engine puts its report: a crash in between cannot make damage silent.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::{StoreError, While};
use super::place::{self, Place};

/// Damaged stores that are kept for inspection: the newest. Each may be a few megabytes.
pub const DAMAGED_STORES_MAX: usize = 2;
/// Attempts to open that did not return before the store is taken for damaged. Kills and power cuts
/// count as well, and a battery that gives out at every boot brings several in a row; a store that
/// ends every process is given up after five minutes, at ten seconds between starts.
pub(super) const DEATHS_MAX: u64 = 30;

/// A damaged store was found and moved aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What was wrong, for people.
    pub reason: String,
    /// Where the damaged store is now.
    pub moved_to: PathBuf,
}

/// Moves the store aside.
pub(super) fn move_aside(place: &Place, reason: String) -> Result<Damage, StoreError> {
    let damage = Damage { reason, moved_to: free_name(place)? };
    forget_oldest(place)?;
    // A reason is text and a path is almost always: what JSON cannot hold is left out.
    let note = serde_json::to_vec(&damage).unwrap_or_default();
    place::write_file(&place.beside("damage"), &note)?;
    let moved = fs::rename(&place.directory, &damage.moved_to);
    moved.during("moving aside", &place.directory)?;
    place::sync_parent(&place.directory)?;
    Ok(damage)
}

/// Damage that was found before and has not been recorded yet.
pub(super) fn unrecorded(place: &Place) -> Option<Damage> {
    let note = fs::read(place.beside("damage")).ok()?;
    let unreadable = || Damage {
        reason: "the note about the damage cannot be read".to_owned(),
        moved_to: place.parent().to_path_buf(),
    };
    Some(serde_json::from_slice(&note).unwrap_or_else(|_| unreadable()))
}

/// The report about it is durable.
pub(super) fn recorded(place: &Place) -> Result<(), StoreError> {
    place::remove_file(&place.beside("damage"))
}

/// Counts attempts to open that do not return: with `panic = "abort"` a panic of sled ends the
/// process. Returns how many there have been in a row.
pub(super) fn attempt_begins(place: &Place) -> u64 {
    let path = place.beside("opening");
    let deaths = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let deaths: u64 = deaths.unwrap_or(0);
    // Not durable, and left out on a full disk: it only has to outlive the process.
    let _ = fs::write(&path, format!("{}\n", deaths.saturating_add(1)));
    deaths
}

/// The attempt has returned, one way or the other.
pub(super) fn attempt_ends(place: &Place) {
    let _ = fs::remove_file(place.beside("opening"));
}

/// A name with a number above all others. The time in it is for people: the clock may be wrong.
fn free_name(place: &Place) -> Result<PathBuf, StoreError> {
    let number = damaged_stores(place)?.last().map_or(0, |(newest, _)| newest.saturating_add(1));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(place.beside(&format!("damaged-{now}-{number}")))
}

/// Makes room for one more.
fn forget_oldest(place: &Place) -> Result<(), StoreError> {
    let stores = damaged_stores(place)?;
    let excess = stores.len().saturating_sub(DAMAGED_STORES_MAX.saturating_sub(1));
    for (_, path) in stores.iter().take(excess) {
        place::remove_directory(path)?;
    }
    Ok(())
}

/// With their numbers, the newest last.
fn damaged_stores(place: &Place) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let begin = place.beside("damaged-");
    let begin = begin.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = place.parent();
    let mut stores = Vec::new();
    for entry in fs::read_dir(parent).during("reading", parent)? {
        let entry = entry.during("reading", parent)?;
        if let Some(number) = number(&entry.file_name().to_string_lossy(), &begin) {
            stores.push((number, entry.path()));
        }
    }
    stores.sort();
    Ok(stores)
}

fn number(name: &str, begin: &str) -> Option<u64> {
    let (_, number) = name.strip_prefix(begin)?.split_once('-')?;
    number.parse().ok()
}

/// Whether `path` is a directory or something else; `None` for nothing.
pub(super) fn is_directory(path: &Path) -> Result<Option<bool>, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.is_dir())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("looking for", path, error)),
    }
}
