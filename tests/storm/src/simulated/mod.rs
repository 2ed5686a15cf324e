//! A million terminals in virtual time, each a real engine, one after another.
//!
//! Terminals do not know of each other: given the cloud's timeline, each can be played from the
//! loss to its return alone, so memory is constant. Where the cloud admits only so many per
//! second they do depend on each other: see `admission`.

pub mod admission;
mod scenario;
mod terminal;

use std::thread;

use terminal_core::engine::BackoffSettings;

use crate::{
    entropy::{Entropy, Jitter},
    histogram::Histogram,
};
pub use scenario::{Loss, Scenario};
use terminal::{HEARTBEAT_S, Terminal};

/// Links are up for two minutes before the loss: long enough to count as good.
const LOSS_MS: u64 = 120_000;

/// The fleet that a scenario happens to.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How many terminals.
    pub terminals: u32,
    /// Of all randomness.
    pub seed: u64,
    /// Intact or broken.
    pub jitter: Jitter,
}

/// What became of it. Times after the return count from the return.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Attempts while the cloud was away, from the loss on.
    pub away: Histogram,
    /// Terminals that came back.
    pub back: Histogram,
    /// See [`Scenario::window_ms`].
    pub window_ms: u64,
}

/// Plays a scenario.
pub fn play(scenario: &Scenario, fleet: Fleet) -> Outcome {
    let threads =
        thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let share = fleet.terminals.div_ceil(threads).max(1);
    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                let end = fleet.terminals.min((part + 1) * share);
                scope.spawn(move || play_part(scenario, fleet, part * share..end))
            })
            .collect();
        for part in parts.into_iter().filter_map(|part| part.join().ok()) {
            outcome.merge(&part);
        }
    });
    outcome.window_ms = scenario.window_ms();
    outcome
}

fn play_part(scenario: &Scenario, fleet: Fleet, terminals: std::ops::Range<u32>) -> Outcome {
    let mut outcome = Outcome::default();
    for number in terminals {
        let entropy = Entropy::new(fleet.seed, number, fleet.jitter);
        play_one(scenario, entropy, &mut outcome);
    }
    outcome
}

fn play_one(scenario: &Scenario, entropy: Entropy, outcome: &mut Outcome) {
    let return_ms = LOSS_MS + scenario.outage_ms;
    let network_up = (scenario.loss == Loss::NetworkCut).then_some(return_ms);
    let mut terminal = after_the_loss(scenario, entropy);
    loop {
        let at = terminal.attempt(network_up);
        if at >= return_ms {
            outcome.back.add(at - return_ms);
            return;
        }
        outcome.away.add(at - LOSS_MS);
        terminal.lose(at + scenario.attempt_ms);
    }
}

/// A terminal that has just lost its link.
fn after_the_loss(scenario: &Scenario, entropy: Entropy) -> Terminal {
    let backoff = scenario.backoff;
    match scenario.loss {
        Loss::Reset | Loss::NetworkCut => {
            let mut terminal = linked(backoff, entropy);
            terminal.lose(LOSS_MS);
            terminal
        }
        Loss::Silence => {
            let mut terminal = linked(backoff, entropy);
            terminal.fall_silent();
            terminal
        }
        Loss::Drain { after_s, spread_s } => {
            let mut terminal = linked(backoff, entropy);
            terminal.drain(LOSS_MS, after_s, spread_s);
            terminal
        }
        Loss::PowerCut => Terminal::start(LOSS_MS, backoff, entropy),
    }
}

/// A terminal whose link has come up at some moment of a heartbeat, at the loss.
fn linked(backoff: BackoffSettings, entropy: Entropy) -> Terminal {
    let mut terminal = Terminal::start(0, backoff, entropy);
    let at = terminal.attempt(None);
    let phase = terminal.entropy.below(u64::from(HEARTBEAT_S) * 1000);
    // Everybody has been up for more than a minute at the loss.
    terminal.link_up((at + phase).min(LOSS_MS / 2));
    terminal.stay_up(LOSS_MS);
    terminal
}

impl Outcome {
    /// Terminals per second, were they spread evenly over the window.
    pub fn even_per_s(&self) -> f64 {
        self.back.count() as f64 * 1000.0 / self.window_ms as f64
    }

    /// Most terminals per second, over bins of a second or a twentieth of a short window.
    pub fn peak_per_s(&self) -> f64 {
        self.back.peak_per_s(bin_ms(self.window_ms), 0)
    }

    /// Peak over even spread: 1 is perfect.
    pub fn ratio(&self) -> f64 {
        self.peak_per_s() / self.even_per_s()
    }

    /// Failed attempts per terminal.
    pub fn attempts_away(&self) -> f64 {
        self.away.count() as f64 / self.back.count().max(1) as f64
    }

    fn merge(&mut self, other: &Self) {
        self.away.merge(&other.away);
        self.back.merge(&other.back);
    }
}

/// Bins in which a peak over such a window is looked for.
pub(crate) fn bin_ms(window_ms: u64) -> u64 {
    (window_ms / 20).clamp(100, 1_000) / 100 * 100
}
