//! Real programs: what they say, and that nothing of them is left.

use std::os::unix::process::CommandExt;

use super::*;
use crate::{OperationId, api};

const SHORT: Limits = Limits { output_bytes: 1_000, time: Duration::from_secs(20) };

fn runner() -> (tempfile::TempDir, Runner) {
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::open(folder.path().join("children")).unwrap();
    (folder, runner)
}

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").arg("-c").arg(script)
}

fn runs(pid: i32) -> bool {
    // A zombie has ended.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

async fn ends(pid: i32) {
    while runs(pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn pid_in(file: &Path) -> i32 {
    loop {
        if let Ok(Ok(pid)) = fs::read_to_string(file).map(|text| text.trim().parse()) {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_program_gets_its_input_and_is_heard() {
    let (_folder, runner) = runner();
    let program = shell("cat; echo \"no $1 $SHOP\" >&2; exit 3").arg("x").arg("paper");
    let output = runner.run(&program.env("SHOP", "9"), b"hello", SHORT, None).await.unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(3), b"hello".to_vec()));
    assert_eq!(output.stderr, "no paper 9");
    assert_eq!(fs::read_dir(&*runner.records).unwrap().count(), 0);
}

#[tokio::test]
async fn output_is_bounded_at_n_and_n_plus_one_bytes() {
    let (_folder, runner) = runner();
    let say =
        |bytes: usize| shell(&format!("head -c {bytes} /dev/zero; head -c 99999 /dev/zero >&2"));
    let output = runner.run(&say(1_000), b"", SHORT, None).await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (1_000, STDERR_BYTES_MAX));
    let error = runner.run(&say(1_001), b"", SHORT, None).await.unwrap_err();
    assert!(matches!(error, ChildError::TooMuchOutput { limit: 1_000, .. }), "{error}");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let (_folder, runner) = runner();
    let error = runner.run(&Program::new("/nowhere/x"), b"", SHORT, None).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot start /nowhere/x: "), "{error}");
}

#[tokio::test]
async fn when_its_time_is_up_nothing_of_its_group_is_left() {
    let (folder, runner) = runner();
    let file = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! >{}; wait", file.display());
    let limits = Limits { time: Duration::from_millis(300), ..SHORT };
    let error = runner.run(&shell(&script), b"", limits, None).await.unwrap_err();
    assert!(matches!(error, ChildError::Overdue { .. }), "{error}");
    ends(pid_in(&file).await).await;
    assert_eq!(fs::read_dir(&*runner.records).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_ends_with_it() {
    let (folder, runner) = runner();
    let file = folder.path().join("pid");
    let script = format!("sleep 600 >/dev/null 2>&1 & echo $! >{}", file.display());
    assert!(runner.run(&shell(&script), b"", SHORT, None).await.unwrap().status.success());
    ends(pid_in(&file).await).await;
}

#[tokio::test]
async fn a_cancelled_call_ends_its_program() {
    let (folder, runner) = runner();
    let file = folder.path().join("pid");
    let program = shell(&format!("echo $$ >{}; exec sleep 600", file.display()));
    let (call, handle) = api::call(OperationId(uuid::Uuid::from_u128(1)), 1, SHORT.time);
    let cancel = async {
        let pid = pid_in(&file).await;
        handle.cancel();
        pid
    };
    let run = runner.run(&program, b"", SHORT, Some(&call.cancellation));
    let (ended, pid) = tokio::join!(run, cancel);
    assert!(matches!(ended, Err(ChildError::Canceled { .. })), "{ended:?}");
    ends(pid).await;
}

#[tokio::test]
async fn what_a_killed_agent_left_running_is_killed_at_the_next_start() {
    let (folder, runner) = runner();
    let records = runner.records.to_path_buf();
    let orphan = |script: &str| {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0).stdin(Stdio::null()).spawn().unwrap()
    };
    let file = folder.path().join("pid");
    let mut whole = orphan("sleep 600; :");
    let mut headless = orphan(&format!("sleep 600 & echo $! >{}", file.display()));
    let mut stranger = orphan("exec sleep 600");
    let id = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
    for child in [&whole, &headless, &stranger] {
        leftover::record(&records, id(child)).unwrap();
    }
    let member = pid_in(&file).await;
    headless.wait().unwrap();
    // That id has been used again since the record was written.
    let other =
        format!("{} 1\n", fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    fs::write(records.join(stranger.id().to_string()), other).unwrap();
    Runner::open(records.clone()).unwrap();
    whole.wait().unwrap();
    ends(member).await;
    assert!(runs(id(&stranger)), "a program that is not the agent's was killed");
    assert_eq!(fs::read_dir(&records).unwrap().count(), 0);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_streaming_program_ends_with_its_reader() {
    let (folder, runner) = runner();
    let file = folder.path().join("pid");
    let script = format!("echo $$ >{}; while :; do echo line; done", file.display());
    let mut streaming = runner.stream(&shell(&script)).unwrap();
    let mut line = [0; 5];
    streaming.stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"line\n");
    let pid = pid_in(&file).await;
    drop(streaming);
    ends(pid).await;
    let mut short = runner.stream(&shell("echo a; echo b >&2; exit 4")).unwrap();
    let mut all = String::new();
    short.stdout.read_to_string(&mut all).await.unwrap();
    let (status, said) = short.end().await.unwrap();
    assert_eq!((all.as_str(), status.code(), said.as_str()), ("a\n", Some(4), "b"));
}
