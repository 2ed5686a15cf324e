//! A terminal put together from several backends: payments simulated, screen from a program, power,
//! logs and state from a (fake) Linux system that is told to boot, to hang and to lose its power.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use terminal_cloud::{Operation, OperationStatus};
use terminal_hal::{OperationId, Timestamp};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{create, error, has_one_verdict, result, skipped, status};

/// Restarts the "device": another boot id, and the agent is told to stop as at any shutdown.
const REBOOTS: &str =
    "cat /proc/sys/kernel/random/uuid >proc/sys/kernel/random/boot_id; kill -TERM $PPID";
const SCREEN: &str = r#"asked=$(cat); echo "$asked" >>asked
case "$asked" in
    *'"screen.open_menu"'*) echo '{"result":{"opened_at":"2026-06-29T18:35:00Z","shown":true}}' ;;
    *) echo '{"result":{}}' ;;
esac"#;

/// A site with a folder that the agent takes for its system.
struct Device {
    site: Site,
    agent: Agent,
}

impl Device {
    /// `None` where nobody can make a program that belongs to root.
    async fn start() -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            skipped("programs must belong to root")?;
            return Ok(None);
        }
        let site = Site::start(SiteOptions::default()).await?;
        fs::create_dir_all(site.path("hw/proc/sys/kernel/random"))?;
        fs::create_dir_all(site.path("hw/sys/class/watchdog/watchdog0"))?;
        fs::create_dir_all(site.path("hw/sys/class/power_supply/BAT0"))?;
        let supply = "hw/sys/class/power_supply/BAT0";
        for (file, text) in [("type", "Battery"), ("capacity", "64"), ("status", "Discharging")] {
            fs::write(site.path(supply).join(file), text)?;
        }
        let device = site.path("hw");
        let device = device.display();
        let sources = format!(
            r#"payments = "mock"
firmware = "mock"
screen = "exec"
logs = "linux"
power = "linux"
health = ["linux", "mock"]

[hal.exec]
screen = "{device}/screen"

[hal.linux]
root = "{device}"
systemctl = "{device}/systemctl"
reset-cause-file = "{device}/cause"
daily-restart-mark = "{device}/daily"
log-files = [{{ path = "{device}/app.log", component = "payment" }}]

[hal.linux.journal]
journalctl = "{device}/journalctl"
components = {{ kernel = ["kernel"] }}"#
        );
        site.edit_config(|text| text.replace("backend = \"mock\"", &sources))?;
        program(&site, "screen", SCREEN)?;
        program(&site, "systemctl", REBOOTS)?;
        fs::write(site.path("hw/proc/sys/kernel/random/boot_id"), new_boot().to_string())?;
        let agent = site.start_agent()?;
        site.online().await?;
        Ok(Some(Self { site, agent }))
    }

    fn boot_id(&self) -> Result<String> {
        let text = fs::read_to_string(self.hardware("proc/sys/kernel/random/boot_id"))?;
        Ok(text.trim().to_owned())
    }

    fn hardware(&self, path: &str) -> PathBuf {
        self.site.path("hw").join(path)
    }

    /// A reboot that has been called for and waits: everything about it is on the medium.
    async fn called_for(&self) -> Result<OperationId> {
        let parameters = json!({ "delay_s": 3_600, "reason": "test" });
        let id = create(&self.site, "reboot", parameters).await?;
        let what = "a restart that has been called for";
        status(&self.site, &self.agent, what, |s| s["state"] == "restarting").await?;
        Ok(id)
    }

    /// Another boot, in which the agent is started again.
    fn boots(&self, signal: Signal) -> Result<()> {
        let id = new_boot().to_string();
        fs::write(self.hardware("proc/sys/kernel/random/boot_id"), id)?;
        self.agent.signal(signal)
    }

    async fn reboot_result(&self, id: OperationId) -> Result<Value> {
        let rebooted = result(&self.site.verdict(id).await?)?;
        assert_eq!(rebooted["boot_id_after"], self.boot_id()?);
        assert_ne!(rebooted["boot_id_before"], rebooted["boot_id_after"]);
        has_one_verdict(&self.site, id).await?;
        Ok(rebooted)
    }
}

fn new_boot() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

/// By another process: one that this one has open for writing cannot be started.
fn program(site: &Site, name: &str, script: &str) -> Result<()> {
    let script = format!("#!/bin/sh\ncd \"${{0%/*}}\"\n{script}\n");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "printf '%s' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script]);
    let written = shell.arg(site.path("hw").join(name)).stdin(Stdio::null()).status()?;
    ensure!(written.success(), "{name} cannot be written");
    Ok(())
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_ms(since.as_secs() * 1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_runs_on_the_backend_that_serves_it() -> Result<()> {
    let Some(Device { site, agent }) = Device::start().await? else { return Ok(()) };
    let menu = result(&site.run("open_menu", json!({ "menu": "reports" })).await?)?;
    assert_eq!(menu, json!({ "opened_at": "2026-06-29T18:35:00.000Z", "shown": true }));
    let asked = fs::read_to_string(site.path("hw/asked"))?;
    let asked: Value = serde_json::from_str(asked.lines().last().context("not asked")?)?;
    assert_eq!(asked["params"]["parameters"]["menu"], "reports", "{asked}");

    let day = result(&site.run("end_of_day", json!({})).await?)?;
    assert_eq!(day["currency"], "NOK");

    // What the system does not know, the simulated terminal is asked for.
    let mut last = Value::Null;
    site.until("a status of both", async |site| {
        last = site.cloud()?.terminal(site.terminal_id()).await?.status.unwrap_or_default();
        Ok(last["battery_level"] == 64 && last["power"] == "battery")
    })
    .await?;
    assert_eq!(last["printer"], "ok", "{last}");
    assert!(last["storage_free_bytes"].as_u64() > Some(0), "{last}");
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_journal_and_file_arrive_in_order_and_nobody_elses() -> Result<()> {
    let Some(Device { site, agent: _agent }) = Device::start().await? else { return Ok(()) };
    let to = now();
    let at = |seconds: u64| Timestamp::from_unix_ms(to.unix_ms() - 60_000 + seconds * 1000);
    let lines = format!("{} INFO sale\n{} WARN paper low\n", at(1), at(3));
    fs::write(site.path("hw/app.log"), lines)?;
    let entry = |seconds, from: &str, message: &str| {
        let time = (at(seconds).unix_ms() * 1000).to_string();
        let entry = json!({
            "__REALTIME_TIMESTAMP": time, "SYSLOG_IDENTIFIER": from, "PRIORITY": "4",
            "MESSAGE": message,
        });
        format!("{entry}\n")
    };
    let journal = [entry(2, "kernel", "usb reset"), entry(2, "sshd", "login")].concat();
    fs::write(site.path("hw/journal"), journal)?;
    program(&site, "journalctl", "cat journal")?;
    let parameters = json!({ "from": at(0), "to": to });
    let operation = site.run("send_logs", parameters).await?;
    let report = result(&operation)?;
    assert_eq!(report["lines"], 3, "{report}");
    let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
    let mut text = String::new();
    MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    let lines: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, serde_json::Error>>()?;
    let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["INFO sale", "usb reset", "WARN paper low"]);
    // A journal that cannot be read is a verdict with a reason.
    program(&site, "journalctl", "echo No journal files were found >&2; exit 1")?;
    let failed = error(&site.run("send_logs", json!({ "from": at(0), "to": to })).await?)?;
    assert_eq!(failed["code"], "DEVICE_FAULT", "{failed}");
    assert!(failed["failure_reason"].as_str().unwrap().contains("No journal files"), "{failed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_through_the_service_manager_is_reported_by_the_next_boot() -> Result<()> {
    let Some(device) = Device::start().await? else { return Ok(()) };
    let before = device.boot_id()?;
    let id = create(&device.site, "reboot", json!({ "delay_s": 0 })).await?;
    let rebooted = device.reboot_result(id).await?;
    assert_eq!(rebooted["boot_id_before"], before);
    assert_eq!(rebooted["boot_reason"], "requested", "{rebooted}");
    assert_eq!(device.agent.starts(), 2);
    // One that the service manager refuses has not happened.
    program(&device.site, "systemctl", "echo Access denied >&2; exit 4")?;
    let failed = error(&device.site.run("reboot", json!({ "delay_s": 0 })).await?)?;
    assert_eq!(failed["code"], "DEVICE_FAULT", "{failed}");
    assert!(failed["failure_reason"].as_str().unwrap().contains("Access denied"), "{failed}");
    assert_eq!(device.agent.starts(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_application_that_hangs_is_cured_by_a_reboot() -> Result<()> {
    /// A minute of silence, and the boot.
    const PATIENCE: Duration = Duration::from_secs(120);
    let Some(device) = Device::start().await? else { return Ok(()) };
    let hangs = json!({ "hang": {}, "ignore_cancel": true });
    device.site.script(&json!({ "methods": { "hold_payments": hangs, "activity": hangs } }))?;
    let id = create(&device.site, "reboot", json!({ "delay_s": 3_600 })).await?;
    let cloud = device.site.cloud()?;
    let has_ended = |operation: &Operation| operation.status != OperationStatus::Pending;
    cloud.wait_operation(id, PATIENCE, has_ended).await?;
    let rebooted = device.reboot_result(id).await?;
    assert_eq!(rebooted["boot_reason"], "requested", "{rebooted}");
    let reports = cloud.reports(device.site.terminal_id()).await?;
    let told = reports.iter().filter(|report| report.body["event"] == "application_hangs");
    let told: Vec<_> = told.map(|report| report.body["data"]["id"].clone()).collect();
    assert_eq!(told, [json!(id)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_comes_before_the_requested_one_is_told_apart_from_it() -> Result<()> {
    let Some(device) = Device::start().await? else { return Ok(()) };
    // The watchdog fires while the restart waits for its delay.
    let id = device.called_for().await?;
    fs::write(device.hardware("sys/class/watchdog/watchdog0/bootstatus"), "32\n")?;
    device.boots(Signal::SIGKILL)?;
    assert_eq!(device.reboot_result(id).await?["boot_reason"], "watchdog");
    // The power is lost, and the firmware has seen it.
    let id = device.called_for().await?;
    fs::write(device.hardware("cause"), "power\n")?;
    device.boots(Signal::SIGKILL)?;
    assert_eq!(device.reboot_result(id).await?["boot_reason"], "power");
    // Nobody knows.
    fs::remove_file(device.hardware("cause"))?;
    fs::write(device.hardware("sys/class/watchdog/watchdog0/bootstatus"), "0\n")?;
    let id = device.called_for().await?;
    device.boots(Signal::SIGKILL)?;
    assert_eq!(device.reboot_result(id).await?["boot_reason"], "unknown");
    // The daily restart is enforced, in good order.
    let id = device.called_for().await?;
    fs::write(device.hardware("daily"), device.boot_id()?)?;
    device.boots(Signal::SIGTERM)?;
    assert_eq!(device.reboot_result(id).await?["boot_reason"], "daily");
    // Its mark still lies there when the next one is requested.
    let id = create(&device.site, "reboot", json!({ "delay_s": 0 })).await?;
    assert_eq!(device.reboot_result(id).await?["boot_reason"], "requested");
    Ok(())
}
