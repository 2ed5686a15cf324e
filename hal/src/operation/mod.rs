//! The nine operations: their kinds, parameters and results, one file each.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub mod check_update;
pub mod configure;
pub mod end_of_day;
pub mod lock;
pub mod open_menu;
pub mod reboot;
pub mod send_logs;
pub mod update;

pub use check_update::{CheckUpdateParameters, CheckUpdateResult};
pub use configure::{ConfigureParameters, ConfigureResult, SettingProblem};
pub use end_of_day::{EndOfDayParameters, EndOfDayResult};
pub use lock::{LockParameters, LockResult, UnlockParameters};
pub use open_menu::{OpenMenuParameters, OpenMenuResult};
pub use reboot::{RebootParameters, RebootResult};
pub use send_logs::{SendLogsParameters, SendLogsResult};
pub use update::{UpdateParameters, UpdateResult};

/// What somebody at the terminal has chosen, such as in a menu of the payment application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRequest {
    /// Names the choice: the same key is the same operation, however often it is said.
    pub key: String,
    /// Name of its kind.
    pub operation: String,
    /// Of the kind.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// What the cloud can ask a terminal to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Close the batch.
    EndOfDay,
    /// Upload logs.
    SendLogs,
    /// Look for a software update, install nothing.
    CheckUpdate,
    /// Show a menu on the screen.
    OpenMenu,
    /// Restart the device or the payment application.
    Reboot,
    /// Install a software update.
    Update,
    /// Stop taking payments.
    Lock,
    /// Take payments again.
    Unlock,
    /// Apply a configuration revision.
    Configure,
}

impl OperationKind {
    /// Every kind, in the order of the protocol reference.
    pub const ALL: [Self; 9] = [
        Self::EndOfDay,
        Self::SendLogs,
        Self::CheckUpdate,
        Self::OpenMenu,
        Self::Reboot,
        Self::Update,
        Self::Lock,
        Self::Unlock,
        Self::Configure,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndOfDay => "end_of_day",
            Self::SendLogs => "send_logs",
            Self::CheckUpdate => "check_update",
            Self::OpenMenu => "open_menu",
            Self::Reboot => "reboot",
            Self::Update => "update",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Configure => "configure",
        }
    }

    /// The kind of that name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to do about an active payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IfPaymentActive {
    /// Fail with `BUSY_PAYMENT`.
    Reject,
    /// Wait for it to end.
    #[default]
    Wait,
    /// Cancel it while it can be cancelled, wait otherwise.
    Cancel,
}

/// Parameters that have been checked: an invalid value of this type cannot be made from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// Of `end_of_day`.
    EndOfDay(EndOfDayParameters),
    /// Of `send_logs`.
    SendLogs(SendLogsParameters),
    /// Of `check_update`.
    CheckUpdate(CheckUpdateParameters),
    /// Of `open_menu`.
    OpenMenu(OpenMenuParameters),
    /// Of `reboot`.
    Reboot(RebootParameters),
    /// Of `update`.
    Update(UpdateParameters),
    /// Of `lock`.
    Lock(LockParameters),
    /// Of `unlock`.
    Unlock(UnlockParameters),
    /// Of `configure`.
    Configure(ConfigureParameters),
}

impl Parameters {
    /// Reads and checks the `parameters` object of an operation.
    ///
    /// # Errors
    /// Names the field, what it holds and what it should hold. Unknown fields are refused: a
    /// parameter that the terminal would silently ignore is a promise that it would not keep.
    pub fn parse(
        kind: OperationKind,
        parameters: &Map<String, Value>,
    ) -> Result<Self, InvalidParameters> {
        fn read<T: Validate>(map: &Map<String, Value>) -> Result<T, InvalidParameters> {
            let parsed: T = serde_json::from_value(Value::Object(map.clone()))
                .map_err(|error| InvalidParameters::new("parameters", error.to_string()))?;
            parsed.validate()?;
            Ok(parsed)
        }
        Ok(match kind {
            OperationKind::EndOfDay => Self::EndOfDay(read(parameters)?),
            OperationKind::SendLogs => Self::SendLogs(read(parameters)?),
            OperationKind::CheckUpdate => Self::CheckUpdate(read(parameters)?),
            OperationKind::OpenMenu => Self::OpenMenu(read(parameters)?),
            OperationKind::Reboot => Self::Reboot(read(parameters)?),
            OperationKind::Update => Self::Update(read(parameters)?),
            OperationKind::Lock => Self::Lock(read(parameters)?),
            OperationKind::Unlock => Self::Unlock(read(parameters)?),
            OperationKind::Configure => Self::Configure(read(parameters)?),
        })
    }

    /// The kind that these parameters belong to.
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::EndOfDay(_) => OperationKind::EndOfDay,
            Self::SendLogs(_) => OperationKind::SendLogs,
            Self::CheckUpdate(_) => OperationKind::CheckUpdate,
            Self::OpenMenu(_) => OperationKind::OpenMenu,
            Self::Reboot(_) => OperationKind::Reboot,
            Self::Update(_) => OperationKind::Update,
            Self::Lock(_) => OperationKind::Lock,
            Self::Unlock(_) => OperationKind::Unlock,
            Self::Configure(_) => OperationKind::Configure,
        }
    }
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct InvalidParameters {
    /// Where, such as `upload.url`.
    pub path: String,
    /// What is there and what should be.
    pub problem: String,
}

impl InvalidParameters {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

/// What serde cannot express: ranges, lengths and relations between fields.
pub(crate) trait Validate: DeserializeOwned {
    fn validate(&self) -> Result<(), InvalidParameters>;
}

/// Refuses a text outside `1..=max` characters or with control characters.
pub(crate) fn check_line(
    path: &str,
    text: Option<&str>,
    max: usize,
) -> Result<(), InvalidParameters> {
    match text.and_then(|text| crate::text::line_problem(text, 1, max)) {
        Some(problem) => Err(InvalidParameters::new(path, problem)),
        None => Ok(()),
    }
}

/// Refuses a number outside `min..=max`.
pub(crate) fn check_range(
    path: &str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), InvalidParameters> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InvalidParameters::new(path, format!("got {value}, want {min} to {max}")))
}

/// The result of a completed operation. Written as the plain object of its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OperationResult {
    /// Of `end_of_day`.
    EndOfDay(EndOfDayResult),
    /// Of `send_logs`.
    SendLogs(SendLogsResult),
    /// Of `check_update`.
    CheckUpdate(CheckUpdateResult),
    /// Of `open_menu`.
    OpenMenu(OpenMenuResult),
    /// Of `reboot`.
    Reboot(RebootResult),
    /// Of `update`.
    Update(UpdateResult),
    /// Of `lock`.
    Lock(LockResult),
    /// Of `unlock`.
    Unlock(LockResult),
    /// Of `configure`.
    Configure(ConfigureResult),
}

impl OperationResult {
    /// The kind that this result belongs to.
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::EndOfDay(_) => OperationKind::EndOfDay,
            Self::SendLogs(_) => OperationKind::SendLogs,
            Self::CheckUpdate(_) => OperationKind::CheckUpdate,
            Self::OpenMenu(_) => OperationKind::OpenMenu,
            Self::Reboot(_) => OperationKind::Reboot,
            Self::Update(_) => OperationKind::Update,
            Self::Lock(_) => OperationKind::Lock,
            Self::Unlock(_) => OperationKind::Unlock,
            Self::Configure(_) => OperationKind::Configure,
        }
    }

    /// Cuts what a backend answered to the documented limits, so that a verdict always fits into
    /// one frame; inconsistent figures are passed through with a warning beside them.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::EndOfDay(result) => Self::EndOfDay(result.bounded()),
            Self::SendLogs(result) => Self::SendLogs(result.bounded()),
            Self::CheckUpdate(result) => Self::CheckUpdate(result.bounded()),
            Self::Update(result) => Self::Update(result.bounded()),
            Self::Configure(result) => Self::Configure(result.bounded()),
            Self::OpenMenu(_) | Self::Reboot(_) | Self::Lock(_) | Self::Unlock(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: OperationKind, json: &str) -> Result<Parameters, InvalidParameters> {
        Parameters::parse(kind, &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in OperationKind::ALL {
            assert_eq!(OperationKind::from_name(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(OperationKind::from_name("self_destruct"), None);
    }

    #[test]
    fn empty_parameters_are_enough_where_nothing_is_required() {
        for kind in [
            OperationKind::EndOfDay,
            OperationKind::SendLogs,
            OperationKind::CheckUpdate,
            OperationKind::OpenMenu,
            OperationKind::Reboot,
            OperationKind::Update,
            OperationKind::Lock,
            OperationKind::Unlock,
        ] {
            assert_eq!(parse(kind, "{}").unwrap().kind(), kind);
        }
        assert!(parse(OperationKind::Configure, "{}").is_err());
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        let error = parse(OperationKind::EndOfDay, r#"{"operater_id":"7"}"#).unwrap_err();
        assert!(error.to_string().contains("operater_id"), "{error}");
    }

    #[test]
    fn limits_hold_at_n_and_n_plus_one() {
        let operator = |n: usize| format!(r#"{{"operator_id":"{}"}}"#, "x".repeat(n));
        assert!(parse(OperationKind::EndOfDay, &operator(64)).is_ok());
        assert!(parse(OperationKind::EndOfDay, &operator(65)).is_err());
        let menu = |s: u32| format!(r#"{{"timeout_s":{s}}}"#);
        assert!(parse(OperationKind::OpenMenu, &menu(600)).is_ok());
        assert!(parse(OperationKind::OpenMenu, &menu(601)).is_err());
        assert!(parse(OperationKind::OpenMenu, &menu(9)).is_err());
        let delay = |s: u32| format!(r#"{{"delay_s":{s}}}"#);
        assert!(parse(OperationKind::Reboot, &delay(3600)).is_ok());
        assert!(parse(OperationKind::Reboot, &delay(3601)).is_err());
        let message = |n: usize| format!(r#"{{"message":"{}"}}"#, "x".repeat(n));
        assert!(parse(OperationKind::Lock, &message(60)).is_ok());
        assert!(parse(OperationKind::Lock, &message(61)).is_err());
    }
}
