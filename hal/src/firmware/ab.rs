//! Two folders, for systems without RAUC: a symbolic link names the one that stays, a mark the
//! one that the next boots may try.
//!
//! ```text
//! slot-a/ slot-b/    the systems
//! active -> slot-a   stays until another one is committed
//! booted -> slot-a   runs; written by `ab-boot` at every boot
//! trial              "slot-b 2 ID": try it at most twice more; made last, removed first
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, blocking, check_room, trouble},
    download::Image,
    slots::{Interrupted, Pair, Slots},
};
use crate::{
    ErrorCode, Failure, OperationId,
    api::{Call, Cancellation, HalFuture},
};

mod archive;
mod unpack;

const SLOTS: [&str; 2] = ["slot-a", "slot-b"];

/// Where the two folders are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbConfig {
    /// Holds the slots and the marks.
    pub directory: PathBuf,
    /// Boots that a new system has to prove itself.
    pub boot_attempts: u8,
}

#[derive(Debug)]
pub(super) struct AbSlots {
    disk: Disk,
    config: AbConfig,
}

impl AbSlots {
    pub(super) const fn new(disk: Disk, config: AbConfig) -> Self {
        Self { disk, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.config.directory.join(name)
    }

    fn running(&self) -> Result<&'static str, Failure> {
        let booted = fs::read_link(self.path("booted"));
        let target = booted.map_err(|error| unknown(&format!("booted: {error}")))?;
        let known = SLOTS.into_iter().find(|slot| target == Path::new(slot));
        known.ok_or_else(|| unknown(&format!("booted names {}", target.display())))
    }

    fn trial(&self) -> io::Result<String> {
        match fs::read_to_string(self.path("trial")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            text => text,
        }
    }

    async fn write(&self, call: &Call, image: &Image, slot: &str) -> Result<(), Failure> {
        let work = Writing {
            disk: self.disk.clone(),
            directory: self.config.directory.clone(),
            slot: slot.to_owned(),
            image: Arc::clone(&image.file),
            size_bytes: image.size_bytes,
            mark: format!("{slot} {} {}\n", self.config.boot_attempts, call.id),
            cancellation: call.cancellation.clone(),
        };
        let written = blocking(move || work.run()).await;
        written.map_err(|error| trouble("the slot", &error))?
    }
}

impl Slots for AbSlots {
    fn pair(&self) -> HalFuture<'_, Pair> {
        Box::pin(async {
            let running = self.running()?;
            let standby = SLOTS.into_iter().find(|slot| *slot != running).unwrap_or_default();
            Ok(Pair { running: running.to_owned(), standby: standby.to_owned() })
        })
    }

    fn install<'a>(&'a self, call: &'a Call, image: &'a Image, slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(self.write(call, image, slot))
    }

    fn interrupted<'a>(&'a self, id: OperationId, _slot: &'a str) -> HalFuture<'a, Interrupted> {
        Box::pin(async move {
            let trial = self.trial().map_err(|error| trouble("the trial mark", &error))?;
            let words: Vec<_> = trial.split_whitespace().collect();
            let [slot, boots_left, of] = words[..] else { return Ok(Interrupted::Broken) };
            if of != id.to_string() {
                return Ok(Interrupted::Broken);
            }
            // The last boot that it has may be this one.
            let is_given_up = boots_left == "0" && self.running()? != slot;
            Ok(if is_given_up { Interrupted::GivenUp } else { Interrupted::Installed })
        })
    }

    fn confirm(&self) -> HalFuture<'_, ()> {
        // Only boots of a system on trial are counted.
        Box::pin(async { Ok(()) })
    }

    fn commit<'a>(&'a self, slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(async move {
            let stays = self.disk.relink(&self.path("active"), slot);
            let done = stays.and_then(|()| self.disk.remove(&self.path("trial")));
            done.map_err(|error| trouble("the active slot", &error))
        })
    }

    fn reject<'a>(&'a self, _slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(async move {
            let removed = self.disk.remove(&self.path("trial"));
            removed.map_err(|error| trouble("the trial mark", &error))
        })
    }
}

/// Everything that writing a slot needs, in a thread that may wait for the medium.
struct Writing {
    disk: Disk,
    directory: PathBuf,
    slot: String,
    image: Arc<File>,
    size_bytes: u64,
    mark: String,
    cancellation: Cancellation,
}

impl Writing {
    fn run(&self) -> Result<(), Failure> {
        let storage = |error: io::Error| trouble("the slot", &error);
        let entries = archive::check(&self.image)?;
        let (slot, new) =
            (self.directory.join(&self.slot), self.directory.join(format!("{}.new", self.slot)));
        let trial = self.directory.join("trial");
        self.disk.remove(&trial).map_err(storage)?;
        // What an installation that was cut off has left takes room.
        self.disk.remove_folder(&new).map_err(storage)?;
        check_room(&self.directory, self.size_bytes, "the slot")?;
        self.disk.make_folder(&new).map_err(storage)?;
        unpack::unpack(&self.disk, &self.image, &entries, &new, &self.cancellation)?;
        self.disk.remove_folder(&slot).map_err(storage)?;
        self.disk.rename(&new, &slot).map_err(storage)?;
        self.disk.replace(&trial, self.mark.as_bytes()).map_err(storage)
    }
}

fn unknown(problem: &str) -> Failure {
    let reason = format!("which slot runs is not known: {problem}");
    Failure::new(ErrorCode::HalUnavailable, reason)
}
