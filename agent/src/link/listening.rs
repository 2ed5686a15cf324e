//! A byte stream that notes when something comes: on a slow line a message takes longer than the
//! peer may be silent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tls::ByteStream;

/// Notes that bytes came, whether or not they end a message.
pub(super) struct Listening {
    stream: Box<dyn ByteStream>,
    heard: bool,
}

impl Listening {
    pub(super) const fn new(stream: Box<dyn ByteStream>) -> Self {
        Self { stream, heard: false }
    }

    /// Whether bytes came since this was asked last.
    pub(super) const fn take_heard(&mut self) -> bool {
        std::mem::replace(&mut self.heard, false)
    }
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard |= buffer.filled().len() > before;
        polled
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
