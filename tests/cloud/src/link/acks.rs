//! Acknowledgements on their way out: at once, or later when a fault says so.

use std::collections::{BTreeMap, VecDeque};

use terminal_core::protocol::{Ack, Seq, StoreEpoch};
use tokio::time::Instant;

use crate::faults::Lasting;

/// Delayed acks that are kept apart; beyond it they are merged, which cumulative acks allow.
const DELAYED_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct AckGate {
    delayed: VecDeque<(Instant, Ack)>,
    withheld: BTreeMap<StoreEpoch, Seq>,
}

impl AckGate {
    /// Takes an ack that is due; returns it when nothing holds it back.
    pub(super) fn pass(&mut self, ack: Ack, faults: &Lasting) -> Option<Ack> {
        if faults.withhold_acks {
            self.withheld.insert(ack.store_epoch, ack.seq);
            return None;
        }
        if faults.delay_acks.is_zero() {
            return Some(ack);
        }
        if self.delayed.len() >= DELAYED_MAX {
            self.delayed.pop_back();
        }
        self.delayed.push_back((Instant::now() + faults.delay_acks, ack));
        None
    }

    /// When the next delayed ack is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.front().map(|(due, _)| *due)
    }

    /// What may go out now.
    pub(super) fn release(&mut self, faults: &Lasting) -> Vec<Ack> {
        if faults.withhold_acks {
            for (_, ack) in self.delayed.drain(..) {
                self.withheld.insert(ack.store_epoch, ack.seq);
            }
            return Vec::new();
        }
        let now = Instant::now();
        let mut out = Vec::new();
        while self
            .delayed
            .front()
            .is_some_and(|(due, _)| *due <= now || faults.delay_acks.is_zero())
        {
            out.extend(self.delayed.pop_front().map(|(_, ack)| ack));
        }
        let withheld = std::mem::take(&mut self.withheld);
        out.extend(withheld.into_iter().map(|(store_epoch, seq)| Ack { store_epoch, seq }));
        out
    }
}
