//! `terminal-storm`: a fleet loses its cloud, for real or a million at a time.

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, anyhow, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use terminal_core::engine::BackoffSettings;
use terminal_storm::{
    Jitter,
    fleet::{self, Plan, Restart, Unavailable},
    million,
    simulated::Fleet,
};

const USAGE: &str = "\
terminal-storm fleet        real links against a simulated cloud that goes away
    --links N               2000, at most 4000
    --outage-s N            least time without a cloud, 10
    --planned AFTER SPREAD  reconnect before the cloud stops, in seconds; otherwise it is killed
    --unavailable S RETRY   503 with Retry-After RETRY for S seconds after the return
terminal-storm million      engines in virtual time
    --terminals N           1000000
    --admit N               what a limited cloud lets in per second, 5000
    --no-jitter             everybody tries in the middle of every window
    --pictures              draw every return
both
    --base-ms N             first window, 2000
    --cap-s N               longest window, 300
    --seed N                1
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terminal-storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut parser = Parser::from_env();
    match parser.next()? {
        Some(Arg::Value(word)) if word == "fleet" => storm(&mut parser),
        Some(Arg::Value(word)) if word == "million" => simulate(&mut parser),
        Some(Arg::Value(word)) if word == "cloud" => {
            let directory = PathBuf::from(parser.value()?);
            fleet::serve(&directory, parser.value()?.parse()?)
        }
        Some(Arg::Long("help") | Arg::Short('h')) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("want fleet or million\n\n{USAGE}"),
    }
}

fn storm(parser: &mut Parser) -> Result<()> {
    let mut plan = Plan {
        links: 2_000,
        restart: Restart::Crash,
        outage: Duration::from_secs(10),
        unavailable: None,
        backoff: BackoffSettings::default(),
        seed: 1,
        program: env::current_exe()?,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("links") => plan.links = parser.value()?.parse()?,
            Arg::Long("outage-s") => plan.outage = Duration::from_secs(parser.value()?.parse()?),
            Arg::Long("planned") => {
                let after_s = parser.value()?.parse()?;
                plan.restart = Restart::Planned { after_s, spread_s: parser.value()?.parse()? };
            }
            Arg::Long("unavailable") => {
                let lasts = Duration::from_secs(parser.value()?.parse()?);
                let retry_after_s = parser.value()?.parse()?;
                plan.unavailable = Some(Unavailable { lasts, retry_after_s });
            }
            Arg::Long("base-ms") => plan.backoff.base_ms = parser.value()?.parse()?,
            Arg::Long("cap-s") => plan.backoff.cap_ms = seconds(parser)?,
            Arg::Long("seed") => plan.seed = parser.value()?.parse()?,
            _ => return Err(anyhow!("{}\n\n{USAGE}", argument.unexpected())),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(fleet::run(&plan))?;
    println!("{report}");
    let (hasty, lost_again) = (report.hasty, report.lost_again);
    ensure!(hasty == 0, "{hasty} attempts came before the time that the cloud had named");
    ensure!(lost_again == 0, "{lost_again} links were lost again after the return");
    Ok(())
}

fn simulate(parser: &mut Parser) -> Result<()> {
    let mut request = million::Request {
        fleet: Fleet { terminals: 1_000_000, seed: 1, jitter: Jitter::Full },
        backoff: BackoffSettings::default(),
        admitted_per_s: 5_000,
        pictures: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("terminals") => request.fleet.terminals = parser.value()?.parse()?,
            Arg::Long("admit") => request.admitted_per_s = parser.value()?.parse()?,
            Arg::Long("no-jitter") => request.fleet.jitter = Jitter::None,
            Arg::Long("pictures") => request.pictures = true,
            Arg::Long("base-ms") => request.backoff.base_ms = parser.value()?.parse()?,
            Arg::Long("cap-s") => request.backoff.cap_ms = seconds(parser)?,
            Arg::Long("seed") => request.fleet.seed = parser.value()?.parse()?,
            _ => return Err(anyhow!("{}\n\n{USAGE}", argument.unexpected())),
        }
    }
    million::run(&request)
}

/// The next value, seconds, in milliseconds.
fn seconds(parser: &mut Parser) -> Result<u64> {
    let seconds: u64 = parser.value()?.parse()?;
    Ok(seconds.saturating_mul(1000))
}
