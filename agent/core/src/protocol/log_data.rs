//! Binary frames: chunks of an uploaded log.
//!
//! `[16-byte operation id][4-byte attempt, big-endian][8-byte offset, big-endian][data]`

use terminal_hal::OperationId;
use uuid::Uuid;

/// Most bytes of data in one chunk.
pub const LOG_CHUNK_BYTES_MAX: usize = 32 << 10;
/// Most chunks without a `log_ack`.
pub const LOG_CHUNKS_IN_FLIGHT_MAX: usize = 8;
/// Bytes before the data.
pub(super) const HEADER_BYTES: usize = 28;

/// A chunk of log data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogChunk<'a> {
    /// Operation of the upload.
    pub id: OperationId,
    /// Its attempt: another attempt starts again at offset 0.
    pub attempt: u32,
    /// Where `data` begins.
    pub offset: u64,
    /// 1 to [`LOG_CHUNK_BYTES_MAX`] bytes.
    pub data: &'a [u8],
}

/// Why a binary frame is not a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogChunkError {
    /// Header incomplete or no data.
    #[error("log chunk of {0} bytes, want at least 29")]
    TooShort(usize),
    /// More data than allowed.
    #[error("log chunk of {0} bytes of data, want at most 32768")]
    TooLong(usize),
}

impl<'a> LogChunk<'a> {
    /// The bytes of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.data.len());
        bytes.extend_from_slice(self.id.0.as_bytes());
        bytes.extend_from_slice(&self.attempt.to_be_bytes());
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes.extend_from_slice(self.data);
        bytes
    }

    /// Reads a binary frame.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, LogChunkError> {
        let short = || LogChunkError::TooShort(bytes.len());
        let (id, rest) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
        let (attempt, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (offset, data) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if data.is_empty() {
            return Err(short());
        }
        if data.len() > LOG_CHUNK_BYTES_MAX {
            return Err(LogChunkError::TooLong(data.len()));
        }
        Ok(Self {
            id: OperationId(Uuid::from_bytes(*id)),
            attempt: u32::from_be_bytes(*attempt),
            offset: u64::from_be_bytes(*offset),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_survives_a_round_trip_and_its_limits_hold() {
        let data = vec![7; LOG_CHUNK_BYTES_MAX];
        let chunk =
            LogChunk { id: OperationId(Uuid::from_u128(5)), attempt: 2, offset: 9, data: &data };
        let bytes = chunk.encode();
        assert_eq!(LogChunk::decode(&bytes), Ok(chunk));
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(LogChunk::decode(&long), Err(LogChunkError::TooLong(LOG_CHUNK_BYTES_MAX + 1)));
        for n in 0..=HEADER_BYTES {
            assert_eq!(LogChunk::decode(&bytes[..n]), Err(LogChunkError::TooShort(n)));
        }
    }
}
