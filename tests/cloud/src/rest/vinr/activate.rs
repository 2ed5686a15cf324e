//! `POST /v1/terminals/activate`: the code on a terminal's screen makes it one of the account.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;
use terminal_core::protocol::is_activation_code;
use terminal_hal::ErrorCode;

use super::check_location;
use crate::{
    db::{
        activation::{self, Activation},
        now,
    },
    rest::{
        auth::{WRITE, authorise},
        error::ApiError,
        problems::Fields,
    },
    state::Shared,
    vinr::{self, Kind},
};

/// Answers with the terminal, which is online: it waits for its certificate.
pub(in crate::rest) async fn activate(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let mut fields = Fields::form_or_json(&headers, &body)?;
    let code = fields.required_line("activationCode", 64);
    let location = fields.id("locationId", Kind::Location);
    if code.as_ref().is_some_and(|code| !is_activation_code(code)) {
        fields.problem("activationCode", "want a code such as ACT-7X9K-2M4P");
    }
    let code = fields.finish(code)?;
    check_location(&shared, &caller.account_id, location).await?;
    let outcome = shared
        .db
        .write(move |db| {
            let (account, by) = (&caller.account_id, &caller.subject);
            activation::activate(db, account, &code, location, by, now())
        })
        .await?;
    match outcome {
        Activation::Done { terminal, enrolment } => {
            shared.enrolling.wake(&enrolment.to_string());
            Ok(Json(vinr::terminal(&terminal)))
        }
        Activation::Invalid => Err(refusal(
            StatusCode::NOT_FOUND,
            ErrorCode::ActivationCodeInvalid,
            "activationCode: is not on the screen of any terminal",
        )),
        Activation::Expired => Err(refusal(
            StatusCode::GONE,
            ErrorCode::ActivationCodeExpired,
            "activationCode: has run out; the terminal shows a new one",
        )),
        Activation::Exceeded { retry_after_s } => Err(refusal(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::ActivationAttemptsExceeded,
            "activationCode: ten wrong codes within an hour",
        )
        .with_retry_after(retry_after_s)),
    }
}

fn refusal(status: StatusCode, code: ErrorCode, message: &str) -> ApiError {
    ApiError::new(status, code.as_str(), message)
}
