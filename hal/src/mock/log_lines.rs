//! Made-up log lines: the same time always gives the same line. There is no card data to tell:
//! the simulated shop has none.

use super::rng::{Rng, Stream};
use crate::{Timestamp, api::LogLine, operation::send_logs::LogLevel};

/// One line is written in each.
const SLOT_MS: u64 = 4_000;

type Template = (&'static str, &'static str, u64, u64);

/// Component, text, and the range of the number in it.
const ERROR: &[Template] = &[
    ("payment", "host did not answer within {} ms, payment reversed", 15_000, 30_000),
    ("network", "wifi association lost, reason {}", 1, 45),
    ("printer", "cutter blocked, fault {}", 11, 19),
    ("agent", "link lost after {} s", 20, 7_200),
    ("kernel", "usb 1-1: device descriptor read failed, error -{}", 32, 110),
];
const WARN: &[Template] = &[
    ("payment", "host slow: answered after {} ms", 4_000, 14_000),
    ("network", "signal weak: -{} dBm", 74, 88),
    ("printer", "paper low, about {} receipts left", 4, 30),
    ("agent", "heartbeat late by {} ms", 200, 4_000),
    ("kernel", "thermal: soc at {} degrees", 71, 84),
];
const INFO: &[Template] = &[
    ("payment", "payment approved in {} ms", 420, 3_200),
    ("payment", "receipt offered, channel {}", 1, 3),
    ("payment", "contactless card read in {} ms", 180, 640),
    ("payment", "offline queue checked, {} waiting", 0, 3),
    ("network", "dhcp lease renewed for {} s", 3_600, 86_400),
    ("network", "signal -{} dBm", 48, 71),
    ("printer", "receipt printed, {} lines", 14, 42),
    ("agent", "status sent, battery {} percent", 41, 100),
    ("kernel", "wlan0: link up at {} Mbit/s", 54, 433),
];
const DEBUG: &[Template] = &[
    ("payment", "field on for {} ms", 200, 9_000),
    ("payment", "screen changed to {}", 1, 27),
    ("network", "tcp retransmits: {}", 0, 12),
    ("printer", "head at {} degrees", 24, 51),
    ("agent", "store flushed in {} ms", 1, 38),
    ("kernel", "mmc0: {} sectors written", 8, 2_048),
];
const TRACE: &[Template] = &[
    ("payment", "apdu of {} bytes", 5, 261),
    ("network", "frame of {} bytes", 64, 1_500),
    ("printer", "row {}", 0, 1_199),
    ("agent", "frame of {} bytes", 60, 4_096),
    ("kernel", "irq {} handled", 16, 190),
];

/// Lines of `from..to`, oldest first.
pub(super) fn lines(seed: u64, from: Timestamp, to: Timestamp) -> impl Iterator<Item = LogLine> {
    let (from, to) = (from.unix_ms(), to.unix_ms());
    (from / SLOT_MS..to.div_ceil(SLOT_MS))
        .map(move |slot| line(seed, slot))
        .filter(move |line| (from..to).contains(&line.time.unix_ms()))
}

fn line(seed: u64, slot: u64) -> LogLine {
    let mut rng = Rng::new(seed, Stream::Logs, slot);
    let time = Timestamp::from_unix_ms(slot * SLOT_MS + rng.below(SLOT_MS));
    let (level, templates) = match rng.below(100) {
        0 => (LogLevel::Error, ERROR),
        1..=5 => (LogLevel::Warn, WARN),
        6..=60 => (LogLevel::Info, INFO),
        61..=88 => (LogLevel::Debug, DEBUG),
        _ => (LogLevel::Trace, TRACE),
    };
    let index = rng.below(templates.len() as u64);
    let template = usize::try_from(index).ok().and_then(|index| templates.get(index));
    let (component, text, min, max) = template.copied().unwrap_or(("kernel", "up", 0, 0));
    let message = text.replace("{}", &(min + rng.below(max - min + 1)).to_string());
    LogLine { time, level, component: component.to_owned(), message }
}
