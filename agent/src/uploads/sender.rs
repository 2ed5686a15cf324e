//! The sending half of an upload over the link, without any I/O.
//!
//! It keeps what the cloud has not confirmed, so that a lost link costs the bytes in flight and
//! nothing else; what the cloud has already is not sent again.

use std::collections::VecDeque;

use terminal_core::protocol::{LOG_CHUNK_BYTES_MAX, LOG_CHUNKS_IN_FLIGHT_MAX, LogChunk, LogEnd};
use terminal_hal::OperationId;

/// Sends one stream of bytes in chunks.
#[derive(Debug)]
pub struct LogSender {
    id: OperationId,
    attempt: u32,
    /// Stored by the cloud: everything before this offset.
    acked: u64,
    /// Sent on this link: everything before this offset.
    sent: u64,
    /// Sent on any link: the cloud cannot have more.
    reached: u64,
    /// The bytes from `acked` on.
    unacked: VecDeque<u8>,
    /// Where the chunks in flight end, oldest first.
    in_flight: VecDeque<u64>,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// More bytes will come.
    Open,
    /// All bytes are known; `end_sent` on this link.
    Ended { sha256: String, end_sent: bool },
    /// The cloud has everything and has verified it.
    Complete,
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderFrame {
    /// A binary frame.
    Chunk(Vec<u8>),
    /// The last frame.
    End(LogEnd),
}

/// An acknowledgement that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// Of bytes that were never sent.
    #[error("acknowledged {offset} bytes, but only {reached} were sent")]
    BeyondSent {
        /// What was acknowledged.
        offset: u64,
        /// What was sent.
        reached: u64,
    },
    /// Complete, without all bytes.
    #[error("complete after {offset} bytes, before the end was sent")]
    TooEarly {
        /// What was acknowledged.
        offset: u64,
    },
}

impl LogSender {
    /// For one attempt, from offset 0.
    pub const fn new(id: OperationId, attempt: u32) -> Self {
        Self {
            id,
            attempt,
            acked: 0,
            sent: 0,
            reached: 0,
            unacked: VecDeque::new(),
            in_flight: VecDeque::new(),
            phase: Phase::Open,
        }
    }

    /// Whether the next chunk cannot be filled with what there is.
    pub fn wants_bytes(&self) -> bool {
        self.phase == Phase::Open && self.unsent() < LOG_CHUNK_BYTES_MAX
    }

    /// More bytes. Keeps them until they are acknowledged: push only when they are wanted.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unacked.extend(bytes);
    }

    /// All bytes have been pushed; `sha256` is that of all, in lower-case hex.
    pub fn finish(&mut self, sha256: String) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ended { sha256, end_sent: false };
        }
    }

    /// The link was lost, or there is another one: what was in flight is sent again.
    pub fn link_changed(&mut self) {
        self.sent = self.acked;
        self.in_flight.clear();
        if let Phase::Ended { end_sent, .. } = &mut self.phase {
            *end_sent = false;
        }
    }

    /// Whether there is a frame to send.
    pub fn has_frame(&self) -> bool {
        if self.in_flight.len() >= LOG_CHUNKS_IN_FLIGHT_MAX || self.wants_bytes() {
            return false;
        }
        self.unsent() > 0 || matches!(self.phase, Phase::Ended { end_sent: false, .. })
    }

    /// The next frame, which then counts as sent; `None` when there is something to wait for.
    pub fn next_frame(&mut self) -> Option<SenderFrame> {
        if !self.has_frame() {
            return None;
        }
        let from = self.buffered_before(self.sent);
        let data: Vec<u8> =
            self.unacked.iter().skip(from).take(LOG_CHUNK_BYTES_MAX).copied().collect();
        if data.is_empty() {
            return self.end_frame();
        }
        let chunk = LogChunk { id: self.id, attempt: self.attempt, offset: self.sent, data: &data };
        let frame = SenderFrame::Chunk(chunk.encode());
        self.sent += data.len() as u64;
        self.reached = self.reached.max(self.sent);
        self.in_flight.push_back(self.sent);
        Some(frame)
    }

    /// The cloud has stored everything before `offset`, and verified it where `complete`. Tells
    /// whether that is news.
    ///
    /// # Errors
    /// When it cannot be; nothing has changed then.
    pub fn acknowledge(&mut self, offset: u64, complete: bool) -> Result<bool, SenderError> {
        if offset > self.reached {
            return Err(SenderError::BeyondSent { offset, reached: self.reached });
        }
        if complete && (self.phase == Phase::Open || offset != self.length()) {
            return Err(SenderError::TooEarly { offset });
        }
        let news = offset > self.acked || (complete && self.phase != Phase::Complete);
        if offset > self.acked {
            self.unacked.drain(..self.buffered_before(offset));
            self.acked = offset;
            self.sent = self.sent.max(offset);
            self.in_flight.retain(|end| *end > offset);
        }
        if complete {
            self.phase = Phase::Complete;
        }
        Ok(news)
    }

    /// Whether the cloud has everything and has verified it.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    /// Whether the cloud owes an answer on this link.
    pub fn is_awaiting(&self) -> bool {
        !self.in_flight.is_empty() || matches!(self.phase, Phase::Ended { end_sent: true, .. })
    }

    /// Bytes that the cloud has stored.
    pub const fn acked(&self) -> u64 {
        self.acked
    }

    fn end_frame(&mut self) -> Option<SenderFrame> {
        let length = self.length();
        let Phase::Ended { sha256, end_sent } = &mut self.phase else { return None };
        *end_sent = true;
        let sha256 = sha256.clone();
        Some(SenderFrame::End(LogEnd { id: self.id, attempt: self.attempt, length, sha256 }))
    }

    fn length(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    fn unsent(&self) -> usize {
        self.unacked.len().saturating_sub(self.buffered_before(self.sent))
    }

    /// How many of the kept bytes lie before `offset`.
    fn buffered_before(&self, offset: u64) -> usize {
        let count = usize::try_from(offset.saturating_sub(self.acked)).unwrap_or(usize::MAX);
        count.min(self.unacked.len())
    }
}
