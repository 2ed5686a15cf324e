//! The long form: `cargo run --profile bench -p terminal-simulation -- --lives 1000000`.

use std::{process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use terminal_simulation::{
    generate,
    life::tell,
    lives::{Lives, live_many},
    log::Violation,
    plan::Plan,
    shrink::shrink,
};

const USAGE: &str = "\
usage: terminal-simulation [--lives N] [--seed N] [--threads N] [--counts]
       terminal-simulation --plan FILE | --show SEED

  --lives N    how many lives, 100000
  --seed N     seed of the first one, 1
  --threads N  on how many threads, 2
  --counts     print what happened, counted
  --plan FILE  live one plan and tell its story
  --show SEED  the same with the plan of a seed
";

/// Lives between two lines of progress.
const PROGRESS_LIVES: u64 = 50_000;

struct Options {
    lives: u64,
    seed: u64,
    threads: usize,
    counts: bool,
    plan: Option<Plan>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("terminal-simulation: {error:#}");
            ExitCode::from(64)
        }
    }
}

fn run() -> Result<bool> {
    let Some(options) = arguments()? else {
        print!("{USAGE}");
        return Ok(true);
    };
    if let Some(plan) = &options.plan {
        let life = tell(plan);
        for line in life.story {
            println!("{line}");
        }
        println!("{}", serde_json::to_string_pretty(plan)?);
        return Ok(life.violation.is_none());
    }
    let begin = Instant::now();
    let mut all = Lives::default();
    while all.lived < options.lives && all.failures.is_empty() {
        let count = PROGRESS_LIVES.min(options.lives - all.lived);
        let more = live_many(options.seed.wrapping_add(all.lived), count, options.threads);
        all.lived += more.lived;
        all.ms += more.ms;
        all.counters.add(&more.counters);
        all.failed += more.failed;
        all.failures = more.failures;
        progress(&all, begin);
    }
    if options.counts {
        print!("{}", all.counters);
    }
    if let Some((seed, plan, violation)) = all.failures.first() {
        show(*seed, plan, violation)?;
    }
    for (seed, _, violation) in &all.failures {
        println!("seed {seed}: {} {}", violation.check, violation.detail);
    }
    println!("{} lives failed", all.failed);
    Ok(all.failed == 0)
}

fn progress(all: &Lives, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "only to be read")]
    let (rate, days) = (all.lived as f64 / seconds, all.ms as f64 / 86_400_000.0);
    println!("{} lives, {rate:.0}/s, {days:.0} virtual days, {seconds:.0} s", all.lived);
}

fn show(seed: u64, plan: &Plan, violation: &Violation) -> Result<()> {
    let (small, violation) = shrink(plan, violation);
    for line in tell(&small).story {
        println!("{line}");
    }
    println!("\nseed {seed} fails {}: {}\n", violation.check, violation.detail);
    println!("the plan, {} items of {}:", small.items.len(), plan.items.len());
    println!("{}", serde_json::to_string_pretty(&small)?);
    Ok(())
}

fn arguments() -> Result<Option<Options>> {
    let mut options = Options { lives: 100_000, seed: 1, threads: 2, counts: false, plan: None };
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("lives") => options.lives = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("threads") => options.threads = parser.value()?.parse()?,
            Arg::Long("counts") => options.counts = true,
            Arg::Long("show") => options.plan = Some(generate::plan(parser.value()?.parse()?)),
            Arg::Long("plan") => {
                let file = parser.value()?.string()?;
                let text = std::fs::read(&file).with_context(|| format!("cannot read {file}"))?;
                let plan = serde_json::from_slice(&text);
                options.plan = Some(plan.with_context(|| format!("{file} is not a plan"))?);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            other => bail!("{}", other.unexpected()),
        }
    }
    Ok(Some(options))
}
