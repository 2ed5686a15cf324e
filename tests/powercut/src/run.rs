//! A whole run: stores with several lives, each life cut many times, the next life begun on what
//! one of the cuts left.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::check::{Outcome, check};
use crate::cut::{self, Cutter};
use crate::dice::Dice;
use crate::figures::Figures;
use crate::ground::Ground;
use crate::image::Image;
use crate::life::{empty_ext4, record};
use crate::silence::Call;
use crate::unrest::Unrest;
use crate::worker::Job;

/// Small enough to copy for every cut, large enough for the reserve of the store.
const MEDIUM_BYTES: u64 = 48 << 20;
const PURPOSE: u64 = 2;

/// How long a terminal lives between two power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Long enough for sled to write its segments over and over.
    Steady,
    /// The power goes again as soon as it has come, again and again.
    Flapping,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program whose `work` subcommand is the worker.
    pub program: PathBuf,
    /// Power cuts in all.
    pub cuts: usize,
    /// How long lives are.
    pub supply: Supply,
    /// Of everything that is chosen.
    pub seed: u64,
    /// Calls that the worker's kernel does not carry out.
    pub without: Vec<Call>,
    /// Where to keep the media that were found wanting.
    pub keep: Option<PathBuf>,
}

impl Supply {
    const fn commits_per_life(self) -> u64 {
        match self {
            // sled's segments are half a megabyte: several of them.
            Self::Steady => 200,
            Self::Flapping => 3,
        }
    }

    const fn cuts_per_life(self) -> usize {
        match self {
            Self::Steady => 20,
            Self::Flapping => 2,
        }
    }

    /// Each but the first begins after a power cut.
    const fn lives_per_store(self) -> u64 {
        match self {
            Self::Steady => 5,
            Self::Flapping => 40,
        }
    }
}

/// A medium that the power comes back to.
struct Start {
    image: Image,
    promised: u64,
    holds: u64,
    seed: u64,
    lives: u64,
}

/// Does it. `progress` is told the figures after each life.
///
/// # Errors
///
/// When the machine fails, or the store does without a power cut. What the store does after one is
/// in the figures.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Figures)) -> Result<Figures> {
    let ground = Ground::new()?;
    let empty = empty_ext4(&ground, MEDIUM_BYTES)?;
    let mut dice = Dice::new(plan.seed, PURPOSE);
    let mut figures = Figures::default();
    let mut next: Option<Start> = None;
    let mut left = plan.cuts;
    while left > 0 {
        let seed = dice.number();
        let start = next.take().filter(|start| start.lives < plan.supply.lives_per_store());
        let start = start.unwrap_or_else(|| Start::new(empty.clone(), seed));
        let cuts = left.min(plan.supply.cuts_per_life());
        next = live(&ground, plan, start, cuts, &mut dice, &mut figures)?;
        left -= cuts;
        progress(&figures);
    }
    Ok(figures)
}

impl Start {
    const fn new(image: Image, seed: u64) -> Self {
        Self { image, promised: 0, holds: 0, seed, lives: 0 }
    }
}

/// Records one life and cuts it. Returns what one of the cuts left.
fn live(
    ground: &Ground,
    plan: &Plan,
    start: Start,
    cuts: usize,
    dice: &mut Dice,
    figures: &mut Figures,
) -> Result<Option<Start>> {
    let Start { image, promised, holds, seed, lives } = start;
    let job = Job {
        store: PathBuf::new(),
        seed,
        begin: holds,
        commits: plan.supply.commits_per_life(),
        without: plan.without.clone(),
    };
    let unrest = Unrest::any(dice);
    let life = record(ground, &plan.program, image, promised, unrest, job)?;
    figures.add_life(&life);
    let cuts = cut::choose(&life, cuts, dice);
    // Any, or the one that leaves the next opening the most to put in order.
    let any = dice.chance(50).then(|| dice.place(cuts.len()));
    let mut next = None;
    let mut most = 0;
    let mut cutter = Cutter::new(&life);
    for (index, cut) in cuts.iter().enumerate() {
        let remains = cutter.cut(cut, dice);
        let checked = check(ground, &remains.image, seed, remains.promised)?;
        figures.add(cut, &remains, &checked);
        if let Outcome::Holds(holds) = checked.outcome {
            let is_heir = any.map_or(remains.unflushed >= most, |any| index == any);
            if is_heir && !checked.repaired {
                most = remains.unflushed;
                let (image, promised) = (remains.image, remains.promised);
                next = Some(Start { image, promised, holds, seed, lives: lives + 1 });
            }
        } else if let Some(directory) = &plan.keep {
            keep(directory, &remains.image, figures.cuts())?;
        }
    }
    Ok(next)
}

fn keep(directory: &Path, image: &Image, number: u64) -> Result<()> {
    fs::create_dir_all(directory).context("making the directory of what is kept")?;
    image.save(&directory.join(format!("cut-{number}.ext4"))).context("keeping an image")
}
