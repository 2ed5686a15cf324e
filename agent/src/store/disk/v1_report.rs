//! Format 1 of reports.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::{Map, Value};
use terminal_core::engine::StoredReport;
use terminal_core::protocol::{
    self, ConfigurationReport, ConfigurationStatus, EventName, EventReport, OperationReport,
    Outcome, ReportBody, ReportId, Seq, StoreEpoch, VerdictStatus,
};
use terminal_hal::operation::SettingProblem;
use terminal_hal::{BootId, ErrorCode, OperationId, SideEffects};

use super::v1::{Hex, Ms, Origin, is_false};

/// What the engine keeps in memory; the body is skipped.
#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(rename = "i")]
    report_id: Hex,
    #[serde(rename = "b")]
    body: BodyKind,
}

#[derive(Deserialize)]
enum BodyKind {
    #[serde(rename = "o")]
    Operation(IgnoredAny),
    #[serde(rename = "c")]
    Configuration(IgnoredAny),
    #[serde(rename = "e")]
    Event(IgnoredAny),
    #[serde(rename = "d")]
    Dropped,
}

impl Head {
    pub(super) fn into_stored(self, seq: Seq) -> StoredReport {
        let is_verdict = match self.body {
            BodyKind::Operation(_) => true,
            BodyKind::Configuration(_) | BodyKind::Event(_) | BodyKind::Dropped => false,
        };
        StoredReport { seq, report_id: ReportId(self.report_id.0), is_verdict }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    #[serde(rename = "e")]
    store_epoch: Hex,
    #[serde(rename = "i")]
    report_id: Hex,
    #[serde(rename = "b")]
    body: Body,
}

#[derive(Serialize, Deserialize)]
enum Body {
    #[serde(rename = "o")]
    Operation(Box<Verdict>),
    #[serde(rename = "c")]
    Configuration(Applied),
    #[serde(rename = "e")]
    Event(Happened),
    #[serde(rename = "d")]
    Dropped,
}

#[derive(Serialize, Deserialize)]
struct Verdict {
    #[serde(rename = "i")]
    id: Hex,
    #[serde(rename = "o")]
    operation: String,
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    is_completed: bool,
    #[serde(rename = "r", default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    started_at: Option<Ms>,
    #[serde(rename = "f")]
    finished_at: Ms,
    #[serde(rename = "d")]
    duration_ms: u64,
    #[serde(rename = "a")]
    attempt: u32,
    #[serde(rename = "b")]
    boot: Hex,
    #[serde(rename = "t", default, skip_serializing_if = "is_false")]
    clock_trusted: bool,
    #[serde(rename = "g")]
    origin: Origin,
    #[serde(rename = "w", default, skip_serializing_if = "String::is_empty")]
    created_by: String,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    #[serde(rename = "c")]
    code: ErrorCode,
    #[serde(rename = "f")]
    failure_reason: String,
    #[serde(rename = "r", default, skip_serializing_if = "is_false")]
    retryable: bool,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u32>,
    #[serde(rename = "s")]
    side_effects: SideEffects,
}

#[derive(Serialize, Deserialize)]
struct Applied {
    #[serde(rename = "r")]
    revision: u64,
    #[serde(rename = "a", default, skip_serializing_if = "is_false")]
    is_applied: bool,
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Problem {
    #[serde(rename = "p")]
    path: String,
    #[serde(rename = "c")]
    code: String,
    #[serde(rename = "m")]
    message: String,
}

#[derive(Serialize, Deserialize)]
struct Happened {
    #[serde(rename = "n")]
    event: EventName,
    #[serde(rename = "a")]
    at: Ms,
    #[serde(rename = "d", default, skip_serializing_if = "Map::is_empty")]
    data: Map<String, Value>,
}

/// Tells a result that is `null` from none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl From<&protocol::Report> for Report {
    fn from(report: &protocol::Report) -> Self {
        Self {
            store_epoch: Hex(report.store_epoch.0),
            report_id: Hex(report.report_id.0),
            body: match &report.body {
                ReportBody::Operation(verdict) => Body::Operation(Box::new((&**verdict).into())),
                ReportBody::Configuration(applied) => Body::Configuration(applied.into()),
                ReportBody::Event(happened) => Body::Event(happened.into()),
                ReportBody::Dropped => Body::Dropped,
            },
        }
    }
}

impl Report {
    pub(super) fn into_report(self, seq: Seq) -> protocol::Report {
        protocol::Report {
            seq,
            store_epoch: StoreEpoch(self.store_epoch.0),
            report_id: ReportId(self.report_id.0),
            body: match self.body {
                Body::Operation(verdict) => ReportBody::Operation(Box::new((*verdict).into())),
                Body::Configuration(applied) => ReportBody::Configuration(applied.into()),
                Body::Event(happened) => ReportBody::Event(happened.into()),
                Body::Dropped => ReportBody::Dropped,
            },
        }
    }
}

impl From<&OperationReport> for Verdict {
    fn from(report: &OperationReport) -> Self {
        Self {
            id: Hex(report.id.0),
            operation: report.operation.clone(),
            is_completed: report.outcome.status == VerdictStatus::Completed,
            result: report.outcome.result.clone(),
            error: report.outcome.error.as_ref().map(Failure::from),
            started_at: report.started_at.map(Ms::from),
            finished_at: report.finished_at.into(),
            duration_ms: report.duration_ms,
            attempt: report.attempt,
            boot: Hex(report.boot_id.0),
            clock_trusted: report.clock_trusted,
            origin: report.origin.into(),
            created_by: report.created_by.clone(),
        }
    }
}

impl From<Verdict> for OperationReport {
    fn from(verdict: Verdict) -> Self {
        let status =
            if verdict.is_completed { VerdictStatus::Completed } else { VerdictStatus::Failed };
        Self {
            id: OperationId(verdict.id.0),
            operation: verdict.operation,
            outcome: Outcome {
                status,
                result: verdict.result,
                error: verdict.error.map(terminal_hal::Failure::from),
            },
            started_at: verdict.started_at.map(Into::into),
            finished_at: verdict.finished_at.into(),
            duration_ms: verdict.duration_ms,
            attempt: verdict.attempt,
            boot_id: BootId(verdict.boot.0),
            clock_trusted: verdict.clock_trusted,
            origin: verdict.origin.into(),
            created_by: verdict.created_by,
        }
    }
}

impl From<&terminal_hal::Failure> for Failure {
    fn from(failure: &terminal_hal::Failure) -> Self {
        Self {
            code: failure.code,
            failure_reason: failure.failure_reason.clone(),
            retryable: failure.retryable,
            retry_after_s: failure.retry_after_s,
            side_effects: failure.side_effects,
        }
    }
}

impl From<Failure> for terminal_hal::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            failure_reason: failure.failure_reason,
            retryable: failure.retryable,
            retry_after_s: failure.retry_after_s,
            side_effects: failure.side_effects,
        }
    }
}

impl From<&ConfigurationReport> for Applied {
    fn from(report: &ConfigurationReport) -> Self {
        let problem = |problem: &SettingProblem| Problem {
            path: problem.path.clone(),
            code: problem.code.clone(),
            message: problem.message.clone(),
        };
        Self {
            revision: report.revision,
            is_applied: report.status == ConfigurationStatus::Applied,
            errors: report.errors.iter().map(problem).collect(),
            sha256: report.sha256.clone(),
        }
    }
}

impl From<Applied> for ConfigurationReport {
    fn from(applied: Applied) -> Self {
        let problem = |problem: Problem| SettingProblem {
            path: problem.path,
            code: problem.code,
            message: problem.message,
        };
        let status = if applied.is_applied {
            ConfigurationStatus::Applied
        } else {
            ConfigurationStatus::Rejected
        };
        Self {
            revision: applied.revision,
            status,
            errors: applied.errors.into_iter().map(problem).collect(),
            sha256: applied.sha256,
        }
    }
}

impl From<&EventReport> for Happened {
    fn from(report: &EventReport) -> Self {
        Self { event: report.event, at: report.at.into(), data: report.data.clone() }
    }
}

impl From<Happened> for EventReport {
    fn from(happened: Happened) -> Self {
        Self { event: happened.event, at: happened.at.into(), data: happened.data }
    }
}
