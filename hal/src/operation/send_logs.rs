//! `send_logs`: collect, compress and upload logs of a time range.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{
    Timestamp,
    text::{NAME_CHARS_MAX, bounded},
};

/// Longest time range, in milliseconds: 14 days.
pub const RANGE_MS_MAX: u64 = 14 * 24 * 3600 * 1000;
/// Range when none is given, in milliseconds: the last 24 hours.
pub const RANGE_MS_DEFAULT: u64 = 24 * 3600 * 1000;
/// Most components that one request may name.
pub const COMPONENTS_MAX: usize = 16;
/// Most headers that an upload may carry.
pub const UPLOAD_HEADERS_MAX: usize = 16;
/// Bounds of `max_bytes`.
pub const MAX_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 20;
const UPLOAD_URL_CHARS_MAX: usize = 2048;
const HEADER_CHARS_MAX: usize = 1024;

/// Which logs to send, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SendLogsParameters {
    /// Start of the range; 24 hours before its end when absent.
    pub from: Option<Timestamp>,
    /// End of the range; now when absent.
    pub to: Option<Timestamp>,
    /// Only these components; all when empty.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = COMPONENTS_MAX),
            inner(length(min = 1, max = NAME_CHARS_MAX), regex(pattern = LINE))
        )
    )]
    pub components: Vec<String>,
    /// This level and what is more severe.
    pub min_level: LogLevel,
    /// Most compressed bytes, 64 KiB to 64 MiB; the newest lines are kept.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = *MAX_BYTES.start(), max = *MAX_BYTES.end()))
    )]
    pub max_bytes: u64,
    /// One JSON object per line, or plain text.
    pub format: LogFormat,
    /// How the upload is compressed.
    pub compression: Compression,
    /// Where to; over the link when absent.
    pub upload: Option<Upload>,
    /// Whether a metered network may be used.
    pub allow_metered: bool,
}

impl Default for SendLogsParameters {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            components: Vec::new(),
            min_level: LogLevel::Info,
            max_bytes: 16 << 20,
            format: LogFormat::Ndjson,
            compression: Compression::Gzip,
            upload: None,
            allow_metered: false,
        }
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// A change of state.
    #[default]
    Info,
    /// Each branch.
    Debug,
    /// Each frame.
    Trace,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Ndjson,
    /// `time level component message`.
    Text,
}

/// How the upload is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// RFC 1952.
    #[default]
    Gzip,
}

/// Where logs are uploaded to, typically a presigned URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// An https URL, at most 2,048 characters, on the terminal's own list of hosts.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = UPLOAD_URL_CHARS_MAX), regex(pattern = UPLOAD_URL))
    )]
    pub url: String,
    /// `PUT` or `POST`.
    #[serde(default)]
    pub method: UploadMethod,
    /// At most 16; neither `Host` nor `Authorization`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(transform = header_limits))]
    pub headers: BTreeMap<String, String>,
    /// After this the URL is not used any more.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// https, without control characters.
#[cfg(feature = "schema")]
const UPLOAD_URL: &str = r"^https://[^\u0000-\u001F\u007F-\u009F]*$";

#[cfg(feature = "schema")]
fn header_limits(schema: &mut schemars::Schema) {
    schema.insert("maxProperties".to_owned(), UPLOAD_HEADERS_MAX.into());
    let name = schemars::json_schema!({
        "minLength": 1, "maxLength": NAME_CHARS_MAX, "pattern": LINE,
    });
    schema.insert("propertyNames".to_owned(), name.into());
    let value = schemars::json_schema!({
        "type": "string", "maxLength": HEADER_CHARS_MAX, "pattern": LINE,
    });
    schema.insert("additionalProperties".to_owned(), value.into());
}

/// The HTTP method of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum UploadMethod {
    /// As presigned object-store URLs want it.
    #[default]
    Put,
    /// As plain receivers want it.
    Post,
}

impl Validate for SendLogsParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        if let (Some(from), Some(to)) = (self.from, self.to) {
            if to <= from {
                return Err(InvalidParameters::new("to", format!("got {to}, want after {from}")));
            }
            if to.ms_since(from) > RANGE_MS_MAX {
                return Err(InvalidParameters::new("from", "range is longer than 14 days"));
            }
        }
        check_range("components", self.components.len() as u64, 0, COMPONENTS_MAX as u64)?;
        for component in &self.components {
            check_line("components", Some(component), NAME_CHARS_MAX)?;
        }
        check_range("max_bytes", self.max_bytes, *MAX_BYTES.start(), *MAX_BYTES.end())?;
        self.upload.as_ref().map_or(Ok(()), Upload::validate)
    }
}

impl Upload {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_line("upload.url", Some(&self.url), UPLOAD_URL_CHARS_MAX)?;
        if !self.url.starts_with("https://") {
            return Err(InvalidParameters::new("upload.url", "want an https:// URL"));
        }
        let count = self.headers.len() as u64;
        check_range("upload.headers", count, 0, UPLOAD_HEADERS_MAX as u64)?;
        for (name, value) in &self.headers {
            check_line("upload.headers", Some(name), NAME_CHARS_MAX)?;
            if crate::text::line_problem(value, 0, HEADER_CHARS_MAX).is_some() {
                return Err(InvalidParameters::new("upload.headers", "value too long or not text"));
            }
            // The terminal authenticates itself and names the host; the cloud must not.
            let reserved = ["host", "authorization", "content-length", "transfer-encoding"];
            if reserved.contains(&name.to_ascii_lowercase().as_str()) {
                let problem = format!("{name} is set by the terminal, remove it");
                return Err(InvalidParameters::new("upload.headers", problem));
            }
        }
        Ok(())
    }
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SendLogsResult {
    /// Names the upload at the receiver: the operation id.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub log_id: String,
    /// Bytes before compression.
    pub bytes_raw: u64,
    /// Bytes that were sent.
    pub bytes_compressed: u64,
    /// SHA-256 of what was sent, 64 lower-case hex digits.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub sha256: String,
    /// Time of the first line.
    pub covered_from: Timestamp,
    /// Time of the last line.
    pub covered_to: Timestamp,
    /// Number of lines.
    pub lines: u64,
    /// Whether older lines were left out to stay below `max_bytes`.
    pub truncated: bool,
    /// How much was masked.
    #[serde(default)]
    pub redactions: Redactions,
}

/// How much was masked before anything left the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Redactions {
    /// Card numbers, and digits that may hold one.
    pub pan: u64,
    /// Magnetic-stripe data, and what a chip has of it.
    pub track: u64,
    /// PINs, PIN blocks and card verification codes.
    pub pin: u64,
    /// Keys, tokens and passwords.
    pub secret: u64,
}

impl AddAssign for Redactions {
    fn add_assign(&mut self, more: Self) {
        self.pan += more.pan;
        self.track += more.track;
        self.pin += more.pin;
        self.secret += more.secret;
    }
}

impl SendLogsResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.log_id = bounded(&self.log_id, NAME_CHARS_MAX);
        self.sha256 = bounded(&self.sha256, NAME_CHARS_MAX);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(url: &str, header: &str) -> Result<(), InvalidParameters> {
        let headers = BTreeMap::from([(header.to_owned(), "x".to_owned())]);
        Upload { url: url.into(), method: UploadMethod::Put, headers, expires_at: None }.validate()
    }

    #[test]
    fn an_upload_goes_to_https_only_and_names_no_host_or_authorization() {
        assert!(upload("https://logs.example/x", "x-meta").is_ok());
        assert!(upload("http://logs.example/x", "x-meta").is_err());
        assert!(upload("https://logs.example/x", "HOST").is_err());
        assert!(upload("https://logs.example/x", "authorization").is_err());
    }

    #[test]
    fn a_range_is_ordered_and_at_most_14_days() {
        let range = |ms| SendLogsParameters {
            from: Some(Timestamp::from_unix_ms(1000)),
            to: Some(Timestamp::from_unix_ms(1000 + ms)),
            ..SendLogsParameters::default()
        };
        assert!(range(0).validate().is_err());
        assert!(range(RANGE_MS_MAX).validate().is_ok());
        assert!(range(RANGE_MS_MAX + 1).validate().is_err());
    }
}
