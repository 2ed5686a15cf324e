//! Log lines that are all in memory, and calls to collect them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use terminal_hal::{
    Failure, OperationId, Timestamp,
    api::{Call, CallHandle, HalFuture, LogLine, LogRange, LogStream, Logs, call},
    operation::send_logs::LogLevel,
};
use tokio::sync::mpsc;

pub const ID: OperationId = OperationId(uuid::Uuid::from_u128(0xabc));
pub const ATTEMPT: u32 = 2;

/// The end of every range here.
pub fn now() -> Timestamp {
    Timestamp::parse("2026-06-29T09:00:00Z").unwrap()
}

pub fn new_call() -> (Call, CallHandle) {
    call(ID, ATTEMPT, Duration::from_secs(3600))
}

/// Gives the lines of a range; `ranges` tells which were asked for.
pub struct MemoryLogs {
    pub lines: Vec<LogLine>,
    pub ranges: Mutex<Vec<LogRange>>,
    /// Lines that are missing whenever they are collected again.
    pub lost_later: usize,
    /// Lines that have been taken, of all ranges together.
    pub taken: Arc<AtomicUsize>,
}

impl MemoryLogs {
    /// `count` lines, one a second, the last one a second ago; about 300 bytes each, of which
    /// about half is left when compressed.
    pub fn new(count: u64) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}")
        };
        let line = |n: u64| {
            let time = Timestamp::from_unix_ms(now().unix_ms() - (count - n) * 1000);
            let message = format!("line {n} {}", (0..12).map(|_| noise()).collect::<String>());
            LogLine { time, level: LogLevel::Info, component: "payment".into(), message }
        };
        let lines = (0..count).map(line).collect();
        Self { lines, ranges: Mutex::default(), lost_later: 0, taken: Arc::default() }
    }
}

impl Logs for MemoryLogs {
    fn collect<'a>(&'a self, _: &'a Call, range: &'a LogRange) -> HalFuture<'a, LogStream> {
        let mut ranges = self.ranges.lock().unwrap();
        let lost = if ranges.is_empty() { 0 } else { self.lost_later };
        ranges.push(range.clone());
        let within = |line: &&LogLine| line.time >= range.from && line.time < range.to;
        let lines: Vec<Result<LogLine, Failure>> =
            self.lines.iter().filter(within).skip(lost).cloned().map(Ok).collect();
        let (sender, stream) = mpsc::channel(16);
        let taken = Arc::clone(&self.taken);
        tokio::spawn(async move {
            for line in lines {
                if sender.send(line).await.is_err() {
                    break;
                }
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        Box::pin(async move { Ok(stream) })
    }
}

/// The text of any number of gzip members.
pub fn unpack(bytes: &[u8]) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text)
        .unwrap();
    text
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
