//! The configuration of a terminal and the template of a location.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::{caller_and_location, check_in_use, config_check};
use crate::{
    db::{
        DbError, configuration,
        terminals::{self, Terminal},
    },
    rest::{
        auth::{READ, WRITE, authorise_terminal},
        error::{ApiError, FieldError},
        problems::Fields,
    },
    state::Shared,
    vinr::{self, Kind},
};

/// Problems that one answer lists.
const PROBLEMS_MAX: usize = 32;

/// `POST /v1/terminals/{id}/configure`: changes the terminal's own settings; null gives back what
/// its location says. Answers with the terminal.
pub(in crate::rest) async fn configure(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (_, terminal) = authorise_terminal(&shared, &headers, WRITE, &id).await?;
    check_in_use(&terminal)?;
    let changes = Fields::json(&headers, &body)?.into_map();
    let terminal_id = terminal.terminal_id.clone();
    let problems = shared
        .db
        .write(move |db| {
            let parts = configuration::parts(db, &terminal_id)?.unwrap_or_default();
            let mut overrides = parts.overrides;
            configuration::merge(&mut overrides, &changes);
            let whole = configuration::effective(&parts.template, &overrides);
            let problems = config_check::problems(&whole);
            if problems.is_empty() {
                configuration::override_with(db, &terminal_id, &overrides)?;
            }
            Ok(problems)
        })
        .await?;
    refuse(problems)?;
    shared.hub.wake(&terminal.terminal_id);
    Ok(Json(vinr::terminal(&terminal)))
}

/// `GET /v1/terminals/{id}/configuration` (ours): what is wanted, what is in force, and what the
/// terminal had against it.
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (_, terminal) = authorise_terminal(&shared, &headers, READ, &id).await?;
    Ok(Json(shared.db.read(move |db| shape(db, &terminal)).await?))
}

/// A terminal's configuration as this API shows it.
pub(in crate::rest) fn shape(db: &Connection, terminal: &Terminal) -> Result<Value, DbError> {
    let parts = configuration::parts(db, &terminal.terminal_id)?.unwrap_or_default();
    let (revision, in_force) = (terminal.config_revision, terminal.config_in_force);
    let report = terminal.config_report.as_ref().filter(|report| report["revision"] == revision);
    let rejected = report.is_some_and(|report| report["status"] == "REJECTED");
    let status = match (revision, rejected) {
        (0, _) => "none",
        (_, true) => "rejected",
        _ if in_force == revision => "applied",
        _ => "pending",
    };
    Ok(json!({
        "object": "terminal_configuration",
        "terminalId": Kind::Terminal.id(terminal.id),
        "status": status,
        "revision": revision,
        "revisionInForce": in_force,
        "errors": report.map_or_else(|| json!([]), |report| report["errors"].clone()),
        "config": parts.config,
        "overrides": parts.overrides,
        "locationConfig": parts.template,
    }))
}

/// `PUT /v1/locations/{id}/terminal-config`: the template, whole.
pub(in crate::rest) async fn set_template(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (_, location) = caller_and_location(&shared, &headers, WRITE, &id).await?;
    let mut template = Map::new();
    // Without the nulls, which mean nothing here.
    configuration::merge(&mut template, &Fields::json(&headers, &body)?.into_map());
    let shown = template.clone();
    let (problems, terminals) = shared
        .db
        .write(move |db| {
            let mut problems = config_check::problems(&template);
            for terminal_id in configuration::terminals_at(db, location.id)? {
                problems.extend(problems_at(db, &terminal_id, &template)?);
            }
            if !problems.is_empty() {
                return Ok((problems, Vec::new()));
            }
            Ok((problems, configuration::set_template(db, location.id, &template)?))
        })
        .await?;
    refuse(problems)?;
    for terminal_id in &terminals {
        shared.hub.wake(terminal_id);
    }
    Ok(Json(template_shape(&id, shown)))
}

/// `GET /v1/locations/{id}/terminal-config` (ours).
pub(in crate::rest) async fn template(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (_, location) = caller_and_location(&shared, &headers, READ, &id).await?;
    Ok(Json(template_shape(&id, location.template)))
}

fn template_shape(id: &str, config: Map<String, Value>) -> Value {
    json!({ "object": "terminal_config", "locationId": id, "config": config })
}

/// What a template would make wrong at a terminal with settings of its own.
fn problems_at(
    db: &Connection,
    terminal_id: &str,
    template: &Map<String, Value>,
) -> Result<Vec<FieldError>, DbError> {
    let Some(terminal) = terminals::find(db, terminal_id)? else { return Ok(Vec::new()) };
    let overrides = configuration::parts(db, terminal_id)?.unwrap_or_default().overrides;
    if overrides.is_empty() {
        return Ok(Vec::new());
    }
    let found = config_check::problems(&configuration::effective(template, &overrides));
    let id = Kind::Terminal.id(terminal.id);
    let at = |problem: FieldError| {
        let path = format!("{}@{id}", problem.path);
        FieldError { path, ..problem }
    };
    Ok(found.into_iter().map(at).collect())
}

fn refuse(mut problems: Vec<FieldError>) -> Result<(), ApiError> {
    problems.truncate(PROBLEMS_MAX);
    if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(problems)) }
}
