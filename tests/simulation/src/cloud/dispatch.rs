//! What the cloud sends, and when: rules 2, 4, 5, 7, 13 and 18.

use terminal_core::protocol::{
    Cancel, CloudFrame, ConfigurationFrame, OperationFrame, Seq, SessionId, StoreEpoch, Welcome,
};
use terminal_hal::{OperationId, Timestamp};
use uuid::Uuid;

use super::{Cloud, Ordered};

impl Cloud {
    /// The answer to `hello`, and everything that follows from it at once.
    pub(crate) fn welcome(
        &mut self,
        link: usize,
        time: Timestamp,
        heartbeat_s: u32,
    ) -> Option<Vec<CloudFrame>> {
        let current = self.link.as_mut().filter(|current| current.link == link)?;
        let stored = self.stored.epochs.entry(current.epoch).or_default();
        self.sessions += 1;
        current.is_welcomed = true;
        current.next_seq = current.first_seq.max(stored.ack + 1);
        current.acked_at_welcome = stored.ack;
        let welcome = Welcome {
            session_id: SessionId(Uuid::from_u128(self.sessions)),
            server_time: time,
            heartbeat_s,
            ack_seq: Seq(stored.ack),
            ack_report_id: stored.reports.get(&stored.ack).copied(),
            config_revision: self.stored.revision,
        };
        let mut frames = vec![CloudFrame::Welcome(welcome)];
        frames.extend(self.look(time).0);
        Some(frames)
    }

    /// Everything that is due, and after how long there is something again.
    pub(crate) fn look(&mut self, time: Timestamp) -> (Vec<CloudFrame>, Option<u64>) {
        let mut frames = Vec::new();
        let Some(link) = self.link.as_mut().filter(|link| link.is_welcomed) else {
            return (frames, None);
        };
        if time < link.hold_until {
            return (frames, Some(link.hold_until.ms_since(time)));
        }
        let revision = self.stored.revision;
        if revision > link.config_revision && !self.stored.rejected.contains(&revision) {
            link.config_revision = revision;
            let config = serde_json::Map::new();
            frames.push(CloudFrame::Configuration(ConfigurationFrame { revision, config }));
        }
        let epoch = link.epoch;
        let mut open: Vec<&mut Ordered> =
            self.stored.operations.values_mut().filter(|o| o.verdict.is_none()).collect();
        open.sort_by_key(|ordered| ordered.created);
        for ordered in open {
            let id = ordered.frame.id;
            if !link.unfinished.contains(&id) && link.dispatched.insert(id) {
                frames.push(dispatch(ordered, epoch, time));
            }
            if time >= ordered.gives_up_at() && !ordered.is_given_up {
                ordered.is_given_up = true;
                ordered.is_withdrawn |= !link.started.contains(&id);
            }
            if ordered.is_withdrawn && link.cancelled.insert(id) {
                frames.push(CloudFrame::Cancel(Cancel { id }));
            }
        }
        (frames, None)
    }

    /// A repetition that nobody needs, of whatever it has ever been told to do.
    pub(crate) fn dispatch_again(
        &mut self,
        id: OperationId,
        time: Timestamp,
    ) -> Option<CloudFrame> {
        let link = self.link.as_mut().filter(|link| link.is_welcomed)?;
        let ordered = self.stored.operations.get_mut(&id)?;
        // Only what was dispatched: the order of creation stays.
        let was_sent = link.dispatched.contains(&id) || link.unfinished.contains(&id);
        if !was_sent && ordered.verdict.is_none() {
            return None;
        }
        link.dispatched.insert(id);
        Some(dispatch(ordered, link.epoch, time))
    }
}

impl Ordered {
    fn gives_up_at(&self) -> Timestamp {
        self.expires_at().plus_ms(u64::from(self.frame.deadline_s) * 1000)
    }
}

/// With the epoch of the first dispatch and what is left of the time to live.
fn dispatch(ordered: &mut Ordered, epoch: StoreEpoch, time: Timestamp) -> CloudFrame {
    let left_ms = ordered.expires_at().ms_since(time);
    let ttl_s = u32::try_from(left_ms / 1000).unwrap_or(u32::MAX);
    let first_epoch = Some(*ordered.first_epoch.get_or_insert(epoch));
    CloudFrame::Operation(Box::new(OperationFrame { ttl_s, first_epoch, ..ordered.frame.clone() }))
}
