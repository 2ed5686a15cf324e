//! Which schemas there are: found in the frame enums, so that a new frame is in the reference
//! because it is in the code.

use std::collections::BTreeMap;

use serde_json::Value;
use terminal_core::protocol::{AgentFrame, CloudFrame, EnrolAgentFrame, EnrolCloudFrame};
use terminal_hal::{
    OperationKind,
    operation::{
        CheckUpdateParameters, CheckUpdateResult, ConfigureParameters, ConfigureResult,
        EndOfDayParameters, EndOfDayResult, LockParameters, LockResult, OpenMenuParameters,
        OpenMenuResult, RebootParameters, RebootResult, SendLogsParameters, SendLogsResult,
        UnlockParameters, UpdateParameters, UpdateResult,
    },
};

use crate::{Protocol, Sender, schema};

/// The frames of one protocol that one end sends: `type` and schema.
pub(crate) fn sent_by(protocol: Protocol, sender: Sender) -> BTreeMap<String, Value> {
    let mut frames = match (protocol, sender) {
        (Protocol::Ops, Sender::Agent) => schema::frames::<AgentFrame>(),
        (Protocol::Ops, Sender::Cloud) => schema::frames::<CloudFrame>(),
        (Protocol::Enrol, Sender::Agent) => schema::frames::<EnrolAgentFrame>(),
        (Protocol::Enrol, Sender::Cloud) => schema::frames::<EnrolCloudFrame>(),
    };
    if (protocol, sender) == (Protocol::Ops, Sender::Agent) {
        // A renewal: the frame of enrolment over the link of operations.
        let enrolment = schema::frames::<EnrolAgentFrame>().into_iter();
        frames.extend(enrolment.filter(|(kind, _)| kind == "enrol_begin"));
    }
    frames
}

/// All frames: a `type` means the same wherever it is sent.
pub(crate) fn schemas() -> BTreeMap<String, Value> {
    let ends = Protocol::ALL
        .into_iter()
        .flat_map(|protocol| Sender::ALL.into_iter().map(move |sender| sent_by(protocol, sender)));
    ends.flatten().collect()
}

/// The schema of the `parameters` of an operation.
pub fn parameters_schema(kind: OperationKind) -> Value {
    let title = format!("parameters of {kind}");
    match kind {
        OperationKind::EndOfDay => schema::of::<EndOfDayParameters>(&title),
        OperationKind::SendLogs => schema::of::<SendLogsParameters>(&title),
        OperationKind::CheckUpdate => schema::of::<CheckUpdateParameters>(&title),
        OperationKind::OpenMenu => schema::of::<OpenMenuParameters>(&title),
        OperationKind::Reboot => schema::of::<RebootParameters>(&title),
        OperationKind::Update => schema::of::<UpdateParameters>(&title),
        OperationKind::Lock => schema::of::<LockParameters>(&title),
        OperationKind::Unlock => schema::of::<UnlockParameters>(&title),
        OperationKind::Configure => schema::of::<ConfigureParameters>(&title),
    }
}

/// The schema of the `result` of a completed operation.
pub fn result_schema(kind: OperationKind) -> Value {
    let title = format!("result of {kind}");
    match kind {
        OperationKind::EndOfDay => schema::of::<EndOfDayResult>(&title),
        OperationKind::SendLogs => schema::of::<SendLogsResult>(&title),
        OperationKind::CheckUpdate => schema::of::<CheckUpdateResult>(&title),
        OperationKind::OpenMenu => schema::of::<OpenMenuResult>(&title),
        OperationKind::Reboot => schema::of::<RebootResult>(&title),
        OperationKind::Update => schema::of::<UpdateResult>(&title),
        OperationKind::Lock | OperationKind::Unlock => schema::of::<LockResult>(&title),
        OperationKind::Configure => schema::of::<ConfigureResult>(&title),
    }
}
