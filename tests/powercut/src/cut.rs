//! What a power cut leaves on the medium.
//!
//! A drive with a volatile cache keeps what was written before a completed flush. Every write after
//! it is on the medium, or not, or partly, each on its own: the cache is emptied in any order. Only
//! where two writes went to the same sector does the later one stay on top.

use std::fmt;

use crate::dice::Dice;
use crate::drive::{Event, SECTOR_BYTES};
use crate::image::Image;
use crate::life::Life;

/// What becomes of writes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Lost, all of them.
    All,
    /// On the medium, all of them.
    None,
    /// One in two is whole or torn on the medium.
    Half,
    /// One in ten is.
    Most,
    /// Nine in ten are.
    Few,
    /// One is lost, the others are whole.
    One,
    /// One is whole, the others are lost.
    AllButOne,
    /// Those up to some point are lost, those after it are whole: the order turned round.
    Early,
}

impl Loss {
    const ALL: [Self; 8] = [
        Self::All,
        Self::None,
        Self::Half,
        Self::Most,
        Self::Few,
        Self::One,
        Self::AllButOne,
        Self::Early,
    ];
}

/// What the worker was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Making a new store.
    Creating,
    /// Opening one that is there, perhaps after another power cut.
    Opening,
    /// Writing commits.
    Writing,
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Creating => "creating",
            Self::Opening => "opening",
            Self::Writing => "writing",
        })
    }
}

/// One power cut in a recorded life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Events before it.
    pub at: usize,
    /// What it does.
    pub loss: Loss,
    /// What it hits.
    pub moment: Moment,
}

/// Chooses `count` cuts of a life, in their order. Every part of it is hit: the first opening, the
/// other ones, the flushes that had the most to do, and all the rest.
pub fn choose(life: &Life, count: usize, dice: &mut Dice) -> Vec<Cut> {
    let openings = openings(&life.log);
    let crowds = crowds(&life.log);
    let mut cuts = Vec::new();
    for _ in 0..count {
        let window = match dice.below(100) {
            0..20 => openings.first().copied(),
            20..40 => openings.get(dice.place(openings.len())).copied(),
            40..65 => crowds.get(dice.place(crowds.len())).copied(),
            _ => None,
        };
        let (begin, end) = window.unwrap_or((0, life.log.len()));
        let mut at = begin + dice.place(end - begin) + 1;
        if dice.chance(50) {
            // As much as possible has been written and not flushed.
            let rest = life.log.get(at..).unwrap_or_default();
            let flush = rest.iter().position(|event| *event == Event::Flush);
            at += flush.unwrap_or(0);
        }
        let opening = openings.iter().position(|(begin, end)| (*begin..*end).contains(&at));
        let moment = match opening {
            Some(0) if is_new(life) => Moment::Creating,
            Some(_) => Moment::Opening,
            None => Moment::Writing,
        };
        let loss = Loss::ALL.get(dice.place(Loss::ALL.len())).copied().unwrap_or(Loss::All);
        cuts.push(Cut { at, loss, moment });
    }
    cuts.sort_by_key(|cut| cut.at);
    cuts
}

/// From one flush to the next, the tenth with the most writes: there the order matters most, as
/// where a commit goes on in a part of the file that another one has just made free.
fn crowds(log: &[Event]) -> Vec<(usize, usize)> {
    let mut crowds = Vec::new();
    let (mut begin, mut writes) = (0, 0);
    for (index, event) in log.iter().enumerate() {
        match event {
            Event::Write { .. } => writes += 1,
            Event::Flush => {
                crowds.push((writes, begin, index));
                (begin, writes) = (index, 0);
            }
            Event::Opening | Event::Holds(_) => {}
        }
    }
    crowds.sort_unstable_by(|one, other| other.cmp(one));
    crowds.truncate(crowds.len().div_ceil(10));
    crowds.into_iter().map(|(_, begin, end)| (begin, end)).collect()
}

/// Whether the life began without a store.
fn is_new(life: &Life) -> bool {
    life.log.iter().find(|event| matches!(event, Event::Holds(_))) == Some(&Event::Holds(0))
}

/// From the word that the store is going to be opened to the word that it is.
fn openings(log: &[Event]) -> Vec<(usize, usize)> {
    let mut openings = Vec::new();
    let mut begin = None;
    for (index, event) in log.iter().enumerate() {
        match event {
            Event::Opening => begin = Some(index),
            Event::Holds(_) => openings.extend(begin.take().map(|begin| (begin, index))),
            Event::Write { .. } | Event::Flush => {}
        }
    }
    openings
}

/// What is left after a cut.
#[derive(Clone, Debug)]
pub struct Remains {
    /// The medium.
    pub image: Image,
    /// Commit that the worker had been promised.
    pub promised: u64,
    /// Writes that were not flushed.
    pub unflushed: usize,
}

/// Cuts one life, again and again, later and later.
#[derive(Debug)]
pub struct Cutter<'a> {
    life: &'a Life,
    /// The medium after the flushes so far.
    flushed: Image,
    /// Events that are in it.
    events: usize,
    promised: u64,
}

impl<'a> Cutter<'a> {
    /// Begins with the medium as the life found it.
    pub fn new(life: &'a Life) -> Self {
        Self { life, flushed: life.base.clone(), events: 0, promised: life.promised }
    }

    /// The medium after a cut that is not before the last one.
    pub fn cut(&mut self, cut: &Cut, dice: &mut Dice) -> Remains {
        let log = self.life.log.get(self.events..cut.at).unwrap_or_default();
        let flushed = log.iter().rposition(|event| *event == Event::Flush).map_or(0, |n| n + 1);
        let (before, after) = log.split_at(flushed);
        for event in before {
            self.keep(event);
        }
        self.events += flushed;

        let mut remains =
            Remains { image: self.flushed.clone(), promised: self.promised, unflushed: 0 };
        let mut writes = Vec::new();
        for event in after {
            match event {
                Event::Write { offset, bytes } => writes.push((*offset, &**bytes)),
                Event::Holds(commit) => remains.promised = *commit,
                Event::Flush | Event::Opening => {}
            }
        }
        remains.unflushed = writes.len();
        lose(&mut remains.image, &writes, cut.loss, dice);
        remains
    }

    fn keep(&mut self, event: &Event) {
        match event {
            Event::Write { offset, bytes } => self.flushed.write(*offset, bytes),
            Event::Holds(commit) => self.promised = *commit,
            Event::Flush | Event::Opening => {}
        }
    }
}

/// Puts on the medium what is not lost of these writes.
fn lose(image: &mut Image, writes: &[(u64, &[u8])], loss: Loss, dice: &mut Dice) {
    let chosen = dice.place(writes.len());
    for (index, (offset, bytes)) in writes.iter().enumerate() {
        let percent_kept = match loss {
            Loss::All => 0,
            Loss::None => 100,
            Loss::One => u64::from(index != chosen) * 100,
            Loss::AllButOne => u64::from(index == chosen) * 100,
            Loss::Early => u64::from(index > chosen) * 100,
            Loss::Half => 50,
            Loss::Most => 10,
            Loss::Few => 90,
        };
        if !dice.chance(percent_kept) {
            continue;
        }
        if percent_kept < 100 && dice.chance(50) {
            tear(image, *offset, bytes, dice);
        } else {
            image.write(*offset, bytes);
        }
    }
}

/// Some sectors of a write: the first ones, or any.
fn tear(image: &mut Image, offset: u64, bytes: &[u8], dice: &mut Dice) {
    let sectors = bytes.len().div_ceil(SECTOR_BYTES);
    let first = dice.chance(50).then(|| dice.place(sectors));
    for (sector, piece) in bytes.chunks(SECTOR_BYTES).enumerate() {
        let is_kept = match first {
            Some(count) => sector < count,
            None => dice.chance(50),
        };
        if is_kept {
            image.write(offset + (sector * SECTOR_BYTES) as u64, piece);
        }
    }
}

#[cfg(test)]
mod tests;
