//! Log sources: streams made-up lines, as fast as the reader takes them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    MockTerminal, log_lines,
    script::{Method, Point, Script},
    turn::{Turn, canceled},
};
use crate::{
    ErrorCode, Failure, Timestamp,
    api::{Call, HalFuture, LogLine, LogRange, LogStream, Logs},
};

/// Lines that wait for the reader; the generator waits when there are more.
const STREAM_QUEUE: usize = 64;
/// How long logs are kept: twice the longest range that may be asked for.
const KEPT_MS: u64 = 28 * 24 * 3_600_000;
/// A fault after the effect strikes when that many lines have been sent.
pub const LOG_LINES_BEFORE_FAULT: usize = 100;

impl Logs for MockTerminal {
    fn collect<'a>(&'a self, call: &'a Call, range: &'a LogRange) -> HalFuture<'a, LogStream> {
        Box::pin(async move {
            let turn = self.turn(Method::CollectLogs, Some(call));
            turn.before("collecting").await?;
            let mut lines = self.matching(range).peekable();
            if lines.peek().is_none() {
                let reason = "no log lines match the range, components and level";
                return Err(Failure::new(ErrorCode::LogRangeEmpty, reason));
            }
            let (sender, stream) = mpsc::channel(STREAM_QUEUE);
            tokio::spawn(send(turn, lines, sender));
            Ok(stream)
        })
    }
}

impl MockTerminal {
    /// The lines of a range that are still kept and match.
    fn matching(&self, range: &LogRange) -> impl Iterator<Item = LogLine> + Send + use<> {
        let (now, script) = {
            let shared = self.shared();
            (shared.now, shared.script())
        };
        let oldest = Timestamp::from_unix_ms(now.unix_ms().saturating_sub(KEPT_MS));
        let (from, to) = (range.from.max(oldest), range.to.min(now));
        let made_up = log_lines::lines(self.inner.config.seed, from, to);
        let range = range.clone();
        merge(made_up, scripted(&script, from, to)).filter(move |line| {
            let wanted = range.components.is_empty() || range.components.contains(&line.component);
            // The most severe level is the least.
            wanted && line.level <= range.min_level
        })
    }
}

fn scripted(script: &Arc<Script>, from: Timestamp, to: Timestamp) -> Vec<LogLine> {
    let inside = |line: &&LogLine| (from..to).contains(&line.time);
    let mut lines: Vec<LogLine> = script.log_lines.iter().filter(inside).cloned().collect();
    lines.sort_by_key(|line| line.time);
    lines
}

/// Both, by time.
fn merge(
    made_up: impl Iterator<Item = LogLine> + Send,
    scripted: Vec<LogLine>,
) -> impl Iterator<Item = LogLine> + Send {
    let mut made_up = made_up.peekable();
    let mut scripted = scripted.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = match (made_up.peek(), scripted.peek()) {
            (Some(line), Some(other)) => line.time <= other.time,
            (line, _) => line.is_some(),
        };
        if first { made_up.next() } else { scripted.next() }
    })
}

async fn send(
    turn: Turn,
    lines: impl Iterator<Item = LogLine>,
    sender: mpsc::Sender<Result<LogLine, Failure>>,
) {
    for (count, line) in lines.enumerate() {
        if count == LOG_LINES_BEFORE_FAULT {
            if let Err(failure) = turn.strike(Point::AfterEffect).await {
                let _ = sender.send(Err(failure)).await;
                return;
            }
        }
        tokio::select! {
            biased;
            () = turn.cancelled() => {
                let _ = sender.try_send(Err(canceled()));
                return;
            }
            sent = sender.send(Ok(line)) => if sent.is_err() { return },
        }
    }
}
