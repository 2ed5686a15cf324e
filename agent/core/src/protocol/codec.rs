//! Bytes to frames and back: total, and bounded before anything is allocated.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    AgentFrame, CloudFrame, EnrolAgentFrame, EnrolCloudFrame, NESTING_MAX, TEXT_FRAME_BYTES_MAX,
    check::Check,
};

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Close with 1009.
    #[error("text frame of {0} bytes, want at most 65536")]
    TooLarge(usize),
    /// Not JSON, or no object with a `type`: close with 1007.
    #[error("not a frame: {0}")]
    Malformed(String),
    /// Answer `UNSUPPORTED_MESSAGE`; the link stays.
    #[error("unknown frame type {0:?}")]
    UnknownType(String),
    /// Answer `INVALID_MESSAGE`; the link stays.
    #[error("{kind} frame: {problem}")]
    Invalid {
        /// The `type`.
        kind: String,
        /// The `id` of the message, where it has one.
        reference: Option<String>,
        /// What is wrong.
        problem: String,
    },
}

/// The text of a frame. Frames are plain data, so this cannot fail; an empty string would be
/// refused by the peer.
pub fn encode<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

/// Reads a frame from the cloud.
///
/// # Errors
/// See [`DecodeError`]: each variant says what to answer.
pub fn decode_cloud_frame(bytes: &[u8]) -> Result<CloudFrame, DecodeError> {
    let head = head(bytes)?;
    Ok(match head.kind.as_str() {
        "welcome" => CloudFrame::Welcome(body(bytes, head)?),
        "operation" => CloudFrame::Operation(body(bytes, head)?),
        "ack" => CloudFrame::Ack(body(bytes, head)?),
        "cancel" => CloudFrame::Cancel(body(bytes, head)?),
        "configuration" => CloudFrame::Configuration(body(bytes, head)?),
        "reconnect" => CloudFrame::Reconnect(body(bytes, head)?),
        "log_ack" => CloudFrame::LogAck(body(bytes, head)?),
        "enrolled" => CloudFrame::Enrolled(body(bytes, head)?),
        "error" => CloudFrame::Error(body(bytes, head)?),
        _ => return Err(DecodeError::UnknownType(head.kind)),
    })
}

/// Reads a frame from a terminal.
///
/// # Errors
/// See [`DecodeError`]: each variant says what to answer.
pub fn decode_agent_frame(bytes: &[u8]) -> Result<AgentFrame, DecodeError> {
    let head = head(bytes)?;
    Ok(match head.kind.as_str() {
        "hello" => AgentFrame::Hello(body(bytes, head)?),
        "accepted" => AgentFrame::Accepted(body(bytes, head)?),
        "started" => AgentFrame::Started(body(bytes, head)?),
        "progress" => AgentFrame::Progress(body(bytes, head)?),
        "report" => AgentFrame::Report(body(bytes, head)?),
        "status" => AgentFrame::Status(body(bytes, head)?),
        "log_end" => AgentFrame::LogEnd(body(bytes, head)?),
        "error" => AgentFrame::Error(body(bytes, head)?),
        _ => return Err(DecodeError::UnknownType(head.kind)),
    })
}

/// Reads a frame of `terminal-enrol.v1` from a terminal.
///
/// # Errors
/// See [`DecodeError`]: each variant says what to answer.
pub fn decode_enrol_agent_frame(bytes: &[u8]) -> Result<EnrolAgentFrame, DecodeError> {
    let head = head(bytes)?;
    Ok(match head.kind.as_str() {
        "enrol_begin" => EnrolAgentFrame::EnrolBegin(body(bytes, head)?),
        "error" => EnrolAgentFrame::Error(body(bytes, head)?),
        _ => return Err(DecodeError::UnknownType(head.kind)),
    })
}

/// Reads a frame of `terminal-enrol.v1` from the cloud.
///
/// # Errors
/// See [`DecodeError`]: each variant says what to answer.
pub fn decode_enrol_cloud_frame(bytes: &[u8]) -> Result<EnrolCloudFrame, DecodeError> {
    let head = head(bytes)?;
    Ok(match head.kind.as_str() {
        "activation_code" => EnrolCloudFrame::ActivationCode(body(bytes, head)?),
        "enrolled" => EnrolCloudFrame::Enrolled(body(bytes, head)?),
        "error" => EnrolCloudFrame::Error(body(bytes, head)?),
        _ => return Err(DecodeError::UnknownType(head.kind)),
    })
}

/// What every frame has, and what lets an answer refer to it.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<serde_json::Value>,
}

/// Longest `type` and `id` that an answer repeats.
const ECHO_CHARS_MAX: usize = 64;

fn head(bytes: &[u8]) -> Result<Head, DecodeError> {
    if bytes.len() > TEXT_FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    // serde would take an array for a struct as well.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(DecodeError::Malformed("not a JSON object".to_owned()));
    }
    let mut head: Head =
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    head.kind = terminal_hal::text::bounded(&head.kind, ECHO_CHARS_MAX);
    Ok(head)
}

fn body<T: DeserializeOwned + Check>(bytes: &[u8], head: Head) -> Result<T, DecodeError> {
    let read = if nesting(bytes) > NESTING_MAX {
        Err(format!("more than {NESTING_MAX} objects and arrays within each other"))
    } else {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    };
    let checked = read.and_then(|frame: T| frame.check().map(|()| frame));
    checked.map_err(|problem| DecodeError::Invalid {
        kind: head.kind,
        reference: head
            .id
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .map(|id| terminal_hal::text::bounded(id, ECHO_CHARS_MAX)),
        problem: terminal_hal::text::bounded(&problem, 256),
    })
}

/// How many objects and arrays are open at once in a JSON text.
fn nesting(json: &[u8]) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_json_is_told_apart_from_what_is_not_known() {
        assert!(matches!(decode_cloud_frame(b"{"), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode_cloud_frame(b"[]"), Err(DecodeError::Malformed(_))));
        let array = br#"["error","an array is no frame"]"#;
        assert!(matches!(decode_cloud_frame(array), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode_cloud_frame(b"\xff"), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode_cloud_frame(br#"{"a":1}"#), Err(DecodeError::Malformed(_))));
        assert_eq!(
            decode_cloud_frame(br#"{"type":"dance"}"#),
            Err(DecodeError::UnknownType("dance".into()))
        );
    }

    #[test]
    fn a_known_frame_with_a_missing_field_names_the_field_and_the_message() {
        let error = decode_cloud_frame(br#"{"type":"operation","id":"x1"}"#).unwrap_err();
        let DecodeError::Invalid { kind, reference, problem } = error else { panic!("{error}") };
        assert_eq!((kind.as_str(), reference.as_deref()), ("operation", Some("x1")));
        assert!(!problem.is_empty());
    }

    #[test]
    fn a_frame_beyond_a_limit_is_as_invalid_as_one_that_lacks_a_field() {
        let progress = |phase: usize, percent: u8| {
            let id = "3f1a9c2e-8b7d-4f6a-9c1e-2d5b8a0f4e6c";
            let phase = "x".repeat(phase);
            let text = format!(
                r#"{{"type":"progress","id":"{id}","phase":"{phase}","percent":{percent}}}"#
            );
            decode_agent_frame(text.as_bytes())
        };
        assert!(progress(32, 100).is_ok());
        for (phase, percent, named) in [(33, 100, "phase"), (32, 101, "percent")] {
            let error = progress(phase, percent).unwrap_err();
            let DecodeError::Invalid { kind, problem, .. } = error else { panic!("{error}") };
            assert_eq!(kind, "progress");
            assert!(problem.starts_with(named), "{problem}");
        }
    }

    #[test]
    fn the_size_limit_holds_at_n_and_n_plus_one() {
        let frame = |n: usize| {
            let text = format!(r#"{{"type":"error","code":"x","message":""}}{}"#, " ".repeat(n));
            text.into_bytes()
        };
        let room = TEXT_FRAME_BYTES_MAX - frame(0).len();
        assert!(decode_cloud_frame(&frame(room)).is_ok());
        assert_eq!(
            decode_cloud_frame(&frame(room + 1)),
            Err(DecodeError::TooLarge(TEXT_FRAME_BYTES_MAX + 1))
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        let deep = format!(r#"{{"type":"cancel","id":{}"#, "[".repeat(60_000));
        assert!(matches!(decode_cloud_frame(deep.as_bytes()), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn nesting_beyond_the_limit_is_an_invalid_frame_wherever_it_is() {
        let id = "3f1a9c2e-8b7d-4f6a-9c1e-2d5b8a0f4e6c";
        let cancel = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            // Brackets in a text do not count.
            let frame = format!(
                r#"{{"type":"cancel","id":"{id}","text":"[[[\"[[[\\","x":{open}{close},"y":[]}}"#
            );
            decode_cloud_frame(frame.as_bytes())
        };
        assert!(cancel(NESTING_MAX - 1).is_ok());
        let error = cancel(NESTING_MAX).unwrap_err();
        let DecodeError::Invalid { reference, problem, .. } = error else { panic!("{error}") };
        assert_eq!(reference.as_deref(), Some(id));
        assert!(problem.contains("more than 32"), "{problem}");
    }

    #[test]
    fn unknown_fields_are_ignored_and_a_field_given_twice_is_refused() {
        let id = "3f1a9c2e-8b7d-4f6a-9c1e-2d5b8a0f4e6c";
        let extra = format!(r#"{{"type":"cancel","id":"{id}","later":1}}"#);
        assert!(decode_cloud_frame(extra.as_bytes()).is_ok());
        let twice = format!(r#"{{"type":"cancel","id":"{id}","id":"{id}"}}"#);
        assert!(decode_cloud_frame(twice.as_bytes()).is_err());
    }
}
