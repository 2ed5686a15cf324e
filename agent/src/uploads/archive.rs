//! Blocks to compressed bytes: a plan first, then the bytes that were planned.
//!
//! Each block is a gzip member of its own (RFC 1952 allows any number), so sizes add up and older
//! blocks can be left out without compressing the others again in another context.

use std::{collections::VecDeque, io::Write};

use flate2::{Compression, write::GzEncoder};
use ring::digest::{Context, SHA256};
use terminal_hal::{
    ErrorCode, Failure, Timestamp,
    api::{Call, LogRange, Logs},
    operation::send_logs::{LogFormat, Redactions},
};

use super::{
    blocks::{Block, Blocks},
    percent,
};

/// Text of one block: large enough to compress well, small enough to hold a few.
const BLOCK_BYTES: u64 = 256 << 10;
/// Most blocks that a plan remembers: 4 GiB of text.
const BLOCKS_MAX: usize = 16 << 10;
/// What gzip may add to a block that does not compress.
const GZIP_OVERHEAD_BYTES: u64 = 1 << 10;
/// Least `bytes_max` that is respected; below it a single block might not fit.
const BYTES_MAX_MIN: u64 = 64 << 10;
/// Compressed at once before others get their turn: about 5 ms on a slow core.
const TURN_BYTES: usize = 32 << 10;

/// Where the lines come from and how they are written.
pub(super) struct Source<'a> {
    pub(super) call: &'a Call,
    logs: &'a dyn Logs,
    range: LogRange,
    format: LogFormat,
    bytes_max: u64,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        call: &'a Call,
        logs: &'a dyn Logs,
        range: LogRange,
        format: LogFormat,
        bytes_max: u64,
    ) -> Self {
        Self { call, logs, range, format, bytes_max: bytes_max.max(BYTES_MAX_MIN) }
    }

    async fn blocks(&self) -> Result<Blocks, Failure> {
        let stream = self.logs.collect(self.call, &self.range).await?;
        let block_bytes = BLOCK_BYTES.min(self.bytes_max - GZIP_OVERHEAD_BYTES);
        let block_bytes = usize::try_from(block_bytes).unwrap_or(usize::MAX);
        Ok(Blocks::new(stream, self.format, block_bytes))
    }

    fn report_collecting(&self, reached: Timestamp) {
        let LogRange { from, to, .. } = self.range;
        self.call.progress("collecting", Some(percent(reached.ms_since(from), to.ms_since(from))));
    }

    pub(super) fn report_uploading(&self, sent: u64, plan: &Plan) {
        self.call.progress("uploading", Some(percent(sent, plan.bytes_compressed())));
    }
}

/// Which blocks are sent, and how large they are.
pub(super) struct Plan {
    /// Blocks that are left out, all older.
    skipped: u64,
    /// What is sent; never empty.
    blocks: VecDeque<Figures>,
    bytes_compressed: u64,
}

/// Figures of one block.
#[derive(Clone, Copy)]
struct Figures {
    bytes_raw: u64,
    bytes_compressed: u64,
    lines: u64,
    from: Timestamp,
    to: Timestamp,
}

impl Plan {
    /// Reads everything once and keeps the newest blocks that fit.
    pub(super) async fn make(source: &Source<'_>) -> Result<Self, Failure> {
        let mut plan = Self { skipped: 0, blocks: VecDeque::new(), bytes_compressed: 0 };
        let mut blocks = source.blocks().await?;
        while let Some(block) = blocks.next().await? {
            source.report_collecting(block.to);
            plan.add(Member::of(block).await?.figures, source.bytes_max);
        }
        if plan.blocks.is_empty() {
            return Err(Failure::new(ErrorCode::LogRangeEmpty, "no log lines in that range"));
        }
        Ok(plan)
    }

    fn add(&mut self, figures: Figures, bytes_max: u64) {
        self.bytes_compressed += figures.bytes_compressed;
        self.blocks.push_back(figures);
        while self.blocks.len() > 1
            && (self.bytes_compressed > bytes_max || self.blocks.len() > BLOCKS_MAX)
        {
            self.skipped += 1;
            self.bytes_compressed -= self.blocks.pop_front().map_or(0, |old| old.bytes_compressed);
        }
    }

    pub(super) const fn bytes_compressed(&self) -> u64 {
        self.bytes_compressed
    }

    pub(super) fn bytes_raw(&self) -> u64 {
        self.blocks.iter().map(|block| block.bytes_raw).sum()
    }

    pub(super) fn lines(&self) -> u64 {
        self.blocks.iter().map(|block| block.lines).sum()
    }

    pub(super) fn covered_from(&self) -> Timestamp {
        self.blocks.front().map(|block| block.from).unwrap_or_default()
    }

    pub(super) fn covered_to(&self) -> Timestamp {
        self.blocks.back().map(|block| block.to).unwrap_or_default()
    }

    pub(super) const fn is_truncated(&self) -> bool {
        self.skipped > 0
    }
}

/// What a finished upload is checked by.
pub(super) struct Sent {
    /// Of all bytes, 64 lower-case hex digits.
    pub(super) sha256: String,
    /// What was masked in them.
    pub(super) redactions: Redactions,
}

/// Reads everything again and gives out the planned bytes.
pub(super) struct Archive<'a> {
    blocks: Blocks,
    planned: std::collections::vec_deque::Iter<'a, Figures>,
    digest: Context,
    redactions: Redactions,
}

impl<'a> Archive<'a> {
    /// At the first planned block.
    pub(super) async fn open(source: &Source<'_>, plan: &'a Plan) -> Result<Self, Failure> {
        let mut blocks = source.blocks().await?;
        for _ in 0..plan.skipped {
            blocks.next().await?.ok_or_else(changed)?;
        }
        let planned = plan.blocks.iter();
        let redactions = Redactions::default();
        Ok(Self { blocks, planned, digest: Context::new(&SHA256), redactions })
    }

    /// The next compressed block; `None` at the end.
    ///
    /// # Errors
    /// `UPLOAD_FAILED` when the lines are no longer those of the plan.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(planned) = self.planned.next() else { return Ok(None) };
        let block = self.blocks.next().await?.ok_or_else(changed)?;
        let member = Member::of(block).await?;
        if member.figures.bytes_compressed != planned.bytes_compressed
            || member.figures.bytes_raw != planned.bytes_raw
        {
            return Err(changed());
        }
        self.digest.update(&member.bytes);
        self.redactions += member.redactions;
        Ok(Some(member.bytes))
    }

    /// Whether every block has been given out.
    pub(super) fn is_at_end(&self) -> bool {
        self.planned.len() == 0
    }

    /// Digest and counts of what has been given out.
    pub(super) fn sent(&self) -> Sent {
        let digest = self.digest.clone().finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Sent { sha256, redactions: self.redactions }
    }
}

fn changed() -> Failure {
    Failure::new(ErrorCode::UploadFailed, "the logs have changed while they were being sent")
}

/// A compressed block.
struct Member {
    bytes: Vec<u8>,
    figures: Figures,
    redactions: Redactions,
}

impl Member {
    async fn of(block: Block) -> Result<Self, Failure> {
        let bytes = compress(&block.text).await.map_err(|error| {
            Failure::new(ErrorCode::Internal, format!("cannot compress logs: {error}"))
        })?;
        let Block { text, lines, from, to, redactions } = block;
        let (bytes_raw, bytes_compressed) = (text.len() as u64, bytes.len() as u64);
        let figures = Figures { bytes_raw, bytes_compressed, lines, from, to };
        Ok(Self { bytes, figures, redactions })
    }
}

async fn compress(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for turn in text.chunks(TURN_BYTES) {
        encoder.write_all(turn)?;
        tokio::task::yield_now().await;
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(bytes_compressed: u64) -> Figures {
        let time = Timestamp::default();
        Figures { bytes_raw: 1, bytes_compressed, lines: 1, from: time, to: time }
    }

    #[test]
    fn a_plan_keeps_the_newest_blocks_at_n_bytes_and_drops_one_at_n_plus_one() {
        for (bytes_max, kept) in [(300, 3), (299, 2), (100, 1), (99, 1)] {
            let mut plan = Plan { skipped: 0, blocks: VecDeque::new(), bytes_compressed: 0 };
            for _ in 0..3 {
                plan.add(figures(100), bytes_max);
            }
            assert_eq!(plan.blocks.len(), kept, "{bytes_max}");
            assert_eq!(plan.bytes_compressed(), 100 * kept as u64);
            assert_eq!(plan.is_truncated(), kept < 3);
            assert_eq!(plan.skipped, 3 - kept as u64);
        }
    }

    #[tokio::test]
    async fn what_does_not_compress_still_fits_into_the_least_limit() {
        let mut noise = vec![0; usize::try_from(BYTES_MAX_MIN - GZIP_OVERHEAD_BYTES).unwrap()];
        getrandom::fill(&mut noise).unwrap();
        assert!(compress(&noise).await.unwrap().len() as u64 <= BYTES_MAX_MIN);
    }
}
