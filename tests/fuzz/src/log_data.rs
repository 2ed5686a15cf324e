//! Binary frames: chunks of log data from the terminal.

use terminal_core::protocol::{BINARY_FRAME_BYTES_MAX, LOG_CHUNK_BYTES_MAX, LogChunk};

/// A binary frame, as the cloud reads it.
pub fn log_data(data: &[u8]) {
    match LogChunk::decode(data) {
        Ok(chunk) => {
            assert!((1..=LOG_CHUNK_BYTES_MAX).contains(&chunk.data.len()));
            assert!(data.len() <= BINARY_FRAME_BYTES_MAX);
            assert_eq!(chunk.encode(), data);
        }
        Err(error) => {
            let is_chunk = (29..=BINARY_FRAME_BYTES_MAX).contains(&data.len());
            assert!(!is_chunk, "{} bytes: {error}", data.len());
        }
    }
}
