//! Keys: one letter for the kind, the identity, and the number of the piece.
//!
//! Records are cut into pieces because sled writes a page beyond 128 KiB to a file of its own
//! that it never syncs, and a page holds up to some twenty values whatever their size.

use terminal_core::protocol::Seq;
use terminal_hal::OperationId;
use uuid::Uuid;

/// Twenty of them, with their keys, stay below the 128 KiB at which sled leaves its one file.
pub(super) const PIECE_BYTES: usize = 4096;
/// The number of a piece is one byte.
pub(super) const RECORD_BYTES_MAX: usize = PIECE_BYTES * 256;
/// Key of the summary, which is no record.
pub(super) const SUMMARY: &[u8] = b"s";

/// Identity of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Configuration,
    Meta,
    Operation(OperationId),
    Report(Seq),
}

impl Key {
    /// Bytes that the keys of all its pieces begin with, and no others.
    pub(super) fn prefix(self) -> Vec<u8> {
        match self {
            Self::Configuration => b"c".to_vec(),
            Self::Meta => b"m".to_vec(),
            Self::Operation(id) => [b"o", id.0.as_bytes().as_slice()].concat(),
            // Big-endian: the order of the bytes is the order of the seqs.
            Self::Report(seq) => [b"r", seq.0.to_be_bytes().as_slice()].concat(),
        }
    }

    /// Key of one piece.
    pub(super) fn piece(self, index: u8) -> Vec<u8> {
        let mut bytes = self.prefix();
        bytes.push(index);
        bytes
    }

    /// Identity and piece of a key; `None` for what this format does not have.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, u8)> {
        let (&kind, rest) = bytes.split_first()?;
        let (&index, identity) = rest.split_last()?;
        let key = match kind {
            b'c' if identity.is_empty() => Self::Configuration,
            b'm' if identity.is_empty() => Self::Meta,
            b'o' => Self::Operation(OperationId(Uuid::from_slice(identity).ok()?)),
            b'r' => Self::Report(Seq(u64::from_be_bytes(identity.try_into().ok()?))),
            _ => return None,
        };
        Some((key, index))
    }
}
