//! The sending half of an upload over the link, against a cloud and a link that lose what they can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;

use terminal_agent::uploads::{LogSender, SenderError, SenderFrame};
use terminal_core::protocol::{LOG_CHUNK_BYTES_MAX, LOG_CHUNKS_IN_FLIGHT_MAX, LogChunk};
use terminal_hal::OperationId;

const ID: OperationId = OperationId(uuid::Uuid::from_u128(7));
const ATTEMPT: u32 = 3;

/// xorshift64*: enough to wander through orders of events, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Stores what continues what it has; forgets nothing.
#[derive(Default)]
struct Cloud {
    stored: Vec<u8>,
    complete: bool,
}

impl Cloud {
    fn take(&mut self, frame: &SenderFrame) {
        match frame {
            SenderFrame::Chunk(bytes) => {
                let chunk = LogChunk::decode(bytes).unwrap();
                assert_eq!((chunk.id, chunk.attempt), (ID, ATTEMPT));
                let offset = chunk.offset as usize;
                assert!(offset <= self.stored.len(), "a hole before {offset}");
                let known = (self.stored.len() - offset).min(chunk.data.len());
                self.stored.extend_from_slice(&chunk.data[known..]);
            }
            SenderFrame::End(end) => {
                assert_eq!((end.id, end.attempt, end.sha256.as_str()), (ID, ATTEMPT, "digest"));
                self.complete |= end.length == self.stored.len() as u64;
            }
        }
    }
}

/// One upload of `bytes`, with losses; panics unless it arrives.
fn run(seed: u64, bytes: &[u8]) {
    let mut random = Random(seed);
    let mut sender = LogSender::new(ID, ATTEMPT);
    let mut cloud = Cloud::default();
    let mut link = VecDeque::new();
    let mut acks: VecDeque<(u64, bool)> = VecDeque::new();
    let mut rest = bytes;
    for step in 0.. {
        assert!(step < 100_000, "seed {seed}: no end");
        match random.below(6) {
            0 | 1 => {
                if sender.wants_bytes() {
                    let count = (1 + random.below(300_000)).min(rest.len());
                    let (now, later) = rest.split_at(count);
                    sender.push(now);
                    rest = later;
                    if rest.is_empty() {
                        sender.finish("digest".into());
                    }
                } else if sender.has_frame() {
                    link.push_back(sender.next_frame().unwrap());
                } else {
                    assert_eq!(sender.next_frame(), None);
                }
            }
            2 | 3 => {
                if let Some(frame) = link.pop_front() {
                    cloud.take(&frame);
                    acks.push_back((cloud.stored.len() as u64, cloud.complete));
                }
            }
            4 => {
                // Acks may be merged and come late, but not after a link that is gone.
                while acks.len() > 1 && random.one_in(2) {
                    acks.pop_front();
                }
                if let Some((offset, complete)) = acks.pop_front() {
                    sender.acknowledge(offset, complete).unwrap();
                }
            }
            _ if random.one_in(20) => {
                link.clear();
                acks.clear();
                sender.link_changed();
                // A cloud may tell at once how much it has.
                if random.one_in(2) {
                    acks.push_back((cloud.stored.len() as u64, cloud.complete));
                }
            }
            _ => {}
        }
        assert!(link.len() <= LOG_CHUNKS_IN_FLIGHT_MAX + 1);
        if sender.is_complete() {
            break;
        }
    }
    assert!(cloud.stored == bytes, "seed {seed}: other bytes arrived");
    assert_eq!(sender.acked(), bytes.len() as u64);
}

#[test]
fn whatever_is_lost_the_bytes_arrive_exactly() {
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    for seed in 1..150 {
        let length = Random(seed).below(bytes.len());
        run(seed, &bytes[..length]);
    }
    for length in [1, LOG_CHUNK_BYTES_MAX, LOG_CHUNK_BYTES_MAX + 1] {
        run(99, &bytes[..length]);
    }
}

fn offset(frame: Option<SenderFrame>) -> u64 {
    match frame {
        Some(SenderFrame::Chunk(bytes)) => LogChunk::decode(&bytes).unwrap().offset,
        other => panic!("unexpected {other:?}"),
    }
}

const CHUNK: u64 = LOG_CHUNK_BYTES_MAX as u64;

fn ten_chunks() -> LogSender {
    let mut sender = LogSender::new(ID, ATTEMPT);
    sender.push(&vec![1; 10 * LOG_CHUNK_BYTES_MAX]);
    sender.finish("digest".into());
    sender
}

#[test]
fn eight_chunks_are_in_flight_and_no_ninth() {
    let mut sender = ten_chunks();
    for n in 0..8 {
        assert_eq!(offset(sender.next_frame()), n * CHUNK);
    }
    assert_eq!(sender.next_frame(), None);
    assert_eq!(sender.acknowledge(CHUNK, false), Ok(true));
    assert_eq!(offset(sender.next_frame()), 8 * CHUNK);
    assert_eq!(sender.next_frame(), None);
}

#[test]
fn what_the_cloud_has_is_not_sent_again() {
    let mut sender = ten_chunks();
    for _ in 0..8 {
        sender.next_frame().unwrap();
    }
    sender.acknowledge(2 * CHUNK, false).unwrap();
    sender.link_changed();
    assert_eq!(offset(sender.next_frame()), 2 * CHUNK);
    // It had more than it could say on the link before.
    sender.acknowledge(6 * CHUNK + 5, false).unwrap();
    assert_eq!(offset(sender.next_frame()), 6 * CHUNK + 5);
}

#[test]
fn an_old_ack_changes_nothing_and_an_impossible_one_is_refused() {
    let mut sender = ten_chunks();
    sender.next_frame().unwrap();
    sender.next_frame().unwrap();
    assert_eq!(sender.acknowledge(CHUNK, false), Ok(true));
    assert_eq!(sender.acknowledge(0, false), Ok(false));
    assert_eq!(sender.acked(), CHUNK);
    let (offset, reached) = (2 * CHUNK + 1, 2 * CHUNK);
    let beyond = SenderError::BeyondSent { offset, reached };
    assert_eq!(sender.acknowledge(offset, false), Err(beyond));
    let early = SenderError::TooEarly { offset: reached };
    assert_eq!(sender.acknowledge(reached, true), Err(early));
    assert_eq!(sender.acked(), CHUNK);
}

#[test]
fn the_end_is_sent_once_on_each_link_and_completes_only_when_acked_as_complete() {
    let mut sender = LogSender::new(ID, ATTEMPT);
    sender.push(&[1, 2, 3]);
    assert!(sender.wants_bytes() && !sender.has_frame(), "a chunk that is not full was offered");
    sender.finish("digest".into());
    assert_eq!(offset(sender.next_frame()), 0);
    for _ in 0..2 {
        sender.acknowledge(3, false).unwrap();
        let Some(SenderFrame::End(end)) = sender.next_frame() else { panic!() };
        assert_eq!(end.length, 3);
        assert_eq!(sender.next_frame(), None);
        assert!(!sender.is_complete());
        sender.link_changed();
    }
    assert_eq!(sender.acknowledge(3, true), Ok(true));
    assert!(sender.is_complete());
    assert_eq!(sender.next_frame(), None);
}
