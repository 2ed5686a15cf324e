//! A result of each kind, as a backend would answer.

use terminal_hal::{
    BootId, OperationKind, OperationResult, Timestamp,
    operation::{
        CheckUpdateResult, ConfigureResult, EndOfDayResult, LockResult, OpenMenuResult,
        RebootResult, SendLogsResult, UpdateResult,
        end_of_day::{CloseOutcome, OfflineSummary},
        reboot::{BootReason, RebootScope},
        send_logs::Redactions,
    },
};
use uuid::Uuid;

/// An ordinary result.
pub(crate) fn result(kind: OperationKind) -> OperationResult {
    let time = Timestamp::from_unix_ms(1);
    let boot = BootId(Uuid::nil());
    let lock = |locked| LockResult { locked, changed: true, locked_at: None, pending_offline: 0 };
    match kind {
        OperationKind::EndOfDay => OperationResult::EndOfDay(EndOfDayResult {
            outcome: CloseOutcome::Closed,
            batch_id: "B1".into(),
            next_batch_id: Some("B2".into()),
            currency: "NOK".into(),
            start_of_day_at: time,
            end_of_day_at: Some(time),
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
            log_id: "L".into(),
            bytes_raw: 1,
            bytes_compressed: 1,
            sha256: "0".repeat(64),
            covered_from: time,
            covered_to: time,
            lines: 1,
            truncated: false,
            redactions: Redactions::default(),
        }),
        OperationKind::CheckUpdate => OperationResult::CheckUpdate(CheckUpdateResult {
            available: false,
            current: Vec::new(),
            updates: Vec::new(),
            checked_at: time,
            blocked_by: Vec::new(),
        }),
        OperationKind::OpenMenu => {
            OperationResult::OpenMenu(OpenMenuResult { opened_at: time, shown: true })
        }
        OperationKind::Reboot => OperationResult::Reboot(RebootResult {
            scope: RebootScope::Application,
            boot_id_before: boot,
            boot_id_after: boot,
            boot_reason: BootReason::Requested,
        }),
        OperationKind::Update => OperationResult::Update(UpdateResult {
            from: "5.0.0".into(),
            to: "5.1.0".into(),
            installed: true,
            bytes_downloaded: 1,
            resumes: 0,
            slot: None,
            health_checks: Vec::new(),
        }),
        OperationKind::Lock => OperationResult::Lock(lock(true)),
        OperationKind::Unlock => OperationResult::Unlock(lock(false)),
        OperationKind::Configure => OperationResult::Configure(ConfigureResult {
            revision: 1,
            sha256: "0".repeat(64),
            applied: Vec::new(),
        }),
    }
}
