//! Results that can be told apart: each names the operation and how often it took effect before.

use terminal_hal::{
    BootId, OperationId, OperationKind, OperationResult, Timestamp,
    operation::{
        CheckUpdateResult, ConfigureResult, EndOfDayResult, LockResult, OpenMenuResult,
        RebootResult, SendLogsResult, UpdateResult,
        end_of_day::{CloseOutcome, OfflineSummary},
        reboot::{BootReason, RebootScope},
        send_logs::Redactions,
    },
};

/// What is put into a result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) id: OperationId,
    pub(super) nth: u32,
    pub(super) at: Timestamp,
    pub(super) boot: BootId,
    pub(super) revision: u64,
}

pub(super) fn make(kind: OperationKind, made: &Made) -> OperationResult {
    let Made { id, nth, at, boot, revision } = *made;
    match kind {
        OperationKind::EndOfDay => OperationResult::EndOfDay(EndOfDayResult {
            outcome: CloseOutcome::Closed,
            batch_id: format!("{id}/{nth}"),
            next_batch_id: None,
            currency: "NOK".to_owned(),
            start_of_day_at: at,
            end_of_day_at: Some(at),
            last_end_of_day_at: None,
            purchases_count: 1,
            purchases_amount: 100,
            reversals_count: 0,
            reversals_amount: 0,
            sale_amount: 100,
            tip_amount: 0,
            totals: Vec::new(),
            host_totals: None,
            offline: OfflineSummary::default(),
            warnings: Vec::new(),
        }),
        OperationKind::SendLogs => OperationResult::SendLogs(SendLogsResult {
            log_id: format!("{id}/{nth}"),
            bytes_raw: 2,
            bytes_compressed: 1,
            sha256: "0".repeat(64),
            covered_from: at,
            covered_to: at,
            lines: 1,
            truncated: false,
            redactions: Redactions::default(),
        }),
        OperationKind::CheckUpdate => OperationResult::CheckUpdate(CheckUpdateResult {
            available: false,
            current: Vec::new(),
            updates: Vec::new(),
            checked_at: at,
            blocked_by: Vec::new(),
        }),
        OperationKind::OpenMenu => {
            OperationResult::OpenMenu(OpenMenuResult { opened_at: at, shown: true })
        }
        OperationKind::Reboot => OperationResult::Reboot(RebootResult {
            scope: RebootScope::Application,
            boot_id_before: boot,
            boot_id_after: boot,
            boot_reason: BootReason::Requested,
        }),
        OperationKind::Update => OperationResult::Update(UpdateResult {
            from: "1".to_owned(),
            to: format!("{id}/{nth}"),
            installed: true,
            bytes_downloaded: 1,
            resumes: 0,
            slot: None,
            health_checks: Vec::new(),
        }),
        OperationKind::Lock => OperationResult::Lock(lock(true, at, nth)),
        OperationKind::Unlock => OperationResult::Unlock(lock(false, at, nth)),
        OperationKind::Configure => OperationResult::Configure(ConfigureResult {
            revision,
            sha256: format!("{revision:064x}"),
            applied: vec![format!("{id}/{nth}")],
        }),
    }
}

fn lock(locked: bool, at: Timestamp, nth: u32) -> LockResult {
    LockResult { locked, changed: true, locked_at: Some(at), pending_offline: nth.into() }
}
