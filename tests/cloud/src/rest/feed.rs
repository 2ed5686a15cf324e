//! `GET /v1/feed`: the fleet, and one terminal, as server-sent events whenever they change.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    auth::{READ, authorise},
    error::ApiError,
    problems::Fields,
    vinr::configuration,
};
use crate::{
    db::{
        DbError, json as document,
        operations::{self, Operation},
        row,
        terminals::{self, Terminal},
    },
    state::Shared,
    vinr::{self, Kind},
};

/// Terminals and operations that one event shows.
const TERMINALS_MAX: u32 = 200;
const OPERATIONS_MAX: u32 = 20;
/// Least time between two events: changes that come together are shown together.
const INTERVAL: Duration = Duration::from_millis(200);
/// A comment tells both ends that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An event `state` at once and after every change.
pub(super) async fn feed(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut fields = Fields::query(query.as_deref());
    let terminal = fields.id("terminal", Kind::Terminal);
    fields.finish(Some(()))?;
    let feed = Feed {
        commits: shared.db.commits(),
        stopping: shared.stopping.subscribe(),
        shared,
        account_id: caller.account_id,
        terminal,
        last: String::new(),
    };
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

struct Feed {
    shared: Arc<Shared>,
    commits: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    account_id: String,
    terminal: Option<Uuid>,
    /// As it was sent.
    last: String,
}

impl Feed {
    /// The next event or comment; `None` when the cloud stops.
    async fn next(&mut self) -> Option<String> {
        let keep_alive = tokio::time::sleep(KEEP_ALIVE);
        tokio::pin!(keep_alive);
        loop {
            self.commits.borrow_and_update();
            let state = self.look().await?;
            if state != self.last {
                let event = format!("event: state\ndata: {state}\n\n");
                self.last = state;
                return Some(event);
            }
            tokio::select! {
                changed = self.commits.changed() => changed.ok()?,
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                () = &mut keep_alive => return Some(": alive\n\n".to_owned()),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self) -> Option<String> {
        let (account_id, terminal) = (self.account_id.clone(), self.terminal);
        let state = self.shared.db.read(move |db| state(db, account_id, terminal)).await;
        match state {
            Ok(state) => Some(state.to_string()),
            Err(error) => {
                tracing::debug!(%error, "a feed ends");
                None
            }
        }
    }
}

fn state(db: &Connection, account_id: String, terminal: Option<Uuid>) -> Result<Value, DbError> {
    let selected = match terminal {
        None => None,
        Some(id) => {
            let found = terminals::by_id(db, id)?;
            let found = found.filter(|terminal| terminal.account_id == account_id);
            found.map(|terminal| detail(db, &terminal)).transpose()?
        }
    };
    let filter = terminals::Filter { account_id, limit: TERMINALS_MAX + 1, ..Default::default() };
    let fleet = terminals::newest(db, &filter)?;
    let shown = fleet.iter().take(TERMINALS_MAX as usize).map(vinr::terminal).collect::<Vec<_>>();
    Ok(json!({
        "more": fleet.len() > shown.len(),
        "terminals": shown,
        "selected": selected,
    }))
}

fn detail(db: &Connection, terminal: &Terminal) -> Result<Value, DbError> {
    let filter = operations::Filter {
        account_id: terminal.account_id.clone(),
        terminal_id: Some(terminal.terminal_id.clone()),
        limit: OPERATIONS_MAX,
        ..Default::default()
    };
    let shown = operations::list(db, &filter)?;
    let shown = shown.iter().map(|operation| with_progress(db, operation));
    Ok(json!({
        "terminal": vinr::terminal(terminal),
        "terminalId": terminal.terminal_id,
        "report": terminal.status.as_ref().filter(|_| terminal.online),
        "configuration": configuration::shape(db, terminal)?,
        "operations": shown.collect::<Result<Vec<_>, _>>()?,
    }))
}

/// An operation as its own API has it, and how far it is.
fn with_progress(db: &Connection, operation: &Operation) -> Result<Value, DbError> {
    let progress = row(
        db,
        "SELECT progress FROM operations WHERE id = ?1",
        [operation.id.to_string()],
        |row| document::<Value>(row, "progress"),
    )?;
    let mut shape = serde_json::to_value(operation)?;
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("started".to_owned(), json!(operation.started));
        fields.insert("progress".to_owned(), json!(progress.flatten()));
    }
    Ok(shape)
}
