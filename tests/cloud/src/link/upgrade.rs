//! Lets a terminal in: authentication, subprotocol, WebSocket handshake.

use std::sync::Arc;

use axum::{
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper_util::rt::TokioIo;
use terminal_core::protocol::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::session;
use crate::{
    db::{DbError, terminals},
    rest::error::ApiError,
    server::Conn,
    state::Shared,
};

/// `GET /v1/terminal/ws`.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(conn): Extension<Arc<Conn>>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let faults = shared.faults.now();
    if faults.refuses_links() {
        conn.reset();
        // The connection is torn down around this call.
        return std::future::pending().await;
    }
    if let Some(retry_after_s) = faults.unavailable {
        return Err(ApiError::unavailable(retry_after_s));
    }
    let key = handshake_key(request.headers())?;
    let terminal_id = authenticate(&shared, &conn, request.headers()).await?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => session::run(shared, TokioIo::new(upgraded), conn, terminal_id).await,
            Err(error) => tracing::debug!(%error, "upgrade not completed"),
        }
    });
    let answer = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, answer).into_response())
}

/// The answer to the client's key, when this is an upgrade to our subprotocol.
fn handshake_key(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    if !lists(headers, header::CONNECTION, "upgrade")
        || !lists(headers, header::UPGRADE, "websocket")
        || !lists(headers, header::SEC_WEBSOCKET_VERSION, "13")
    {
        return Err(ApiError::bad_request("want a WebSocket upgrade, version 13"));
    }
    if !lists(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(ApiError::bad_request(
            "Sec-WebSocket-Protocol: want terminal-ops.v1 among the offered subprotocols",
        ));
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| ApiError::bad_request("Sec-WebSocket-Key is missing"))
}

fn lists(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

/// The terminal that the client certificate or the bearer token names; both must agree.
async fn authenticate(
    shared: &Shared,
    conn: &Conn,
    headers: &HeaderMap,
) -> Result<String, ApiError> {
    let token = crate::rest::auth::bearer(headers).map(str::to_owned);
    let common_name = conn.common_name.clone();
    if token.is_none() && common_name.is_none() {
        return Err(ApiError::unauthorized("want a terminal token or a client certificate"));
    }
    let (by_token, by_certificate) = shared
        .db
        .read(move |db| {
            let by_token = token.map(|token| terminals::by_credential(db, &token)).transpose()?;
            let by_certificate = common_name
                .map(|id| Ok::<_, DbError>(terminals::find(db, &id)?.map(|one| one.terminal_id)))
                .transpose()?;
            Ok((by_token, by_certificate))
        })
        .await?;
    match (by_token, by_certificate) {
        (Some(Some(token)), None) => Ok(token),
        (None, Some(Some(certificate))) => Ok(certificate),
        (Some(Some(token)), Some(Some(certificate))) if token == certificate => Ok(token),
        (Some(Some(_)), Some(_)) => {
            Err(ApiError::unauthorized("token and certificate name different terminals"))
        }
        (Some(None), _) => Err(ApiError::unauthorized("the token belongs to no terminal")),
        (None, _) => Err(ApiError::unauthorized("the certificate names no terminal")),
    }
}
