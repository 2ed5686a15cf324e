//! The beginning of a link: `hello` in, identity checked.

use std::{sync::Arc, time::Duration};

use terminal_core::protocol::{
    AgentFrame, CloudFrame, DecodeError, ErrorFrame, Hello, PROTOCOL_VERSION, close_code,
    decode_agent_frame, error_code,
};
use tokio_tungstenite::tungstenite::Message;

use super::socket::{Gone, Socket};
use crate::state::Shared;

/// Waits for `hello`; whatever else comes before it is refused.
pub(super) async fn receive(
    shared: &Arc<Shared>,
    socket: &mut Socket,
    terminal_id: &str,
) -> Result<(Hello, Vec<Message>), Gone> {
    let waiting = async {
        loop {
            let mut batch = socket.receive().await?.into_iter();
            while let Some(message) = batch.next() {
                let Message::Text(text) = message else { continue };
                match decode_agent_frame(text.as_bytes()) {
                    Ok(AgentFrame::Hello(hello)) => return Ok((*hello, batch.collect())),
                    Ok(_) => refuse(socket, not_welcomed()).await?,
                    Err(error) => refuse(socket, refusal(&error)?).await?,
                }
            }
            socket.flush().await?;
        }
    };
    let (hello, rest) = match tokio::time::timeout(shared.config.hello_timeout, waiting).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let reason = format!("no hello within {}", seconds(shared.config.hello_timeout));
            return Err(Gone::Breach { code: close_code::HANDSHAKE_TIMEOUT, reason });
        }
    };
    if hello.terminal_id != terminal_id {
        let reason = format!("hello names another terminal than the credentials, {terminal_id}");
        return Err(Gone::Breach { code: close_code::FORBIDDEN, reason });
    }
    if hello.protocol != PROTOCOL_VERSION {
        let reason = format!("protocol {}, want {PROTOCOL_VERSION}", hello.protocol);
        return Err(Gone::Breach { code: close_code::POLICY, reason });
    }
    Ok((hello, rest))
}

async fn refuse(socket: &mut Socket, error: ErrorFrame) -> Result<(), Gone> {
    socket.send(&CloudFrame::Error(error)).await
}

fn not_welcomed() -> ErrorFrame {
    let code = error_code::NOT_WELCOMED.to_owned();
    ErrorFrame { code, message: "want hello first".to_owned(), reference: None }
}

/// The answer to what cannot be read. A `hello` that cannot, and what is no frame, ends the link.
fn refusal(error: &DecodeError) -> Result<ErrorFrame, Gone> {
    let code = match error {
        DecodeError::UnknownType(_) => {
            let code = error_code::UNSUPPORTED_MESSAGE.to_owned();
            return Ok(ErrorFrame { code, message: error.to_string(), reference: None });
        }
        DecodeError::Invalid { kind, .. } if kind != "hello" => return Ok(not_welcomed()),
        DecodeError::TooLarge(_) => close_code::TOO_BIG,
        DecodeError::Malformed(_) | DecodeError::Invalid { .. } => close_code::INVALID_DATA,
    };
    Err(Gone::Breach { code, reason: error.to_string() })
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32())
}
