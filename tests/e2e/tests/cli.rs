//! The command line, as a technician in front of the terminal meets it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result};
use nix::unistd::{getegid, geteuid};
use serde_json::{Value, json};
use terminal_harness::{Site, SiteOptions, agent_binary};

use crate::support::{create, cut_off, open, seen, skipped, slow, unsent};

/// `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// Runs the agent's program to its end.
pub(crate) fn run(arguments: &[&str], config: Option<&Path>) -> Result<Output> {
    let mut command = Command::new(agent_binary()?);
    command.args(arguments).args(config);
    command.output().context("cannot run the agent's program")
}

/// Exit code, standard output and standard error.
fn outcome(arguments: &[&str], config: Option<&Path>) -> Result<(Option<i32>, String, String)> {
    let output = run(arguments, config)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_accepts_a_good_file_and_names_every_problem_of_a_bad_one() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let config = site.agent_config();
    let (code, out, err) = outcome(&["validate", "--config"], Some(&config))?;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(site.terminal_id()) && out.contains("wss://localhost"), "{out}");
    let (_, out, _) = outcome(&["validate", "--json", "--config"], Some(&config))?;
    assert_eq!(serde_json::from_str::<Value>(&out)?["valid"], true);

    let bad = |text: &str| {
        let text =
            text.replace("wss://", "http://").replace("level = \"info\"", "level = \"loud\"");
        text.replace(site.terminal_id(), "").replace("cap-s = 1", "cap-s = 0")
    };
    site.edit_config(bad)?;
    for command in ["validate", "run", "status"] {
        let (code, out, err) = outcome(&[command, "--config"], Some(&config))?;
        assert_eq!((code, out.as_str()), (Some(78), ""), "{command}");
        for key in ["terminal.id", "cloud.url", "cloud.reconnect-cap-s", "log.level"] {
            let named = format!("agent.toml: {key}: ");
            assert!(err.contains(&named), "{command}: {key} not in {err}");
        }
    }
    let (code, _, err) = outcome(&["validate", "--config"], Some(Path::new("/nowhere.toml")))?;
    assert_eq!(code, Some(78));
    assert!(err.contains("/nowhere.toml"), "{err}");
    Ok(())
}

#[test]
fn the_files_that_are_shipped_and_shown_are_valid() -> Result<()> {
    let packaged = repository("packaging/agent.toml");
    let (code, _, err) = outcome(&["validate", "--config"], Some(&packaged))?;
    assert_eq!(code, Some(0), "{err}");

    let readme = fs::read_to_string(repository("README.md"))?;
    let block = readme.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```"));
    let file = std::env::temp_dir().join(format!("readme-{}.toml", uuid::Uuid::new_v4()));
    fs::write(&file, block.context("no toml in README.md")?.0)?;
    let validated = outcome(&["validate", "--config"], Some(&file));
    fs::remove_file(&file)?;
    let (code, _, err) = validated?;
    assert_eq!(code, Some(0), "{err}");
    Ok(())
}

#[test]
fn usage_and_version_are_said_where_they_are_looked_for() -> Result<()> {
    for wrong in [&["dance"][..], &[], &["status", "--fast"], &["run", "twice"], &["--config"]] {
        let (code, out, err) = outcome(wrong, None)?;
        assert_eq!((code, out.as_str()), (Some(64), ""), "{wrong:?}");
        assert!(err.contains("usage: terminal-agent"), "{err}");
    }
    let (code, help, _) = outcome(&["--help"], None)?;
    assert_eq!(code, Some(0));
    for command in ["run", "validate", "status", "operations", "version"] {
        assert!(help.contains(&format!("\n  {command}")), "{command} not in {help}");
    }
    let (code, version, _) = outcome(&["version"], None)?;
    assert_eq!(code, Some(0));
    assert!(version.starts_with("terminal-agent 0.") && version.contains("terminal-ops.v1"));
    let (_, version, _) = outcome(&["version", "--json"], None)?;
    assert_eq!(serde_json::from_str::<Value>(&version)?["protocol"], "terminal-ops.v1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_the_answer_is_a_hint() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    for command in ["status", "operations"] {
        let (code, out, err) = outcome(&[command, "--config"], Some(&site.agent_config()))?;
        assert_eq!((code, out.as_str()), (Some(69), ""));
        assert!(err.contains("control.sock") && err.contains("is the agent running?"), "{err}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_goes_on_idle_running_and_cut_off() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let idle = agent.ask("status")?;
    assert_eq!((&idle["state"], &idle["link"]["state"]), (&"idle".into(), &"up".into()));
    assert_eq!((&idle["operations"], &idle["unsent_reports"]), (&json!([]), &0.into()));
    for field in ["agent_version", "clock", "boot_id", "uptime_ms", "store", "health", "locked"] {
        assert!(!idle[field].is_null(), "{field} in {idle}");
    }
    let shown = agent.show("status")?;
    assert!(shown.contains(site.terminal_id()), "{shown}");
    for line in ["link            up for", "state           idle", "operations      none"] {
        assert!(shown.contains(line), "{line:?} not in\n{shown}");
    }
    assert_eq!(agent.show("operations")?, "no operations yet\n");

    site.script(&slow("close_batch", 1_500))?;
    let day = create(&site, "end_of_day", json!({})).await?;
    let menu = create(&site, "open_menu", json!({})).await?;
    seen(&site, day, "started", 1).await?;
    seen(&site, menu, "accepted", 1).await?;
    let busy = agent.ask("status")?;
    assert_eq!(busy["state"], "operation");
    let operations = busy["operations"].as_array().context("no list")?;
    let states: Vec<_> = operations.iter().map(|one| (&one["id"], &one["state"])).collect();
    assert_eq!(states, [(&json!(day), &json!("running")), (&json!(menu), &json!("queued"))]);
    for command in ["status", "operations"] {
        let shown = agent.show(command)?;
        assert!(shown.contains("end_of_day") && shown.contains("attempt 1"), "{shown}");
        assert!(shown.contains("waits"), "{shown}");
    }

    cut_off(&site).await?;
    unsent(&site, &agent, 2).await?;
    assert_ne!(agent.ask("status")?["link"]["state"], "up");
    let shown = agent.show("status")?;
    assert!(shown.contains("unsent reports  2") && shown.contains("reset by peer"), "{shown}");
    let finished = agent.ask("operations")?["finished"].clone();
    assert_eq!((&finished[0]["id"], &finished[0]["acked"]), (&json!(menu), &false.into()));
    assert_eq!((&finished[1]["id"], &finished[1]["status"]), (&json!(day), &"COMPLETED".into()));
    assert_eq!(finished[1]["result"]["outcome"], "closed");
    let shown = agent.show("operations")?;
    assert_eq!(shown.matches("(not sent yet)").count(), 2, "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_may_only_ask_as_a_member_of_the_group_or_when_the_configuration_names_them()
-> Result<()> {
    if !geteuid().is_root() {
        return skipped("only root can run a program as somebody else");
    }
    let site = Site::start(SiteOptions::default()).await?;
    // Somebody else must be able to reach the socket and the program to be refused by the agent.
    for folder in [site.folder(), &site.path("agent")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let program = site.path("terminal-agent");
    fs::copy(agent_binary()?, &program)?;
    let own_group = getegid().to_string();
    let ask = |asked: &str, groups: &str| -> Result<(Option<i32>, String)> {
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--groups", groups]);
        command.arg(&program).args([asked, "--config"]).arg(site.agent_config());
        let output = command.output().context("setpriv of util-linux")?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let agent = site.start_agent()?;
    site.online().await?;
    let (code, error) = ask("status", "65534")?;
    assert_eq!(code, Some(77), "{error}");
    assert!(error.contains("control.readers") && error.contains("65534"), "{error}");
    let (code, error) = ask("status", &format!("65534,{own_group}"))?;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(agent.stop()?, Some(0));

    site.edit_config(|text| {
        format!("{text}\n").replace("[control]\n", "[control]\nreaders = [65534]\n")
    })?;
    let _agent = site.start_agent()?;
    site.until("an answer", async |_| Ok(ask("status", "65534")?.0 == Some(0))).await?;
    // Reading is all that they may.
    let (code, error) = ask("activate", "65534")?;
    assert_eq!(code, Some(77), "{error}");
    assert!(error.contains("only root"), "{error}");
    Ok(())
}
