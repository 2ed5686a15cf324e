//! How the storm went.

use std::fmt;

use terminal_core::engine::LinkEnd;

use super::{
    Plan, Restart,
    cloud::Cost,
    observer::{Note, What},
};
use crate::{
    histogram::Histogram,
    simulated::{Loss, Scenario, bin_ms},
};

/// When the parts of a run began, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) first_link_ms: u64,
    pub(super) loss_ms: u64,
    pub(super) return_ms: u64,
}

/// How the storm went. Times after the return count from the return.
#[derive(Clone, Debug)]
pub struct Report {
    /// Terminals.
    pub links: u32,
    /// From the start of the fleet to its last link.
    pub first_links_ms: u64,
    /// From the loss to the return.
    pub outage_ms: u64,
    /// Attempts while the cloud was away.
    pub away: Histogram,
    /// Attempts from the return on.
    pub attempts: Histogram,
    /// Welcomes from the return on.
    pub back: Histogram,
    /// Attempts that were answered with `Retry-After`.
    pub refused: u64,
    /// Attempts that came before the time that such an answer had named.
    pub hasty: u64,
    /// From the loss to the first attempt of any terminal.
    pub first_attempt_ms: u64,
    /// Links that were welcomed after the return, and did not last.
    pub lost_again: u64,
    /// Most attempts of one terminal, from the loss on.
    pub attempts_max: u32,
    /// Over which an even spread would be spread.
    pub window_ms: u64,
    /// Of the cloud, from the return until all had settled.
    pub cost: Cost,
    seed: u64,
}

impl Report {
    pub(super) fn new(plan: &Plan, times: Times, notes: Vec<Note>, cost: Cost) -> Self {
        let Times { first_link_ms, loss_ms, return_ms } = times;
        let mut report = Self {
            links: plan.links,
            first_links_ms: first_link_ms,
            outage_ms: return_ms - loss_ms,
            away: Histogram::default(),
            attempts: Histogram::default(),
            back: Histogram::default(),
            refused: 0,
            hasty: 0,
            first_attempt_ms: u64::MAX,
            lost_again: 0,
            attempts_max: 0,
            window_ms: window_ms(plan, return_ms - loss_ms),
            cost,
            seed: plan.seed,
        };
        let mut terminals = vec![Seen::default(); plan.links as usize];
        for Note { terminal, at_ms, what } in notes.into_iter().filter(|n| n.at_ms >= loss_ms) {
            let seen = &mut terminals[terminal as usize];
            match (what, at_ms.checked_sub(return_ms)) {
                (What::Attempt, back) => {
                    seen.attempts += 1;
                    report.hasty += u64::from(at_ms < seen.wanted_from_ms);
                    report.first_attempt_ms = report.first_attempt_ms.min(at_ms - loss_ms);
                    match back {
                        None => report.away.add(at_ms - loss_ms),
                        Some(at) => report.attempts.add(at),
                    }
                }
                (What::Welcomed, Some(at)) if !seen.welcomed => {
                    seen.welcomed = true;
                    report.back.add(at);
                }
                (What::Closed(_), Some(_)) if seen.welcomed => report.lost_again += 1,
                (What::Closed(LinkEnd::RetryAfter { seconds }), Some(_)) => {
                    report.refused += 1;
                    seen.wanted_from_ms = at_ms + u64::from(seconds) * 1000;
                }
                (What::Closed(_) | What::Welcomed | What::Settled, _) => {}
            }
        }
        report.attempts_max = terminals.iter().map(|seen| seen.attempts).max().unwrap_or(0);
        report
    }

    /// Attempts from the loss on, per terminal.
    pub fn attempts_mean(&self) -> f64 {
        (self.away.count() + self.attempts.count()) as f64 / f64::from(self.links)
    }
}

/// Over which an even spread would be spread.
fn window_ms(plan: &Plan, outage_ms: u64) -> u64 {
    let loss = match plan.restart {
        Restart::Planned { after_s, spread_s } => Loss::Drain { after_s, spread_s },
        Restart::Crash => Loss::Reset,
    };
    Scenario { outage_ms, backoff: plan.backoff, ..Scenario::new("", loss, 0) }.window_ms()
}

/// What was seen of one terminal from the loss on.
#[derive(Clone, Debug, Default)]
struct Seen {
    attempts: u32,
    welcomed: bool,
    /// A refusal asked it not to come before this.
    wanted_from_ms: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |ms: u64| ms as f64 / 1000.0;
        let even = f64::from(self.links) * 1000.0 / self.window_ms.max(1) as f64;
        let peak = self.attempts.peak_per_s(bin_ms(self.window_ms), 0);
        let cpu_ms = self.cost.cpu.as_secs_f64() * 1000.0;
        writeln!(f, "welcomes from the return on")?;
        writeln!(f, "{}", self.back.picture())?;
        writeln!(f, "links                     {}, seed {}", self.links, self.seed)?;
        writeln!(f, "first links, all up after {:.1} s", s(self.first_links_ms))?;
        writeln!(f, "without a cloud           {:.1} s", s(self.outage_ms))?;
        writeln!(f, "window                    {:.1} s", s(self.window_ms))?;
        writeln!(f, "even spread over it       {even:.1} /s")?;
        writeln!(f, "peak of attempts          {peak:.1} /s, {:.2} × even", peak / even)?;
        writeln!(
            f,
            "half, 99 %, all back      {:.1}, {:.1}, {:.1} s",
            s(self.back.part_ms(0.5)),
            s(self.back.part_ms(0.99)),
            s(self.back.last_ms())
        )?;
        writeln!(
            f,
            "attempts per terminal     {:.1}, at most {}",
            self.attempts_mean(),
            self.attempts_max
        )?;
        writeln!(f, "answered 503              {}, {} came too early", self.refused, self.hasty)?;
        writeln!(f, "lost again after welcome  {}", self.lost_again)?;
        writeln!(
            f,
            "processor time of cloud   {cpu_ms:.0} ms, {:.2} ms per link",
            cpu_ms / f64::from(self.links)
        )?;
        write!(f, "memory of cloud           {} kB at most", self.cost.memory_kb)
    }
}
