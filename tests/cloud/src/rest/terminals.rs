//! `/v1/accounts/{aid}/terminals` as its public page describes it, and the credentials that it
//! leaves out.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use rusqlite::Connection;
use serde_json::{Value, json};
use terminal_core::protocol::{CloudFrame, ConfigurationFrame, TEXT_FRAME_BYTES_MAX, encode};

use super::{
    auth::{READ_ACCOUNT, WRITE, WRITE_ACCOUNT, authorise_account, authorise_terminal},
    error::{ApiError, FieldError},
    problems::Fields,
    query::check_cursor,
};
use crate::{
    db::{
        DbError, beforehand, configuration,
        cursor::Cursor,
        locations,
        terminals::{self, RegisterError, Standing, Terminal},
    },
    link::Stop,
    state::Shared,
};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

/// Whether `aid` is `^[PT]\d{8}$`.
pub fn is_account_id(aid: &str) -> bool {
    aid.strip_prefix(['P', 'T'])
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn check_account(aid: &str) -> Result<(), ApiError> {
    if is_account_id(aid) {
        return Ok(());
    }
    let message =
        format!("got {:?}, want P or T and 8 digits", terminal_hal::text::bounded(aid, 64));
    Err(ApiError::invalid(vec![FieldError { path: "aid".to_owned(), message }]))
}

/// `POST`: registers a serial number.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(aid): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    check_account(&aid)?;
    let caller = authorise_account(&shared, &headers, WRITE_ACCOUNT, &aid).await?;
    let mut fields = Fields::parse(&body)?;
    let serial = fields.required_line("device_serial_number", 64);
    let store = fields.required_line("store_id", 64);
    let factory_key = factory_key(&mut fields);
    let (serial, store) = fields.finish(serial.zip(store))?;
    let registered = shared
        .db
        .write(move |db| {
            let store = locations::of_store(db, &aid, &store)?;
            let made = terminals::register(db, &aid, &serial, Some(store.id), &caller.subject)?;
            if let (Ok(made), Some(key)) = (&made, factory_key) {
                beforehand::expect_key(db, &made.terminal_id, &key)?;
            }
            Ok(made)
        })
        .await?;
    match registered {
        Ok(terminal) => Ok((StatusCode::CREATED, Json(shape(&terminal))).into_response()),
        Err(error @ RegisterError::Duplicate(_)) => {
            Err(ApiError::conflict("SERIAL_NUMBER_TAKEN", format!("device_serial_number: {error}")))
        }
    }
}

/// `factory_key_sha256` (ours): by the key of this client certificate the terminal enrols without a
/// code.
fn factory_key(fields: &mut Fields) -> Option<String> {
    let name = "factory_key_sha256";
    let key = fields.line(name, 64)?.to_ascii_lowercase();
    let is_digest = key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_digest {
        fields.problem(name, "want the SHA-256 of a SubjectPublicKeyInfo in DER, as 64 hex digits");
    }
    Some(key)
}

/// `GET`: a JSON array, oldest first.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(aid): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Value>>, ApiError> {
    check_account(&aid)?;
    authorise_account(&shared, &headers, READ_ACCOUNT, &aid).await?;
    let mut fields = Fields::query(query.as_deref());
    let limit = fields.integer("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let after = fields.line("starting_after", 64);
    fields.finish(Some(()))?;
    if let Some(after) = &after {
        check_cursor(&shared, Cursor::TerminalIds, &aid, after.clone(), after).await?;
    }
    let found =
        shared.db.read(move |db| terminals::list(db, &aid, limit, after.as_deref())).await?;
    Ok(Json(found.iter().map(shape).collect()))
}

/// `POST …/{terminal_id}/credentials` (ours): a new link token, shown once; the one before ends.
pub(super) async fn credentials(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((aid, terminal_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let make = terminals::new_credential;
    let token = new_secret(&shared, &headers, aid, &terminal_id, make).await?;
    let body = json!({ "terminal_id": terminal_id, "token": token });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `POST …/{terminal_id}/enrolment-secret` (ours): with it the terminal enrols once without a code.
pub(super) async fn enrolment_secret(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((aid, terminal_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let make = terminals::new_enrolment_secret;
    let secret = new_secret(&shared, &headers, aid, &terminal_id, make).await?;
    let body = json!({ "terminal_id": terminal_id, "secret": secret });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn new_secret(
    shared: &Shared,
    headers: &HeaderMap,
    aid: String,
    terminal_id: &str,
    make: fn(&Connection, &str) -> Result<String, DbError>,
) -> Result<String, ApiError> {
    check_account(&aid)?;
    authorise_account(shared, headers, WRITE_ACCOUNT, &aid).await?;
    let id = terminal_id.to_owned();
    let made = shared
        .db
        .write(move |db| {
            let known = terminals::find(db, &id)?.filter(|one| one.account_id == aid);
            let usable = known.is_some_and(|one| one.deleted.is_none());
            if usable { make(db, &id).map(Some) } else { Ok(None) }
        })
        .await?;
    made.ok_or_else(|| ApiError::not_found(format!("terminal_id: {terminal_id} is not in use")))
}

/// `DELETE …/{terminal_id}` (ours): takes it out of use.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((aid, terminal_id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    check_account(&aid)?;
    let caller = authorise_account(&shared, &headers, WRITE_ACCOUNT, &aid).await?;
    let id = terminal_id.clone();
    let known = shared.db.read(move |db| terminals::find(db, &id)).await?;
    if known.is_none_or(|known| known.account_id != aid) {
        return Err(ApiError::not_found(format!("terminal_id: {terminal_id} is not known")));
    }
    Ok(Json(shape(&deactivate(&shared, terminal_id, caller.subject).await?)))
}

/// Takes a terminal out of use and ends its link.
pub(super) async fn deactivate(
    shared: &Shared,
    terminal_id: String,
    by: String,
) -> Result<Terminal, ApiError> {
    let id = terminal_id.clone();
    let terminal = shared
        .db
        .write(move |db| {
            terminals::deactivate(db, &id, &by)?;
            terminals::find(db, &id)
        })
        .await?;
    let code = terminal_core::protocol::close_code::UNAUTHENTICATED;
    shared.hub.stop(&terminal_id, Stop::close(code, "the terminal has been deactivated"));
    terminal.ok_or_else(|| ApiError::not_found(format!("terminal_id: {terminal_id} is not known")))
}

/// The resource as its public page shows it; what is unknown is absent.
pub(super) fn shape(terminal: &Terminal) -> Value {
    let (status, reason) = status(terminal);
    let (deleted_at, deleted_by) = terminal.deleted.clone().unzip();
    let mut shape = json!({
        "terminal_id": terminal.terminal_id,
        "device_serial_number": terminal.serial_number,
        "id": terminal.id,
        "created_at": terminal.created_at,
        "created_by": terminal.created_by,
        "updated_at": terminal.updated_at,
        "deleted_by": deleted_by,
        "deleted_at": deleted_at,
        "device_model": terminal.model,
        "store_id": terminal.store_id,
        "status": status,
        "status_reason": reason,
        "software_version": terminal.software_version,
        "battery_level": terminal.battery_level,
        "last_seen_at": terminal.last_seen_at,
    });
    if let Some(fields) = shape.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    shape
}

/// `status` and `status_reason`.
fn status(terminal: &Terminal) -> (&'static str, Option<&'static str>) {
    match terminal.standing {
        Standing::Deactivated => ("DELETED", None),
        Standing::Offline if terminal.last_seen_at.is_none() => ("PENDING", None),
        Standing::Offline => ("INACTIVE", None),
        Standing::NeedsAttention if terminal.needs_attention().contains(&"TAMPERED") => {
            ("ERROR", None)
        }
        Standing::NeedsAttention if terminal.update_mandatory => {
            ("ACTION_REQUIRED", Some("CHECK_UPDATE"))
        }
        Standing::NeedsAttention => ("ACTION_REQUIRED", None),
        Standing::Online => ("ACTIVE", None),
    }
}

/// `PUT /v1/terminals/{terminal_id}/configuration` (ours): the terminal's own settings, whole and
/// unchecked, so that a terminal can be seen to reject them.
pub(super) async fn configure(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (_, terminal) = authorise_terminal(&shared, &headers, WRITE, &id).await?;
    let mut fields = Fields::parse(&body)?;
    let config = fields.object("config");
    match &config {
        None => fields.problem("config", "is missing, want an object"),
        Some(config) => {
            let frame = ConfigurationFrame { revision: u64::MAX, config: config.clone() };
            let bytes = encode(&CloudFrame::Configuration(frame)).len();
            if bytes > TEXT_FRAME_BYTES_MAX {
                let problem =
                    format!("makes a frame of {bytes} bytes, want at most {TEXT_FRAME_BYTES_MAX}");
                fields.problem("config", problem);
            }
        }
    }
    let config = fields.finish(config)?;
    let id = terminal.terminal_id.clone();
    let revision =
        shared.db.write(move |db| configuration::override_with(db, &id, &config)).await?;
    shared.hub.wake(&terminal.terminal_id);
    Ok(Json(json!({ "revision": revision })))
}
