//! FIRMWARE.md is true: its manifest is one, its signature verifies, its codes exist. And a terminal
//! that is set up with them passes the checks that every backend passes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use terminal_hal::{
    ErrorCode, Timestamp,
    api::Hal,
    child::Runner,
    conformance::{CheckOutcome, Circumstances, run, table},
    firmware::{
        AbConfig, FirmwareConfig, Folder, HealthProgram, Manifest, SlotFirmware, SlotsConfig,
        Surroundings, Time, TrustedKeys, Window,
    },
    mock::{MockConfig, MockTerminal},
    operation::check_update::Channel,
};
use uuid::Uuid;

const PAGE: &str = include_str!("../FIRMWARE.md");

/// The first block of that language that holds `part`.
fn block(language: &str, part: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(part)).unwrap()
}

fn keys() -> TrustedKeys {
    let key = block("toml", "public-keys").split('"').nth(1).unwrap();
    TrustedKeys::parse(&[key.to_owned()]).unwrap()
}

#[test]
fn the_manifest_of_the_page_is_one_and_was_signed_with_its_key() {
    let manifest = block("json", "releases");
    let signature = block("minisig", "trusted comment");
    keys().verify(manifest.as_bytes(), signature.as_bytes()).unwrap();
    let parsed = Manifest::parse(manifest.as_bytes()).unwrap();
    // Every field that there is stands in the example.
    let written: serde_json::Value = serde_json::from_str(manifest).unwrap();
    assert_eq!(serde_json::to_value(parsed).unwrap()["releases"][0].as_object().unwrap().len(), 11);
    assert_eq!(written["releases"][0].as_object().unwrap().len(), 11);
}

#[test]
fn every_code_of_the_page_is_in_the_catalogue() {
    let refused = PAGE.split("## What is refused").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = refused.lines().filter(|line| line.starts_with("| `"));
    let mut count = 0;
    for row in rows {
        let codes = row.split('|').nth(1).unwrap();
        for code in codes.split('`').skip(1).step_by(2) {
            assert!(ErrorCode::ALL.iter().any(|known| known.as_str() == code), "{code}");
            count += 1;
        }
    }
    assert!(count >= 17, "{count}");
}

#[tokio::test]
async fn a_terminal_with_two_folders_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["source", "slots/slot-a"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("slots/slot-a/VERSION"), "3.14.2\n").unwrap();
    for name in ["active", "booted"] {
        std::os::unix::fs::symlink("slot-a", path("slots").join(name)).unwrap();
    }
    fs::write(path("source/stable.json"), block("json", "releases")).unwrap();
    let signature = block("minisig", "trusted comment");
    fs::write(path("source/stable.json.minisig"), signature).unwrap();
    let now = Timestamp::parse("2026-06-29T14:00:00Z").unwrap();
    let mock = MockTerminal::open(MockConfig::default()).unwrap().hal();
    let config = FirmwareConfig {
        directory: path("updates"),
        version_file: path("slots/booted/VERSION"),
        model: "nexgo_n92".to_owned(),
        keys: keys(),
        channel: Channel::Stable,
        window: Window::parse("02:00-05:00").unwrap(),
        allow_downgrade: false,
        size_bytes_max: 1 << 30,
        health_checks: vec![HealthProgram {
            name: "nothing".to_owned(),
            program: Path::new("/bin/true").to_owned(),
            time_max: Duration::from_secs(1),
        }],
        slots: SlotsConfig::Ab(AbConfig { directory: path("slots"), boot_attempts: 2 }),
    };
    let around = Surroundings {
        source: Arc::new(Folder(path("source"))),
        power: mock.power.unwrap(),
        health: mock.health,
        clock: Arc::new(move || Time { now, is_trusted: true }),
        runner: Runner::open(path("children")).unwrap(),
    };
    let firmware = SlotFirmware::open(config, around).unwrap();
    let hal = Hal { firmware: Some(Arc::new(firmware)), ..Hal::default() };
    let checks = run(&hal, &Circumstances::new(now, Uuid::from_u128(7))).await;
    let count = |is: fn(&CheckOutcome) -> bool| checks.iter().filter(|c| is(&c.outcome)).count();
    assert_eq!(count(|o| matches!(o, CheckOutcome::Failed(_))), 0, "{}", table(&checks));
    assert!(count(|o| *o == CheckOutcome::Passed) >= 3, "{}", table(&checks));
}
