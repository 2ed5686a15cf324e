//! Plain files: rotations, times, order, and what cannot be read.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::{
    ErrorCode, Failure, OperationId, Timestamp,
    api::{LogLine, LogRange, call},
    linux::logs::{LogFile, TimeFormat},
    operation::send_logs::LogLevel,
};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The whole day of the lines.
pub(super) fn day() -> LogRange {
    LogRange {
        from: at("2026-06-29T00:00:00Z"),
        to: at("2026-06-30T00:00:00Z"),
        components: Vec::new(),
        min_level: LogLevel::Trace,
    }
}

pub(super) async fn lines(system: &System, range: &LogRange) -> Result<Vec<LogLine>, Failure> {
    let id = OperationId(uuid::Uuid::nil());
    let (call, _handle) = call(id, 1, Duration::from_secs(20));
    let mut stream = system.hal().logs.unwrap().collect(&call, range).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.recv().await {
        lines.push(line?);
    }
    Ok(lines)
}

pub(super) fn messages(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.message.as_str()).collect()
}

fn with_file(mut system: System, name: &str, component: &str, time_format: TimeFormat) -> System {
    let (path, component) = (system.path(name), component.to_owned());
    system.config.logs.files.push(LogFile { path, component, time_format });
    system
}

fn app() -> System {
    with_file(System::new(), "app.log", "payment", TimeFormat::Rfc3339)
}

fn compress(system: &System, name: &str, text: &str) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    fs::write(system.path(name), encoder.finish().unwrap()).unwrap();
}

/// 4,000 lines, of which a power cut has left some.
fn damaged_rotation(system: &System) {
    let many: String = (0..4_000).map(|n| format!("2026-06-29T10:00:00Z old {n}\n")).collect();
    compress(system, "app.log.1.gz", &many);
    let whole = fs::read(system.path("app.log.1.gz")).unwrap();
    fs::write(system.path("app.log.1.gz"), &whole[..whole.len() / 2]).unwrap();
}

#[tokio::test]
async fn a_file_and_its_rotations_are_one_log_oldest_line_first() {
    let system = app();
    compress(&system, "app.log.2.gz", "2026-06-29T10:00:00Z INFO first\n");
    system.write("app.log.1", "2026-06-29T11:00:00Z WARN second\n2026-06-29T11:30:00Z third");
    system.write("app.log", "2026-06-29T12:00:00Z [ERROR] fourth\n");
    system.write("app.log.old", "2026-06-29T09:00:00Z not a rotation\n");
    let found = lines(&system, &day()).await.unwrap();
    assert_eq!(messages(&found), ["INFO first", "WARN second", "third", "[ERROR] fourth"]);
    let levels: Vec<_> = found.iter().map(|line| line.level).collect();
    assert_eq!(levels, [LogLevel::Info, LogLevel::Warn, LogLevel::Info, LogLevel::Error]);
    assert!(found.iter().all(|line| line.component == "payment"));
    assert_eq!(found, lines(&system, &day()).await.unwrap());
}

#[tokio::test]
async fn a_file_that_is_rotated_while_it_is_looked_for_is_read_once() {
    let system = app();
    system.write("app.log", "2026-06-29T12:00:00Z once\n");
    // It has been opened under its first name when it gets the second.
    fs::hard_link(system.path("app.log"), system.path("app.log.1")).unwrap();
    assert_eq!(messages(&lines(&system, &day()).await.unwrap()), ["once"]);
}

#[tokio::test]
async fn lines_without_a_time_belong_to_the_one_before_them_also_across_files() {
    let system = app();
    system.write("app.log.1", "  no time yet\n2026-06-29T11:00:00Z ERROR crash\n  at one\n");
    system.write("app.log", "  at two\n\n2026-06-29T12:00:00Z up\n");
    let range = LogRange { min_level: LogLevel::Error, ..day() };
    let found = lines(&system, &range).await.unwrap();
    assert_eq!(messages(&found), ["ERROR crash", "  at one", "  at two"]);
    assert!(found.iter().all(|line| line.time == at("2026-06-29T11:00:00Z")));
}

#[tokio::test]
async fn several_files_are_put_together_by_time() {
    let system = with_file(app(), "sys.log", "system", TimeFormat::Syslog);
    system.write("app.log", "2026-06-29T10:00:00Z a\n2026-06-29T10:00:02Z c\n");
    system.write("sys.log", "Jun 29 10:00:01 pos kernel: b\nJun 29 10:00:03 pos kernel: d\n");
    let written = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_800_000);
    fs::File::options()
        .write(true)
        .open(system.path("sys.log"))
        .unwrap()
        .set_modified(written)
        .unwrap();
    let found = lines(&system, &day()).await.unwrap();
    assert_eq!(messages(&found), ["a", "pos kernel: b", "c", "pos kernel: d"]);
    let range = LogRange { components: vec!["system".to_owned()], ..day() };
    assert_eq!(lines(&system, &range).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_range_takes_its_begin_and_leaves_its_end() {
    let system = app();
    let text: String = (0..10).map(|n| format!("2026-06-29T10:00:0{n}Z line {n}\n")).collect();
    system.write("app.log", &text);
    let range =
        LogRange { from: at("2026-06-29T10:00:03Z"), to: at("2026-06-29T10:00:05Z"), ..day() };
    assert_eq!(messages(&lines(&system, &range).await.unwrap()), ["line 3", "line 4"]);
}

#[tokio::test]
async fn a_range_components_or_a_level_without_lines_say_so() {
    let system = app();
    for text in [None, Some(""), Some("no time\n"), Some("2026-06-28T10:00:00Z too old\n")] {
        if let Some(text) = text {
            system.write("app.log", text);
        }
        let failure = lines(&system, &day()).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::LogRangeEmpty, "{text:?}");
    }
    system.write("app.log", "2026-06-29T10:00:00Z INFO a\n");
    let other = LogRange { components: vec!["printer".to_owned()], ..day() };
    assert_eq!(lines(&system, &other).await.unwrap_err().code, ErrorCode::LogRangeEmpty);
    let severe = LogRange { min_level: LogLevel::Warn, ..day() };
    assert_eq!(lines(&system, &severe).await.unwrap_err().code, ErrorCode::LogRangeEmpty);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_a_failure_and_a_damaged_rotation_is_not() {
    let system = app();
    fs::create_dir(system.path("app.log")).unwrap();
    let failure = lines(&system, &day()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DeviceFault);
    assert!(failure.failure_reason.contains("app.log"), "{failure}");
    fs::remove_dir(system.path("app.log")).unwrap();
    damaged_rotation(&system);
    system.write("app.log", "2026-06-29T10:00:01Z new\n");
    let found = lines(&system, &day()).await.unwrap();
    assert!(found.len() > 1 && found.len() < 4_000, "{}", found.len());
    assert_eq!(found.last().unwrap().message, "new");
}

#[tokio::test]
async fn what_follows_a_damaged_rotation_without_a_time_is_left_out() {
    let system = app();
    damaged_rotation(&system);
    system.write("app.log", "  of a lost line\n2026-06-29T10:00:01Z new\n");
    let found = lines(&system, &day()).await.unwrap();
    assert!(!messages(&found).contains(&"  of a lost line"));
}

#[tokio::test]
async fn a_pipe_and_a_link_among_the_logs_are_refused_at_once() {
    let secret = "2026-06-29T10:00:00Z what only the agent may read\n";
    for name in ["app.log", "app.log.1"] {
        let system = app();
        nix::unistd::mkfifo(&system.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let failure = lines(&system, &day()).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceFault);
        assert!(failure.failure_reason.ends_with(&format!("{name}: it is no regular file")));
        fs::remove_file(system.path(name)).unwrap();
        system.write("secret", secret);
        std::os::unix::fs::symlink("secret", system.path(name)).unwrap();
        let failure = lines(&system, &day()).await.unwrap_err();
        assert!(failure.failure_reason.ends_with(&format!("{name}: it is a symbolic link")));
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_cut_and_the_next_one_is_whole() {
    let system = app();
    let long = "x".repeat(1 << 20);
    system.write("app.log", &format!("2026-06-29T10:00:00Z {long}\n2026-06-29T10:00:01Z next\n"));
    let found = lines(&system, &day()).await.unwrap();
    assert_eq!(found[0].message.len(), crate::api::LOG_MESSAGE_CHARS_MAX);
    assert_eq!(messages(&found[1..]), ["next"]);
}

#[tokio::test]
async fn a_cancelled_reader_is_not_kept_waiting() {
    let system = app();
    let text: String = (0..5_000).map(|n| format!("2026-06-29T10:00:00Z line {n}\n")).collect();
    system.write("app.log", &text);
    let (call, handle) = call(OperationId(uuid::Uuid::nil()), 1, Duration::from_secs(20));
    let mut stream = system.hal().logs.unwrap().collect(&call, &day()).await.unwrap();
    stream.recv().await.unwrap().unwrap();
    handle.cancel();
    let mut taken = 1;
    let last = loop {
        match stream.recv().await {
            Some(Ok(_)) => taken += 1,
            end => break end,
        }
    };
    assert!(taken < 5_000);
    let is_end = matches!(&last, None | Some(Err(Failure { code: ErrorCode::Canceled, .. })));
    assert!(is_end, "{last:?}");
}
