//! Tables.

use rusqlite::Connection;

use super::DbError;

/// Creates what is missing.
pub(super) fn create(connection: &Connection) -> Result<(), DbError> {
    connection.execute_batch(TABLES)?;
    Ok(())
}

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);

CREATE TABLE IF NOT EXISTS tokens (
    sha256 TEXT PRIMARY KEY, account_id TEXT NOT NULL, subject TEXT NOT NULL,
    scopes TEXT NOT NULL, created_at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS terminals (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    terminal_id TEXT NOT NULL UNIQUE, id TEXT NOT NULL, account_id TEXT NOT NULL,
    serial_number TEXT NOT NULL, store_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, created_by TEXT NOT NULL, updated_at INTEGER NOT NULL,
    credential_sha256 TEXT UNIQUE,
    session_id TEXT, hello TEXT, status TEXT, last_seen_at INTEGER,
    config TEXT, config_revision INTEGER NOT NULL DEFAULT 0,
    config_seen INTEGER NOT NULL DEFAULT 0, config_report TEXT,
    update_mandatory INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account_id, serial_number));

CREATE TABLE IF NOT EXISTS operations (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, terminal_id TEXT NOT NULL,
    kind TEXT NOT NULL, parameters TEXT NOT NULL, policy TEXT NOT NULL,
    ttl_s INTEGER NOT NULL, deadline_s INTEGER NOT NULL,
    not_after INTEGER NOT NULL, timeout_at INTEGER NOT NULL,
    origin TEXT NOT NULL, fingerprint TEXT,
    created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL,
    status TEXT NOT NULL, result TEXT, error TEXT, late_result TEXT,
    verdict TEXT, verdict_report_id TEXT, last_error TEXT, progress TEXT,
    first_epoch TEXT, dispatched_at INTEGER, dispatched_session TEXT,
    dispatches INTEGER NOT NULL DEFAULT 0,
    overloads INTEGER NOT NULL DEFAULT 0, redispatch_at INTEGER,
    accepted_at INTEGER, started_at INTEGER,
    cancel TEXT, cancel_session TEXT);
CREATE INDEX IF NOT EXISTS operations_by_terminal ON operations (terminal_id, ordinal);
CREATE INDEX IF NOT EXISTS operations_by_account ON operations (account_id, ordinal);
CREATE INDEX IF NOT EXISTS operations_pending
    ON operations (timeout_at) WHERE status = 'PENDING';
CREATE INDEX IF NOT EXISTS operations_open
    ON operations (terminal_id, ordinal) WHERE verdict IS NULL;

CREATE TABLE IF NOT EXISTS timeline (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    operation_id TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, detail TEXT);
CREATE INDEX IF NOT EXISTS timeline_by_operation ON timeline (operation_id, ordinal);

CREATE TABLE IF NOT EXISTS streams (
    terminal_id TEXT NOT NULL, store_epoch TEXT NOT NULL,
    ack_seq INTEGER NOT NULL, PRIMARY KEY (terminal_id, store_epoch)) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reports (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    terminal_id TEXT NOT NULL, store_epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    report_id TEXT NOT NULL, kind TEXT NOT NULL, operation_id TEXT,
    body TEXT NOT NULL, problem TEXT, received_at INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    UNIQUE (terminal_id, store_epoch, seq));

CREATE TABLE IF NOT EXISTS gaps (
    terminal_id TEXT NOT NULL, store_epoch TEXT NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, found_at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS logs (
    operation_id TEXT PRIMARY KEY, terminal_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, completed_at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS uploads (
    name TEXT PRIMARY KEY, account_id TEXT NOT NULL, bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, received_at INTEGER NOT NULL);
";
