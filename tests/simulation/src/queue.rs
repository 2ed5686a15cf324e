//! What is going to happen, by time; what falls on the same millisecond comes in an order that
//! the seed decides.

use std::{cmp::Reverse, collections::BinaryHeap};

use terminal_core::engine::ConfigureCall;
use terminal_hal::OperationId;

use crate::rng::hash;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// An item of the plan.
    Item(usize),
    /// A device boots.
    Boot { device: usize, boot: u32 },
    /// A process starts.
    Process { device: usize, generation: u32 },
    /// The shell's loop comes to what is ready.
    Round { device: usize, generation: u32 },
    /// The engine wanted to be woken.
    Wake { device: usize, generation: u32 },
    /// A stopped process ends at last.
    Farewell { device: usize, generation: u32 },
    /// A poisonous call takes the process down.
    Poison { device: usize, generation: u32 },
    /// The wall clock is set right.
    ClockSet { device: usize, boot: u32 },
    /// A connection is made, or not.
    Connected { link: usize },
    /// The terminal notices that its link has ended.
    LinkEnds { link: usize },
    /// The next thing on the way to the cloud arrives.
    ToCloud { link: usize },
    /// The next thing on the way to the terminal arrives.
    ToDevice { link: usize },
    /// The cloud acks what it has stored.
    Ack { link: usize },
    /// The cloud has something to send or to give up.
    CloudLook,
    /// A call waits for payments to end.
    CallWaits { device: usize, ticket: u64 },
    /// A call takes effect.
    CallEffect { device: usize, ticket: u64 },
    /// A call ends.
    CallEnds { device: usize, ticket: u64 },
    /// A call of a process that is gone is answered after all, to the one after it.
    StrayAnswer { device: usize, boot: u32, id: OperationId, attempt: u32, had_effect: bool },
    /// A question is answered.
    Answer { device: usize, generation: u32, id: OperationId, attempt: u32 },
    /// A configuration has been applied, or not.
    Configured { device: usize, generation: u32, call: ConfigureCall },
    /// The state of the hardware has been read.
    Health { device: usize, generation: u32 },
    /// The payment application is up.
    ApplicationUp { device: usize, instance: u32 },
    /// A hold of payments may have run out.
    HoldEnds { device: usize, id: OperationId },
    /// A restart of the device that was called for happens.
    Restarts { device: usize, boot: u32, clean: bool },
    /// The disk has room again.
    DiskFree { device: usize },
}

/// Everything that is going to happen.
#[derive(Debug)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, u64, Due)>>,
    seed: u64,
    pushed: u64,
}

impl Queue {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { heap: BinaryHeap::new(), seed, pushed: 0 }
    }

    pub(crate) fn push(&mut self, at: u64, due: Due) {
        self.pushed += 1;
        let tie = hash(&[self.seed, self.pushed]);
        self.heap.push(Reverse((at, tie, self.pushed, due)));
    }

    /// The next thing, if it comes before `end`.
    pub(crate) fn pop(&mut self, end: u64) -> Option<(u64, Due)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > end {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, _, due))| (at, due))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}
