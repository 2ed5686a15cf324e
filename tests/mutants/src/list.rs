//! The list of mutants, `mutants.toml`.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One change for the worse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What it does wrong, in a few words; unique.
    pub name: String,
    /// The file it changes, from the root of the workspace.
    pub file: String,
    /// Text that is in that file exactly once.
    pub old: String,
    /// What stands there instead.
    pub new: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

impl Mutant {
    /// The text of the file with the change.
    pub fn applied_to(&self, text: &str) -> Result<String> {
        let times = text.matches(&self.old).count();
        let (name, file) = (&self.name, &self.file);
        ensure!(times == 1, "{name}: what it replaces is {times} times in {file}, not once");
        ensure!(self.old != self.new, "{name}: changes nothing");
        Ok(text.replacen(&self.old, &self.new, 1))
    }
}

/// All mutants.
pub fn mutants() -> Result<Vec<Mutant>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let list: List = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let names: BTreeSet<&str> = list.mutant.iter().map(|mutant| mutant.name.as_str()).collect();
    ensure!(names.len() == list.mutant.len(), "two mutants have the same name");
    Ok(list.mutant)
}
