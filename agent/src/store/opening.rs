//! From whatever is on the medium to an open store, or a clear reason why not.

use std::fs;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sled::IVec;
use terminal_core::engine::Snapshot;

use super::damage::{self, Damage};
use super::disk::FORMAT;
use super::error::{Fault, StoreError, While};
use super::journal::Journal;
use super::medium::Medium;
use super::place::{self, Place};

/// What an opening yields.
pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) snapshot: Snapshot,
    pub(super) damage: Option<Damage>,
}

/// Opens the store, makes one where there is none, and moves a damaged one aside.
pub(super) fn open(place: &Place, medium: &dyn Medium) -> Result<Opened, StoreError> {
    place.finish_replacing()?;
    let found = match damage::is_directory(&place.directory)? {
        Some(true) => open_existing(place, medium),
        Some(false) => Err(Fault::Damage("it is not a directory".to_owned())),
        None => create(place, medium).map_err(Fault::Error).and_then(|()| read(place, medium)),
    };
    let (journal, snapshot) = match found {
        Ok(opened) => opened,
        Err(Fault::Error(error)) => return Err(error),
        Err(Fault::Damage(reason)) => {
            damage::move_aside(place, reason)?;
            // Its marks went with it.
            place::remove_file(&place.beside("unsynced"))?;
            create(place, medium)?;
            read(place, medium).map_err(|fault| fault.into_error(&place.directory))?
        }
    };
    Ok(Opened { journal, snapshot, damage: damage::unrecorded(place) })
}

/// Leaves word for the next opening that nobody knows what the medium holds.
pub(super) fn mark_unsynced(place: &Place) {
    // Where even this fails the error that led here still ends the process.
    let _ = place::write_file(&place.beside("unsynced"), b"");
}

/// sled panics on some damage. Where panics abort, the count of attempts that did not return is
/// what finds it.
fn open_existing(place: &Place, medium: &dyn Medium) -> Result<(Journal, Snapshot), Fault> {
    check_format(&place.directory)?;
    let deaths = damage::attempt_begins(place);
    let opened = if deaths < damage::DEATHS_MAX {
        catch_unwind(AssertUnwindSafe(|| read_or_copy(place, medium)))
            .unwrap_or_else(|_| Err(Fault::Damage("opening it ended in a panic".to_owned())))
    } else {
        Err(Fault::Damage(format!("the last {deaths} attempts to open it did not return")))
    };
    damage::attempt_ends(place);
    opened
}

fn read_or_copy(place: &Place, medium: &dyn Medium) -> Result<(Journal, Snapshot), Fault> {
    let mark = place.beside("unsynced");
    if mark.try_exists().during("looking for", &mark)? {
        copy(place, medium)?;
        place::remove_file(&mark)?;
    }
    read(place, medium)
}

fn read(place: &Place, medium: &dyn Medium) -> Result<(Journal, Snapshot), Fault> {
    let journal = Journal::open(&place.directory, medium)?;
    let snapshot = journal.snapshot()?;
    Ok((journal, snapshot))
}

/// The format is a file of its own: an agent that cannot read the rest can still read this, and
/// touches nothing.
fn check_format(directory: &Path) -> Result<(), Fault> {
    let path = directory.join("format");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Fault::Damage("its format is missing".to_owned()));
        }
        Err(error) => return Err(StoreError::io("reading", &path, error).into()),
    };
    let format = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            let path = directory.to_path_buf();
            Err(StoreError::NewerFormat { path, found, known: FORMAT }.into())
        }
        Some(_) | None => Err(Fault::Damage("its format cannot be read".to_owned())),
    }
}

fn create(place: &Place, medium: &dyn Medium) -> Result<(), StoreError> {
    let built = build(place, iter::empty(), medium);
    built.map_err(|fault| fault.into_error(&place.directory))?;
    place.finish_building()
}

/// Replaces the store by a copy: after a failed sync what can be read may not be on the medium.
fn copy(place: &Place, medium: &dyn Medium) -> Result<(), Fault> {
    let old = Journal::open(&place.directory, medium)?;
    build(place, old.entries(), medium)?;
    old.close()?;
    Ok(place.finish_building()?)
}

fn build(
    place: &Place,
    entries: impl Iterator<Item = Result<(IVec, IVec), Fault>>,
    medium: &dyn Medium,
) -> Result<(), Fault> {
    let site = place.building_site()?;
    Journal::create(&site, entries, medium)?;
    Ok(place::write_file(&site.join("format"), format!("{FORMAT}\n").as_bytes())?)
}
