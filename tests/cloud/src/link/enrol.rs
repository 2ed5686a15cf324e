//! The WebSocket end of `terminal-enrol.v1`: a code for the screen, then a certificate.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use terminal_core::protocol::{
    ActivationCode, DecodeError, EnrolAgentFrame, EnrolBegin, EnrolCloudFrame, Enrolled,
    ErrorFrame, SessionId, close_code, decode_enrol_agent_frame, error_code,
};
use terminal_hal::ErrorCode;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::{
    Ears, Stop,
    session::{End, Link, part, stopped},
    socket::{Gone, Socket},
};
use crate::{
    authority::{self, Request},
    db::{
        certificates,
        enrolment::{self, Application, Begun, Code},
        now, terminals,
    },
    secret,
    server::Conn,
    state::Shared,
    vinr::Kind,
};

/// How long a terminal that has its identity may take to go away.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a link of a terminal that wants to be enrolled.
pub(super) async fn run(shared: Arc<Shared>, io: TokioIo<Upgraded>, conn: Arc<Conn>) {
    let mut socket = Socket::new(io).await;
    let first = tokio::time::timeout(shared.config.hello_timeout, next_begin(&mut socket)).await;
    let end = match first {
        Err(_) => End::Gone(Gone::Breach {
            code: close_code::HANDSHAKE_TIMEOUT,
            reason: "no enrol_begin in time".to_owned(),
        }),
        Ok(Err(gone)) => End::Gone(gone),
        Ok(Ok(begin)) => attempts(&shared, &mut socket, &conn, begin).await,
    };
    part(socket, &conn, "(enrolling)", end).await;
}

/// One attempt after the other, until the link ends.
async fn attempts(
    shared: &Arc<Shared>,
    socket: &mut Socket,
    conn: &Conn,
    mut begin: EnrolBegin,
) -> End {
    loop {
        match attempt(shared, socket, conn, &begin).await {
            Ok(next) => begin = next,
            Err(end) => return end,
        }
    }
}

/// Serves one `enrol_begin`; returns the next one.
async fn attempt(
    shared: &Arc<Shared>,
    socket: &mut Socket,
    conn: &Conn,
    begin: &EnrolBegin,
) -> Result<EnrolBegin, End> {
    let request = match authority::check(begin) {
        Ok(request) => request,
        Err(problem) => {
            refuse(socket, error_code::INVALID_MESSAGE, problem).await?;
            return Ok(next_begin(socket).await?);
        }
    };
    let session = SessionId(Uuid::new_v4());
    let application = Application {
        begin: begin.clone(),
        key_sha256: request.key_sha256.clone(),
        factory_key_sha256: conn.certificate.as_ref().map(|shown| shown.key_sha256.clone()),
        link: session,
    };
    let ttl_ms = ttl_ms(shared);
    let begun = shared
        .db
        .write(move |db| enrolment::begin(db, &application, now(), ttl_ms))
        .await
        .map_err(|error| Gone::Peer(error.to_string()))?;
    let (enrolment, waiting) = match begun {
        Begun::Entitled { enrolment } => (enrolment, None),
        Begun::Code { enrolment, code, misfit } => {
            if let Some(name) = misfit {
                let message = format!("{name}: is not that of this serial number");
                refuse(socket, ErrorCode::ActivationCodeInvalid.as_str(), message).await?;
            }
            (enrolment, Some(code))
        }
        Begun::InUse => {
            let message = "another device of this serial number is linked; deactivate it first";
            return refuse_all(socket, ErrorCode::AlreadyEnrolled.as_str(), message).await;
        }
        Begun::Exceeded => {
            let message = "ten wrong secrets or factory keys of this serial number within an hour";
            let code = ErrorCode::ActivationAttemptsExceeded.as_str();
            return refuse_all(socket, code, message).await;
        }
        Begun::Overloaded => {
            let message = "too many terminals wait to be activated";
            return refuse_all(socket, error_code::OVERLOADED, message).await;
        }
    };
    let name = enrolment.to_string();
    let mut ears = shared.enrolling.enter(&name, session);
    let mut waiter = Waiter { shared, socket, begin, request, enrolment };
    let outcome = match waiting {
        None => waiter.hand_over(&mut ears).await,
        Some(code) => waiter.wait(code, &mut ears).await,
    };
    shared.enrolling.leave(&name, session);
    if let Err(error) = shared.db.write(move |db| enrolment::ended(db, enrolment, session)).await {
        tracing::debug!(%error, "recording the end of an enrolment link");
    }
    outcome
}

/// A terminal whose code is on its screen.
struct Waiter<'a> {
    shared: &'a Arc<Shared>,
    socket: &'a mut Socket,
    begin: &'a EnrolBegin,
    request: Request,
    enrolment: i64,
}

impl Waiter<'_> {
    /// Shows codes, one after the other, until somebody types one in.
    async fn wait(&mut self, mut code: Code, ears: &mut Ears) -> Result<EnrolBegin, End> {
        let idle = self.shared.config.enrolment_idle_timeout();
        self.show(&code).await?;
        loop {
            let expires =
                Instant::now() + Duration::from_millis(code.expires_at.ms_since(now()).max(1));
            let dead_at = self.socket.heard_at() + idle;
            tokio::select! {
                biased;
                stop = stopped(&mut ears.stop) => return Err(End::Stopped(stop)),
                () = ears.wake.notified() => if self.is_entitled().await? {
                    return self.hand_over(ears).await;
                },
                () = sleep_until(expires) => {
                    code = self.fresh_code().await?;
                    self.show(&code).await?;
                }
                batch = self.socket.receive() => if let Some(next) = next(self.socket, batch?).await? {
                    return Ok(next);
                },
                () = sleep_until(dead_at) => if self.socket.heard_at() + idle <= dead_at {
                    let stop = Stop::close(close_code::GOING_AWAY, "nothing came");
                    return Err(End::Stopped(stop));
                }
            }
        }
    }

    async fn show(&mut self, code: &Code) -> Result<(), Gone> {
        let left_ms = code.expires_at.ms_since(now());
        let frame = EnrolCloudFrame::ActivationCode(ActivationCode {
            nonce: self.begin.nonce.clone(),
            code: code.code.clone(),
            expires_in_s: u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX),
        });
        self.socket.send(&frame).await
    }

    async fn is_entitled(&mut self) -> Result<bool, Gone> {
        let enrolment = self.enrolment;
        let found = self.shared.db.read(move |db| enrolment::entitled(db, enrolment)).await;
        Ok(found.map_err(|error| Gone::Peer(error.to_string()))?.is_some())
    }

    async fn fresh_code(&mut self) -> Result<Code, Gone> {
        let (enrolment, ttl_ms) = (self.enrolment, ttl_ms(self.shared));
        let code = self.shared.db.write(move |db| enrolment::code(db, enrolment, now(), ttl_ms));
        code.await.map_err(|error| Gone::Peer(error.to_string()))
    }

    /// Sends the identity and lets the terminal go and use it.
    async fn hand_over(&mut self, ears: &mut Ears) -> Result<EnrolBegin, End> {
        let enrolled = issue(self.shared, self.enrolment, self.begin, &self.request).await?;
        tracing::info!(terminal = enrolled.terminal_id, "enrolled");
        self.socket.send(&EnrolCloudFrame::Enrolled(Box::new(enrolled))).await?;
        let goodbye = Stop::close(close_code::NORMAL, "enrolled");
        let deadline = Instant::now() + FAREWELL_TIMEOUT;
        loop {
            tokio::select! {
                biased;
                stop = stopped(&mut ears.stop) => return Err(End::Stopped(stop)),
                batch = self.socket.receive() => if let Some(next) = next(self.socket, batch?).await? {
                    return Ok(next);
                },
                () = sleep_until(deadline) => return Err(End::Stopped(goodbye)),
            }
        }
    }
}

/// Signs and records a certificate, and says everything that the terminal needs with it.
pub(super) async fn issue(
    shared: &Arc<Shared>,
    enrolment: i64,
    begin: &EnrolBegin,
    request: &Request,
) -> Result<Enrolled, Gone> {
    let terminal = shared
        .db
        .read(move |db| match enrolment::entitled(db, enrolment)? {
            Some(terminal_id) => terminals::find(db, &terminal_id),
            None => Ok(None),
        })
        .await
        .map_err(|error| Gone::Peer(error.to_string()))?;
    let terminal =
        terminal.ok_or_else(|| Gone::Peer("the enrolment has been withdrawn".to_owned()))?;
    let id = terminal.terminal_id.clone();
    let issued = shared
        .authority
        .sign_request(&request.public_key, &id, shared.config.certificate_life)
        .map_err(|error| Gone::Peer(error.to_string()))?;
    let digest = secret::sha256(&issued.der);
    shared
        .db
        .write(move |db| certificates::issued(db, &id, enrolment, &digest, now()))
        .await
        .map_err(|error| Gone::Peer(error.to_string()))?;
    Ok(Enrolled {
        nonce: begin.nonce.clone(),
        terminal_id: terminal.terminal_id,
        location_id: terminal.location_id.map(|id| Kind::Location.id(id)),
        display_name: terminal.display_name,
        certificate: issued.pem,
        trust_bundle: shared.config.trust_bundle(),
        url: shared.link_url(),
        config_revision: terminal.config_revision,
    })
}

impl Link {
    /// A new certificate for a terminal that is linked, for the same key or another one.
    pub(super) async fn renew(&mut self, begin: &EnrolBegin) -> Result<(), Gone> {
        let request = match authority::check(begin) {
            Ok(_) if begin.serial_number != self.serial_number => {
                let problem = "serial_number: is not that of hello".to_owned();
                return refuse(&mut self.socket, error_code::INVALID_MESSAGE, problem).await;
            }
            Ok(request) => request,
            Err(problem) => {
                return refuse(&mut self.socket, error_code::INVALID_MESSAGE, problem).await;
            }
        };
        let (id, said) = (self.key.terminal_id.clone(), begin.clone());
        let key = request.key_sha256.clone();
        let enrolment = self
            .shared
            .db
            .write(move |db| enrolment::renew(db, &id, &said, &key, now()))
            .await
            .map_err(|error| Gone::Peer(error.to_string()))?;
        let enrolled = issue(&self.shared, enrolment, begin, &request).await?;
        tracing::info!(terminal = enrolled.terminal_id, "certificate renewed");
        self.socket.send(&EnrolCloudFrame::Enrolled(Box::new(enrolled))).await
    }
}

fn ttl_ms(shared: &Shared) -> u64 {
    u64::try_from(shared.config.activation_code_ttl.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for an `enrol_begin`.
async fn next_begin(socket: &mut Socket) -> Result<EnrolBegin, Gone> {
    loop {
        let batch = socket.receive().await?;
        if let Some(begin) = next(socket, batch).await? {
            return Ok(begin);
        }
    }
}

/// The last `enrol_begin` of a batch; everything else is answered.
async fn next(socket: &mut Socket, batch: Vec<Message>) -> Result<Option<EnrolBegin>, Gone> {
    let mut found = None;
    for message in batch {
        let Message::Text(text) = message else { continue };
        match decode_enrol_agent_frame(text.as_bytes()) {
            Ok(EnrolAgentFrame::EnrolBegin(begin)) => found = Some(*begin),
            Ok(EnrolAgentFrame::Error(error)) => {
                tracing::info!(code = error.code, "error frame of a terminal that enrols");
            }
            Err(error @ DecodeError::UnknownType(_)) => {
                refuse(socket, error_code::UNSUPPORTED_MESSAGE, error.to_string()).await?;
            }
            Err(DecodeError::Invalid { problem, .. }) => {
                refuse(socket, error_code::INVALID_MESSAGE, problem).await?;
            }
            Err(error @ DecodeError::TooLarge(_)) => {
                let code = close_code::TOO_BIG;
                return Err(Gone::Breach { code, reason: error.to_string() });
            }
            Err(error @ DecodeError::Malformed(_)) => {
                let code = close_code::INVALID_DATA;
                return Err(Gone::Breach { code, reason: error.to_string() });
            }
        }
    }
    socket.flush().await?;
    Ok(found)
}

/// Nothing comes of this request; the terminal may send another.
async fn refuse_all(socket: &mut Socket, code: &str, message: &str) -> Result<EnrolBegin, End> {
    refuse(socket, code, message.to_owned()).await?;
    Ok(next_begin(socket).await?)
}

async fn refuse(socket: &mut Socket, code: &str, message: String) -> Result<(), Gone> {
    let error = ErrorFrame { code: code.to_owned(), message, reference: None };
    socket.send(&EnrolCloudFrame::Error(error)).await
}
