//! Lines to blocks of text. The same lines always give the same blocks.

use serde::Serialize;
use terminal_hal::{
    Failure, Timestamp,
    api::{LogLine, LogStream},
    operation::send_logs::{LogFormat, LogLevel},
    text::bounded,
};

/// Longest message that is sent, in Unicode scalar values; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 8 << 10;
/// Longest component name that is sent.
const COMPONENT_CHARS_MAX: usize = 64;

/// Whole lines of text.
#[derive(Debug)]
pub(super) struct Block {
    /// The text.
    pub(super) text: Vec<u8>,
    /// Number of lines.
    pub(super) lines: u64,
    /// Time of the first line.
    pub(super) from: Timestamp,
    /// Time of the last line.
    pub(super) to: Timestamp,
}

/// Reads lines and cuts them into blocks.
pub(super) struct Blocks {
    stream: LogStream,
    format: LogFormat,
    bytes_max: usize,
    /// The line that did not fit into the block before.
    carried: Option<(Timestamp, Vec<u8>)>,
}

impl Blocks {
    /// Blocks of at most `bytes_max` bytes, unless a single line is longer.
    pub(super) const fn new(stream: LogStream, format: LogFormat, bytes_max: usize) -> Self {
        Self { stream, format, bytes_max, carried: None }
    }

    /// The next block; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Block>, Failure> {
        let mut block = match self.next_line().await? {
            None => return Ok(None),
            Some((time, text)) => Block { text, lines: 1, from: time, to: time },
        };
        while let Some((time, line)) = self.next_line().await? {
            if block.text.len() + line.len() > self.bytes_max {
                self.carried = Some((time, line));
                break;
            }
            block.text.extend_from_slice(&line);
            block.lines += 1;
            block.to = time;
        }
        Ok(Some(block))
    }

    async fn next_line(&mut self) -> Result<Option<(Timestamp, Vec<u8>)>, Failure> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        let Some(line) = self.stream.recv().await else { return Ok(None) };
        let line = line?;
        Ok(Some((line.time, write(&line, self.format))))
    }
}

fn write(line: &LogLine, format: LogFormat) -> Vec<u8> {
    let component = bounded(&line.component, COMPONENT_CHARS_MAX);
    let cut: String = line.message.chars().take(MESSAGE_CHARS_MAX).collect();
    match format {
        LogFormat::Ndjson => json(line, &component, &cut),
        LogFormat::Text => {
            let message = cut.replace(char::is_control, " ");
            let (time, level) = (line.time, level_name(line.level));
            format!("{time} {level} {component} {message}\n").into_bytes()
        }
    }
}

fn json(line: &LogLine, component: &str, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        time: Timestamp,
        level: LogLevel,
        component: &'a str,
        message: &'a str,
    }
    let line = Line { time: line.time, level: line.level, component, message };
    // Plain data: this cannot fail.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warn => "WARN",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
        LogLevel::Trace => "TRACE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn line(ms: u64, message: &str) -> LogLine {
        let time = Timestamp::from_unix_ms(ms);
        let message = message.to_owned();
        LogLine { time, level: LogLevel::Warn, component: "pay\nment".into(), message }
    }

    #[test]
    fn a_line_stays_one_line_in_either_format() {
        let line = line(0, "a\nb\t\"c\"");
        let text = String::from_utf8(write(&line, LogFormat::Text)).unwrap();
        assert_eq!(text, "1970-01-01T00:00:00.000Z WARN payment a b \"c\"\n");
        let json = write(&line, LogFormat::Ndjson);
        assert_eq!(json.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["message"], "a\nb\t\"c\"");
        assert_eq!(value["level"], "warn");
    }

    #[test]
    fn a_message_is_cut_at_its_limit() {
        let line = line(0, &"æ".repeat(MESSAGE_CHARS_MAX + 1));
        let text = String::from_utf8(write(&line, LogFormat::Text)).unwrap();
        assert_eq!(text.matches('æ').count(), MESSAGE_CHARS_MAX);
    }

    #[tokio::test]
    async fn blocks_hold_whole_lines_up_to_their_size() {
        let (sender, stream) = mpsc::channel(8);
        for ms in 0..5 {
            sender.try_send(Ok(line(ms, "12345"))).unwrap();
        }
        drop(sender);
        let line_bytes = write(&line(0, "12345"), LogFormat::Text).len();
        let mut blocks = Blocks::new(stream, LogFormat::Text, 2 * line_bytes);
        let mut seen = Vec::new();
        while let Some(block) = blocks.next().await.unwrap() {
            assert_eq!(block.text.len() as u64, block.lines * line_bytes as u64);
            seen.push((block.from.unix_ms(), block.to.unix_ms(), block.lines));
        }
        assert_eq!(seen, [(0, 1, 2), (2, 3, 2), (4, 4, 1)]);
    }
}
