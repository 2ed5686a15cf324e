//! What a terminal writes in its life: the same commits in the same order for the same seed, so
//! that the worker and the one who checks need not talk about them.

use std::collections::VecDeque;

use serde_json::{Value, json};
use terminal_core::engine::{OperationState, Write};
use terminal_core::protocol::Seq;

use crate::dice::Dice;
use crate::model::Model;
use crate::records;

/// Operations whose verdict is remembered; older ones are forgotten, which is what makes sled move
/// what is left of a segment and use the segment again.
const REMEMBERED_MAX: usize = 40;
/// Operations of a burst that become durable together.
const BURST_MAX: u64 = 12;
/// Of the text in a report.
const USUAL_BYTES_MAX: usize = 600;
const LARGE_BYTES_MAX: usize = 40_000;
const PURPOSE: u64 = 1;

/// How much a report says.
#[derive(Clone, Copy, Debug)]
enum Size {
    /// Mostly some hundred bytes, now and then as much as [`Size::Large`].
    Usual,
    /// Tens of thousands.
    Large,
}

/// A sequence of commits, and what they leave behind.
#[derive(Clone, Debug)]
pub struct Workload {
    dice: Dice,
    commits: u64,
    model: Model,
    last_operation: u64,
    last_seq: Seq,
    acked: Seq,
    revision: u64,
    queued: VecDeque<u64>,
    running: VecDeque<u64>,
    /// Numbers of operations with the seq of their verdict.
    finished: VecDeque<(u64, Seq)>,
    /// Reports that are no verdicts.
    others: VecDeque<Seq>,
}

impl Workload {
    /// Before the first commit.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, PURPOSE),
            commits: 0,
            model: Model::default(),
            last_operation: 0,
            last_seq: Seq(0),
            acked: Seq(0),
            revision: 0,
            queued: VecDeque::new(),
            running: VecDeque::new(),
            finished: VecDeque::new(),
            others: VecDeque::new(),
        }
    }

    /// After this many commits.
    pub fn after(seed: u64, commits: u64) -> Self {
        let mut workload = Self::new(seed);
        for _ in 0..commits {
            workload.commit();
        }
        workload
    }

    /// Commits so far.
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// What a store holds after them.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The writes of the next commit. There is always at least one.
    pub fn commit(&mut self) -> Vec<Write> {
        let writes = match self.dice.below(100) {
            0..30 => self.accept(1),
            30..34 => self.burst(),
            34..40 => self.start(),
            40..74 => self.finish(Size::Usual),
            74..84 => self.ack(),
            84..90 => self.happen(),
            90..97 => self.configure(),
            _ => self.finish_many(),
        };
        self.commits += 1;
        self.model.apply(&writes);
        writes
    }

    /// Accepted, and started where nothing waits; the ack of before rides along.
    fn accept(&mut self, operations: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        for _ in 0..operations {
            self.last_operation += 1;
            let n = self.last_operation;
            let starts = self.queued.is_empty() && self.running.is_empty();
            let state = if starts { records::running(n) } else { records::queued() };
            if starts { &mut self.running } else { &mut self.queued }.push_back(n);
            writes.push(put_operation(n, state));
        }
        if self.acked < self.last_seq && self.dice.chance(50) {
            self.acked = self.last_seq;
            writes.push(Write::PutMeta(records::meta(self.acked)));
        }
        writes
    }

    fn burst(&mut self) -> Vec<Write> {
        let operations = 2 + self.dice.below(BURST_MAX - 1);
        self.accept(operations)
    }

    fn start(&mut self) -> Vec<Write> {
        let Some(n) = self.queued.pop_front() else { return self.accept(1) };
        self.running.push_back(n);
        vec![put_operation(n, records::running(n))]
    }

    /// Finished and reported, and the next one started.
    fn finish(&mut self, size: Size) -> Vec<Write> {
        let Some(n) = self.running.pop_front() else { return self.start() };
        let seq = self.next_seq();
        let report = records::verdict(seq, n, self.filler(size));
        self.finished.push_back((n, seq));
        let finished = put_operation(n, OperationState::Finished { seq });
        let mut writes = vec![Write::PutReport(Box::new(report)), finished];
        if self.running.is_empty() && self.dice.chance(70) && !self.queued.is_empty() {
            writes.extend(self.start());
        }
        writes
    }

    /// Everything that waits and a burst more, all in one commit and with large results: it goes
    /// on from one segment of sled to the next, perhaps to one that it has just made free itself.
    fn finish_many(&mut self) -> Vec<Write> {
        let mut writes = self.burst();
        while !self.queued.is_empty() || !self.running.is_empty() {
            writes.extend(self.finish(Size::Large));
        }
        writes
    }

    /// Acked; what is no longer needed is forgotten.
    fn ack(&mut self) -> Vec<Write> {
        let unacked = self.last_seq.0 - self.acked.0;
        if unacked == 0 {
            return self.happen();
        }
        self.acked = Seq(self.last_seq.0 - self.dice.below(unacked.min(3)));
        let mut writes = vec![Write::PutMeta(records::meta(self.acked))];
        while self.others.front().is_some_and(|seq| *seq <= self.acked) {
            writes.extend(self.others.pop_front().map(Write::RemoveReport));
        }
        while self.finished.len() > REMEMBERED_MAX {
            let Some((n, seq)) = self.finished.pop_front() else { break };
            writes.push(Write::RemoveOperation(records::operation_id(n)));
            writes.push(Write::RemoveReport(seq));
        }
        writes
    }

    fn happen(&mut self) -> Vec<Write> {
        let seq = self.next_seq();
        self.others.push_back(seq);
        vec![Write::PutReport(Box::new(records::event(seq, &self.filler(Size::Usual))))]
    }

    fn configure(&mut self) -> Vec<Write> {
        self.revision += 1;
        let seq = self.next_seq();
        self.others.push_back(seq);
        let record = records::configuration(self.revision, self.filler(Size::Usual));
        let report = records::applied(seq, self.revision);
        vec![Write::PutConfiguration(Box::new(record)), Write::PutReport(Box::new(report))]
    }

    fn next_seq(&mut self) -> Seq {
        self.last_seq = self.last_seq.next();
        self.last_seq
    }

    fn filler(&mut self, size: Size) -> Value {
        let is_large = match size {
            Size::Usual => self.dice.chance(10),
            Size::Large => true,
        };
        let length = self.dice.place(if is_large { LARGE_BYTES_MAX } else { USUAL_BYTES_MAX });
        // Not the same byte again and again: half of it must not look like the other half.
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.dice.number()));
        }
        json!({ "receipt": text })
    }
}

fn put_operation(n: u64, state: OperationState) -> Write {
    Write::PutOperation(Box::new(records::operation(n, state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a commit that was lost could not be told from one that was not.
    #[test]
    fn every_commit_changes_what_the_store_holds() {
        let mut workload = Workload::new(3);
        let mut records = 0;
        for _ in 0..2_000 {
            let before = workload.model().clone();
            let writes = workload.commit();
            assert!(!writes.is_empty());
            assert_ne!(workload.model(), &before, "commit {}", workload.commits());
            records += writes.len();
        }
        assert!(records > 4_000, "{records}");
        assert!(workload.model().reports().count() < 120);
    }

    #[test]
    fn the_same_seed_makes_the_same_commits() {
        let mut one = Workload::after(11, 300);
        let mut two = Workload::after(11, 299);
        two.commit();
        assert_eq!(one.model(), two.model());
        assert_eq!(one.commit(), two.commit());
        assert_ne!(Workload::after(12, 300).model(), one.model());
    }
}
