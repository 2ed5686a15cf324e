//! What came out of a run, as numbers.

use std::collections::BTreeMap;
use std::fmt;

use crate::check::{Checked, Outcome};
use crate::cut::{Cut, Moment, Remains};
use crate::drive::Event;
use crate::life::Life;

/// Findings that are kept word for word.
const FINDINGS_MAX: usize = 20;

/// Sums over all lives and cuts of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Recorded lives.
    pub lives: u64,
    /// Commits in them.
    pub commits: u64,
    /// Flushes in them, while commits were written.
    pub flushes: u64,
    /// Writes in them, then.
    pub writes: u64,
    /// Bytes in those.
    pub bytes: u64,
    /// Cuts by what they hit.
    pub cuts: BTreeMap<Moment, u64>,
    /// Writes that were not flushed, over all cuts.
    pub unflushed: u64,
    /// Stores that held what they had promised and went on.
    pub held: u64,
    /// Of those: with the commit that was under way.
    pub ahead: u64,
    /// Stores that were as of an earlier commit.
    pub rolled_back: u64,
    /// Most commits that were lost by one of them, or by one that was damaged or did not open.
    pub commits_lost_max: u64,
    /// Stores with a part of a commit.
    pub torn: u64,
    /// Stores that moved themselves aside.
    pub damaged: u64,
    /// Stores that did not open.
    pub unopened: u64,
    /// Stores that held what they had to and did not go on.
    pub stuck: u64,
    /// File systems that had to be repaired first.
    pub repaired: u64,
    /// Cuts after which there was no file system.
    pub no_file_system: u64,
    /// The first things that were not as they must be.
    pub findings: Vec<String>,
}

impl Figures {
    /// All cuts.
    pub fn cuts(&self) -> u64 {
        self.cuts.values().sum()
    }

    /// Cuts after which something was not as it must be.
    pub const fn failures(&self) -> u64 {
        self.rolled_back + self.torn + self.damaged + self.unopened + self.stuck
    }

    /// Every store was looked at and held what it had to. The drive tears the file system itself now
    /// and then, which must not hide the store: one cut in 50, or a single one.
    pub fn is_sound(&self) -> bool {
        let cuts = self.cuts();
        cuts > 0
            && self.held + self.no_file_system == cuts
            && self.no_file_system <= (cuts / 50).max(1)
    }

    /// Cuts after which something that had been promised was gone.
    pub const fn lost(&self) -> u64 {
        self.rolled_back + self.damaged + self.unopened
    }

    /// Counts what was recorded.
    pub fn add_life(&mut self, life: &Life) {
        self.lives += 1;
        let mut opening = true;
        let mut held = None;
        for event in &life.log {
            match event {
                Event::Opening => opening = true,
                Event::Holds(commit) => {
                    self.commits += u64::from(held.is_some_and(|held| held < *commit));
                    held = Some(*commit);
                    opening = false;
                }
                Event::Flush if !opening => self.flushes += 1,
                Event::Write { bytes, .. } if !opening => {
                    self.writes += 1;
                    self.bytes += bytes.len() as u64;
                }
                Event::Flush | Event::Write { .. } => {}
            }
        }
    }

    /// Counts what was found after a cut.
    pub fn add(&mut self, cut: &Cut, remains: &Remains, checked: &Checked) {
        *self.cuts.entry(cut.moment).or_default() += 1;
        self.unflushed += remains.unflushed as u64;
        self.repaired += u64::from(checked.repaired);
        let promised = remains.promised;
        let (counter, lost) = match &checked.outcome {
            Outcome::Holds(commit) => {
                self.ahead += u64::from(*commit > promised);
                (&mut self.held, 0)
            }
            Outcome::RolledBack { to } => (&mut self.rolled_back, promised - to),
            Outcome::Damaged(_) => (&mut self.damaged, promised),
            Outcome::Unopened(_) => (&mut self.unopened, promised),
            Outcome::Torn => (&mut self.torn, 0),
            Outcome::Stuck(_) => (&mut self.stuck, 0),
            Outcome::NoFileSystem(_) => (&mut self.no_file_system, 0),
        };
        *counter += 1;
        self.commits_lost_max = self.commits_lost_max.max(lost);
        let is_as_it_must_be = matches!(checked.outcome, Outcome::Holds(_));
        if !is_as_it_must_be && self.findings.len() < FINDINGS_MAX {
            let outcome = &checked.outcome;
            self.findings.push(format!("{cut:?} after commit {promised}: {outcome:?}"));
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cuts = self.cuts();
        writeln!(formatter, "cuts                          {cuts}")?;
        for (moment, count) in &self.cuts {
            writeln!(formatter, "  while {moment:<22}  {count}")?;
        }
        let lines = [
            ("held what was promised", self.held),
            ("  and the commit under way", self.ahead),
            ("rolled back", self.rolled_back),
            ("half a commit", self.torn),
            ("damaged", self.damaged),
            ("not opened", self.unopened),
            ("did not go on", self.stuck),
            ("most commits lost at once", self.commits_lost_max),
            ("file system repaired first", self.repaired),
            ("no file system", self.no_file_system),
            ("lives recorded", self.lives),
            ("commits recorded", self.commits),
        ];
        for (name, value) in lines {
            writeln!(formatter, "{name:<30}{value}")?;
        }
        let ratios = [
            ("flushes per commit", self.flushes, self.commits),
            ("writes per commit", self.writes, self.commits),
            ("bytes per commit", self.bytes, self.commits),
            ("writes not flushed per cut", self.unflushed, cuts),
        ];
        for (name, sum, count) in ratios {
            writeln!(formatter, "{name:<30}{}", tenths(sum, count))?;
        }
        for finding in &self.findings {
            writeln!(formatter, "! {finding}")?;
        }
        Ok(())
    }
}

fn tenths(sum: u64, count: u64) -> String {
    let tenths = (sum * 10).checked_div(count).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}
