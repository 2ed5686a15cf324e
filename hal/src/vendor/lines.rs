//! Bytes to messages: one line each, bounded before it is kept.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use super::wire::FRAME_BYTES_MAX;

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The socket broke.
    #[error("reading from the socket")]
    Read(#[from] io::Error),
    /// The peer went away in the middle of a message.
    #[error("the peer went away in the middle of a message")]
    Truncated,
    /// A message above the limit.
    #[error("a message is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads messages.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// From a socket.
    pub fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader) }
    }

    /// The next message without its line feed; `None` when the peer has closed the connection.
    /// Dropped while it waits, it may lose part of a message: the connection is then of no use.
    ///
    /// # Errors
    /// When the socket breaks, or the message is too long or cut off.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let mut line = Vec::new();
        loop {
            let (taken, is_whole) = {
                let chunk = self.reader.fill_buf().await?;
                if chunk.is_empty() {
                    return if line.is_empty() { Ok(None) } else { Err(LineError::Truncated) };
                }
                let end = chunk.iter().position(|byte| *byte == b'\n');
                let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
                // The line feed counts as well.
                if line.len() + part.len() >= FRAME_BYTES_MAX {
                    return Err(LineError::TooLong);
                }
                line.extend_from_slice(part);
                (part.len() + usize::from(end.is_some()), end.is_some())
            };
            consume(&mut self.reader, taken);
            if is_whole {
                return Ok(Some(line));
            }
        }
    }
}

fn consume(reader: &mut (impl AsyncBufRead + Unpin), bytes: usize) {
    reader.consume(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_bounded_at_n_and_n_plus_one() {
        let line = |bytes: usize| [vec![b'x'; bytes - 1], vec![b'\n'], b"y\n".to_vec()].concat();
        let longest = line(FRAME_BYTES_MAX);
        let mut lines = Lines::new(longest.as_slice());
        assert_eq!(lines.next().await.unwrap().unwrap().len(), FRAME_BYTES_MAX - 1);
        assert_eq!(lines.next().await.unwrap().unwrap(), b"y");
        assert!(lines.next().await.unwrap().is_none());
        let longer = line(FRAME_BYTES_MAX + 1);
        assert!(matches!(Lines::new(longer.as_slice()).next().await, Err(LineError::TooLong)));
    }

    #[tokio::test]
    async fn half_a_message_is_none() {
        let mut lines = Lines::new(b"{}\n{".as_slice());
        assert_eq!(lines.next().await.unwrap().unwrap(), b"{}");
        assert!(matches!(lines.next().await, Err(LineError::Truncated)));
    }
}
