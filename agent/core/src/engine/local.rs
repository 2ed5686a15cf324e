//! Operations that the terminal itself begins: asked for at the terminal, or by its daily schedule.
//!
//! They are journalled, run and reported like those of the cloud. Their ids are derived from what
//! triggered them (rule 14), so that a request that is made again, a restart or a clock that is set
//! back is the same operation and not a twin.

use serde_json::{Map, Value};
use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, Parameters, Timestamp};
use uuid::Uuid;

use super::{
    Effect, Engine, Expiry, OperationRecord, OperationState, kind,
    limits::{CREATED_BY_CHARS_MAX, LOCAL_MEMORY_MS},
    output::Output,
};
use crate::protocol::{Origin, Policy, Seq};
use terminal_hal::text::bounded;

/// Under it the ids of local operations are derived: UUIDv5 of this and the serial number, of that and
/// the owner where there was another one before, and of that and the trigger.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0f_2a86_91c7_4b1e_8f3d_6a04_c2e9_b715);

/// Somebody at the terminal wants an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalRequest {
    /// What triggered it: the same trigger is the same operation.
    pub trigger: String,
    /// What is wanted.
    pub kind: OperationKind,
    /// Of the kind, not checked yet.
    pub parameters: Map<String, Value>,
    /// For the audit trail.
    pub created_by: String,
}

impl LocalRequest {
    /// Whether an operation of that kind may be begun at the terminal.
    #[must_use]
    pub const fn allows(kind: OperationKind) -> bool {
        kind::may_begin_locally(kind)
    }
}

/// What becomes of a [`LocalRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnswer {
    /// Of the request.
    pub trigger: String,
    /// Taken, or why not.
    pub outcome: Result<LocalTaken, LocalRefusal>,
}

/// The operation is on the medium, and gets exactly one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTaken {
    /// Its identity.
    pub id: OperationId,
    /// It had been taken before.
    pub duplicate: bool,
}

/// Nothing was stored, and nothing will be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRefusal {
    /// One of the codes of a verdict, or of an `error` frame.
    pub code: &'static str,
    /// For people.
    pub reason: String,
}

/// How a local operation is taken.
pub(super) struct LocalTerms {
    /// It must start within this.
    pub(super) ttl_ms: u64,
    /// Earlier attempts may have been forgotten with the memory that they were in.
    pub(super) may_have_run: bool,
}

impl Engine {
    pub(super) fn on_requested(&mut self, request: &LocalRequest, out: &mut Output<'_>) {
        let ttl_ms = u64::from(kind::local_ttl_s(request.kind)) * 1000;
        let terms = LocalTerms { ttl_ms, may_have_run: false };
        let outcome = self.take_local(request, &terms, out);
        if let Err(refusal) = &outcome {
            let LocalRefusal { code, reason } = refusal;
            tracing::info!(
                operation = %request.kind, created_by = request.created_by, code, reason,
                "operation refused"
            );
        }
        let trigger = request.trigger.clone();
        out.push(Effect::Answer(LocalAnswer { trigger, outcome }));
    }

    /// Journals it and lets it have its turn, or says why not. Unlike a cloud, whoever asks here
    /// waits for the answer: what cannot be begun needs no verdict.
    pub(super) fn take_local(
        &mut self,
        request: &LocalRequest,
        terms: &LocalTerms,
        out: &mut Output<'_>,
    ) -> Result<LocalTaken, LocalRefusal> {
        let id = self.local_id(&request.trigger);
        if self.is_known(id) {
            return Ok(LocalTaken { id, duplicate: true });
        }
        if !LocalRequest::allows(request.kind) {
            let reason = format!("{} is the cloud's to ask for", request.kind);
            return Err(Failure::new(ErrorCode::Unauthorized, reason).into());
        }
        if let Some((code, reason)) = self.overload(&request.parameters) {
            return Err(LocalRefusal { code, reason });
        }
        let record = self.local_record(id, request, terms, out);
        self.runnable_kind(&record.operation, record.origin)?;
        Parameters::parse(request.kind, &record.parameters)
            .map_err(|invalid| Failure::new(ErrorCode::InvalidParameters, invalid.to_string()))?;
        self.room_in_lane(&record)?;
        tracing::info!(
            operation_id = %id, operation = %record.operation, created_by = %record.created_by,
            "operation begun at the terminal"
        );
        self.take(record, out);
        Ok(LocalTaken { id, duplicate: false })
    }

    /// The identity of what this triggers. For another owner it is another operation: the hardware
    /// would answer the one before with that owner's result.
    pub(super) fn local_id(&self, trigger: &str) -> OperationId {
        let terminal = Uuid::new_v5(&NAMESPACE, self.identity.serial_number.as_bytes());
        let owner = match self.meta.held_up_to {
            Seq(0) => terminal,
            Seq(held) => Uuid::new_v5(&terminal, &held.to_be_bytes()),
        };
        OperationId(Uuid::new_v5(&owner, trigger.as_bytes()))
    }

    fn local_record(
        &mut self,
        id: OperationId,
        request: &LocalRequest,
        terms: &LocalTerms,
        out: &Output<'_>,
    ) -> OperationRecord {
        // Where nobody knows the time, no other boot can tell that it is not too late, and nobody can
        // tell when a month is over.
        let known = self.cloud_now(out.moment);
        let never = Timestamp::from_unix_ms(u64::MAX);
        OperationRecord {
            id,
            operation: request.kind.as_str().to_owned(),
            parameters: request.parameters.clone(),
            origin: Origin::Local,
            created_by: bounded(&request.created_by, CREATED_BY_CHARS_MAX),
            not_after: known.map_or(never, |now| now.plus_ms(LOCAL_MEMORY_MS)),
            deadline_s: kind::local_deadline_s(request.kind),
            policy: Policy::default(),
            arrival: self.next_arrival(),
            expiry: Expiry {
                boot_id: self.identity.boot_id,
                monotonic: out.moment.monotonic.plus_ms(terms.ttl_ms),
                cloud: known.map_or(Timestamp::default(), |now| now.plus_ms(terms.ttl_ms)),
            },
            may_have_run: terms.may_have_run,
            cancel_requested: false,
            state: OperationState::Queued { attempts: 0 },
        }
    }
}

impl From<Failure> for LocalRefusal {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.as_str(), reason: failure.failure_reason }
    }
}
