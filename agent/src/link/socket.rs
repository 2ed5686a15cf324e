//! A WebSocket that is read and written by one task without either waiting for the other.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Sink, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::CloseFrame},
};

use super::listening::Listening;

/// Longest reason that fits into a close frame.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Least time between two words about bytes that do not end a message.
const HEARD_INTERVAL: Duration = Duration::from_secs(1);

/// An open WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<Listening>,
    /// When bytes of an unfinished message were told of last.
    told_at: Instant,
}

/// What the socket has done.
pub(super) enum Turn {
    /// Everything that was begun has left, pongs included.
    Flushed(Result<(), tungstenite::Error>),
    /// Bytes came that do not end a message; told of once a second.
    Heard,
    /// A message came; `None` is the end.
    Read(Option<Result<Message, tungstenite::Error>>),
}

impl Socket {
    pub(super) fn new(stream: WebSocketStream<Listening>) -> Self {
        Self { stream, told_at: Instant::now() }
    }

    /// Goes on writing what was begun, where `write`, and reads, where `read`. Nothing is lost
    /// when the future is dropped. Pends for ever when there is nothing to do.
    pub(super) async fn turn(&mut self, read: bool, write: bool) -> Turn {
        poll_fn(|context| {
            if write {
                if let Poll::Ready(result) = self.poll_flush(context) {
                    return Poll::Ready(Turn::Flushed(result));
                }
            }
            if !read {
                return Poll::Pending;
            }
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(message) => Poll::Ready(Turn::Read(message)),
                Poll::Pending => self.poll_heard(),
            }
        })
        .await
    }

    /// Begins to write a message; [`Socket::turn`] ends it. Call only when all else has left.
    pub(super) fn begin(&mut self, message: Message) -> Result<(), tungstenite::Error> {
        Pin::new(&mut self.stream).start_send(message)
    }

    /// Writes what was begun, then `messages`.
    pub(super) async fn write_all(
        &mut self,
        messages: impl Iterator<Item = Message>,
    ) -> Result<(), tungstenite::Error> {
        poll_fn(|context| self.poll_flush(context)).await?;
        for message in messages {
            self.begin(message)?;
            poll_fn(|context| self.poll_flush(context)).await?;
        }
        Ok(())
    }

    /// The orderly end: `last` messages, a close frame unless the peer has sent one, and then
    /// waiting for the peer to end the connection, all within `limit`.
    pub(super) async fn close(
        mut self,
        last: impl Iterator<Item = Message>,
        close: Option<(u16, &str)>,
        limit: Duration,
    ) {
        let close = close.map(|(code, reason)| Message::Close(Some(close_frame(code, reason))));
        let farewell = async {
            self.write_all(last.chain(close)).await?;
            // Dropping a socket with unread bytes resets it, and the peer would not see the frame.
            let stream = self.stream.get_mut();
            stream.shutdown().await?;
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<(), tungstenite::Error>(())
        };
        match timeout(limit, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "link ended before it was closed"),
            Err(_) => tracing::debug!("peer does not answer the close"),
        }
    }

    fn poll_heard(&mut self) -> Poll<Turn> {
        let heard = self.stream.get_mut().take_heard();
        if heard && self.told_at.elapsed() >= HEARD_INTERVAL {
            self.told_at = Instant::now();
            return Poll::Ready(Turn::Heard);
        }
        Poll::Pending
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code: code.into(), reason: reason.get(..end).unwrap_or_default().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        assert_eq!(close_frame(1000, "done").reason, "done");
        let cut = close_frame(1000, &"æ".repeat(100));
        assert_eq!(cut.reason.as_str(), "æ".repeat(61));
    }
}
