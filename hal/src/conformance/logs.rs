//! Log sources.

use super::{Checked, Circumstances, PROMPT, Suite, Trouble, holds, refused};
use crate::{
    ErrorCode, Failure, Timestamp,
    api::{LogLine, LogRange, Logs},
    operation::send_logs::LogLevel,
};

const LOGS: &str = "logs";
const HOUR_MS: u64 = 3_600_000;
/// Lines that are compared; a chatty source has more.
const LINES_MAX: usize = 5_000;

pub(super) async fn checks(suite: &mut Suite, logs: &dyn Logs, at: &Circumstances) {
    let name = "lines are of the range, in order, and the same again";
    suite.check(LOGS, name, in_order(logs, at)).await;
    let name = "only what is severe enough";
    suite.check(LOGS, name, severe_enough(logs, at)).await;
    let name = "a range that is cut in two has the same lines";
    suite.check(LOGS, name, cut_in_two(logs, at)).await;
    let name = "only of the component that is asked for";
    suite.check(LOGS, name, one_component(logs, at)).await;
    let name = "a reader who cancels is not kept waiting";
    suite.check(LOGS, name, cancelled(logs, at)).await;
    let name = "a range without lines says so";
    suite.check(LOGS, name, empty(logs, at)).await;
    let name = "a component that nobody knows has no lines";
    suite.check(LOGS, name, unknown_component(logs, at)).await;
}

fn last_hour(at: &Circumstances) -> LogRange {
    LogRange {
        from: Timestamp::from_unix_ms(at.now.unix_ms().saturating_sub(HOUR_MS)),
        to: at.now,
        components: Vec::new(),
        min_level: LogLevel::Trace,
    }
}

async fn read(
    logs: &dyn Logs,
    at: &Circumstances,
    range: &LogRange,
) -> Result<Vec<LogLine>, Failure> {
    let (call, _handle) = at.call();
    let mut stream = logs.collect(&call, range).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.recv().await {
        lines.push(line?);
        if lines.len() >= LINES_MAX {
            break;
        }
    }
    Ok(lines)
}

/// Lines of the last hour; without any there is nothing to compare.
async fn some(
    logs: &dyn Logs,
    at: &Circumstances,
    range: &LogRange,
) -> Result<Vec<LogLine>, Trouble> {
    match read(logs, at, range).await {
        Ok(lines) => Ok(lines),
        Err(failure) if failure.code == ErrorCode::LogRangeEmpty => {
            Err(Trouble::Skipped("no lines in the last hour".to_owned()))
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn in_order(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let range = last_hour(at);
    let lines = some(logs, at, &range).await?;
    let inside = |line: &&LogLine| !(range.from..range.to).contains(&line.time);
    let outside = lines.iter().find(inside);
    holds(outside.is_none(), || format!("outside of the range: {outside:?}"))?;
    holds(lines.is_sorted_by_key(|line| line.time), || "not in order".to_owned())?;
    let again = some(logs, at, &range).await?;
    holds(lines == again, || "not the same again".to_owned())
}

async fn severe_enough(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let range = LogRange { min_level: LogLevel::Warn, ..last_hour(at) };
    let lines = some(logs, at, &range).await?;
    // The most severe level is the least.
    let other = lines.iter().find(|line| line.level > LogLevel::Warn);
    holds(other.is_none(), || format!("{other:?}"))
}

async fn cut_in_two(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let whole = last_hour(at);
    let lines = some(logs, at, &whole).await?;
    let is_whole = lines.len() < LINES_MAX;
    let middle = lines.get(lines.len() / 2).map_or(whole.from, |line| line.time);
    let (early, late): (Vec<LogLine>, Vec<LogLine>) =
        lines.into_iter().partition(|line| line.time < middle);
    if early.is_empty() {
        return Err(Trouble::Skipped("all lines are of one moment".to_owned()));
    }
    let first = some(logs, at, &LogRange { to: middle, ..whole.clone() }).await?;
    let second = some(logs, at, &LogRange { from: middle, ..whole }).await?;
    let counts = (first.len(), second.len());
    let has_late = second.starts_with(&late) && (!is_whole || second.len() == late.len());
    holds(first == early && has_late, || {
        format!("cut at {middle}: {counts:?} lines, want {:?}", (early.len(), late.len()))
    })
}

async fn one_component(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let lines = some(logs, at, &last_hour(at)).await?;
    let component = lines.first().map(|line| line.component.clone()).unwrap_or_default();
    let of_it: Vec<_> = lines.iter().filter(|line| line.component == component).collect();
    let range = LogRange { components: vec![component.clone()], ..last_hour(at) };
    let found = some(logs, at, &range).await?;
    let other = found.iter().find(|line| line.component != component);
    holds(other.is_none(), || format!("asked for {component:?}: {other:?}"))?;
    let is_same = lines.len() >= LINES_MAX || found.iter().eq(of_it.iter().copied());
    holds(is_same, || format!("{component:?}: {} lines, want {}", found.len(), of_it.len()))
}

/// Lines that were on their way may still come.
async fn cancelled(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let (call, handle) = at.call();
    let mut stream = match logs.collect(&call, &last_hour(at)).await {
        Err(failure) if failure.code == ErrorCode::LogRangeEmpty => {
            return Err(Trouble::Skipped("no lines in the last hour".to_owned()));
        }
        stream => stream?,
    };
    stream.recv().await;
    handle.cancel();
    let drained = async { while stream.recv().await.is_some_and(|line| line.is_ok()) {} };
    let ended = tokio::time::timeout(PROMPT, drained).await;
    holds(ended.is_ok(), || format!("it went on for {PROMPT:?}"))
}

async fn empty(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let to = Timestamp::from_unix_ms(HOUR_MS);
    let range = LogRange { from: Timestamp::from_unix_ms(0), to, ..last_hour(at) };
    refused(read(logs, at, &range).await, &[ErrorCode::LogRangeEmpty])
}

async fn unknown_component(logs: &dyn Logs, at: &Circumstances) -> Checked {
    let components = vec!["no-such-component".to_owned()];
    let range = LogRange { components, ..last_hour(at) };
    refused(read(logs, at, &range).await, &[ErrorCode::LogRangeEmpty])
}
