//! What has happened, counted: a run in which something never happens proves nothing about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How often each thing has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<(&'static str, &'static str), u64>);

impl Counters {
    /// One more of `name` in `group`.
    pub fn count(&mut self, group: &'static str, name: &'static str) {
        *self.0.entry((group, name)).or_default() += 1;
    }

    /// How often.
    pub fn of(&self, group: &str, name: &str) -> u64 {
        self.0.get(&(group, name)).copied().unwrap_or(0)
    }

    /// The names of a group that occurred.
    pub fn names(&self, group: &str) -> BTreeSet<&'static str> {
        self.0.keys().filter(|(of, _)| *of == group).map(|(_, name)| *name).collect()
    }

    /// Adds those of another life.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((group, name), count) in &self.0 {
            writeln!(f, "{count:>12}  {group}: {name}")?;
        }
        Ok(())
    }
}
