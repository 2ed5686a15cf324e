//! A report as it came. What the protocol of this cloud does not know is read as far as it goes: a
//! report needs its place to be stored, a verdict its id and status to count.

use serde::Deserialize;
use serde_json::Value;
use terminal_core::protocol::{Report, ReportBody, ReportId, Seq, StoreEpoch, encode};
use terminal_hal::{ErrorCode, Failure, OperationId, SideEffects, Timestamp};
use uuid::Uuid;

use super::operations::OperationStatus;

/// The place of a report: enough to store and ack it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ReportHead {
    pub(crate) seq: Seq,
    pub(crate) store_epoch: StoreEpoch,
    pub(crate) report_id: ReportId,
}

/// A report that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) head: ReportHead,
    /// As it was said; anything, when it is no kind of the protocol.
    pub(crate) kind: String,
    /// The frame as JSON, with fields that this cloud does not know.
    pub(crate) text: String,
    pub(crate) content: Content,
    /// What is wrong with it.
    pub(crate) problem: Option<String>,
}

/// What follows from a report.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An operation is settled.
    Verdict(Box<Verdict>),
    /// What became of a configuration, as JSON.
    Configuration(String),
    /// Nothing.
    Nothing,
}

/// The verdict of an operation, with code and reason as they were received.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) id: OperationId,
    /// Name of the kind, where it can be read.
    pub(crate) operation: Option<String>,
    pub(crate) status: OperationStatus,
    /// Only with COMPLETED.
    pub(crate) result: Option<Value>,
    /// Only with FAILED.
    pub(crate) error: Option<Value>,
    pub(crate) started_at: Option<Timestamp>,
    /// By a clock that can be believed.
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) attempt: Option<u64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) is_local: bool,
    /// Who began it at the terminal.
    pub(crate) created_by: Option<String>,
}

impl Arrived {
    /// A report that is as the protocol says.
    pub(crate) fn whole(report: &Report, text: &str) -> Self {
        let head = ReportHead {
            seq: report.seq,
            store_epoch: report.store_epoch,
            report_id: report.report_id,
        };
        let (kind, content) = match &report.body {
            ReportBody::Operation(_) => ("operation", verdict(&parse(text))),
            ReportBody::Configuration(_) => {
                ("configuration", Content::Configuration(encode(&report.body)))
            }
            ReportBody::Event(_) => ("event", Content::Nothing),
            ReportBody::Dropped => ("dropped", Content::Nothing),
        };
        Self { head, kind: kind.to_owned(), text: text.to_owned(), content, problem: None }
    }

    /// A report that is not, as far as it can be read; `None` without a place.
    pub(crate) fn partial(text: &str, problem: String) -> Option<Self> {
        let head = serde_json::from_str(text).ok()?;
        let frame = parse(text);
        let kind = kind(&frame);
        let content = if kind == "operation" { verdict(&frame) } else { Content::Nothing };
        let text = if frame.is_null() {
            // Too deep, or too large a number: kept as text, or nobody could read it again.
            Value::from(text).to_string()
        } else {
            text.to_owned()
        };
        Some(Self { head, kind, text, content, problem: Some(problem) })
    }
}

/// The frame, or null when it cannot be held.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn kind(frame: &Value) -> String {
    let kind = &frame["kind"];
    kind.as_str().map_or_else(|| kind.to_string(), str::to_owned)
}

fn verdict(frame: &Value) -> Content {
    read(frame).map_or(Content::Nothing, |verdict| Content::Verdict(Box::new(verdict)))
}

fn read(frame: &Value) -> Option<Verdict> {
    let id = OperationId(Uuid::parse_str(frame["id"].as_str()?).ok()?);
    let (status, result, error) = match frame["status"].as_str()? {
        "COMPLETED" => (OperationStatus::Completed, present(&frame["result"]), None),
        "FAILED" => {
            let error = present(&frame["error"]).unwrap_or_else(no_error);
            (OperationStatus::Failed, None, Some(error))
        }
        _ => return None,
    };
    Some(Verdict {
        id,
        operation: frame["operation"].as_str().map(str::to_owned),
        status,
        result,
        error,
        started_at: Timestamp::deserialize(&frame["started_at"]).ok(),
        finished_at: Timestamp::deserialize(&frame["finished_at"])
            .ok()
            .filter(|_| frame["clock_trusted"] == true),
        attempt: frame["attempt"].as_u64(),
        duration_ms: frame["duration_ms"].as_u64(),
        is_local: frame["origin"] == "local",
        created_by: frame["created_by"].as_str().map(str::to_owned),
    })
}

fn present(value: &Value) -> Option<Value> {
    Some(value).filter(|value| !value.is_null()).cloned()
}

/// What failed has an error, also when the terminal named none.
fn no_error() -> Value {
    let failure = Failure::new(ErrorCode::Internal, "the terminal named no error")
        .with_side_effects(SideEffects::Unknown);
    serde_json::to_value(failure).unwrap_or_default()
}
