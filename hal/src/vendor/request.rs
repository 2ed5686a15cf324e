//! A request to the application and everything that may become of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Vendor,
    connection::{Connection, NotSent},
    failure::{self, Lost},
    supervisor::Link,
    wire::{ANSWER_MS_MAX, Empty, Operation, OperationContext, RpcError, method},
};
pub(super) use crate::error::Effect;
use crate::{
    ErrorCode, Failure, OperationId,
    api::{Call, HoldPolicy},
};

/// A call waits at most this long for the application to connect.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// Time that an answer may take beyond what its operation has left.
const GRACE: Duration = Duration::from_secs(10);
/// How often a request that may be repeated is sent at most.
const SENDS_MAX: u32 = 3;
/// Holds that are remembered; there is never more than one per operation that runs.
const HOLDS_MAX: usize = 16;

/// How a request ended.
pub(super) enum Ended {
    Answered(Value),
    Refused(RpcError),
    /// It never reached the application.
    NotSent(Failure),
    /// It may have reached it, and the answer will never come.
    Lost(Lost),
}

impl Vendor {
    /// Asks a question. It may be repeated.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, Failure> {
        let until = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
        let answer = self.repeat(method, params, None, until, Effect::None).await?;
        read(method, answer, Effect::None)
    }

    /// Gives an order that does no harm when it is given twice.
    pub(super) async fn order<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
        call: &Call,
        until: Instant,
    ) -> Result<T, Failure> {
        let answer = self.repeat(method, params, Some(call), until, Effect::Possible).await?;
        read(method, answer, Effect::Possible)
    }

    /// Whether anything comes back, or somebody is there who is not worked with.
    pub(super) async fn hears_anything(&self) -> bool {
        if speaks_without_being_asked(&self.link.borrow()) {
            return true;
        }
        let until = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
        match self.send(method::ACTIVITY, &Empty {}, None, until).await {
            Ended::Answered(_) | Ended::Refused(_) => true,
            Ended::Lost(Lost::Connection) => {
                // Why it ended is known in a moment: it may have said what is no message.
                let mut link = self.link.clone();
                let ended = link.wait_for(|link| matches!(link, Link::Down(_)));
                let ended = timeout_at(until, ended).await;
                matches!(ended, Ok(Ok(link)) if speaks_without_being_asked(&link))
            }
            Ended::NotSent(_) | Ended::Lost(Lost::Time) => false,
        }
    }

    /// Sends again what was lost.
    pub(super) async fn repeat(
        &self,
        method: &'static str,
        params: &impl Serialize,
        call: Option<&Call>,
        until: Instant,
        effect: Effect,
    ) -> Result<Value, Failure> {
        let mut sends = 0;
        loop {
            sends += 1;
            match self.send(method, params, call, until).await {
                Ended::Answered(answer) => return Ok(answer),
                Ended::Refused(error) => return Err(failure::refused(method, &error, effect)),
                Ended::NotSent(failure) if sends == 1 => return Err(failure),
                Ended::Lost(Lost::Connection) if sends < SENDS_MAX => {}
                Ended::NotSent(_) => return Err(Lost::Connection.failure(method, effect)),
                Ended::Lost(lost) => return Err(lost.failure(method, effect)),
            }
        }
    }

    /// Sends a request and waits for what becomes of it. A cancellation is passed on; the
    /// application still answers.
    pub(super) async fn send(
        &self,
        method: &'static str,
        params: &impl Serialize,
        call: Option<&Call>,
        until: Instant,
    ) -> Ended {
        let connection = match self.connected(Some(until)).await {
            Ok(connection) => connection,
            Err(failure) => return Ended::NotSent(failure),
        };
        if let Some(failure) = missing_capability(&connection, method) {
            return Ended::NotSent(failure);
        }
        let mut exchange = match connection.begin(method, params, call) {
            Ok(exchange) => exchange,
            // It has broken just now.
            Err(NotSent::Ended) => return Ended::NotSent(failure::unavailable("gone just now")),
            Err(why) => return Ended::NotSent(failure::not_sent(method, why)),
        };
        let mut is_cancelled = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut exchange.answer => {
                    exchange.answered();
                    return match answer {
                        Ok(Ok(result)) => Ended::Answered(result),
                        Ok(Err(error)) => Ended::Refused(error),
                        Err(_) => Ended::Lost(Lost::Connection),
                    };
                }
                () = cancelled(call), if !is_cancelled => {
                    is_cancelled = true;
                    exchange.cancel();
                }
                () = sleep_until(until) => return Ended::Lost(Lost::Time),
            }
        }
    }

    /// The connection, waited for if need be.
    pub(super) async fn connected(
        &self,
        until: Option<Instant>,
    ) -> Result<Arc<Connection>, Failure> {
        let patience = Instant::now() + CONNECTED_WITHIN;
        let until = until.map_or(patience, |until| until.min(patience));
        let mut link = self.link.clone();
        let is_up = |link: &Link| matches!(link, Link::Up(_));
        let why = match timeout_at(until, link.wait_for(is_up)).await {
            Ok(Ok(link)) => match &*link {
                Link::Up(connection) => return Ok(Arc::clone(connection)),
                Link::Down(absence) => absence.why.clone(),
            },
            Ok(Err(_)) => "the bridge has been closed".to_owned(),
            Err(_) => match &*self.link.borrow() {
                Link::Down(absence) => absence.why.clone(),
                Link::Up(connection) => return Ok(Arc::clone(connection)),
            },
        };
        Err(failure::unavailable(&why))
    }
}

/// Reads an answer. One that cannot be read says nothing about what has happened.
pub(super) fn read<T: DeserializeOwned>(
    method: &str,
    answer: Value,
    effect: Effect,
) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| unreadable(method, &error, effect))
}

pub(super) fn unreadable(method: &str, error: &serde_json::Error, effect: Effect) -> Failure {
    let reason = format!("the payment application answered {method} unreadably: {error}");
    effect.failure(ErrorCode::DeviceFault, reason)
}

/// The time at which the answer to an operation is given up.
pub(super) fn deadline(call: &Call) -> Instant {
    Instant::now() + call.time_left + GRACE
}

pub(super) fn context(call: &Call) -> OperationContext {
    let time_left_ms = u64::try_from(call.time_left.as_millis()).unwrap_or(u64::MAX);
    OperationContext { operation_id: call.id, attempt: call.attempt, time_left_ms }
}

pub(super) fn operation<P>(call: &Call, parameters: P) -> Operation<P> {
    Operation { context: context(call), parameters }
}

async fn cancelled(call: Option<&Call>) {
    match call {
        Some(call) => call.cancellation.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Whether somebody is there whom it makes no sense to ask about payments.
fn speaks_without_being_asked(link: &Link) -> bool {
    match link {
        Link::Down(absence) => absence.somebody_is_there,
        Link::Up(connection) => missing_capability(connection, method::ACTIVITY).is_some(),
    }
}

fn missing_capability(connection: &Connection, method: &str) -> Option<Failure> {
    let (capability, _) = method.split_once('.')?;
    if connection.hello.capabilities.iter().any(|offered| offered == capability) {
        return None;
    }
    let reason = format!("the payment application does not offer {capability}");
    Some(Failure::new(ErrorCode::UnsupportedByHardware, reason))
}

/// How the operations that run hold payments: a hold ends with the instance that gave it.
#[derive(Debug, Default)]
pub(super) struct Holds {
    policies: Mutex<BTreeMap<OperationId, HoldPolicy>>,
}

impl Holds {
    /// The first policy counts: what follows only extends the lease.
    pub(super) fn taken(&self, id: OperationId, policy: &HoldPolicy) {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if policies.len() < HOLDS_MAX {
            policies.entry(id).or_insert(*policy);
        }
    }

    pub(super) fn released(&self, id: OperationId) {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(super) fn policy(&self, id: OperationId) -> Option<HoldPolicy> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}
