//! What the store makes of a medium after a power cut.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use terminal_agent::store::{Store, StoreLimits};

use crate::ground::Ground;
use crate::image::Image;
use crate::life::STORE;
use crate::model::Model;
use crate::mounted::{Mounted, repair_ext4};
use crate::workload::Workload;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exactly what some commit left, and that is the last one promised or the one after it; and
    /// the store goes on from there.
    Holds(u64),
    /// Exactly what an earlier commit left.
    RolledBack {
        /// That commit.
        to: u64,
    },
    /// No commit left that: a part of one.
    Torn,
    /// The store moved itself aside.
    Damaged(String),
    /// The store could not be opened.
    Unopened(String),
    /// It was opened and holds what it must, but does not go on.
    Stuck(String),
    /// There was no file system to look for a store on. That is not the store's fault.
    NoFileSystem(String),
}

/// One look at one medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was found.
    pub outcome: Outcome,
    /// The file system could only be mounted after a repair.
    pub repaired: bool,
}

/// Mounts the medium and looks at the store on it.
///
/// # Errors
///
/// When the machine fails, not the medium.
pub fn check(ground: &Ground, image: &Image, seed: u64, promised: u64) -> Result<Checked> {
    let path = ground.path("cut.ext4");
    let directory = ground.directory("cut")?;
    image.save(&path).context("writing the image")?;
    let mut repaired = false;
    let mounted = Mounted::new(&path, &directory).or_else(|_| {
        repaired = true;
        repair_ext4(&path)?;
        Mounted::new(&path, &directory)
    });
    let outcome = match mounted {
        Ok(mounted) => {
            let outcome = judge(&directory.join(STORE), seed, promised);
            mounted.unmount()?;
            outcome
        }
        Err(error) => Outcome::NoFileSystem(format!("{error:#}")),
    };
    // By name: the loop device of this image may still be on its way out, and the next image must
    // not be taken for it.
    fs::remove_file(&path).context("removing the image")?;
    Ok(Checked { outcome, repaired })
}

fn judge(store: &Path, seed: u64, promised: u64) -> Outcome {
    // A panic of the store is a finding, not the end of the test.
    match catch_unwind(AssertUnwindSafe(|| look(store, seed, promised))) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Unopened(format!("{error:#}")),
        Err(_) => Outcome::Unopened("it panicked".to_owned()),
    }
}

fn look(path: &Path, seed: u64, promised: u64) -> Result<Outcome> {
    let opened = Store::open(path, StoreLimits::default())?;
    if let Some(damage) = opened.damage {
        return Ok(Outcome::Damaged(damage.reason));
    }
    let found = Model::read(&opened)?;
    drop(opened);
    let mut workload = Workload::new(seed);
    while *workload.model() != found {
        if workload.commits() > promised {
            return Ok(Outcome::Torn);
        }
        workload.commit();
    }
    if workload.commits() < promised {
        return Ok(Outcome::RolledBack { to: workload.commits() });
    }
    let holds = workload.commits();
    Ok(match go_on(path, workload) {
        Ok(()) => Outcome::Holds(holds),
        Err(error) => Outcome::Stuck(format!("{error:#}")),
    })
}

/// The next commit can be made, and is there after another opening.
fn go_on(path: &Path, mut workload: Workload) -> Result<()> {
    let mut opened = Store::open(path, StoreLimits::default()).context("opening it again")?;
    opened.store.append(&workload.commit()).context("the next commit")?;
    drop(opened);
    let opened = Store::open(path, StoreLimits::default()).context("opening it a third time")?;
    ensure!(opened.damage.is_none(), "damaged after the next commit: {:?}", opened.damage);
    ensure!(Model::read(&opened)? == *workload.model(), "the next commit is not there");
    Ok(())
}
