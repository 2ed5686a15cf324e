//! Reports on their way to the cloud. Bodies stay in the store; the engine knows the places.
//!
//! Everything above `acked` up to `last` waits for an ack. A place may be empty (what it held was
//! acked and forgotten before a new epoch began); memory grows with the reports, not the places.
//! All numbers here are places; what goes over the wire is counted from the base of the epoch.

use std::collections::BTreeMap;

use super::{
    Snapshot,
    limits::{REPORTS_IN_FLIGHT_MAX, UNACKED_EVENTS_MAX},
};
use crate::protocol::{ReportId, Seq};

#[derive(Debug, Default)]
pub(super) struct Outbox {
    acked: Seq,
    sent: Seq,
    last: Seq,
    waiting: BTreeMap<Seq, Waiting>,
    /// How many of them could give way.
    droppable: usize,
    /// Reports of owners before, by place: never sent.
    held: Vec<Seq>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    report_id: ReportId,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Never dropped, kept after the ack.
    Verdict,
    /// Forgotten after the ack; gives way under pressure.
    Event,
    /// Has given way.
    DroppedEvent,
}

impl Outbox {
    pub(super) fn restore(snapshot: &Snapshot) -> Self {
        let acked = snapshot.meta.as_ref().map_or(Seq(0), |meta| meta.acked_seq);
        let mut outbox = Self { acked, sent: acked, last: acked, ..Self::default() };
        for report in snapshot.reports.iter().filter(|report| report.seq > acked) {
            outbox.put(report.seq, report.report_id, report.is_verdict);
        }
        let held_up_to = snapshot.meta.as_ref().map_or(Seq(0), |meta| meta.held_up_to);
        let held = snapshot.reports.iter().filter(|report| report.seq <= held_up_to);
        outbox.held = held.map(|report| report.seq).collect();
        outbox
    }

    pub(super) const fn acked(&self) -> Seq {
        self.acked
    }

    pub(super) const fn sent(&self) -> Seq {
        self.sent
    }

    pub(super) const fn last(&self) -> Seq {
        self.last
    }

    /// Reports that wait, empty places aside.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Reports that the store has to keep: those that wait and those that are held.
    pub(super) fn stored(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    /// Reports of owners before, by place.
    pub(super) fn held(&self) -> &[Seq] {
        &self.held
    }

    pub(super) const fn in_flight(&self) -> bool {
        self.sent.0 > self.acked.0
    }

    /// The identity of a report that waits.
    pub(super) fn report_id(&self, seq: Seq) -> Option<ReportId> {
        self.waiting.get(&seq).map(|waiting| waiting.report_id)
    }

    /// Reports that wait, by place.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Seq, ReportId)> {
        self.waiting.iter().map(|(seq, waiting)| (*seq, waiting.report_id))
    }

    /// Takes the next place.
    pub(super) fn push(&mut self, report_id: ReportId, is_verdict: bool) -> Seq {
        let seq = self.last.next();
        self.put(seq, report_id, is_verdict);
        seq
    }

    fn put(&mut self, seq: Seq, report_id: ReportId, is_verdict: bool) {
        let content = if is_verdict { Content::Verdict } else { Content::Event };
        self.waiting.insert(seq, Waiting { report_id, content });
        self.droppable += usize::from(!is_verdict);
        self.last = self.last.max(seq);
    }

    /// The oldest events, which have to give way before another one is kept. After a restart
    /// these may be some that have given way before: the store does not tell them apart.
    pub(super) fn events_to_drop(&mut self) -> Vec<(Seq, ReportId)> {
        let surplus = (self.droppable + 1).saturating_sub(UNACKED_EVENTS_MAX);
        let events = self.waiting.iter_mut().filter(|(_, w)| w.content == Content::Event);
        let dropped: Vec<_> = events
            .take(surplus)
            .map(|(seq, waiting)| {
                waiting.content = Content::DroppedEvent;
                (*seq, waiting.report_id)
            })
            .collect();
        self.droppable -= dropped.len();
        dropped
    }

    /// Everything up to `seq` is stored at the cloud. Gives the events among it, which nobody
    /// asks for again, and the identity of the newest report.
    pub(super) fn ack(&mut self, seq: Seq) -> Option<Acked> {
        let newest = seq.min(self.last);
        if newest <= self.acked {
            return None;
        }
        let mut acked = Acked { newest, report_id: self.report_id(newest), events: Vec::new() };
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= newest) {
            let (seq, report) = first.remove_entry();
            self.droppable -= usize::from(report.content == Content::Event);
            if report.content != Content::Verdict {
                acked.events.push(seq);
            }
        }
        self.acked = newest;
        self.sent = self.sent.max(newest);
        Some(acked)
    }

    /// On a new link everything that waits is sent again.
    pub(super) fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// Sends what the window allows.
    pub(super) fn pump(&mut self, mut send: impl FnMut(Seq)) {
        while self.sent < self.last && self.sent.count_after(self.acked) < REPORTS_IN_FLIGHT_MAX {
            self.sent = self.sent.next();
            send(self.sent);
        }
    }

    /// Nothing that waits is ever sent.
    pub(super) fn hold_waiting(&mut self) {
        self.held.extend(std::mem::take(&mut self.waiting).into_keys());
        self.droppable = 0;
        (self.acked, self.sent) = (self.last, self.last);
    }

    /// Forgets what is held, and gives its places.
    pub(super) fn discard_held(&mut self) -> Vec<Seq> {
        std::mem::take(&mut self.held)
    }

    /// Everything above `base` waits again, also what had been acked.
    pub(super) fn start_again_after(&mut self, base: Seq) {
        (self.acked, self.sent) = (base, base);
    }
}

/// What an ack has settled.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) newest: Seq,
    pub(super) report_id: Option<ReportId>,
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
    fn empty_places_of_an_earlier_epoch_are_sent_but_cost_no_memory() {
        let mut outbox = outbox(100_000);
        outbox.ack(Seq(100_000));
        outbox.start_again_after(Seq(0));
        assert_eq!((outbox.len(), outbox.last()), (0, Seq(100_000)));
        assert_eq!(pumped(&mut outbox)[0], 1);
        let acked = outbox.ack(Seq(7)).unwrap();
        assert_eq!((acked.newest, acked.report_id, acked.events), (Seq(7), None, Vec::new()));
    }

    #[test]
    fn an_ack_beyond_the_last_report_settles_what_there_is_and_never_more() {
        let mut outbox = outbox(3);
        assert_eq!(outbox.ack(Seq(u64::MAX)).unwrap().newest, Seq(3));
        assert!(outbox.ack(Seq(3)).is_none());
        assert_eq!(outbox.push(ReportId(Uuid::nil()), true), Seq(4));
    }

    #[test]
    fn the_oldest_event_gives_way_and_no_verdict_ever_does() {
        let mut outbox = outbox(3);
        for i in 0..UNACKED_EVENTS_MAX {
            assert!(outbox.events_to_drop().is_empty());
            outbox.push(ReportId(Uuid::from_u128(100 + i as u128)), false);
        }
        assert_eq!(outbox.events_to_drop(), [(Seq(4), ReportId(Uuid::from_u128(100)))]);
        assert!(outbox.events_to_drop().is_empty());
        assert_eq!(outbox.len(), 3 + UNACKED_EVENTS_MAX);
    }
}
