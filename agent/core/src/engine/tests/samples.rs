//! Operations, results and identities to test with.

use serde_json::{Map, Value, json};
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
use uuid::Uuid;

use crate::engine::{BackoffSettings, Credentials, Identity, Settings};

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

pub(super) fn id(n: u128) -> OperationId {
    OperationId(Uuid::from_u128(n))
}

pub(super) fn boot(n: u128) -> BootId {
    BootId(Uuid::from_u128(0xb007 << 64 | n))
}

pub(super) fn identity(boot_number: u128) -> Identity {
    Identity {
        terminal_id: "T-1".into(),
        serial_number: "SN-1".into(),
        model: "mock".into(),
        agent_version: "1.0.0".into(),
        software_version: "5.0.0".into(),
        boot_id: boot(boot_number),
        boot_reason: BootReason::Power,
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        supported: OperationKind::ALL.to_vec(),
        allowed: OperationKind::ALL.to_vec(),
        backoff: BackoffSettings::default(),
        credentials: Credentials::Configured,
    }
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

pub(super) fn parameters(kind: OperationKind) -> Map<String, Value> {
    match kind {
        OperationKind::Configure => object(json!({"revision": 1, "config": {"a": 1}})),
        _ => Map::new(),
    }
}

pub(super) fn result(kind: OperationKind) -> OperationResult {
    let time = Timestamp::from_unix_ms(1);
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
            boot_id_before: boot(1),
            boot_id_after: boot(1),
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

fn lock(locked: bool) -> LockResult {
    LockResult { locked, changed: true, locked_at: None, pending_offline: 0 }
}
