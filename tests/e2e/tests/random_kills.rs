//! `kill -9` of the agent and of the cloud, cut links and cancellations at random moments, with
//! operations of all nine kinds waiting and running: every operation gets exactly one verdict, the
//! verdict is true of what the terminal did, and nothing is done twice.
//!
//! What happened is read from the simulated terminal's own memory, which survives the kills.
//! `E2E_SEED` is the first seed, `E2E_LIVES` the number of sites, one seed each, and `E2E_ROUNDS`
//! the rounds of each site: see the README of this package for the long form.

mod chaos;
mod draw;
mod figures;
mod judge;

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::LocalSet;

use figures::Figures;

/// The same in every run of CI: what fails there can be run again.
const SEED: u64 = 20_441;
/// Sites.
const LIVES: u64 = 2;
/// Rounds of one site. The simulated terminal remembers 64 closes and 32 installations: that
/// bounds what one site can be judged by.
const ROUNDS: u64 = 9;
/// Sites at once: one would spend most of its time waiting.
const AT_ONCE: u64 = 8;

fn setting(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, want a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_cuts_at_random_moments_cost_no_verdict_and_double_no_effect() -> Result<()> {
    let (seed, lives) = (setting("E2E_SEED", SEED), setting("E2E_LIVES", LIVES));
    let rounds = setting("E2E_ROUNDS", ROUNDS);
    println!("E2E_SEED={seed} E2E_LIVES={lives} E2E_ROUNDS={rounds}");
    let begin = Instant::now();
    let mut figures = Figures::default();
    let mut seeds = (seed..seed + lives).peekable();
    while seeds.peek().is_some() {
        let sites = LocalSet::new();
        let some = seeds.by_ref().take(usize::try_from(AT_ONCE)?);
        let running: Vec<_> =
            some.map(|seed| sites.spawn_local(chaos::live(seed, rounds))).collect();
        sites.await;
        for life in running {
            figures.add(life.await??);
        }
        println!("{}", figures.line(begin.elapsed()));
    }
    println!("{figures}");
    ensure!(figures.faults.is_empty(), "{} faults, listed above", figures.faults.len());
    // A run that disturbs nothing proves nothing.
    ensure!(figures.agent_kills >= lives * rounds / 4 && figures.cloud_kills > 0);
    ensure!(figures.verdicts.keys().any(|name| name.contains("COMPLETED")));
    Ok(())
}
