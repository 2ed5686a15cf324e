//! Lets a terminal in: authentication, subprotocol, WebSocket handshake.

use std::sync::Arc;

use axum::{
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper_util::rt::TokioIo;
use terminal_core::protocol::{ENROL_SUBPROTOCOL, SUBPROTOCOL};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{enrol, session};
use crate::{
    db::{DbError, certificates, terminals},
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
    let answer = accept(&shared, &conn, request.headers(), SUBPROTOCOL).await?;
    let terminal_id = authenticate(&shared, &conn, request.headers()).await?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => session::run(shared, TokioIo::new(upgraded), conn, terminal_id).await,
            Err(error) => tracing::debug!(%error, "upgrade not completed"),
        }
    });
    Ok(answer)
}

/// `GET /v1/terminal/enrol`: whoever comes; what it is told depends on what it can prove.
pub(crate) async fn upgrade_to_enrol(
    State(shared): State<Arc<Shared>>,
    Extension(conn): Extension<Arc<Conn>>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let answer = accept(&shared, &conn, request.headers(), ENROL_SUBPROTOCOL).await?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => enrol::run(shared, TokioIo::new(upgraded), conn).await,
            Err(error) => tracing::debug!(%error, "upgrade not completed"),
        }
    });
    Ok(answer)
}

/// The answer to a handshake that is as it should be, unless a fault says otherwise.
async fn accept(
    shared: &Shared,
    conn: &Conn,
    headers: &HeaderMap,
    subprotocol: &'static str,
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
    let answer = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol)),
        (header::SEC_WEBSOCKET_ACCEPT, handshake_key(headers, subprotocol)?),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, answer).into_response())
}

/// The answer to the client's key, when this is an upgrade to our subprotocol.
fn handshake_key(headers: &HeaderMap, subprotocol: &str) -> Result<HeaderValue, ApiError> {
    if !lists(headers, header::CONNECTION, "upgrade")
        || !lists(headers, header::UPGRADE, "websocket")
        || !lists(headers, header::SEC_WEBSOCKET_VERSION, "13")
    {
        return Err(ApiError::bad_request("want a WebSocket upgrade, version 13"));
    }
    if !lists(headers, header::SEC_WEBSOCKET_PROTOCOL, subprotocol) {
        return Err(ApiError::bad_request(format!(
            "Sec-WebSocket-Protocol: want {subprotocol} among the offered subprotocols"
        )));
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
    let certificate = conn.certificate.clone();
    if token.is_none() && certificate.is_none() {
        return Err(ApiError::unauthorized("want a terminal token or a client certificate"));
    }
    let certificate_name = certificate.as_ref().map(|it| it.common_name.clone());
    // Certificates of other authorities are good as long as TLS says so.
    let digest = certificate
        .filter(|certificate| certificate.is_issued_by(shared.authority.ca_pem()))
        .map(|certificate| certificate.sha256);
    let (by_token, by_certificate, is_dead) = shared
        .db
        .read(move |db| {
            let by_token = token.map(|token| terminals::by_credential(db, &token)).transpose()?;
            let by_certificate = certificate_name
                .map(|id| Ok::<_, DbError>(terminals::find(db, &id)?.map(|one| one.terminal_id)))
                .transpose()?;
            let is_dead = match digest {
                None => false,
                Some(digest) => certificates::by_digest(db, &digest)?.is_none_or(|it| it.revoked),
            };
            Ok((by_token, by_certificate, is_dead))
        })
        .await?;
    let terminal_id = one_terminal(by_token, by_certificate)?;
    let id = terminal_id.clone();
    let terminal = shared.db.read(move |db| terminals::find(db, &id)).await?;
    if terminal.is_none_or(|terminal| terminal.deleted.is_some()) {
        let message = "the terminal has been deactivated";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "TERMINAL_DEACTIVATED", message));
    }
    if is_dead {
        return Err(ApiError::unauthorized("the certificate has been revoked or replaced"));
    }
    Ok(terminal_id)
}

/// Token and certificate, as far as they are there, must name the same terminal.
fn one_terminal(
    by_token: Option<Option<String>>,
    by_certificate: Option<Option<String>>,
) -> Result<String, ApiError> {
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
