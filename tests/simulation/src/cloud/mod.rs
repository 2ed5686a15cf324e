//! A reference model of the cloud, made from the duties of the cloud in PROTOCOL.md and nothing
//! else: what it has stored, and the one link that counts.

mod dispatch;
mod hear;
mod orders;

use std::collections::{BTreeMap, BTreeSet};

use terminal_core::{
    engine::LinkEnd,
    protocol::{Ack, OperationFrame, OperationReport, ReportId, Seq, StoreEpoch},
};
use terminal_hal::{OperationId, Timestamp};

/// The cloud.
#[derive(Debug, Default)]
pub struct Cloud {
    /// What is in its database.
    pub stored: Stored,
    backup: Option<Stored>,
    link: Option<CloudLink>,
    pub(crate) down_until: u64,
    pub(crate) refuses_until: u64,
    retry_after_s: Option<u32>,
    pub(crate) mute_until: u64,
    /// Its database went back at least once.
    pub was_restored: bool,
    /// Every report that it has ever stored.
    pub(crate) ever_stored: BTreeSet<ReportId>,
    /// The highest seq that it has ever been able to ack, by epoch.
    pub(crate) ever_acked: BTreeMap<StoreEpoch, u64>,
    sessions: u128,
    created: u64,
    /// Something was sent that the terminal may complain about.
    pub(crate) was_hostile: bool,
}

/// What a database holds.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Operations, by id.
    pub operations: BTreeMap<OperationId, Ordered>,
    /// Reports, by epoch.
    pub epochs: BTreeMap<StoreEpoch, Epoch>,
    /// Verdicts of ids that it does not know (rule 14).
    pub foreign: BTreeMap<OperationId, OperationReport>,
    /// Newest revision of the configuration.
    pub revision: u64,
    /// Revisions that a terminal has rejected.
    pub rejected: BTreeSet<u64>,
}

/// Reports of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Epoch {
    /// Everything up to here is stored, or lost for a known reason.
    pub ack: u64,
    /// What is stored, by seq.
    pub reports: BTreeMap<u64, ReportId>,
    /// Gaps that were acked past: from, to.
    pub gaps: Vec<(u64, u64)>,
}

/// An operation that somebody ordered.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Place in the order of creation.
    pub created: u64,
    /// As it is dispatched, but for what depends on the moment.
    pub frame: OperationFrame,
    /// Store epoch of the first dispatch.
    pub first_epoch: Option<StoreEpoch>,
    /// Somebody has withdrawn it.
    pub is_withdrawn: bool,
    /// TIMEOUT: nobody waits for it any more.
    pub is_given_up: bool,
    /// The first verdict.
    pub verdict: Option<OperationReport>,
}

impl Ordered {
    /// When its time to live ends.
    pub fn expires_at(&self) -> Timestamp {
        self.frame.created_at.plus_ms(u64::from(self.frame.ttl_s) * 1000)
    }
}

/// The link that counts.
#[derive(Debug)]
struct CloudLink {
    link: usize,
    epoch: StoreEpoch,
    is_welcomed: bool,
    config_revision: u64,
    first_seq: u64,
    /// Next report that must come, if it is not a repetition.
    next_seq: u64,
    /// What `welcome` has said is stored.
    acked_at_welcome: u64,
    dispatched: BTreeSet<OperationId>,
    /// Of `hello`.
    unfinished: BTreeSet<OperationId>,
    started: BTreeSet<OperationId>,
    cancelled: BTreeSet<OperationId>,
    /// The terminal has no room: wait.
    hold_until: Timestamp,
    /// Refused on this link, to be dispatched again.
    refused: BTreeSet<OperationId>,
}

/// What hearing a frame has led to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) faults: Vec<(&'static str, String)>,
    pub(crate) seen: Vec<(&'static str, &'static str)>,
    /// The link before, which has to go.
    pub(crate) replaces: Option<usize>,
    pub(crate) is_welcome: bool,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) reports: Vec<(u64, Reused)>,
    pub(crate) ack: bool,
    pub(crate) look_ms: u64,
}

/// A verdict that has come, again perhaps.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) report: OperationReport,
    /// The one that was stored before.
    pub(crate) first: Option<OperationReport>,
    pub(crate) ordered: Option<Ordered>,
}

/// Whether another report was stored under the same seq.
pub(crate) type Reused = bool;

impl Cloud {
    pub(crate) const fn is_down(&self, now: u64) -> bool {
        now < self.down_until
    }

    /// How a connection attempt is refused, if it is.
    pub(crate) fn refusal(&self, now: u64) -> Option<LinkEnd> {
        if self.is_down(now) {
            return Some(LinkEnd::Lost { reason: "connection refused".to_owned() });
        }
        if now >= self.refuses_until {
            return None;
        }
        Some(match self.retry_after_s {
            Some(seconds) => LinkEnd::RetryAfter { seconds },
            None => LinkEnd::Refused { reason: "HTTP 401".to_owned() },
        })
    }

    pub(crate) const fn refuse(&mut self, until: u64, retry_after_s: Option<u32>) {
        self.refuses_until = until;
        self.retry_after_s = retry_after_s;
    }

    pub(crate) fn current_link(&self) -> Option<usize> {
        self.link.as_ref().map(|link| link.link)
    }

    /// The link, once it has had its `welcome`.
    pub fn welcomed_link(&self) -> Option<usize> {
        self.link.as_ref().filter(|link| link.is_welcomed).map(|link| link.link)
    }

    pub(crate) fn is_unwelcomed(&self, link: usize) -> bool {
        self.link.as_ref().is_some_and(|current| current.link == link && !current.is_welcomed)
    }

    pub(crate) fn lose_link(&mut self, link: usize) {
        self.link.take_if(|current| current.link == link);
    }

    /// What is durable for the epoch of that link.
    pub(crate) fn ack(&self, link: usize) -> Option<Ack> {
        let current = self.link.as_ref().filter(|current| current.link == link)?;
        if !current.is_welcomed {
            return None;
        }
        let stored = self.stored.epochs.get(&current.epoch)?;
        // What came late on the link before was not sent on this one yet.
        let seq = Seq(stored.ack.min(current.next_seq - 1));
        Some(Ack { store_epoch: current.epoch, seq })
    }

    /// The verdict of an operation.
    pub fn verdict(&self, id: OperationId) -> Option<&OperationReport> {
        let ordered = self.stored.operations.get(&id);
        ordered.and_then(|ordered| ordered.verdict.as_ref())
    }
}
