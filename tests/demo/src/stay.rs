//! `--stay`: everything goes on running, for a person to play with.

use std::{
    io::BufRead as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use terminal_harness::{Site, agent_binary};
use tokio::sync::mpsc;

use crate::{
    device::{self, Device},
    newcomer::Newcomer,
};

/// How often the screen is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Returns with Ctrl-C.
pub(crate) async fn until_interrupted(site: &Site, device: &Device) -> Result<()> {
    let mut newcomer = Newcomer::unpack(site)?;
    explain(site, device, &newcomer)?;
    // The page takes the token from there; it is sent to nobody.
    open_browser(&format!("{}/dashboard#token={}", site.cloud()?.base_url(), site.api_token()));
    let mut lines = typed_lines();
    let mut shown = String::new();
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                return interrupted.context("waiting for Ctrl-C");
            }
            Some(line) = lines.recv() => obey(line.trim(), &mut newcomer)?,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let now = newcomer.screen();
                if now != shown && !now.is_empty() {
                    println!("\nthe new terminal's screen:\n{now}");
                    shown = now;
                }
            }
        }
    }
}

fn obey(line: &str, newcomer: &mut Newcomer) -> Result<()> {
    match line {
        "unplug" => newcomer.unplug(),
        "plug" => newcomer.plug_in()?,
        "pay" => newcomer.take_payment()?,
        "" => {}
        other => println!("{other:?}? There are unplug, plug, pay and Ctrl-C."),
    }
    Ok(())
}

/// What is typed, as long as somebody can type.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Where there is a desktop; the address has been printed for everybody else.
fn open_browser(url: &str) {
    let has_display = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if has_display("DISPLAY") || has_display("WAYLAND_DISPLAY") {
        "xdg-open"
    } else {
        return;
    };
    let nothing = Stdio::null;
    let opened =
        Command::new(opener).arg(url).stdin(nothing()).stdout(nothing()).stderr(nothing()).spawn();
    if let Ok(mut opened) = opened {
        // Whether it worked is seen in the browser.
        std::thread::spawn(move || opened.wait());
    }
}

fn explain(site: &Site, device: &Device, newcomer: &Newcomer) -> Result<()> {
    println!(
        r#"
Still running; Ctrl-C ends it. The dashboard (the browser asks about the demo's own certificate):

  {url}/dashboard#token={token}

A new terminal has been unpacked. Its screen is printed here whenever it changes: type its code into
the dashboard, configure it, lock it, run an end of day. Typed here, "unplug" pulls its plug, "plug"
puts it in again, "pay" sends a customer: queue an update while it is unplugged, and watch.

In another shell:

  export CURL_CA_BUNDLE={ca} TOKEN={token}

  curl {url}/v1/admin/terminals/operations -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' \
    -d '{{"terminal_id": "{terminal}", "operation": "end_of_day"}}'

  curl "{url}/v1/admin/terminals/operations?terminal_id={terminal}" \
    -H "Authorization: Bearer $TOKEN"

  {binary} status     --config {new_config}
  {binary} operations --config {config}

The terminal of the story, {terminal}: kill -9 {pid} for its agent, {app} for its payment application;
they are started again. Its screen: cat {screen}
Make it misbehave by writing {script},
as hal/README.md describes."#,
        url = site.cloud()?.base_url(),
        ca = site.ca_file().display(),
        token = site.api_token(),
        terminal = site.terminal_id(),
        binary = agent_binary()?.display(),
        new_config = newcomer.config().display(),
        config = site.agent_config().display(),
        pid = device.agent.pid().unwrap_or(0),
        app = device.app.pid().unwrap_or(0),
        screen = device::screen(site).display(),
        script = site.path("agent/mock-script.json").display(),
    );
    Ok(())
}
