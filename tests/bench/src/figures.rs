//! The table, for the screen and for the README.

use std::{fmt, fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// One line of the table.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    target: Target,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Nothing: the figure explains another one.
    None,
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// At least this part of the floor.
    PartOfFloor(f64),
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, floor: None, target: Target::None }
    }

    pub(crate) fn ms(name: impl Into<String>, value: Duration) -> Self {
        Self::new(name, value.as_secs_f64() * 1e3, "ms")
    }

    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(crate) fn floor_ms(self, floor: Duration) -> Self {
        self.floor(floor.as_secs_f64() * 1e3)
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.value / floor)
    }

    fn met(&self) -> &'static str {
        let met = match self.target {
            Target::None => return "",
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::PartOfFloor(part) => self.ratio().is_some_and(|ratio| ratio >= part),
        };
        if met { "yes" } else { "**no**" }
    }

    fn cells(&self) -> [String; 6] {
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        [
            self.name.clone(),
            format!("{} {}", short(self.value), self.unit).trim_end().to_owned(),
            self.floor.map(short).unwrap_or_default(),
            ratio,
            self.target.to_string(),
            self.met().to_owned(),
        ]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(most) => write!(f, "≤ {}", short(*most)),
            Self::AtLeast(least) => write!(f, "≥ {}", short(*least)),
            Self::PartOfFloor(part) => write!(f, "≥ {:.0} % of floor", part * 100.0),
        }
    }
}

/// Three significant digits are more than a busy machine can give.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All figures, as a Markdown table with aligned columns.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "value", "floor", "ratio", "target", "met"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} "));
        text += &format!("|{}|\n", cells.collect::<Vec<_>>().join("|"));
        if number == 0 {
            let rule = widths.iter().map(|width| "-".repeat(width + 2));
            text += &format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
        }
    }
    text
}

const BEGIN: &str = "<!-- figures: written by --write-readme -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Replaces the table of the README.
pub(crate) fn write_readme(text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(BEGIN).context("no place for figures")?;
    let (_, after) = rest.split_once(END).context("no end of figures")?;
    Ok(fs::write(path, format!("{before}{BEGIN}\n{text}\n{END}{after}"))?)
}
