//! What a run counts and prints.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Of one site, or of all.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) rounds: u64,
    pub(super) agent_kills: u64,
    pub(super) cloud_kills: u64,
    pub(super) cuts: u64,
    pub(super) cancels: u64,
    pub(super) operations: u64,
    /// Operations that took more than one attempt.
    pub(super) rerun: u64,
    /// By kind and status or code.
    pub(super) verdicts: BTreeMap<String, u64>,
    pub(super) doubled: u64,
    pub(super) stuck: u64,
    /// What must not be, in words, with the seed.
    pub(super) faults: Vec<String>,
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.agent_kills += other.agent_kills;
        self.cloud_kills += other.cloud_kills;
        self.cuts += other.cuts;
        self.cancels += other.cancels;
        self.operations += other.operations;
        self.rerun += other.rerun;
        self.doubled += other.doubled;
        self.stuck += other.stuck;
        self.faults.extend(other.faults);
        for (name, count) in other.verdicts {
            *self.verdicts.entry(name).or_default() += count;
        }
    }

    /// The totals.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let Self { rounds, agent_kills, cloud_kills, cuts, cancels, operations, .. } = self;
        let Self { rerun, doubled, stuck, .. } = self;
        let seconds = elapsed.as_secs_f64();
        let per_second = f64::from(u32::try_from(*rounds).unwrap_or(u32::MAX)) / seconds;
        format!(
            "{rounds} rounds in {seconds:.0} s ({per_second:.1}/s): {agent_kills} kills of the \
             agent, {cloud_kills} of the cloud, {cuts} cut links, {cancels} cancels; {operations} \
             operations, {rerun} with several attempts, {doubled} doubled, {stuck} stuck, {} faults",
            self.faults.len()
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.verdicts {
            writeln!(f, "{count:6}  {name}")?;
        }
        for fault in &self.faults {
            writeln!(f, "FAULT {fault}")?;
        }
        Ok(())
    }
}
