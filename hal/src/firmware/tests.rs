//! A terminal with two folders as slots, a source of updates and a key; nothing is simulated but
//! the boots and the power.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use minisign::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    ErrorCode,
    api::{self, CallHandle},
    operation::reboot::BootReason,
    operation::update::Apply,
};

mod cuts;
mod downloads;
pub(super) mod power;
mod refusals;
mod slots;
mod trials;

use power::PowerLine;

const OLD: &str = "3.14.2";
const NEW: &str = "3.15.0";
const ID: OperationId = OperationId(Uuid::from_u128(7));
const NOW: &str = "2026-06-29T09:00:00Z";

/// The folders of a terminal, its source of updates and its key.
struct Bench {
    directory: TempDir,
    key: KeyPair,
    boots: Mutex<u128>,
    health_check: &'static str,
}

impl Bench {
    /// Slot A runs the old system; the new one is on offer.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let key = KeyPair::generate_unencrypted_keypair().unwrap();
        let bench = Self { directory, key, boots: Mutex::new(0), health_check: "/bin/true" };
        fs::create_dir_all(bench.path("slots")).unwrap();
        system(&bench.path("slots/slot-a"), OLD);
        std::os::unix::fs::symlink("slot-a", bench.path("slots/active")).unwrap();
        fs::create_dir(bench.path("source")).unwrap();
        bench.offer(&bench.pack(NEW));
        bench.boot();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the boot loader does.
    fn boot(&self) {
        *self.boots.lock().unwrap() += 1;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/ab-boot");
        let output = Command::new(script).arg(self.path("slots")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Name and version of the system that runs. Fails if it is not whole.
    fn running(&self) -> (String, String) {
        let booted = fs::read_link(self.path("slots/booted")).unwrap();
        let slot = self.path("slots").join(&booted);
        let version = fs::read_to_string(slot.join("VERSION")).unwrap().trim().to_owned();
        let program = fs::read_to_string(slot.join("bin/program")).unwrap();
        assert_eq!(
            program,
            format!("program of {version}").repeat(100),
            "a half-written slot runs"
        );
        (booted.display().to_string(), version)
    }

    /// Packs a system and gives its manifest.
    fn pack(&self, version: &str) -> Value {
        let folder = self.path("packing");
        system(&folder, version);
        let name = format!("firmware-{version}.tar");
        let archive = self.path("source").join(&name);
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&archive).arg("-C").arg(&folder).arg(".");
        assert!(tar.status().unwrap().success());
        fs::remove_dir_all(folder).unwrap();
        let bytes = fs::read(archive).unwrap();
        let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        json!({
            "format": 1, "channel": "stable", "sequence": 5, "expires_at": "2026-12-31T00:00:00Z",
            "releases": [{
                "version": version, "models": ["n92"], "file": name, "size_bytes": bytes.len(),
                "sha256": sha256,
            }],
        })
    }

    fn offer(&self, manifest: &Value) {
        self.offer_signed_by(&self.key, manifest);
    }

    fn offer_signed_by(&self, key: &KeyPair, manifest: &Value) {
        let text = manifest.to_string();
        let signature = minisign::sign(None, &key.sk, text.as_bytes(), None, None).unwrap();
        fs::write(self.path("source/stable.json"), &text).unwrap();
        fs::write(self.path("source/stable.json.minisig"), signature.to_string()).unwrap();
    }

    fn config(&self) -> FirmwareConfig {
        FirmwareConfig {
            directory: self.path("firmware"),
            version_file: self.path("slots/booted/VERSION"),
            model: "n92".to_owned(),
            keys: TrustedKeys::parse(&[self.key.pk.to_base64()]).unwrap(),
            channel: Channel::Stable,
            window: Window::parse("00:00-23:59").unwrap(),
            allow_downgrade: false,
            size_bytes_max: 1 << 20,
            health_checks: vec![HealthProgram {
                name: "payments".to_owned(),
                program: self.health_check.into(),
                time_max: Duration::from_secs(20),
            }],
            slots: SlotsConfig::Ab(AbConfig { directory: self.path("slots"), boot_attempts: 2 }),
        }
    }

    fn around(&self) -> Surroundings {
        let now = Timestamp::parse(NOW).unwrap();
        Surroundings {
            source: Arc::new(Folder(self.path("source"))),
            power: Arc::new(Boots(BootId(Uuid::from_u128(*self.boots.lock().unwrap())))),
            health: None,
            clock: Arc::new(move || Time { now, is_trusted: true }),
            runner: Runner::open(self.path("children")).unwrap(),
        }
    }

    fn open(&self) -> SlotFirmware {
        SlotFirmware::open(self.config(), self.around()).unwrap()
    }

    /// What the firmware says once it has settled what the boot has tried.
    async fn settled(&self, firmware: &SlotFirmware, id: OperationId) -> UpdateState {
        loop {
            let state = firmware.query_update(id).await.unwrap();
            if state != UpdateState::Running {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A whole system.
fn system(folder: &Path, version: &str) {
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::write(folder.join("VERSION"), format!("{version}\n")).unwrap();
    let program = format!("program of {version}").repeat(100);
    fs::write(folder.join("bin/program"), program).unwrap();
}

fn now() -> UpdateParameters {
    UpdateParameters { apply: Apply::Now, ..UpdateParameters::default() }
}

fn call() -> (Call, CallHandle) {
    api::call(ID, 1, Duration::from_secs(600))
}

async fn install(
    firmware: &SlotFirmware,
    parameters: &UpdateParameters,
) -> Result<InstallOutcome, Failure> {
    let (call, _handle) = call();
    firmware.install(&call, parameters).await
}

async fn refusal(firmware: &SlotFirmware, parameters: &UpdateParameters) -> Failure {
    install(firmware, parameters).await.unwrap_err()
}

/// Runs as a user to whom the medium says no: root's tests would never hear it.
fn as_nobody(work: impl Future<Output = ()> + Send) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| {
        // Of this thread and those that it starts alone.
        scope.spawn(|| {
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
            runtime.block_on(work);
        });
    });
}

/// One boot.
struct Boots(BootId);

impl Power for Boots {
    fn boot_id(&self) -> HalFuture<'_, BootId> {
        Box::pin(async { Ok(self.0) })
    }

    fn reboot<'a>(&'a self, _call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(async { Err(Failure::new(ErrorCode::Internal, "the test boots")) })
    }

    fn restart_application<'a>(&'a self, _call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(async { Err(Failure::new(ErrorCode::Internal, "there is none")) })
    }

    fn reset_cause(&self) -> HalFuture<'_, BootReason> {
        Box::pin(async { Ok(BootReason::Unknown) })
    }
}
