//! Tables, and the one view that tells how a terminal stands.

use rusqlite::Connection;

use super::DbError;

/// Version of the tables. There is no migration: this is a simulation.
const VERSION: i64 = 4;

/// Creates what is missing; refuses a database of another version.
pub(super) fn create(connection: &Connection) -> Result<(), DbError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let used: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'terminals')",
        [],
        |row| row.get(0),
    )?;
    if used && found != VERSION {
        return Err(DbError::Version { found, wanted: VERSION });
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);

CREATE TABLE IF NOT EXISTS tokens (
    sha256 TEXT PRIMARY KEY, account_id TEXT NOT NULL, subject TEXT NOT NULL,
    scopes TEXT NOT NULL, created_at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS locations (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, store_id TEXT NOT NULL,
    display_name TEXT, template TEXT NOT NULL DEFAULT '{}', created_at INTEGER NOT NULL,
    UNIQUE (account_id, store_id));

CREATE TABLE IF NOT EXISTS terminals (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    terminal_id TEXT NOT NULL UNIQUE, id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL,
    serial_number TEXT NOT NULL, location_id TEXT REFERENCES locations (id), display_name TEXT,
    created_at INTEGER NOT NULL, created_by TEXT NOT NULL, updated_at INTEGER NOT NULL,
    deleted_at INTEGER, deleted_by TEXT,
    credential_sha256 TEXT UNIQUE, enrolment_secret_sha256 TEXT, factory_key_sha256 TEXT,
    session_id TEXT, link_ended_at INTEGER, announced INTEGER NOT NULL DEFAULT 0,
    hello TEXT, status TEXT, last_seen_at INTEGER,
    model TEXT, software_version TEXT, battery_level INTEGER,
    overrides TEXT NOT NULL DEFAULT '{}', config TEXT,
    config_revision INTEGER NOT NULL DEFAULT 0,
    config_seen INTEGER NOT NULL DEFAULT 0, config_in_force INTEGER NOT NULL DEFAULT 0,
    config_report TEXT,
    update_mandatory INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account_id, serial_number));
CREATE INDEX IF NOT EXISTS terminals_by_location ON terminals (location_id);
CREATE INDEX IF NOT EXISTS terminals_to_announce
    ON terminals (link_ended_at) WHERE announced AND session_id IS NULL;

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
    accepted_at INTEGER, started_at INTEGER, finished_at INTEGER,
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
    account_id TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, received_at INTEGER NOT NULL, PRIMARY KEY (account_id, name));

CREATE TABLE IF NOT EXISTS enrolments (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    serial_number TEXT NOT NULL, key_sha256 TEXT NOT NULL, begun TEXT NOT NULL,
    link TEXT, terminal_id TEXT, seen_at INTEGER NOT NULL,
    UNIQUE (serial_number, key_sha256));
CREATE INDEX IF NOT EXISTS enrolments_by_terminal ON enrolments (terminal_id);

CREATE TABLE IF NOT EXISTS activation_codes (
    code TEXT PRIMARY KEY, enrolment INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    used_at INTEGER);
CREATE INDEX IF NOT EXISTS activation_codes_by_enrolment ON activation_codes (enrolment);

CREATE TABLE IF NOT EXISTS activation_failures (who TEXT NOT NULL, at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS certificates (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE, terminal_id TEXT NOT NULL, enrolment INTEGER NOT NULL,
    issued_at INTEGER NOT NULL, revoked_at INTEGER);

CREATE TABLE IF NOT EXISTS webhook_endpoints (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL,
    secret TEXT NOT NULL, created_at INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS events (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, terminal_id TEXT NOT NULL,
    type TEXT NOT NULL, body TEXT NOT NULL, created_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_account ON events (account_id, ordinal);

CREATE TABLE IF NOT EXISTS deliveries (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    event INTEGER NOT NULL, endpoint INTEGER NOT NULL, terminal_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL, last_attempt_at INTEGER, last_status INTEGER, last_error TEXT);
CREATE INDEX IF NOT EXISTS deliveries_pending
    ON deliveries (endpoint, terminal_id, ordinal) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE INDEX IF NOT EXISTS deliveries_by_endpoint ON deliveries (endpoint, ordinal);

CREATE VIEW IF NOT EXISTS fleet AS
SELECT terminals.*, locations.store_id, locations.template,
    CASE
    WHEN deleted_at IS NOT NULL THEN 'deactivated'
    WHEN session_id IS NULL AND NOT EXISTS (
        SELECT 1 FROM enrolments
        WHERE enrolments.terminal_id = terminals.terminal_id AND link IS NOT NULL) THEN 'offline'
    WHEN update_mandatory
        OR json_array_length(coalesce(status, '{}'), '$.needs_attention') > 0
        THEN 'needs_attention'
    ELSE 'online' END AS state
FROM terminals LEFT JOIN locations ON locations.id = terminals.location_id;
";
