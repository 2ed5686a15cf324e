//! Log streams.

use super::*;
use crate::{
    ErrorCode, Failure,
    api::{LogLine, LogRange, Logs},
    mock::logs::LOG_LINES_BEFORE_FAULT,
    operation::send_logs::LogLevel,
};

fn range(minutes: u64, min_level: LogLevel, components: &[&str]) -> LogRange {
    LogRange {
        from: Timestamp::from_unix_ms(afternoon().unix_ms() - minutes * 60_000),
        to: afternoon(),
        components: components.iter().map(|name| (*name).to_owned()).collect(),
        min_level,
    }
}

async fn collect(
    terminal: &MockTerminal,
    range: &LogRange,
) -> Result<Vec<Result<LogLine, Failure>>, Failure> {
    let (call, _handle) = call(1);
    let mut stream = terminal.collect(&call, range).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.recv().await {
        lines.push(line);
    }
    Ok(lines)
}

#[tokio::test(start_paused = true)]
async fn the_same_range_gives_the_same_lines_in_order_at_any_later_time() {
    let terminal = terminal();
    let range = range(60, LogLevel::Trace, &[]);
    let first = collect(&terminal, &range).await.unwrap();
    assert_eq!(first.len(), 900);
    tokio::time::advance(Duration::from_secs(90_000)).await;
    assert_eq!(collect(&terminal, &range).await.unwrap(), first);
    let lines: Vec<LogLine> = first.into_iter().map(Result::unwrap).collect();
    assert!(lines.is_sorted_by_key(|line| line.time));
    for component in ["payment", "network", "printer", "kernel", "agent"] {
        assert!(lines.iter().any(|line| line.component == component), "{component}");
    }
}

#[tokio::test(start_paused = true)]
async fn lines_are_filtered_by_level_and_component_and_none_is_from_the_future() {
    let terminal = terminal();
    let mut range = range(600, LogLevel::Warn, &["printer", "network"]);
    range.to = afternoon().plus_ms(3_600_000);
    let lines = collect(&terminal, &range).await.unwrap();
    assert!(lines.len() > 20);
    for line in lines.into_iter().map(Result::unwrap) {
        assert!(matches!(line.level, LogLevel::Warn | LogLevel::Error));
        assert!(["printer", "network"].contains(&line.component.as_str()));
        assert!(line.time < afternoon());
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_without_a_line_is_a_failure() {
    let terminal = terminal();
    let future = LogRange {
        from: afternoon().plus_ms(1),
        to: afternoon().plus_ms(100_000),
        components: Vec::new(),
        min_level: LogLevel::Trace,
    };
    for range in [future, range(60, LogLevel::Trace, &["espresso"])] {
        let failure = collect(&terminal, &range).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::LogRangeEmpty);
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_lines_never_hold_a_long_number() {
    let terminal = terminal();
    for line in collect(&terminal, &range(24 * 60, LogLevel::Trace, &[])).await.unwrap() {
        let message = line.unwrap().message;
        assert!(message.chars().filter(char::is_ascii_digit).count() <= 6, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn scripted_lines_are_mixed_in_at_their_time() {
    let terminal = scripted(
        r#"{"log_lines":[{"time":"2026-06-29T13:30:00Z","level":"info","component":"payment",
            "message":"pan 4111111111111111"}]}"#,
    );
    let lines = collect(&terminal, &range(60, LogLevel::Info, &["payment"])).await.unwrap();
    let lines: Vec<LogLine> = lines.into_iter().map(Result::unwrap).collect();
    assert!(lines.iter().any(|line| line.message == "pan 4111111111111111"));
    assert!(lines.is_sorted_by_key(|line| line.time));
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_break_off_after_a_while() {
    let terminal = scripted(
        r#"{"methods":{"collect_logs":{"fail":{"code":"DEVICE_FAULT","failure_reason":"eio",
            "at":"after_effect"}}}}"#,
    );
    let lines = collect(&terminal, &range(60, LogLevel::Trace, &[])).await.unwrap();
    assert_eq!(lines.len(), LOG_LINES_BEFORE_FAULT + 1);
    assert_eq!(lines.last().unwrap().as_ref().unwrap_err().code, ErrorCode::DeviceFault);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_stream_ends() {
    let terminal = terminal();
    let (call, handle) = call(1);
    let range = range(24 * 60, LogLevel::Trace, &[]);
    let mut stream = terminal.collect(&call, &range).await.unwrap();
    stream.recv().await.unwrap().unwrap();
    handle.cancel();
    let mut lines = 1;
    while stream.recv().await.is_some() {
        lines += 1;
    }
    assert!(lines < 200, "{lines}");
}
