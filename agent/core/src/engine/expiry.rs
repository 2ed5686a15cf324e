//! Time to live of what waits for its turn.

use terminal_hal::{ErrorCode, Failure, OperationId, SideEffects, Timestamp};

use super::{
    Engine, Monotonic, OperationRecord, OperationState, output::Output,
    reporting::left_by_earlier_attempts,
};

impl Engine {
    /// Operations that have waited longer than they may.
    pub(super) fn expire_queued(&mut self, out: &mut Output<'_>) {
        let cloud_now = self.cloud_now(out.moment);
        let expired: Vec<(OperationId, bool)> = self
            .operations
            .values()
            .filter_map(|record| match record.state {
                OperationState::Queued { attempts } => Some((record, attempts > 0)),
                OperationState::Running { .. } | OperationState::Finished { .. } => None,
            })
            .filter(|(record, _)| self.is_expired(record, cloud_now, out))
            .map(|(record, was_cut_off)| {
                // Where nothing is left, as far as anybody can tell it has not started.
                let left = left_by_earlier_attempts(record) != SideEffects::None;
                (record.id, was_cut_off && left)
            })
            .collect();
        for (id, was_cut_off) in expired {
            let failure = if was_cut_off {
                let reason = "cut off, and its time to live ran out before it could run again";
                Failure::new(ErrorCode::Interrupted, reason)
            } else {
                let reason = "its time to live ran out before it started";
                Failure::new(ErrorCode::Expired, reason)
            };
            self.fail(id, failure, out);
        }
    }

    /// In the boot that took it the boot clock counts; afterwards the cloud's time.
    pub(super) fn is_expired(
        &self,
        record: &OperationRecord,
        cloud_now: Option<Timestamp>,
        out: &Output<'_>,
    ) -> bool {
        if record.expiry.boot_id == self.identity.boot_id {
            out.moment.monotonic >= record.expiry.monotonic
        } else {
            cloud_now.is_some_and(|now| now >= record.expiry.cloud)
        }
    }

    /// When that will be, as far as it is known.
    pub(super) fn expires_at(&self, record: &OperationRecord) -> Option<Monotonic> {
        if record.expiry.boot_id == self.identity.boot_id {
            return Some(record.expiry.monotonic);
        }
        self.cloud_clock.map(|clock| clock.at.plus_ms(record.expiry.cloud.ms_since(clock.time)))
    }
}
