//! A fleet against a cloud that lets in only so many terminals per second.
//!
//! What one terminal gets depends on all others, so they are played together, in order of time.
//! A million engines would need gigabytes; what decides when a terminal comes is its `Backoff`,
//! and that is the engine's own.

use std::{cmp::Reverse, collections::BinaryHeap};

use anyhow::{Result, ensure};
use terminal_core::engine::{Backoff, BackoffSettings, LinkEnd};

use super::{Fleet, scenario::REFUSED_MS};
use crate::{entropy::Entropy, histogram::Histogram};

/// The limit is kept in steps of this, in milliseconds.
const STEP_MS: u64 = 100;
/// No fleet takes a day to come back.
const TIME_MS_MAX: u64 = 24 * 3600 * 1000;

/// What the cloud does with those above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 503 with `Retry-After`.
    RetryAfter {
        /// Seconds.
        seconds: u32,
    },
    /// The connection is reset before anything is said.
    Reset,
}

/// A cloud that crashes, and has a limit when it is back.
#[derive(Clone, Copy, Debug)]
pub struct Limited {
    /// From the crash to the return.
    pub outage_ms: u64,
    /// Terminals let in per second; at least ten.
    pub per_s: u32,
    /// For all others.
    pub answer: Answer,
    /// Settings of every terminal.
    pub backoff: BackoffSettings,
}

/// What became of the fleet; times count from the return.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// All attempts.
    pub attempts: Histogram,
    /// Those that were let in.
    pub admitted: Histogram,
    /// Most attempts of one terminal.
    pub attempts_max: u32,
}

struct Waiting {
    backoff: Backoff,
    entropy: Entropy,
    /// From the return on.
    attempts: u32,
}

/// Plays the return of a fleet whose links have been reset together.
///
/// # Errors
/// When the limit is too low for the fleet to be back within a day.
pub fn play(limited: &Limited, fleet: Fleet) -> Result<Admission> {
    ensure!(limited.per_s >= 10, "got a limit of {} per second, want at least 10", limited.per_s);
    let mut terminals = Vec::new();
    let mut queue = BinaryHeap::new();
    for number in 0..fleet.terminals {
        let mut terminal = Waiting {
            backoff: Backoff::new(limited.backoff),
            entropy: Entropy::new(fleet.seed, number, fleet.jitter),
            attempts: 0,
        };
        queue.push(Reverse((terminal.first_after(limited.outage_ms), number)));
        terminals.push(terminal);
    }
    let per_step = u64::from(limited.per_s) * STEP_MS / 1000;
    let mut admission = Admission::default();
    let (mut step, mut let_in) = (0, 0);
    while let Some(Reverse((at, number))) = queue.pop() {
        ensure!(at < TIME_MS_MAX, "{} terminals are not back after a day", queue.len() + 1);
        let terminal = &mut terminals[number as usize];
        terminal.attempts += 1;
        admission.attempts.add(at);
        if at / STEP_MS != step {
            (step, let_in) = (at / STEP_MS, 0);
        }
        if let_in < per_step {
            let_in += 1;
            admission.admitted.add(at);
            admission.attempts_max = admission.attempts_max.max(terminal.attempts);
        } else {
            queue.push(Reverse((at + terminal.wait(&limited.answer.end(), at), number)));
        }
    }
    Ok(admission)
}

impl Waiting {
    /// The first attempt after the return, counted from there.
    fn first_after(&mut self, return_ms: u64) -> u64 {
        let lost = Answer::Reset.end();
        let mut at = self.wait(&lost, 0) - REFUSED_MS;
        while at < return_ms {
            at += self.wait(&lost, at);
        }
        at - return_ms
    }

    /// From an attempt that fails to the next one.
    fn wait(&mut self, end: &LinkEnd, at_ms: u64) -> u64 {
        REFUSED_MS + self.backoff.after(end, &self.entropy.moment(at_ms)).ms
    }
}

impl Answer {
    const fn end(self) -> LinkEnd {
        match self {
            Self::RetryAfter { seconds } => LinkEnd::RetryAfter { seconds },
            Self::Reset => LinkEnd::Lost { reason: String::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entropy::Jitter,
        simulated::{Loss, Scenario, play as play_engines},
    };

    #[test]
    fn a_backoff_alone_makes_its_attempts_when_an_engine_would() {
        // Without jitter both have only one story to tell, whatever they draw.
        let fleet = Fleet { terminals: 1, seed: 1, jitter: Jitter::None };
        for outage_s in [0, 1, 7, 100, 1_000, 5_000] {
            let engines = play_engines(&Scenario::new("", Loss::Reset, outage_s), fleet);
            let limited = Limited {
                outage_ms: outage_s * 1000,
                per_s: 10,
                answer: Answer::Reset,
                backoff: BackoffSettings::default(),
            };
            let alone = play(&limited, fleet).unwrap();
            assert_eq!(alone.attempts.last_ms(), engines.back.last_ms(), "{outage_s} s");
        }
    }
}
