//! Every simulated story, as a table.

use anyhow::{Result, ensure};
use terminal_core::engine::BackoffSettings;

use crate::Jitter;
use crate::simulated::{
    Fleet, Outcome, Scenario,
    admission::{self, Admission, Answer, Limited},
    play,
};

/// Most that a peak may be above an even spread.
pub const RATIO_MAX: f64 = 1.5;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// To whom it happens.
    pub fleet: Fleet,
    /// Settings of every terminal.
    pub backoff: BackoffSettings,
    /// Terminals that the limited cloud lets in per second.
    pub admitted_per_s: u32,
    /// Whether to draw pictures.
    pub pictures: bool,
}

/// Plays every story, and prints each as soon as it is over.
///
/// # Errors
/// When the limit is too low for the fleet, or a fleet with jitter returns less evenly than
/// [`RATIO_MAX`]; of a small one chance alone can make such a peak.
pub fn run(request: &Request) -> Result<()> {
    let Request { fleet, backoff, .. } = *request;
    let Fleet { terminals, seed, jitter } = fleet;
    let BackoffSettings { base_ms, cap_ms } = backoff;
    println!(
        "{terminals} terminals, seed {seed}, jitter {jitter:?}, base {base_ms} ms, cap {cap_ms} ms\n"
    );
    println!(
        "| what happens | window s | even /s | peak /s | peak ÷ even | ≤ {RATIO_MAX} | half, 99 %, all back after s | attempts while away | their peak /s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut uneven = Vec::new();
    for scenario in Scenario::all(backoff) {
        let outcome = play(&scenario, fleet);
        println!("{}", row(&scenario, &outcome));
        if outcome.ratio() > RATIO_MAX {
            uneven.push(scenario.name);
        }
        if request.pictures {
            println!("\n{}", outcome.back.picture());
        }
    }
    limited(request)?;
    ensure!(
        uneven.is_empty() || matches!(jitter, Jitter::None),
        "the return was not even after: {}",
        uneven.join(", ")
    );
    Ok(())
}

fn row(scenario: &Scenario, outcome: &Outcome) -> String {
    let ratio = outcome.ratio();
    let back = &outcome.back;
    format!(
        "| {} | {} | {:.0} | {:.0} | {ratio:.2} | {} | {}, {}, {} | {:.1} | {:.0} |",
        scenario.name,
        seconds(outcome.window_ms),
        outcome.even_per_s(),
        outcome.peak_per_s(),
        if ratio <= RATIO_MAX { "yes" } else { "**no**" },
        seconds(back.part_ms(0.5)),
        seconds(back.part_ms(0.99)),
        seconds(back.last_ms()),
        outcome.attempts_away(),
        outcome.away.peak_per_s(1_000, 0),
    )
}

fn limited(request: &Request) -> Result<()> {
    let Request { fleet, backoff, admitted_per_s: per_s, .. } = *request;
    let least_s = fleet.terminals.div_ceil(per_s);
    println!(
        "\nA crash, and a cloud that lets in {per_s} /s: back after {least_s} s at the earliest.\n"
    );
    println!(
        "| away s | others get | attempts, peak /s | from 60 s on | per terminal, mean and most | half, 99 %, all back after s |"
    );
    println!("|---|---|---|---|---|---|");
    let waits = [30, 60, least_s, 2 * least_s].map(|seconds| Answer::RetryAfter { seconds });
    for outage_s in [0, 300] {
        for answer in waits.into_iter().chain([Answer::Reset]) {
            let limited = Limited { outage_ms: outage_s * 1000, per_s, answer, backoff };
            let Admission { attempts, admitted, attempts_max } = admission::play(&limited, fleet)?;
            println!(
                "| {outage_s} | {} | {:.0} | {:.0} | {:.1}, {attempts_max} | {}, {}, {} |",
                name(answer),
                attempts.peak_per_s(1_000, 0),
                attempts.peak_per_s(1_000, 60_000),
                attempts.count() as f64 / f64::from(fleet.terminals),
                seconds(admitted.part_ms(0.5)),
                seconds(admitted.part_ms(0.99)),
                seconds(admitted.last_ms()),
            );
        }
    }
    Ok(())
}

fn name(answer: Answer) -> String {
    match answer {
        Answer::RetryAfter { seconds } => format!("503, Retry-After {seconds}"),
        Answer::Reset => "a reset".to_owned(),
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.0}", ms as f64 / 1000.0)
}
