//! Text frames, both ways: what is read is bounded and means the same when it is written again.

use serde::Serialize;
use terminal_core::protocol::{
    AgentFrame, CloudFrame, DecodeError, TEXT_FRAME_BYTES_MAX, decode_agent_frame,
    decode_cloud_frame, encode,
};

use crate::nearly::are_alike;

/// Largest text that an error says: what it repeats of a frame is cut.
const ERROR_BYTES_MAX: usize = 4096;

/// A frame from the cloud, as the terminal reads it.
pub fn cloud_frame(data: &[u8]) {
    check(data, decode_cloud_frame);
}

/// A frame from a terminal, as the cloud reads it.
pub fn agent_frame(data: &[u8]) {
    check(data, decode_agent_frame);
}

fn check<F>(data: &[u8], decode: fn(&[u8]) -> Result<F, DecodeError>)
where
    F: PartialEq + Serialize + std::fmt::Debug,
{
    match decode(data) {
        Ok(frame) => {
            assert!(data.len() <= TEXT_FRAME_BYTES_MAX, "{} bytes were taken", data.len());
            assert_eq!(data.trim_ascii_start().first(), Some(&b'{'), "no object: {data:?}");
            survives(&frame, decode);
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() <= ERROR_BYTES_MAX, "{} bytes", said.len());
            let too_large = matches!(error, DecodeError::TooLarge(_));
            assert_eq!(too_large, data.len() > TEXT_FRAME_BYTES_MAX, "{error}");
            if let DecodeError::Invalid { reference: Some(id), .. } = &error {
                assert!(id.chars().count() <= 64 && !id.chars().any(char::is_control), "{id:?}");
            }
        }
    }
}

/// Written and read again it is the same frame. Numbers with many zeros take more room when they
/// are written, so that a frame may become too large: then it is no frame for either end.
fn survives<F>(frame: &F, decode: fn(&[u8]) -> Result<F, DecodeError>)
where
    F: PartialEq + Serialize + std::fmt::Debug,
{
    let text = encode(frame);
    match decode(text.as_bytes()) {
        Ok(again) => assert!(are_alike(&again, frame), "{again:?} from {text}"),
        Err(error) => assert!(text.len() > TEXT_FRAME_BYTES_MAX, "{error}: {text}"),
    }
}

/// What the terminal sends: it fits into a frame, and the cloud reads what was meant.
pub(crate) fn reaches_the_cloud(frame: &AgentFrame) {
    let text = encode(frame);
    assert!(text.len() <= TEXT_FRAME_BYTES_MAX, "{} bytes: {:.200}", text.len(), text);
    let read = decode_agent_frame(text.as_bytes());
    assert!(read.as_ref().is_ok_and(|read| are_alike(read, frame)), "{read:?} from {text}");
}

/// What the cloud sends: the terminal reads what was meant.
pub(crate) fn reaches_the_terminal(frame: &CloudFrame) -> Vec<u8> {
    let text = encode(frame);
    let read = decode_cloud_frame(text.as_bytes());
    assert!(read.as_ref().is_ok_and(|read| are_alike(read, frame)), "{read:?} from {text}");
    text.into_bytes()
}
