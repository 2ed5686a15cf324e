//! The WebSocket of one link: frames in, frames out, every wait with a deadline.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use terminal_core::protocol::{TEXT_FRAME_BYTES_MAX, encode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// A peer that takes nothing for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the peer may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a close frame, as a control frame of at most 125 bytes, leaves beside the code.
const CLOSE_REASON_BYTES_MAX: usize = 123;
/// Frames that are handled together.
const BATCH_MAX: usize = 1024;

/// Why nothing more can be read or written.
#[derive(Debug)]
pub(super) enum Gone {
    /// The peer closed, or the connection broke.
    Peer(String),
    /// The peer broke the rules of the protocol: close with this code.
    Breach { code: u16, reason: String },
}

pub(super) struct Socket {
    stream: WebSocketStream<Listening>,
}

impl Socket {
    pub(super) async fn new(io: TokioIo<Upgraded>) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(TEXT_FRAME_BYTES_MAX))
            .max_frame_size(Some(TEXT_FRAME_BYTES_MAX))
            .max_write_buffer_size(1 << 20);
        let io = Listening { io, heard_at: Instant::now() };
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { stream }
    }

    /// When bytes came last, whether or not they ended a message.
    pub(super) fn heard_at(&self) -> Instant {
        self.stream.get_ref().heard_at
    }

    /// Waits for a frame and takes what has arrived with it. Cancelling loses nothing.
    pub(super) async fn receive(&mut self) -> Result<Vec<Message>, Gone> {
        let mut batch = vec![read(self.stream.next().await)?];
        while batch.len() < BATCH_MAX {
            match self.stream.next().now_or_never() {
                None => break,
                Some(next) => match read(next) {
                    Ok(message) => batch.push(message),
                    // What came before still counts; the error comes again at the next call.
                    Err(gone @ Gone::Breach { .. }) => return Err(gone),
                    Err(Gone::Peer(_)) => break,
                },
            }
        }
        Ok(batch)
    }

    pub(super) async fn send(&mut self, frame: &impl Serialize) -> Result<(), Gone> {
        self.send_message(Message::text(encode(frame))).await
    }

    /// Queues without flushing, for several frames in a row.
    pub(super) async fn feed(&mut self, frame: &impl Serialize) -> Result<(), Gone> {
        let feed = self.stream.feed(Message::text(encode(frame)));
        timed(feed).await
    }

    pub(super) async fn send_message(&mut self, message: Message) -> Result<(), Gone> {
        timed(self.stream.send(message)).await
    }

    /// Sends what is queued, pongs included.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        timed(self.stream.flush()).await
    }

    /// Sends a close frame and gives the peer a moment to read it before the connection goes.
    pub(super) async fn close(mut self, code: u16, reason: &str) {
        let reason = cut(reason).to_owned().into();
        let frame = CloseFrame { code: CloseCode::from(code), reason };
        let farewell = async {
            if self.stream.send(Message::Close(Some(frame))).await.is_ok() {
                // Unread data would turn the end of the connection into a reset.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

/// As much of a reason as a close frame takes.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    reason.get(..end).unwrap_or_default()
}

async fn timed(sending: impl Future<Output = Result<(), Error>>) -> Result<(), Gone> {
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Gone::Peer(error.to_string())),
        Err(_) => Err(Gone::Peer("the peer reads nothing".to_owned())),
    }
}

fn read(next: Option<Result<Message, Error>>) -> Result<Message, Gone> {
    use terminal_core::protocol::close_code::{INVALID_DATA, TOO_BIG};
    match next {
        None => Err(Gone::Peer("connection closed".to_owned())),
        Some(Ok(Message::Close(frame))) => Err(Gone::Peer(frame.map_or_else(
            || "closed by the terminal".to_owned(),
            |frame| format!("closed by the terminal: {frame}"),
        ))),
        Some(Ok(message)) => Ok(message),
        Some(Err(Error::Capacity(error @ CapacityError::MessageTooLong { .. }))) => {
            Err(Gone::Breach { code: TOO_BIG, reason: error.to_string() })
        }
        Some(Err(Error::Utf8(error))) => {
            Err(Gone::Breach { code: INVALID_DATA, reason: error.to_string() })
        }
        Some(Err(error)) => Err(Gone::Peer(error.to_string())),
    }
}

/// Notes when bytes come: on a slow line a message takes longer than a peer may be silent.
struct Listening {
    io: TokioIo<Upgraded>,
    heard_at: Instant,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard_at = Instant::now();
        }
        polled
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
