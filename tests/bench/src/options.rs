//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::plan::Plan;

/// First argument of the process that a floor is measured with.
pub(crate) const FLOOR_CLIENT: &str = "--floor-client";

/// What to do.
pub enum Options {
    /// Measure.
    Measure(Plan),
    /// Be the other end of a floor.
    FloorClient {
        /// Where the bench listens.
        port: u16,
        /// Whom to trust.
        ca_file: PathBuf,
        /// Where to append.
        file: PathBuf,
    },
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut plan = Plan::full();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--short" => plan = Plan::short(),
                "--write-readme" => plan.write_readme = true,
                "--log-level" => plan.log_level = arguments.next().context("want a level")?,
                // What cargo itself adds.
                "--bench" => {}
                FLOOR_CLIENT => {
                    let mut next = || arguments.next().context("want a port and two files");
                    let port = next()?.parse()?;
                    return Ok(Self::FloorClient {
                        port,
                        ca_file: next()?.into(),
                        file: next()?.into(),
                    });
                }
                other => bail!("got {other:?}, want --short, --write-readme or --log-level LEVEL"),
            }
        }
        Ok(Self::Measure(plan))
    }
}
