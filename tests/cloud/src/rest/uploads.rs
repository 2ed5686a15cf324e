//! A receiver for presigned uploads: whoever has the URL may put one file there until it expires.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terminal_hal::Timestamp;
use tokio::{fs, io::AsyncWriteExt as _, time::timeout};
use uuid::Uuid;

use super::{
    auth::{READ, WRITE, authorise},
    error::ApiError,
    logs::file,
    problems::Fields,
};
use crate::{
    db::{DbError, logs, now},
    link::log_store::LOG_BYTES_MAX,
    secret::{hex, sha256, sign, verify},
    state::Shared,
};

/// A body that stalls for so long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const VALID_S_MAX: u32 = 7 * 86_400;
const NAME_CHARS_MAX: usize = 128;

/// Where one upload goes: fits `send_logs.parameters.upload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadUrl {
    /// With its token in the query.
    pub url: String,
    /// `PUT`; `POST` works as well.
    pub method: String,
    /// Refused afterwards.
    pub expires_at: Timestamp,
}

/// Where the bytes of an upload are. Any text may be the id of an account: its digest is a name.
pub(crate) fn path(data_dir: &FilePath, account_id: &str, name: &str) -> PathBuf {
    data_dir.join("uploads").join(format!("{}-{name}", sha256(account_id.as_bytes())))
}

/// Makes a URL.
pub(crate) fn mint(shared: &Shared, account_id: &str, name: &str, valid: Duration) -> UploadUrl {
    let valid_ms = u64::try_from(valid.as_millis()).unwrap_or(u64::MAX);
    let expires_at = now().plus_ms(valid_ms);
    let expires = expires_at.unix_ms();
    let token = sign(&shared.upload_key, &signed(account_id, name, expires));
    let base = shared.base_url();
    UploadUrl {
        url: format!("{base}/upload/{name}?account={account_id}&expires={expires}&token={token}"),
        method: "PUT".to_owned(),
        expires_at,
    }
}

fn signed(account_id: &str, name: &str, expires: u64) -> String {
    format!("{account_id}/{name}/{expires}")
}

/// A file name and nothing else.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(allowed)
}

/// `POST /v1/uploads` (ours): `{"name", "valid_s"?}` → [`UploadUrl`].
pub(super) async fn mint_url(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let mut fields = Fields::parse(&body)?;
    let valid_s = fields.integer("valid_s", 1, VALID_S_MAX).unwrap_or(3600);
    let mut name = fields.required_line("name", NAME_CHARS_MAX);
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        fields.problem("name", "want letters, digits, dot, dash and underscore, no leading dot");
        name = None;
    }
    let name = fields.finish(name)?;
    let url = mint(&shared, &caller.account_id, &name, Duration::from_secs(valid_s.into()));
    Ok((StatusCode::CREATED, Json(url)).into_response())
}

#[derive(Deserialize)]
pub(super) struct Permission {
    account: String,
    expires: u64,
    token: String,
}

/// `PUT` or `POST /upload/{name}?…`: stores the body durably.
pub(super) async fn receive(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    permission: Result<Query<Permission>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let account = match permitted(&shared, &name, permission) {
        Ok(account) => account,
        Err(reason) => {
            drain(body).await;
            return Err(ApiError::forbidden(reason));
        }
    };
    let target = path(&shared.config.data_dir, &account, &name);
    let part = target.with_file_name(format!(".{}.part", Uuid::new_v4()));
    let stored = store(&part, &target, body).await;
    if stored.is_err() {
        // Nothing is left behind when it never came to be.
        let _ = fs::remove_file(&part).await;
    }
    let (bytes, sha256) = stored?;
    let answer = json!({ "name": name, "bytes": bytes, "sha256": sha256 });
    shared.db.write(move |db| logs::uploaded(db, &account, &name, bytes, &sha256)).await?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// The account that the URL was made for.
fn permitted(
    shared: &Shared,
    name: &str,
    permission: Result<Query<Permission>, QueryRejection>,
) -> Result<String, &'static str> {
    let Query(Permission { account, expires, token }) =
        permission.map_err(|_| "the URL lacks account, expires or token")?;
    if !is_name(name) || !verify(&shared.upload_key, &signed(&account, name, expires), &token) {
        return Err("the token of the URL is not valid for this name");
    }
    if Timestamp::from_unix_ms(expires) <= now() {
        return Err("the URL has expired");
    }
    Ok(account)
}

/// Reads a little of what will not be stored: a client that is still sending would otherwise see
/// a broken connection instead of the answer.
async fn drain(mut body: Body) {
    let mut left: usize = 1 << 20;
    while let Ok(Some(Ok(frame))) = timeout(STALL_TIMEOUT, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

async fn store(
    part: &FilePath,
    target: &FilePath,
    mut body: Body,
) -> Result<(u64, String), ApiError> {
    let failed = |error: std::io::Error| ApiError::from(DbError::from(error));
    let mut file = fs::File::create(part).await.map_err(failed)?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut bytes = 0;
    loop {
        let next = timeout(STALL_TIMEOUT, body.frame()).await;
        let next = next.map_err(|_| ApiError::bad_request("the body stalled for 30 s"))?;
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len() as u64;
        if bytes > LOG_BYTES_MAX {
            let message = format!("body: want at most {LOG_BYTES_MAX} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message));
        }
        digest.update(&data);
        file.write_all(&data).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)?;
    fs::rename(part, target).await.map_err(failed)?;
    if let Some(dir) = target.parent() {
        fs::File::open(dir).await.map_err(failed)?.sync_all().await.map_err(failed)?;
    }
    Ok((bytes, hex(digest.finish().as_ref())))
}

/// `GET /v1/uploads/{name}` (ours).
pub(super) async fn fetch(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let wanted = name.clone();
    let account = caller.account_id.clone();
    let found = shared.db.read(move |db| logs::upload(db, &account, &wanted)).await?;
    let sha256 = found.ok_or_else(|| ApiError::not_found("name: no upload of that name"))?;
    file(&path(&shared.config.data_dir, &caller.account_id, &name), &sha256).await
}
