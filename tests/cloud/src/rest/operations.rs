//! `/v1/admin/terminals/operations`, as its public pages describe it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use super::{
    auth::{READ, WRITE, authorise},
    error::{ApiError, FieldError, operation_id},
    new_operation,
    query::check_cursor,
};
use crate::{
    db::{
        cursor::Cursor,
        now,
        operations::{self, Created, Filter, Operation, Request},
        pending,
    },
    state::Shared,
};

/// Rows of a list when nothing is asked for, and at most.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;
/// Namespace of ids that are derived from an account and an `Idempotency-Key`.
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x8d0f_5c26_4f2b_4b56_9d1e_6a52_0c3b_7e11);

/// `POST`: 201 with the operation. The same key and body again: 201 with the same operation as it
/// stands now, marked `Idempotent-Replayed: true`.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let key = idempotency_key(&headers)?;
    let body = new_operation::read(&body, &caller.subject)?;
    let terminal_id = body.new.terminal_id.clone();
    let request = Request {
        new: body.new,
        account_id: Some(caller.account_id.clone()),
        created_by: caller.subject,
        key: key.map(|key| (derived_id(&caller.account_id, key), body.fingerprint)),
        timeout_max_ms: shared.timeout_max_ms(),
        pending_max: None,
    };
    match shared.db.write(move |db| operations::create(db, &request)).await? {
        Created::New(operation) => {
            shared.created(&terminal_id);
            Ok((StatusCode::CREATED, Json(operation)).into_response())
        }
        Created::Replayed(operation) => {
            let replayed =
                (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
            Ok((StatusCode::CREATED, [replayed], Json(operation)).into_response())
        }
        Created::KeyReused => Err(key_reused()),
        Created::Busy { retry_after_s } => Err(ApiError::conflict(
            "OPERATION_PENDING",
            format!("another operation is pending for {terminal_id}, retry in {retry_after_s} s"),
        )
        .with_retry_after(retry_after_s)),
        Created::UnknownTerminal => {
            Err(ApiError::not_found(format!("terminal_id: {terminal_id} is not known")))
        }
        Created::Deactivated => {
            let message = format!("terminal_id: {terminal_id} is deactivated");
            Err(ApiError::conflict("TERMINAL_DEACTIVATED", message))
        }
        Created::QueueFull => Err(ApiError::conflict(
            "QUEUE_FULL",
            "as many operations as one terminal may have wait",
        )),
    }
}

/// The same key came with another request.
pub(super) fn key_reused() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "IDEMPOTENCY_KEY_REUSED",
        "Idempotency-Key: was used for another request; take a new key for a new operation",
    )
}

/// The id of an operation that a request with a key creates, however often it is repeated.
pub(super) fn derived_id(account_id: &str, key: Uuid) -> Uuid {
    Uuid::new_v5(&KEY_NAMESPACE, format!("{account_id}/{key}").as_bytes())
}

/// The same for one terminal of those that the request is for.
pub(super) fn derived_id_at(account_id: &str, key: Uuid, terminal_id: &str) -> Uuid {
    Uuid::new_v5(&derived_id(account_id, key), terminal_id.as_bytes())
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Uuid>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
    let problem = || FieldError {
        path: "Idempotency-Key".to_owned(),
        message: format!(
            "got {:?}, want a UUID",
            terminal_hal::text::bounded(value.to_str().unwrap_or("binary data"), 64)
        ),
    };
    key.map(Some).ok_or_else(|| ApiError::invalid(vec![problem()]))
}

/// `GET`: a JSON array, newest first.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Vec<Operation>>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut filter =
        Filter { account_id: caller.account_id, limit: LIMIT_DEFAULT, ..Filter::default() };
    let mut errors = Vec::new();
    for (name, value) in query {
        let problem = match name.as_str() {
            "terminal_id" => {
                filter.terminal_id = Some(value);
                None
            }
            "operation_id" => id_into(&mut filter.operation_id, &value),
            "starting_after" => id_into(&mut filter.starting_after, &value),
            "limit" => match value.parse() {
                Ok(limit @ 1..=LIMIT_MAX) => {
                    filter.limit = limit;
                    None
                }
                _ => Some(format!("got {value:?}, want an integer of 1 to {LIMIT_MAX}")),
            },
            _ => Some(
                "is not a filter; want terminal_id, operation_id, limit or starting_after"
                    .to_owned(),
            ),
        };
        errors.extend(problem.map(|message| FieldError { path: name, message }));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    if let Some(id) = filter.starting_after.map(|id| id.to_string()) {
        check_cursor(&shared, Cursor::Operations, &filter.account_id, id.clone(), &id).await?;
    }
    Ok(Json(shared.db.read(move |db| operations::list(db, &filter)).await?))
}

fn id_into(target: &mut Option<Uuid>, value: &str) -> Option<String> {
    *target = Uuid::parse_str(value).ok();
    target.is_none().then(|| format!("got {value:?}, want a UUID"))
}

/// `POST …/{id}/cancel` (ours): 202 while it is PENDING, 409 afterwards.
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let id = operation_id(&id)?;
    let (done, operation) = shared
        .db
        .write(move |db| {
            let account = Some(caller.account_id.as_str());
            let done = pending::request_cancel(db, account, id, &caller.subject, now())?;
            Ok((done, operations::find(db, account, id)?))
        })
        .await?;
    let operation =
        operation.ok_or_else(|| ApiError::not_found(format!("operation {id} is not known")))?;
    if !done {
        let message = format!("the operation is {}", operation.status.as_str());
        return Err(ApiError::conflict("NOT_PENDING", message));
    }
    shared.hub.wake(&operation.terminal_id);
    Ok((StatusCode::ACCEPTED, Json(operation)).into_response())
}
