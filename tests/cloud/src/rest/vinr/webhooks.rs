//! Webhook endpoints and what became of the events on their way to them.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::Page;
use crate::{
    db::{
        cursor::Cursor,
        deliveries as stored,
        endpoints::{self, ENDPOINTS_MAX, Endpoint},
        events::TYPES,
    },
    rest::{
        auth::{READ, WRITE, authorise},
        error::ApiError,
        problems::{Fields, show},
        query,
    },
    state::Shared,
    vinr::{self, Kind},
};

const LIMIT_DEFAULT: u32 = 20;
const URL_CHARS_MAX: usize = 2048;
/// Whole categories that can be subscribed to.
const CATEGORIES: [&str; 3] = ["*", "terminal.*", "terminal_action.*"];

/// `POST /v1/webhook-endpoints`: the secret is shown once.
pub(in crate::rest) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let mut fields = Fields::json(&headers, &body)?;
    let url = fields.required_line("url", URL_CHARS_MAX);
    if let Some(problem) = url.as_deref().and_then(url_problem) {
        fields.problem("url", problem);
    }
    let events = fields.list("events").unwrap_or_else(|| vec![json!("*")]);
    let events = known_events(&mut fields, &events);
    let (url, events) = fields.finish(url.map(|url| (url, events)))?;
    let made =
        shared.db.write(move |db| endpoints::create(db, &caller.account_id, &url, &events)).await?;
    let enough = || {
        let message = format!("an account has at most {ENDPOINTS_MAX} endpoints; delete one");
        ApiError::conflict("TOO_MANY_ENDPOINTS", message)
    };
    let (endpoint, secret) = made.ok_or_else(enough)?;
    let mut shape = vinr::endpoint(&endpoint);
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("secret".to_owned(), json!(secret));
    }
    Ok(Json(shape))
}

/// https anywhere; http only to this machine.
fn url_problem(text: &str) -> Option<&'static str> {
    let wanted = "want an https URL, or http to a loopback address";
    let Ok(url) = reqwest::Url::parse(text) else { return Some(wanted) };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let good = url.scheme() == "https" || (url.scheme() == "http" && is_local);
    if good { None } else { Some(wanted) }
}

fn known_events(fields: &mut Fields, given: &[Value]) -> Vec<String> {
    let known = |name: &&str| TYPES.contains(name) || CATEGORIES.contains(name);
    if given.is_empty() || given.len() > TYPES.len() + CATEGORIES.len() {
        fields.problem("events", "want one to six");
    }
    let mut events = Vec::new();
    for (index, value) in given.iter().enumerate() {
        match value.as_str().filter(known) {
            Some(name) => events.push(name.to_owned()),
            None => {
                let names = [TYPES, CATEGORIES].concat().join(", ");
                let problem = format!("got {}, want one of {names}", show(value));
                fields.problem(&format!("events[{index}]"), problem);
            }
        }
    }
    events
}

/// `GET /v1/webhook-endpoints`.
pub(in crate::rest) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    query::none(query.as_deref())?;
    let caller = authorise(&shared, &headers, READ).await?;
    let found = shared.db.read(move |db| endpoints::list(db, &caller.account_id)).await?;
    Ok(Json(vinr::list(found.iter().map(vinr::endpoint).collect(), ENDPOINTS_MAX)))
}

/// `GET /v1/webhook-endpoints/{id}`.
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(vinr::endpoint(&endpoint(&shared, &headers, READ, &id).await?)))
}

/// `DELETE /v1/webhook-endpoints/{id}`: nothing more is sent to it.
pub(in crate::rest) async fn delete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let endpoint = endpoint(&shared, &headers, WRITE, &id).await?;
    shared.db.write(move |db| endpoints::delete(db, endpoint.ordinal)).await?;
    Ok(Json(json!({ "id": id, "object": "webhook_endpoint", "deleted": true })))
}

/// `GET /v1/webhook-endpoints/{id}/deliveries`: newest first.
pub(in crate::rest) async fn deliveries(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let endpoint = endpoint(&shared, &headers, READ, &id).await?;
    let mut fields = Fields::query(query.as_deref());
    let page = Page::read(&mut fields, Kind::Event, LIMIT_DEFAULT);
    fields.finish(Some(()))?;
    page.check(&shared, Cursor::Events, &endpoint.account_id).await?;
    let (after, rows) = (page.starting_after, page.rows());
    let found = shared.db.read(move |db| stored::list(db, endpoint.ordinal, after, rows)).await?;
    Ok(Json(vinr::list(found.iter().map(vinr::delivery).collect(), page.limit)))
}

async fn endpoint(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
    id: &str,
) -> Result<Endpoint, ApiError> {
    let caller = authorise(shared, headers, scopes).await?;
    let unknown = || ApiError::not_found(format!("webhook endpoint {id:.64} is not known"));
    let uuid = Kind::Endpoint.parse(id).ok_or_else(unknown)?;
    let found = shared.db.read(move |db| endpoints::find(db, &caller.account_id, uuid)).await?;
    found.ok_or_else(unknown)
}
