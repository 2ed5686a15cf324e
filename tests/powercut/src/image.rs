//! What a medium holds: bytes by their place, mostly holes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Unit in which holes are kept.
const CHUNK_BYTES: usize = 64 * 1024;

/// A medium of a fixed size. What was never written is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    bytes: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Image {
    /// Only zeros.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, chunks: BTreeMap::new() }
    }

    /// Its size.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `into` with what is at `offset`, zeros beyond the end.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        let (mut offset, mut rest) = (offset, into);
        while !rest.is_empty() {
            let (index, within, length) = piece(offset, rest.len());
            let (piece, after) = rest.split_at_mut(length);
            match self.chunks.get(&index).and_then(|chunk| chunk.get(within..within + length)) {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
            offset += length as u64;
            rest = after;
        }
    }

    /// Puts `bytes` at `offset`.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (index, within, length) = piece(offset, rest.len());
            let (piece, after) = rest.split_at(length);
            let empty = || vec![0; CHUNK_BYTES].into_boxed_slice();
            let chunk = self.chunks.entry(index).or_insert_with(empty);
            if let Some(place) = chunk.get_mut(within..within + length) {
                place.copy_from_slice(piece);
            }
            offset += length as u64;
            rest = after;
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut image = Self::new(file.metadata()?.len());
        let mut chunk = vec![0; CHUNK_BYTES];
        for index in 0.. {
            let length = read_full(&mut file, &mut chunk)?;
            let read = chunk.get(..length).unwrap_or_default();
            if read.iter().any(|byte| *byte != 0) {
                image.write(index * CHUNK_BYTES as u64, read);
            }
            if length < CHUNK_BYTES {
                break;
            }
        }
        Ok(image)
    }

    /// Writes a file, sparse.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.bytes)?;
        for (index, chunk) in &self.chunks {
            file.write_all_at(chunk, index * CHUNK_BYTES as u64)?;
        }
        // The last chunk may be longer than what is left of the medium.
        file.set_len(self.bytes)
    }
}

/// Number of the chunk at `offset`, place in it, and how much of `length` bytes is in it.
fn piece(offset: u64, length: usize) -> (u64, usize, usize) {
    let within = usize::try_from(offset % CHUNK_BYTES as u64).unwrap_or(0);
    (offset / CHUNK_BYTES as u64, within, length.min(CHUNK_BYTES - within))
}

fn read_full(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let rest = into.get_mut(length..).unwrap_or_default();
        match file.read(rest)? {
            0 => return Ok(length),
            read => length += read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_also_across_chunks_and_through_a_file() {
        let mut image = Image::new(3 * CHUNK_BYTES as u64 + 512);
        let bytes: Vec<u8> = (0..CHUNK_BYTES + 1000).map(|n| (n % 251) as u8 + 1).collect();
        image.write(CHUNK_BYTES as u64 - 300, &bytes);
        image.write(3 * CHUNK_BYTES as u64, &[7; 512]);
        let mut read = vec![9; bytes.len() + 2];
        image.read(CHUNK_BYTES as u64 - 301, &mut read);
        assert_eq!(read[0], 0);
        assert_eq!(read[1..=bytes.len()], bytes);
        assert_eq!(read[bytes.len() + 1], 0);

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        image.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), image.bytes());
        assert_eq!(Image::load(&path).unwrap(), image);
    }
}
