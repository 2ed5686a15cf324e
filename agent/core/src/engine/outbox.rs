//! Reports on their way to the cloud. Bodies stay in the store; the engine knows the places.
//!
//! Places are contiguous: everything above `acked` up to `last` waits for an ack. All numbers
//! here are places; what goes over the wire is counted from the base of the epoch.

use std::collections::VecDeque;

use super::{
    Snapshot,
    limits::{REPORTS_IN_FLIGHT_MAX, UNACKED_EVENTS_MAX},
};
use crate::protocol::{ReportId, Seq};

#[derive(Debug, Default)]
pub(super) struct Outbox {
    acked: Seq,
    sent: Seq,
    waiting: VecDeque<Waiting>,
    /// How many of them could give way.
    droppable: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) seq: Seq,
    /// Unknown where the store holds nothing under that place any more.
    pub(super) report_id: Option<ReportId>,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A verdict, or a place without content: never dropped, kept after the ack.
    Verdict,
    /// Forgotten after the ack; gives way under pressure.
    Event,
    /// Has given way.
    DroppedEvent,
}

impl Outbox {
    pub(super) fn restore(snapshot: &Snapshot) -> Self {
        let acked = snapshot.meta.as_ref().map_or(Seq(0), |meta| meta.acked_seq);
        let mut outbox = Self { acked, sent: acked, ..Self::default() };
        for report in snapshot.reports.iter().filter(|report| report.seq > acked) {
            outbox.fill_up_to(report.seq);
            outbox.push(report.report_id, report.is_verdict);
        }
        outbox
    }

    pub(super) const fn acked(&self) -> Seq {
        self.acked
    }

    pub(super) fn last(&self) -> Seq {
        self.waiting.back().map_or(self.acked, |waiting| waiting.seq)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn in_flight(&self) -> bool {
        self.sent.0 > self.acked.0
    }

    /// The identity of a report that waits.
    pub(super) fn report_id(&self, seq: Seq) -> Option<ReportId> {
        let index = seq.count_after(self.acked).checked_sub(1)?;
        self.waiting.get(usize::try_from(index).ok()?)?.report_id
    }

    /// Takes the next place.
    pub(super) fn push(&mut self, report_id: ReportId, is_verdict: bool) -> Seq {
        let seq = self.last().next();
        let content = if is_verdict { Content::Verdict } else { Content::Event };
        self.waiting.push_back(Waiting { seq, report_id: Some(report_id), content });
        self.droppable += usize::from(!is_verdict);
        seq
    }

    /// The place of the oldest event, if it has to give way before another one is kept.
    pub(super) fn event_to_drop(&mut self) -> Option<Seq> {
        if self.droppable < UNACKED_EVENTS_MAX {
            return None;
        }
        let oldest = self.waiting.iter_mut().find(|waiting| waiting.content == Content::Event)?;
        oldest.content = Content::DroppedEvent;
        oldest.report_id = None;
        self.droppable -= 1;
        Some(oldest.seq)
    }

    /// Everything up to `seq` is stored at the cloud. Gives the newest of them and the events,
    /// which nobody asks for again.
    pub(super) fn ack(&mut self, seq: Seq) -> Acked {
        let mut acked = Acked::default();
        while let Some(report) = self.waiting.front().copied().filter(|first| first.seq <= seq) {
            self.waiting.pop_front();
            self.acked = report.seq;
            self.droppable -= usize::from(report.content == Content::Event);
            acked.newest = Some(report);
            if report.content != Content::Verdict {
                acked.events.push(report.seq);
            }
        }
        self.sent = self.sent.max(self.acked);
        acked
    }

    /// On a new link everything that waits is sent again.
    pub(super) fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// Sends what the window allows.
    pub(super) fn pump(&mut self, mut send: impl FnMut(Seq)) {
        let last = self.last();
        while self.sent < last && self.sent.count_after(self.acked) < REPORTS_IN_FLIGHT_MAX {
            self.sent = self.sent.next();
            send(self.sent);
        }
    }

    /// Everything above `base` waits again, also what had been acked.
    pub(super) fn start_again_after(&mut self, base: Seq) {
        let waiting = std::mem::take(&mut self.waiting);
        let last = waiting.back().map_or(self.acked, |report| report.seq);
        let first = waiting.front().map_or(last.next(), |report| report.seq);
        (self.acked, self.sent) = (base, base);
        self.fill_up_to(first);
        self.waiting.extend(waiting);
    }

    /// Takes the places below `seq`: nothing is known of what they hold.
    fn fill_up_to(&mut self, seq: Seq) {
        while self.last().next() < seq {
            let seq = self.last().next();
            self.waiting.push_back(Waiting { seq, report_id: None, content: Content::Verdict });
        }
    }
}

/// What an ack has settled.
#[derive(Debug, Default)]
pub(super) struct Acked {
    pub(super) newest: Option<Waiting>,
    pub(super) events: Vec<Seq>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn outbox(n: u64) -> Outbox {
        let mut outbox = Outbox::default();
        for i in 1..=n {
            outbox.push(ReportId(Uuid::from_u128(i.into())), true);
        }
        outbox
    }

    fn pumped(outbox: &mut Outbox) -> Vec<u64> {
        let mut sent = Vec::new();
        outbox.pump(|seq| sent.push(seq.0));
        sent
    }

    #[test]
    fn reports_go_out_in_order_within_the_window_and_again_on_a_new_link() {
        let mut outbox = outbox(REPORTS_IN_FLIGHT_MAX + 2);
        assert_eq!(pumped(&mut outbox), (1..=REPORTS_IN_FLIGHT_MAX).collect::<Vec<_>>());
        outbox.ack(Seq(1));
        assert_eq!(pumped(&mut outbox), [REPORTS_IN_FLIGHT_MAX + 1]);
        outbox.rewind();
        assert_eq!(pumped(&mut outbox)[0], 2);
    }

    #[test]
    fn the_oldest_event_gives_way_and_no_verdict_ever_does() {
        let mut outbox = outbox(3);
        for i in 0..UNACKED_EVENTS_MAX {
            assert!(outbox.event_to_drop().is_none());
            outbox.push(ReportId(Uuid::from_u128(100 + i as u128)), false);
        }
        assert_eq!(outbox.event_to_drop().unwrap(), Seq(4));
        assert!(outbox.event_to_drop().is_none());
        assert_eq!(outbox.len(), 3 + UNACKED_EVENTS_MAX);
    }
}
