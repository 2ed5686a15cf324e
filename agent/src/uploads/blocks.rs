//! Lines to blocks of clean text. The same lines always give the same blocks.

use serde::Serialize;
use terminal_hal::{
    Failure, Timestamp,
    api::{LogLine, LogStream},
    operation::send_logs::{LogFormat, LogLevel, Redactions},
    text::bounded,
};

use super::clean::Cleaner;

/// Longest message that is sent, in Unicode scalar values; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 8 << 10;
/// Longest component name that is sent.
const COMPONENT_CHARS_MAX: usize = 64;

/// Whole lines of clean text.
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
    /// What was masked in them.
    pub(super) redactions: Redactions,
}

/// Reads lines, cleans them and puts them into blocks.
pub(super) struct Blocks {
    stream: LogStream,
    format: LogFormat,
    bytes_max: usize,
    cleaner: Cleaner,
    /// The line that did not fit into the block before.
    carried: Option<Line>,
}

/// A clean line.
struct Line {
    time: Timestamp,
    text: Vec<u8>,
    redactions: Redactions,
}

impl Blocks {
    /// Blocks of at most `bytes_max` bytes, unless a single line is longer.
    pub(super) fn new(stream: LogStream, format: LogFormat, bytes_max: usize) -> Self {
        Self { stream, format, bytes_max, cleaner: Cleaner::default(), carried: None }
    }

    /// The next block; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Block>, Failure> {
        let Some(Line { time, text, redactions }) = self.next_line().await? else {
            return Ok(None);
        };
        let mut block = Block { text, lines: 1, from: time, to: time, redactions };
        while let Some(line) = self.next_line().await? {
            if block.text.len() + line.text.len() > self.bytes_max {
                self.carried = Some(line);
                break;
            }
            block.text.extend_from_slice(&line.text);
            block.lines += 1;
            block.to = line.time;
            block.redactions += line.redactions;
        }
        Ok(Some(block))
    }

    async fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        let Some(line) = self.stream.recv().await else { return Ok(None) };
        let line = line?;
        let (text, redactions) = self.cleaner.clean(&write(&line, self.format))?;
        Ok(Some(Line { time: line.time, text, redactions }))
    }
}

fn write(line: &LogLine, format: LogFormat) -> Vec<u8> {
    let component = bounded(&line.component, COMPONENT_CHARS_MAX);
    let component = cut(&component, COMPONENT_CHARS_MAX);
    let message = cut(&line.message, MESSAGE_CHARS_MAX);
    match format {
        LogFormat::Ndjson => json(line, component, message),
        LogFormat::Text => {
            let message = message.replace(char::is_control, " ");
            let (time, level) = (line.time, level_name(line.level));
            format!("{time} {level} {component} {message}\n").into_bytes()
        }
    }
}

/// At most so many characters. Of a text that is so long, and may have been cut here or earlier,
/// the digits at its end go too: the first half of a card number is none to the cleaner.
fn cut(text: &str, chars_max: usize) -> &str {
    let Some((last, c)) = text.char_indices().nth(chars_max - 1) else { return text };
    let kept = text.get(..last + c.len_utf8()).unwrap_or_default();
    kept.trim_end_matches(|c: char| c.is_ascii_hexdigit() || !c.is_alphanumeric())
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

    #[test]
    fn a_card_number_at_the_limit_is_not_cut_in_two() {
        let before = "æ".repeat(MESSAGE_CHARS_MAX - 12);
        for pan in ["4111111111111111", "4111 1111 1111 1111", "5A084111111111111111"] {
            let line = line(0, &format!("{before}, {pan}"));
            let text = String::from_utf8(write(&line, LogFormat::Text)).unwrap();
            assert!(text.ends_with("æ\n"), "{}", text.trim_start_matches(|c| c != 'æ'));
        }
        // What came at its limit may have been cut by its source.
        let line = line(0, &format!("{before}x 4111111111"));
        let text = String::from_utf8(write(&line, LogFormat::Text)).unwrap();
        assert!(text.ends_with("æx\n"));
        let short = format!("{}4111111111", "æ".repeat(MESSAGE_CHARS_MAX - 11));
        assert_eq!(cut(&short, MESSAGE_CHARS_MAX), short);
    }

    #[test]
    fn the_longest_line_that_can_be_written_can_be_cleaned() {
        let time = Timestamp::from_unix_ms(0);
        let (component, message) = ("\"".repeat(100), "\u{1}".repeat(MESSAGE_CHARS_MAX - 1));
        let line = LogLine { time, level: LogLevel::Error, component, message };
        let json = write(&line, LogFormat::Ndjson);
        assert!(json.len() > 6 * (MESSAGE_CHARS_MAX - 1));
        assert!(Cleaner::default().clean(&json).is_ok());
    }

    #[tokio::test]
    async fn every_part_of_a_line_is_cleaned_and_counted_in_the_block_it_is_in() {
        let (sender, stream) = mpsc::channel(8);
        let mut first = line(0, "card 4111111111111111");
        first.component = "pin=1234".into();
        sender.try_send(Ok(first)).unwrap();
        sender.try_send(Ok(line(1, "password=a \"pin\":\"1\""))).unwrap();
        drop(sender);
        let mut blocks = Blocks::new(stream, LogFormat::Ndjson, 100);
        let counts = |block: &Block| {
            let Redactions { pan, track, pin, secret } = block.redactions;
            (pan, track, pin, secret)
        };
        let block = blocks.next().await.unwrap().unwrap();
        assert_eq!((block.lines, counts(&block)), (1, (1, 0, 1, 0)));
        let value: serde_json::Value = serde_json::from_slice(&block.text).unwrap();
        assert_eq!(
            (&value["component"], &value["message"]),
            (&"pin=****".into(), &"card ****1111".into())
        );
        let block = blocks.next().await.unwrap().unwrap();
        assert_eq!((block.lines, counts(&block)), (1, (0, 0, 1, 1)));
        let value: serde_json::Value = serde_json::from_slice(&block.text).unwrap();
        assert_eq!(value["message"], "password=**** \"pin\":\"****\"");
    }

    #[tokio::test]
    async fn a_key_that_began_in_one_block_is_masked_in_the_next() {
        let (sender, stream) = mpsc::channel(8);
        for message in ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0B"] {
            sender.try_send(Ok(line(0, message))).unwrap();
        }
        drop(sender);
        let mut blocks = Blocks::new(stream, LogFormat::Text, 1);
        assert_eq!(blocks.next().await.unwrap().unwrap().redactions.secret, 0);
        let block = blocks.next().await.unwrap().unwrap();
        assert!(block.text.ends_with(b"payment ****\n") && block.redactions.secret == 1);
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
