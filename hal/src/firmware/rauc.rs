//! RAUC, through its command line. The work is done by its service, which goes on when the command
//! or this process has ended: what became of it is asked, never assumed.

use std::{os::fd::AsRawFd as _, path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::timeout,
};

use super::{
    download::Image,
    slots::{Interrupted, Pair, Slots},
};
use crate::{
    ErrorCode, Failure, OperationId,
    api::{Call, HalFuture},
    child::{Limits, Program, Runner, Streaming},
};

/// Longest answer about the slots.
const STATUS_BYTES_MAX: usize = 256 << 10;
/// Longest report of an installation.
const REPORT_BYTES_MAX: u64 = 256 << 10;
/// A question or a mark may take this long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(8);
/// What its service says while it installs.
const BUSY: &str = "already processing";
/// Where the private bus of a test is, or of a system that has moved it.
const BUS_ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// How RAUC is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaucConfig {
    /// Its program, absolute.
    pub program: PathBuf,
}

#[derive(Debug)]
pub(super) struct Rauc {
    config: RaucConfig,
    runner: Runner,
}

/// `rauc status`.
#[derive(Debug, Deserialize)]
struct Status {
    /// Boot name of the slot that runs.
    booted: String,
    /// Name of the slot that the boot loader tries first.
    boot_primary: Option<String>,
    slots: Vec<std::collections::BTreeMap<String, SlotStatus>>,
}

#[derive(Debug, Deserialize)]
struct SlotStatus {
    class: String,
    bootname: Option<String>,
}

/// A slot that can boot.
#[derive(Clone, Copy, Debug)]
struct Bootable<'a> {
    name: &'a str,
    bootname: &'a str,
    class: &'a str,
}

impl Status {
    fn bootable(&self) -> impl Iterator<Item = Bootable<'_>> {
        self.slots.iter().flatten().filter_map(|(name, slot)| {
            let bootname = slot.bootname.as_deref()?;
            Some(Bootable { name, bootname, class: &slot.class })
        })
    }

    fn named(&self, bootname: &str) -> Result<Bootable<'_>, Failure> {
        let found = self.bootable().find(|slot| slot.bootname == bootname);
        found.ok_or_else(|| unavailable(&format!("it has no slot {bootname}")))
    }

    /// The other one of the same kind.
    fn other(&self, bootname: &str) -> Result<Bootable<'_>, Failure> {
        let this = self.named(bootname)?;
        let other = |slot: &Bootable<'_>| slot.class == this.class && slot.bootname != bootname;
        let found = self.bootable().find(other);
        found.ok_or_else(|| unavailable(&format!("it has no slot beside {bootname}")))
    }

    fn is_first(&self, slot: Bootable<'_>) -> bool {
        self.boot_primary.as_deref() == Some(slot.name)
    }
}

impl Rauc {
    pub(super) const fn new(config: RaucConfig, runner: Runner) -> Self {
        Self { config, runner }
    }

    fn program(&self) -> Program {
        let program = Program::new(&self.config.program);
        match std::env::var_os(BUS_ADDRESS) {
            Some(address) => program.env(BUS_ADDRESS, address),
            None => program,
        }
    }

    /// `None` while an installation is running.
    async fn status(&self) -> Result<Option<Status>, Failure> {
        let program = self.program().args(["status", "--output-format=json"]);
        let limits = Limits { output_bytes: STATUS_BYTES_MAX, time: ANSWER_TIME_MAX };
        let output = self.runner.run(&program, b"", limits, None).await;
        let output = output.map_err(|error| unavailable(&error.to_string()))?;
        if !output.status.success() {
            if output.stderr.contains(BUSY) {
                return Ok(None);
            }
            return Err(unavailable(&output.stderr));
        }
        let status = serde_json::from_slice(&output.stdout);
        status.map(Some).map_err(|error| unavailable(&format!("its status: {error}")))
    }

    async fn idle_status(&self) -> Result<Status, Failure> {
        self.status().await?.ok_or_else(|| unavailable("it is installing"))
    }

    async fn mark(&self, mark: &str, slot: &str) -> Result<(), Failure> {
        let program = self.program().args(["status", mark, slot]);
        let limits = Limits { output_bytes: STATUS_BYTES_MAX, time: ANSWER_TIME_MAX };
        let output = self.runner.run(&program, b"", limits, None).await;
        let output = output.map_err(|error| unavailable(&error.to_string()))?;
        if output.status.success() { Ok(()) } else { Err(unavailable(&output.stderr)) }
    }

    /// The other slot boots first, this one not at all.
    async fn turn_away(&self, slot: &str) -> Result<(), Failure> {
        let status = self.idle_status().await?;
        self.mark("mark-active", status.other(slot)?.name).await?;
        self.mark("mark-bad", status.named(slot)?.name).await
    }

    async fn write(&self, call: &Call, image: &Image, slot: &str) -> Result<(), Failure> {
        // From here on the slot is first only if the installation has come to its end.
        self.turn_away(slot).await?;
        self.confirm().await?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), image.file.as_raw_fd());
        let program = self.program().arg("install").arg(path);
        let streaming = self.runner.stream(&program).map_err(|error| failed(&error.to_string()))?;
        match timeout(call.time_left, follow(call, streaming)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(ErrorCode::DeadlineExceeded, "RAUC did not end in time")),
        }
    }
}

impl Slots for Rauc {
    fn pair(&self) -> HalFuture<'_, Pair> {
        Box::pin(async {
            let status = self.idle_status().await?;
            let standby = status.other(&status.booted)?.bootname.to_owned();
            Ok(Pair { standby, running: status.booted })
        })
    }

    fn install<'a>(&'a self, call: &'a Call, image: &'a Image, slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(self.write(call, image, slot))
    }

    fn interrupted<'a>(&'a self, _id: OperationId, slot: &'a str) -> HalFuture<'a, Interrupted> {
        Box::pin(async move {
            let Some(status) = self.status().await? else { return Ok(Interrupted::Writing) };
            let is_first = status.is_first(status.named(slot)?);
            Ok(if is_first { Interrupted::Installed } else { Interrupted::Broken })
        })
    }

    fn confirm(&self) -> HalFuture<'_, ()> {
        Box::pin(self.mark("mark-good", "booted"))
    }

    fn commit<'a>(&'a self, slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(async move {
            let status = self.idle_status().await?;
            let slot = status.named(slot)?.name;
            self.mark("mark-active", slot).await?;
            self.mark("mark-good", slot).await
        })
    }

    fn reject<'a>(&'a self, slot: &'a str) -> HalFuture<'a, ()> {
        Box::pin(self.turn_away(slot))
    }
}

/// Passes its progress on, and its last error.
async fn follow(call: &Call, mut streaming: Streaming) -> Result<(), Failure> {
    let mut last_error = None;
    let mut lines = BufReader::new((&mut streaming.stdout).take(REPORT_BYTES_MAX)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(error) = line.strip_prefix("LastError: ") {
            last_error = Some(error.to_owned());
        }
        let percent = line.split_once('%').and_then(|(percent, _)| percent.trim().parse().ok());
        if let Some(percent @ 0..=100_u32) = percent {
            call.progress("installing", u8::try_from(70 + percent * 3 / 10).ok());
        }
    }
    match streaming.end().await {
        Ok((status, _)) if status.success() => Ok(()),
        Ok((_, said)) => Err(failed(&last_error.unwrap_or(said))),
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn failed(problem: &str) -> Failure {
    Failure::new(ErrorCode::InstallFailed, format!("RAUC: {problem}"))
}

fn unavailable(problem: &str) -> Failure {
    Failure::new(ErrorCode::HalUnavailable, format!("RAUC: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_read_from_its_status() {
        let text = r#"{"compatible":"n92","variant":"","booted":"A","boot_primary":"rootfs.1",
            "slots":[{"appfs.0":{"class":"appfs","bootname":null}},
            {"rescue.0":{"class":"rescue","bootname":"R"}},
            {"rootfs.1":{"class":"rootfs","bootname":"B","boot_status":"good"}},
            {"rootfs.0":{"class":"rootfs","bootname":"A","state":"booted"}}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.other("A").unwrap().name, "rootfs.1");
        assert!(status.is_first(status.named("B").unwrap()));
        assert!(!status.is_first(status.named("A").unwrap()));
        let failure = status.other("R").unwrap_err();
        assert_eq!(failure.code, ErrorCode::HalUnavailable);
        assert!(status.named("C").is_err());
    }
}
