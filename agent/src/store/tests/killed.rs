//! `kill -9` of a process that writes, and of one that opens.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use terminal_core::engine::Write;
use terminal_core::protocol::Seq;

use super::super::damage::DEATHS_MAX;
use super::sample::{self, Dice};
use super::{Home, NO_LIMITS};
use crate::store::Store;
use crate::store::medium::Medium;

const PATH_VARIABLE: &str = "STORE_TEST_PATH";

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let home = Home::new();
    let mut dice = Dice(99);
    let mut acknowledged = 0;
    for _ in 0..12 {
        let mut child = spawn("child_that_appends", &home.store());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness prints lines of its own.
        let mut numbers = lines.filter_map(|line| line.unwrap().parse::<u64>().ok());
        let rounds = usize::try_from(1 + dice.below(40)).unwrap();
        acknowledged = numbers.nth(rounds).unwrap();
        child.kill().unwrap();
        acknowledged = numbers.last().unwrap_or(acknowledged);
        child.wait().unwrap();

        let snapshot = home.snapshot();
        let last = snapshot.meta.unwrap().acked_seq;
        assert!(last >= Seq(acknowledged), "{last} of {acknowledged}");
        // A batch is all or nothing, and the records of all batches are there.
        let seqs: Vec<_> = snapshot.reports.iter().map(|report| report.seq).collect();
        assert_eq!(seqs, (1..=last.0).map(Seq).collect::<Vec<_>>());
    }
    assert!(acknowledged >= 12);
}

#[test]
#[ignore = "a child process of another test"]
fn child_that_appends() {
    let Some(path) = env::var_os(PATH_VARIABLE) else { return };
    let opened = Store::open(Path::new(&path), NO_LIMITS).unwrap();
    let mut store = opened.store;
    let begin = opened.snapshot.meta.map_or(0, |meta| meta.acked_seq.0);
    for n in begin + 1.. {
        let report = sample::report(n, terminal_core::protocol::ReportBody::Dropped);
        let writes = [sample::put_report(report), Write::PutMeta(sample::meta(n))];
        store.append(&writes).unwrap();
        writeln!(io::stdout(), "\n{n}").unwrap();
    }
}

#[test]
fn a_store_that_kills_whoever_opens_it_is_moved_aside() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    for _ in 0..DEATHS_MAX {
        let status = spawn("child_that_dies_opening", &home.store()).wait().unwrap();
        assert_eq!(status.signal(), Some(6));
    }
    let damage = home.open().damage.unwrap();
    assert_eq!(damage.reason, format!("the last {DEATHS_MAX} attempts to open it did not return"));
}

#[test]
fn power_cuts_while_opening_are_no_damage() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    for _ in 0..2 {
        for _ in 1..DEATHS_MAX {
            spawn("child_that_dies_opening", &home.store()).wait().unwrap();
        }
        assert!(home.snapshot().meta.is_some());
    }
}

#[test]
#[ignore = "a child process of another test"]
fn child_that_dies_opening() {
    let Some(path) = env::var_os(PATH_VARIABLE) else { return };
    let _ = Store::open_on(Path::new(&path), NO_LIMITS, Box::new(Deadly));
}

/// Stands for a panic of sled where panics abort.
struct Deadly;

impl Medium for Deadly {
    fn sync_data(&self, _: &File) -> io::Result<()> {
        std::process::abort()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// Runs an ignored test of this file in a process of its own.
fn spawn(test: &str, path: &Path) -> Child {
    let mut command = child(Command::new(env::current_exe().unwrap()), test, path);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The same to its end, with an error for whoever makes a file larger than this.
pub(super) fn run_limited(test: &str, path: &Path, file_bytes_max: u64) -> Output {
    let blocks = (file_bytes_max / 512).to_string();
    let mut shell = Command::new("sh");
    // Left alone, the signal would end the process.
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#, &blocks]);
    shell.arg(env::current_exe().unwrap());
    child(shell, test, path).output().unwrap()
}

fn child(mut command: Command, test: &str, path: &Path) -> Command {
    let name = format!("store::tests::killed::{test}");
    command.args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(PATH_VARIABLE, path);
    command
}
