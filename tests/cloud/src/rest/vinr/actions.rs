//! Terminal actions: one terminal, all terminals of a location, retrieve, list.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
};
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use terminal_core::protocol::{IfPaymentActive, Policy};
use terminal_hal::{OperationKind, Parameters};
use uuid::Uuid;

use super::{Page, caller_and_location, check_in_use};
use crate::{
    db::{
        DbError, configuration,
        cursor::Cursor,
        operations::{self, Created, Filter, NewOperation, Operation, Progress, Request},
        terminals,
        tokens::NewToken,
    },
    rest::{
        auth::{READ, WRITE, authorise, authorise_terminal},
        error::ApiError,
        new_operation::{check_size, fingerprint},
        operations::{derived_id, derived_id_at, idempotency_key, key_reused},
        problems::Fields,
    },
    state::Shared,
    vinr::{self, ACTIONS, Kind},
};

const LIMIT_DEFAULT: u32 = 20;
/// Longest `ttlSeconds`: the protocol's limit of 30 days.
const TTL_S_MAX: u32 = 30 * 86_400;
/// Operations that may wait for one terminal before an action is refused.
const PENDING_MAX: u32 = 100;

/// `POST /v1/terminals/{id}/actions`.
pub(in crate::rest) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (caller, terminal) = authorise_terminal(&shared, &headers, WRITE, &id).await?;
    check_in_use(&terminal)?;
    let key = idempotency_key(&headers)?;
    let new = read(&headers, &body, &terminal.terminal_id, &caller.subject)?;
    let key = key.map(|key| (derived_id(&caller.account_id, key), fingerprint(&new)));
    let request = request(&shared, &caller, new, key);
    match shared.db.write(move |db| operations::create(db, &request)).await? {
        Created::New(operation) | Created::Replayed(operation) => {
            shared.created(&terminal.terminal_id);
            Ok(Json(vinr::action(&operation, terminal.id)))
        }
        Created::KeyReused => Err(key_reused()),
        Created::UnknownTerminal | Created::Deactivated => {
            Err(ApiError::not_found(format!("terminal {id} is not known")))
        }
        Created::Busy { .. } | Created::QueueFull => Err(queue_full()),
    }
}

/// `POST /v1/locations/{id}/terminal-actions`: one action per terminal; those that cannot be told
/// are in `errors`.
pub(in crate::rest) async fn create_at_location(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (caller, location) = caller_and_location(&shared, &headers, WRITE, &id).await?;
    let key = idempotency_key(&headers)?;
    let template = request(&shared, &caller, read(&headers, &body, "", &caller.subject)?, None);
    let outcomes = shared
        .db
        .write(move |db| {
            let terminals = configuration::terminals_at(db, location.id)?;
            let requests = terminals.into_iter().map(|terminal_id| at(&template, key, terminal_id));
            let requests = requests.collect::<Vec<_>>();
            for request in &requests {
                if matches!(operations::repeated(db, request)?, Some(Created::KeyReused)) {
                    return Ok(None);
                }
            }
            let mut outcomes = (Vec::new(), Vec::new());
            for request in &requests {
                create_one(db, request, &mut outcomes)?;
            }
            Ok(Some(outcomes))
        })
        .await?;
    let (made, errors) = outcomes.ok_or_else(key_reused)?;
    let mut actions = Vec::new();
    for (operation, terminal) in made {
        shared.created(&operation.terminal_id);
        actions.push(vinr::action(&operation, terminal));
    }
    Ok(Json(json!({ "object": "list", "data": actions, "has_more": false, "errors": errors })))
}

/// The same for one terminal of a location, with an id of its own when there is a key.
fn at(template: &Request, key: Option<Uuid>, terminal_id: String) -> Request {
    let new = NewOperation { terminal_id, ..template.new.clone() };
    let account_id = template.account_id.as_deref().unwrap_or_default();
    let key = key.map(|key| {
        let id = derived_id_at(account_id, key, &new.terminal_id);
        (id, fingerprint(&new))
    });
    Request { new, key, ..template.clone() }
}

type Outcomes = (Vec<(Operation, Uuid)>, Vec<Value>);

fn create_one(
    db: &Connection,
    request: &Request,
    (made, errors): &mut Outcomes,
) -> Result<(), DbError> {
    let Some(terminal) = terminals::find(db, &request.new.terminal_id)? else { return Ok(()) };
    match operations::create(db, request)? {
        Created::New(operation) | Created::Replayed(operation) => {
            made.push((operation, terminal.id));
        }
        Created::Busy { .. }
        | Created::QueueFull
        | Created::KeyReused
        | Created::Deactivated
        | Created::UnknownTerminal => errors.push(json!({
            "terminalId": Kind::Terminal.id(terminal.id),
            "code": "QUEUE_FULL",
            "message": QUEUE_FULL,
        })),
    }
    Ok(())
}

const QUEUE_FULL: &str = "100 operations wait for this terminal already";

fn queue_full() -> ApiError {
    ApiError::conflict("QUEUE_FULL", QUEUE_FULL)
}

fn request(
    shared: &Shared,
    caller: &NewToken,
    new: NewOperation,
    key: Option<(Uuid, String)>,
) -> Request {
    Request {
        new,
        account_id: Some(caller.account_id.clone()),
        created_by: caller.subject.clone(),
        key,
        timeout_max_ms: shared.timeout_max_ms(),
        pending_max: Some(PENDING_MAX),
    }
}

/// Reads `action`, and ours: `parameters` of the operation and `ttlSeconds`.
fn read(
    headers: &HeaderMap,
    body: &Bytes,
    terminal_id: &str,
    created_by: &str,
) -> Result<NewOperation, ApiError> {
    let mut fields = Fields::form_or_json(headers, body)?;
    let kind = fields.required_choice("action", &ACTIONS.map(|kind| (kind.as_str(), kind)));
    let given = fields.object("parameters").unwrap_or_default();
    let ttl_s = fields.integer("ttlSeconds", 1, TTL_S_MAX);
    let new = kind.map(|kind| {
        let mut new = NewOperation::new(terminal_id, kind.as_str());
        new.parameters = parameters(kind, given);
        new.policy = policy(kind);
        new.ttl_s = ttl_s.unwrap_or(new.ttl_s);
        if let Err(error) = Parameters::parse(kind, &new.parameters) {
            fields.problem(&error.path, error.problem);
        }
        check_size(&new, created_by, &mut fields);
        new
    });
    fields.finish(new)
}

/// camelCase names of this API in the protocol's snake_case, and what the page promises where
/// nothing is said: an update is applied, but never in a payment.
fn parameters(kind: OperationKind, given: Map<String, Value>) -> Map<String, Value> {
    let mut parameters: Map<String, Value> =
        given.into_iter().map(|(name, value)| (snake_case(&name), value)).collect();
    if kind == OperationKind::Update {
        parameters.entry("apply").or_insert_with(|| json!("on_idle"));
    }
    parameters
}

fn snake_case(name: &str) -> String {
    name.chars().fold(String::new(), |mut snake, letter| {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        snake
    })
}

/// "Active payments are cancelled before reboot": as long as that is possible.
fn policy(kind: OperationKind) -> Policy {
    let default = Policy::default();
    if kind == OperationKind::Reboot {
        return Policy { if_payment_active: IfPaymentActive::Cancel, ..default };
    }
    default
}

/// `GET /v1/terminal/actions/{id}`.
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let unknown = || ApiError::not_found(format!("terminal action {id:.64} is not known"));
    let operation_id = vinr::operation_id(&id).ok_or_else(unknown)?;
    let filter = Filter {
        account_id: caller.account_id,
        operation_id: Some(operation_id.0),
        kinds: ACTIONS.map(OperationKind::as_str).to_vec(),
        limit: 1,
        ..Filter::default()
    };
    let found = shared.db.read(move |db| shown(db, &filter)).await?;
    found.into_iter().next().map(Json).ok_or_else(unknown)
}

/// `GET /v1/terminal/actions`: newest first.
pub(in crate::rest) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut fields = Fields::query(query.as_deref());
    let terminal = fields.id("terminalId", Kind::Terminal);
    let kind = fields.choice("action", &ACTIONS.map(|kind| (kind.as_str(), kind.as_str())));
    let progress = fields.choice("status", &PROGRESS);
    let page = Page::read(&mut fields, Kind::Action, LIMIT_DEFAULT);
    fields.finish(Some(()))?;
    page.check(&shared, Cursor::Operations, &caller.account_id).await?;
    let mut filter = Filter {
        account_id: caller.account_id,
        kinds: kind.map_or_else(|| ACTIONS.map(OperationKind::as_str).to_vec(), |kind| vec![kind]),
        progress,
        starting_after: page.starting_after,
        limit: page.rows(),
        ..Filter::default()
    };
    let rows = shared
        .db
        .read(move |db| {
            if let Some(terminal) = terminal {
                let found = terminals::by_id(db, terminal)?;
                filter.terminal_id = Some(found.map_or_else(String::new, |it| it.terminal_id));
            }
            shown(db, &filter)
        })
        .await?;
    Ok(Json(vinr::list(rows, page.limit)))
}

const PROGRESS: [(&str, Progress); 4] = [
    ("queued", Progress::Queued),
    ("processing", Progress::Processing),
    ("completed", Progress::Completed),
    ("failed", Progress::Failed),
];

/// Operations as terminal actions.
fn shown(db: &Connection, filter: &Filter) -> Result<Vec<Value>, DbError> {
    let found = operations::list(db, filter)?;
    let shapes = found.iter().map(|operation| {
        let terminal = terminals::find(db, &operation.terminal_id)?;
        let terminal = terminal.ok_or(DbError::Range("terminal of an operation"))?;
        Ok(vinr::action(operation, terminal.id))
    });
    shapes.collect()
}
