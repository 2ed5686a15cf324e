//! Frames of `terminal-enrol.v1`: a terminal without credentials gets a certificate for a key that
//! it made itself.
//!
//! `enrol_begin` and `enrolled` also renew a certificate over the link of `terminal-ops.v1`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ErrorFrame,
    check::{Check, check_line, check_range},
};
#[cfg(feature = "schema")]
use terminal_hal::schema::LINE;

/// Value of `Sec-WebSocket-Protocol` of the enrolment endpoint.
pub const ENROL_SUBPROTOCOL: &str = "terminal-enrol.v1";
/// Characters of `serial_number`, `model` and the versions.
pub const ENROL_NAME_CHARS_MAX: usize = 64;
/// Characters of `nonce`.
pub const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=64;
/// Bytes of `csr`.
pub const CSR_BYTES_MAX: usize = 8 << 10;

/// Any frame from a terminal that enrols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnrolAgentFrame {
    /// First frame, and the only one that matters.
    EnrolBegin(Box<EnrolBegin>),
    /// Something about one message.
    Error(ErrorFrame),
}

/// Any frame from a cloud that enrols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnrolCloudFrame {
    /// What the terminal shows.
    ActivationCode(ActivationCode),
    /// The terminal's identity.
    Enrolled(Box<Enrolled>),
    /// Something about one message.
    Error(ErrorFrame),
}

/// A terminal asks for an identity. The key is durable before this is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnrolBegin {
    /// Printed on the device; 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = ENROL_NAME_CHARS_MAX),
            regex(pattern = LINE)
        )
    )]
    pub serial_number: String,
    /// Hardware model; 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = ENROL_NAME_CHARS_MAX),
            regex(pattern = LINE)
        )
    )]
    pub model: String,
    /// PKCS #10 request, PEM, signed with the terminal's key; its subject is ignored.
    #[cfg_attr(feature = "schema", schemars(length(max = CSR_BYTES_MAX)))]
    pub csr: String,
    /// Version of the agent; 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = ENROL_NAME_CHARS_MAX),
            regex(pattern = LINE)
        )
    )]
    pub agent_version: String,
    /// Version of the terminal's software; 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = ENROL_NAME_CHARS_MAX),
            regex(pattern = LINE)
        )
    )]
    pub software_version: String,
    /// Percent; `None` without a battery.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub battery_level: Option<u8>,
    /// Random, of this attempt; comes back in every answer. 16 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = *NONCE_CHARS.start(), max = *NONCE_CHARS.end()),
            regex(pattern = LINE)
        )
    )]
    pub nonce: String,
    /// One-time secret of a serial number that was registered beforehand: needs no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Check for EnrolBegin {
    fn check(&self) -> Result<(), String> {
        for (field, text) in [
            ("serial_number", &self.serial_number),
            ("model", &self.model),
            ("agent_version", &self.agent_version),
            ("software_version", &self.software_version),
        ] {
            check_line(field, text, 1..=ENROL_NAME_CHARS_MAX)?;
        }
        check_line("nonce", &self.nonce, NONCE_CHARS)?;
        check_range("battery_level", self.battery_level.unwrap_or(0), 0..=100)?;
        if self.csr.len() > CSR_BYTES_MAX {
            return Err(format!("csr has {} bytes, want at most {CSR_BYTES_MAX}", self.csr.len()));
        }
        Ok(())
    }
}

/// Never shows the secret.
impl fmt::Debug for EnrolBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolBegin")
            .field("serial_number", &self.serial_number)
            .field("model", &self.model)
            .field("software_version", &self.software_version)
            .field("has_secret", &self.secret.is_some())
            .finish_non_exhaustive()
    }
}

/// A code for the terminal's screen; a later one replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActivationCode {
    /// Of the `enrol_begin` that it answers.
    pub nonce: String,
    /// `ACT-XXXX-XXXX`, of letters without I and O and digits without 0 and 1.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = ACTIVATION_CODE)))]
    pub code: String,
    /// Seconds that it can be typed in from now.
    pub expires_in_s: u32,
}

impl Check for ActivationCode {
    fn check(&self) -> Result<(), String> {
        if is_activation_code(&self.code) {
            return Ok(());
        }
        Err("code is not ACT-XXXX-XXXX".to_owned())
    }
}

/// The terminal's identity. Sent again for the same serial number and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Enrolled {
    /// Of the `enrol_begin` that it answers.
    pub nonce: String,
    /// Id of the terminal: `hello.terminal_id`, and the subject of the certificate.
    pub terminal_id: String,
    /// Where the terminal stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Client certificate for the key of the request, PEM, the leaf first.
    pub certificate: String,
    /// Authorities of the cloud's server certificate, PEM.
    pub trust_bundle: String,
    /// Where `terminal-ops.v1` is spoken.
    pub url: String,
    /// Newest configuration revision of the cloud, 0 for none; informative.
    #[serde(default)]
    pub config_revision: u64,
}

impl Check for Enrolled {}

/// What [`is_activation_code`] takes.
#[cfg(feature = "schema")]
const ACTIVATION_CODE: &str = "^ACT-[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}$";

/// Whether a text is `ACT-XXXX-XXXX`, of letters without I and O and digits without 0 and 1.
pub fn is_activation_code(text: &str) -> bool {
    let is_place = |c: char| matches!(c, 'A'..='H' | 'J'..='N' | 'P'..='Z' | '2'..='9');
    let groups: Vec<&str> = text.split('-').collect();
    let is_group = |group: &&str| group.chars().count() == 4 && group.chars().all(is_place);
    matches!(groups.as_slice(), ["ACT", rest @ ..] if rest.len() == 2 && rest.iter().all(is_group))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{
        DecodeError, decode_enrol_agent_frame, decode_enrol_cloud_frame, encode,
    };

    fn begin() -> EnrolBegin {
        EnrolBegin {
            serial_number: "SN-00482910".into(),
            model: "nexgo_n92".into(),
            csr: "-----BEGIN CERTIFICATE REQUEST-----\n".into(),
            agent_version: "0.1.0".into(),
            software_version: "3.14.2".into(),
            battery_level: Some(87),
            nonce: "0123456789abcdef".into(),
            secret: Some("enr_topsecret".into()),
        }
    }

    #[test]
    fn every_frame_survives_the_way_there() {
        let error = ErrorFrame { code: "X".into(), message: "y".into(), reference: None };
        for frame in
            [EnrolAgentFrame::EnrolBegin(Box::new(begin())), EnrolAgentFrame::Error(error.clone())]
        {
            assert_eq!(decode_enrol_agent_frame(encode(&frame).as_bytes()), Ok(frame));
        }
        let code = ActivationCode {
            nonce: "0123456789abcdef".into(),
            code: "ACT-7X9K-2M4P".into(),
            expires_in_s: 3600,
        };
        let enrolled = Enrolled {
            nonce: "0123456789abcdef".into(),
            terminal_id: "P11223351-T0001".into(),
            location_id: None,
            display_name: Some("Counter 3".into()),
            certificate: "c".into(),
            trust_bundle: "t".into(),
            url: "wss://localhost/v1/terminal/ws".into(),
            config_revision: 3,
        };
        for frame in [
            EnrolCloudFrame::ActivationCode(code),
            EnrolCloudFrame::Enrolled(Box::new(enrolled)),
            EnrolCloudFrame::Error(error),
        ] {
            assert_eq!(decode_enrol_cloud_frame(encode(&frame).as_bytes()), Ok(frame));
        }
    }

    #[test]
    fn a_frame_of_the_other_protocol_is_unknown_here() {
        let hello = br#"{"type":"hello"}"#;
        let unknown = Err(DecodeError::UnknownType("hello".into()));
        assert_eq!(decode_enrol_agent_frame(hello), unknown);
        let missing = json!({ "type": "enrol_begin", "serial_number": "1" }).to_string();
        let found = decode_enrol_agent_frame(missing.as_bytes());
        assert!(matches!(found, Err(DecodeError::Invalid { .. })), "{found:?}");
    }

    #[test]
    fn an_activation_code_has_two_groups_without_letters_that_look_like_digits() {
        assert!(is_activation_code("ACT-7X9K-2M4P"));
        for wrong in [
            "ACT-7X9K",
            "ACT-7X9K-2M4P-2M4P",
            "ACT-7X9K-2M4",
            "ACT-7X9K-2M4O",
            "7X9K-2M4P",
            "ACT-7x9k-2M4P",
            "ACT-7X9K-2M4P\n",
            "ACT-1X9K-2M4P",
            "",
        ] {
            assert!(!is_activation_code(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", begin()).contains("topsecret"));
    }
}
