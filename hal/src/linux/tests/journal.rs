//! The journal: through a program that answers as `journalctl` does, and through the real one.

use super::{
    log_files::{day, lines, messages},
    *,
};
use crate::{
    ErrorCode, Timestamp,
    api::LogRange,
    linux::logs::{LogFile, TimeFormat},
    operation::send_logs::LogLevel,
};

/// 2026-06-29T18:35:00Z
const BASE_US: u64 = 1_782_758_100_000_000;

fn with_journal() -> System {
    let mut system = System::new();
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    system.config.logs.journal.components = BTreeMap::from([
        ("kernel".to_owned(), of(&["kernel"])),
        ("payment".to_owned(), of(&["pay.service"])),
    ]);
    system
}

fn entry(seconds: u64, message: &str) -> String {
    let time = BASE_US + seconds * 1_000_000;
    format!(r#"{{"__REALTIME_TIMESTAMP":"{time}","SYSLOG_IDENTIFIER":"kernel",{message}}}"#)
}

/// A program that writes down its arguments and says these lines.
fn says(system: &System, said: &[String], then: &str) {
    system.write("said", &format!("{}\n", said.join("\n")));
    let script = format!("cd \"${{0%/*}}\"; echo \"$*\" >told; cat said; {then}");
    system.program("journalctl", &script);
}

#[tokio::test]
async fn the_journal_is_asked_for_the_range_and_what_may_leave_the_terminal() {
    let system = with_journal();
    says(&system, &[entry(0, r#""MESSAGE":"a""#)], "");
    let range = LogRange { components: vec!["kernel".into()], min_level: LogLevel::Warn, ..day() };
    assert_eq!(lines(&system, &range).await.unwrap_err().code, ErrorCode::LogRangeEmpty);
    let want = "--output=json --all --quiet --no-pager \
        --output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT \
        --since=@1782691200 --until=@1782777600 --priority=warning SYSLOG_IDENTIFIER=kernel\n";
    assert_eq!(read(&system.path("told")), want);
    // What it says beyond that is not believed to be asked for.
    let other = entry(1, r#""MESSAGE":"b""#).replace("kernel", "sshd");
    let late = entry(86_400, r#""MESSAGE":"c""#);
    says(&system, &[entry(0, r#""MESSAGE":"a""#), other, late], "");
    assert_eq!(messages(&lines(&system, &day()).await.unwrap()), ["a"]);
    assert!(read(&system.path("told")).contains("_SYSTEMD_UNIT=pay.service"));
}

#[tokio::test]
async fn what_is_not_readable_is_left_out_and_the_rest_is_there() {
    let system = with_journal();
    let long = entry(1, &format!(r#""MESSAGE":"{}""#, "x".repeat(300_000)));
    let cut = r#"{"__REALTIME_TIMESTAMP":"17"#.to_owned();
    let said = [entry(0, r#""MESSAGE":[104,105,255]"#), long, cut, entry(2, r#""MESSAGE":"b""#)];
    says(&system, &said, "");
    assert_eq!(messages(&lines(&system, &day()).await.unwrap()), ["hi\u{fffd}", "b"]);
}

#[tokio::test]
async fn a_journal_that_is_not_to_be_had_is_a_failure_that_names_what_is_missing() {
    let system = with_journal();
    let failure = lines(&system, &day()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DeviceFault);
    assert!(failure.failure_reason.contains("cannot start"), "{failure}");
    assert!(failure.failure_reason.contains("/journalctl"), "{failure}");
    system.program("journalctl", "echo Failed to open >&2; exit 1");
    let failure = lines(&system, &day()).await.unwrap_err();
    assert!(failure.failure_reason.contains("exit status: 1: Failed to open"), "{failure}");
    // It says so by its exit code only sometimes.
    system.program("journalctl", "echo No journal files were opened >&2");
    let failure = lines(&system, &day()).await.unwrap_err();
    assert!(failure.failure_reason.contains("No journal files were opened"), "{failure}");
    // What has been read is passed on first.
    says(&system, &[entry(0, r#""MESSAGE":"a""#)], "exit 1");
    assert_eq!(lines(&system, &day()).await.unwrap_err().code, ErrorCode::DeviceFault);
}

#[tokio::test]
async fn journal_and_files_are_put_together_by_time() {
    let mut system = with_journal();
    let path = system.path("app.log");
    let file = LogFile { path, component: "app".into(), time_format: TimeFormat::Rfc3339 };
    system.config.logs.files.push(file);
    system.write("app.log", "2026-06-29T18:35:01Z b\n2026-06-29T18:35:03Z d\n");
    says(&system, &[entry(0, r#""MESSAGE":"a""#), entry(2, r#""MESSAGE":"c""#)], "");
    assert_eq!(messages(&lines(&system, &day()).await.unwrap()), ["a", "b", "c", "d"]);
}

/// An entry in the format that journals are exported in.
fn exported(seconds: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let time = BASE_US + seconds * 1_000_000;
    let boot = BOOT_1.replace('-', "");
    let head = format!(
        "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={seconds}000000\n_BOOT_ID={boot}\n"
    );
    let mut entry = head.into_bytes();
    for (name, value) in fields {
        entry.extend(name.as_bytes());
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
        entry.extend(*value);
        entry.push(b'\n');
    }
    entry.push(b'\n');
    entry
}

/// The tools, unless this machine lacks them.
fn real_tools() -> Option<(PathBuf, PathBuf)> {
    let journalctl = PathBuf::from("/usr/bin/journalctl");
    let folders = ["/usr/lib/systemd", "/lib/systemd"];
    let remote = folders.map(|folder| Path::new(folder).join("systemd-journal-remote"));
    let remote = remote.into_iter().find(|path| path.exists());
    let tools = remote.filter(|_| journalctl.exists()).map(|remote| (journalctl, remote));
    if tools.is_none() {
        assert!(
            std::env::var_os("JOURNAL_REQUIRED").is_none(),
            "JOURNAL_REQUIRED is set, but journalctl or systemd-journal-remote is missing"
        );
        println!("skipped: journalctl or systemd-journal-remote is missing");
    }
    tools
}

#[tokio::test]
async fn a_real_journal_is_read_by_range_component_and_level() {
    let Some((journalctl, remote)) = real_tools() else { return };
    let mut system = with_journal();
    let folder = system.path("journal");
    fs::create_dir(&folder).unwrap();
    let long = vec![b'x'; 20_000];
    let entries = [
        exported(
            0,
            &[
                ("MESSAGE", b"sale".as_slice()),
                ("_SYSTEMD_UNIT", b"pay.service"),
                ("PRIORITY", b"6"),
            ],
        ),
        exported(
            1,
            &[("MESSAGE", b"oom\nkill\xff"), ("SYSLOG_IDENTIFIER", b"kernel"), ("PRIORITY", b"2")],
        ),
        exported(2, &[("MESSAGE", b"login"), ("SYSLOG_IDENTIFIER", b"sshd"), ("PRIORITY", b"2")]),
        exported(3, &[("MESSAGE", b"Started"), ("UNIT", b"pay.service"), ("_PID", b"1")]),
        exported(4, &[("MESSAGE", &long), ("SYSLOG_IDENTIFIER", b"kernel"), ("PRIORITY", b"7")]),
    ];
    system.write("export", "");
    fs::write(system.path("export"), entries.concat()).unwrap();
    let export = fs::File::open(system.path("export")).unwrap();
    let mut import = Command::new(remote);
    import.arg("-o").arg(folder.join("x.journal")).arg("-").stdin(export).stderr(Stdio::null());
    assert!(import.status().unwrap().success());
    system.config.logs.journal.journalctl = journalctl;
    system.config.logs.journal.directory = Some(folder);

    let all = lines(&system, &day()).await.unwrap();
    assert_eq!(messages(&all)[..3], ["sale", "oom kill\u{fffd}", "Started"]);
    assert_eq!((all.len(), all[3].message.len()), (4, crate::api::LOG_MESSAGE_CHARS_MAX));
    let of: Vec<_> = all.iter().map(|line| (line.component.as_str(), line.level)).collect();
    let (payment, kernel) = ("payment", "kernel");
    let want = [
        (payment, LogLevel::Info),
        (kernel, LogLevel::Error),
        (payment, LogLevel::Info),
        (kernel, LogLevel::Debug),
    ];
    assert_eq!(of, want);
    assert_eq!(all, lines(&system, &day()).await.unwrap(), "the same range, the same lines");

    let severe = LogRange { min_level: LogLevel::Warn, ..day() };
    assert_eq!(messages(&lines(&system, &severe).await.unwrap()), ["oom kill\u{fffd}"]);
    let component = LogRange { components: vec![payment.into()], ..day() };
    assert_eq!(messages(&lines(&system, &component).await.unwrap()), ["sale", "Started"]);
    let ms = |seconds: u64| Timestamp::from_unix_ms(BASE_US / 1000 + seconds * 1000);
    let range = LogRange { from: ms(1), to: ms(3), ..day() };
    assert_eq!(lines(&system, &range).await.unwrap().len(), 1);
    let empty = LogRange { from: ms(100), to: ms(200), ..day() };
    assert_eq!(lines(&system, &empty).await.unwrap_err().code, ErrorCode::LogRangeEmpty);
}
