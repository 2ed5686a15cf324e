//! A Linux system has power, state and logs, and passes what every backend must.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use terminal_hal::{
    Timestamp,
    api::Hal,
    child::Runner,
    conformance::{Check, CheckOutcome, Circumstances, run, table},
    linux::{
        BootConfig, LinuxConfig, hal,
        logs::{JournalConfig, LogFile, LogsConfig, TimeFormat},
    },
};
use uuid::Uuid;

const BOOT_ID: &str = "5b1f6f0e-6f0a-4a53-9d7c-0f4f6a1f7c11";

fn now() -> Timestamp {
    Timestamp::parse("2026-06-29T14:00:00Z").unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A system of files alone: nothing of the machine that this runs on is restarted.
fn system(folder: &Path) -> Hal {
    let path = |name: &str| folder.join(name);
    write(&path("proc/sys/kernel/random/boot_id"), BOOT_ID);
    write(&path("sys/class/power_supply/BAT0/type"), "Battery\n");
    write(&path("sys/class/power_supply/BAT0/capacity"), "64\n");
    let file = |name: &str, component: &str| {
        let mut text = String::new();
        for n in 0..300 {
            let time = Timestamp::from_unix_ms(now().unix_ms() - 3_000_000 + n * 10_000);
            let level = if n % 10 == 0 { "ERROR" } else { "DEBUG" };
            writeln!(text, "{time} {level} {component} {n}").unwrap();
        }
        write(&path(name), &text);
        let time_format = TimeFormat::Rfc3339;
        LogFile { path: path(name), component: component.to_owned(), time_format }
    };
    let journalctl = path("journalctl");
    let config = LinuxConfig {
        root: folder.to_owned(),
        systemctl: path("systemctl"),
        application_unit: None,
        boot: BootConfig { cause_file: None, daily_mark: None, memory: path("memory") },
        disk: folder.to_owned(),
        interfaces: BTreeMap::new(),
        logs: LogsConfig {
            journal: JournalConfig { journalctl, directory: None, components: BTreeMap::new() },
            files: vec![file("app.log", "payment"), file("sys.log", "system")],
        },
    };
    hal(config, &Runner::open(path("children")).unwrap())
}

fn outcomes<'a>(checks: &'a [Check], capability: &str) -> Vec<&'a CheckOutcome> {
    let of_it = checks.iter().filter(|check| check.capability == capability);
    of_it.map(|check| &check.outcome).collect()
}

#[tokio::test]
async fn a_system_has_power_state_and_logs_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let hal = system(folder.path());
    let checks = run(&hal, &Circumstances::new(now(), Uuid::from_u128(7))).await;
    println!("{}", table(&checks));
    for capability in ["logs", "power", "health"] {
        let outcomes = outcomes(&checks, capability);
        let passed = outcomes.iter().all(|outcome| **outcome == CheckOutcome::Passed);
        assert!(passed && !outcomes.is_empty(), "{}", table(&checks));
    }
    for capability in ["payments", "screen", "firmware"] {
        let tried = |o: &&CheckOutcome| matches!(o, CheckOutcome::Passed | CheckOutcome::Failed(_));
        assert!(!outcomes(&checks, capability).iter().any(tried), "{}", table(&checks));
    }
}

#[tokio::test]
async fn a_kernel_that_does_not_name_the_boot_fails() {
    let folder = tempfile::tempdir().unwrap();
    let hal = system(folder.path());
    fs::remove_dir_all(folder.path().join("proc")).unwrap();
    let checks = run(&hal, &Circumstances::new(now(), Uuid::from_u128(7))).await;
    let failed = outcomes(&checks, "power").iter().any(|o| matches!(o, CheckOutcome::Failed(_)));
    assert!(failed, "{}", table(&checks));
}
