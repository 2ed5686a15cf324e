//! From a stream of bytes to a WebSocket that speaks this protocol.

use std::io;

use terminal_core::protocol::{BINARY_FRAME_BYTES_MAX, TEXT_FRAME_BYTES_MAX};
use terminal_hal::Timestamp;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        self,
        error::ProtocolError,
        handshake::client::{Request, Response, generate_key},
        http::{HeaderValue, Uri, header},
        protocol::WebSocketConfig,
    },
};

use super::{
    error::ConnectError,
    listening::Listening,
    retry_after,
    socket::Socket,
    tls::{self, ByteStream},
};

const USER_AGENT: &str = concat!("terminal-agent/", env!("CARGO_PKG_VERSION"));
/// Largest message either way; a chunk of log data is smaller than a text frame.
const MESSAGE_BYTES_MAX: usize = TEXT_FRAME_BYTES_MAX;
const _: () = assert!(BINARY_FRAME_BYTES_MAX <= MESSAGE_BYTES_MAX);
/// Read at once; a larger message grows its own buffer.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// One message and the pong or close that goes before it, with their headers.
const WRITE_BUFFER_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;

/// What goes into the request.
pub(super) struct Upgrade<'a> {
    /// Path and host.
    pub(super) uri: &'a Uri,
    /// What both ends are to speak.
    pub(super) subprotocol: &'static str,
    /// Bearer token.
    pub(super) token: Option<String>,
    /// To read a `Retry-After` date.
    pub(super) now: Timestamp,
}

impl Upgrade<'_> {
    /// Asks for the upgrade and checks the answer.
    pub(super) async fn ask(&self, stream: Box<dyn ByteStream>) -> Result<Socket, ConnectError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let request = self.request()?;
        match client_async_with_config(request, Listening::new(stream), Some(config)).await {
            Ok((stream, _)) => Ok(Socket::new(stream)),
            Err(error) => Err(self.refusal(error)),
        }
    }

    fn request(&self) -> Result<Request, ConnectError> {
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::get(self.uri.clone())
            .header(header::HOST, host)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key())
            .header(header::SEC_WEBSOCKET_PROTOCOL, self.subprotocol)
            .header(header::USER_AGENT, USER_AGENT);
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ConnectError::Upgrade("bad token".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(()).map_err(|error| ConnectError::Upgrade(error.to_string()))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum: all others mean the same")]
    fn refusal(&self, error: tungstenite::Error) -> ConnectError {
        use tungstenite::Error as E;
        match error {
            E::Http(response) => self.status(&response),
            E::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
                ConnectError::Subprotocol(self.subprotocol)
            }
            E::Io(error) => from_io(&error),
            other => ConnectError::Upgrade(other.to_string()),
        }
    }

    fn status(&self, response: &Response) -> ConnectError {
        let value = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after_s = value.and_then(|value| retry_after::seconds(value, self.now));
        ConnectError::Status { status: response.status().as_u16(), retry_after_s }
    }
}

fn from_io(error: &io::Error) -> ConnectError {
    match tls::certificate_problem(error) {
        Some(problem) => problem,
        None => ConnectError::Upgrade(error.to_string()),
    }
}
