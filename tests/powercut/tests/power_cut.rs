//! The short form: a few dozen power cuts with the product as it is, and with system calls that
//! only claim to have done their work.
//!
//! `POWERCUT_SEED` and `POWERCUT_CUTS` choose others; where the machine cannot do it a test says so
//! and passes, unless `POWERCUT_REQUIRED` is 1.

#![expect(clippy::unwrap_used, reason = "what these tests share may panic as they may")]

use std::env;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use terminal_powercut::drive::Event;
use terminal_powercut::figures::Figures;
use terminal_powercut::ground::Ground;
use terminal_powercut::life::{Recorded, empty_ext4};
use terminal_powercut::run::{Plan, Supply, run};
use terminal_powercut::silence::Call;

const SEED: u64 = 1;
const CUTS: u64 = 60;

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let Some(figures) = cut(number("POWERCUT_CUTS", CUTS), Supply::Steady, &[]) else { return };
    assert!(figures.is_sound(), "{figures}");
    // At least one flush for each commit has reached the drive.
    assert!(figures.flushes >= figures.commits, "{figures}");
}

#[test]
fn a_supply_that_flaps_takes_nothing_either() {
    let Some(figures) = cut(40, Supply::Flapping, &[]) else { return };
    assert!(figures.is_sound(), "{figures}");
}

/// Otherwise the drive would keep what it need not keep, and the test above would prove nothing.
#[test]
fn without_fdatasync_acknowledged_commits_are_lost() {
    let Some(figures) = cut(40, Supply::Steady, &[Call::Fdatasync]) else { return };
    assert!(figures.rolled_back * 5 >= figures.cuts(), "{figures}");
    assert!(figures.commits_lost_max >= 5, "{figures}");
}

#[test]
fn without_fsync_a_new_store_is_not_there_or_not_whole() {
    let Some(figures) = cut(40, Supply::Steady, &[Call::Fsync]) else { return };
    assert!(figures.lost() * 5 >= figures.cuts(), "{figures}");
}

/// The agent does not rely on it: sled's call empties no drive's cache.
#[test]
fn without_sync_file_range_nothing_is_lost() {
    let Some(figures) = cut(20, Supply::Steady, &[Call::SyncFileRange]) else { return };
    assert!(figures.is_sound(), "{figures}");
}

#[test]
fn what_a_program_writes_and_syncs_reaches_the_drive_in_this_order_and_nothing_else_does() {
    if !is_possible() {
        return;
    }
    let ground = Ground::new().unwrap();
    let base = empty_ext4(&ground, 16 << 20).unwrap();
    let recorded = Recorded::new(&ground, "recorded", base.clone()).unwrap();
    let drive = recorded.drive();
    let path = ground.path("recorded").join("file");
    let mut file = File::create(&path).unwrap();
    for n in 1..=20_u8 {
        drive.take_log();
        file.write_all(&[n; 4096]).unwrap();
        drive.note(Event::Holds(0));
        file.sync_data().unwrap();
        drive.note(Event::Holds(1));
        let log = drive.take_log();
        // The page cache has it until the sync; then the drive has it, then the flush.
        let place = |wanted: &dyn Fn(&Event) -> bool| log.iter().position(wanted);
        let asked = place(&|event| *event == Event::Holds(0)).unwrap();
        let written = place(&|event| is_write_of(event, n)).unwrap();
        let flushed = log.iter().rposition(|event| *event == Event::Flush).unwrap();
        let answered = place(&|event| *event == Event::Holds(1)).unwrap();
        assert!(asked < written && written < flushed && flushed < answered, "{n}");
    }
    drop(file);
    drive.take_log();
    let before = drive.image();
    std::fs::write(ground.path("recorded").join("another"), [77; 100_000]).unwrap();
    let drive = drive.clone();
    recorded.unmount().unwrap();
    // The writes in the log are all that happened.
    let mut replayed = before;
    for event in drive.take_log() {
        if let Event::Write { offset, bytes } = event {
            replayed.write(offset, &bytes);
        }
    }
    assert_eq!(replayed, drive.image());
    assert_ne!(replayed, base);
}

fn is_write_of(event: &Event, byte: u8) -> bool {
    matches!(event, Event::Write { bytes, .. } if bytes.contains(&byte)
        && bytes.chunks(4096).any(|block| block.iter().all(|each| *each == byte)))
}

/// Runs, and prints what came out. `None` where the machine cannot.
fn cut(cuts: u64, supply: Supply, without: &[Call]) -> Option<Figures> {
    if !is_possible() {
        return None;
    }
    let plan = Plan {
        program: PathBuf::from(env!("CARGO_BIN_EXE_terminal-powercut")),
        cuts: usize::try_from(cuts).unwrap(),
        supply,
        seed: number("POWERCUT_SEED", SEED),
        without: without.to_vec(),
        keep: None,
    };
    let figures = run(&plan, |_| {}).unwrap();
    say(&format!("seed {}, without {without:?}\n{figures}", plan.seed));
    Some(figures)
}

fn is_possible() -> bool {
    let missing = Ground::missing();
    if missing.is_empty() {
        return true;
    }
    let text = format!("power cannot be cut on this machine; missing: {}", missing.join(", "));
    assert_ne!(env::var("POWERCUT_REQUIRED").as_deref(), Ok("1"), "{text}");
    say(&format!("SKIPPED: {text}\n"));
    false
}

/// Past the test harness, which would keep it to itself: whoever reads the log of a run must see
/// what was proven in it.
fn say(text: &str) {
    let _ = write!(io::stderr(), "{text}");
}

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}
