//! `cargo demo`: the product in a few seconds, on real processes and real TLS.
//!
//! A simulated cloud, a real agent, a simulated payment application behind the vendor socket, every
//! operation over the REST API; the link is cut while an end of day runs, the agent is killed in the
//! middle of another one, the payment application in the middle of a third.
//! The exit code is 0 only if everything held. `--stay` leaves it running to try by hand, opens the
//! dashboard, and unpacks a second terminal that somebody has to activate.

mod checks;
mod device;
mod newcomer;
mod stay;
mod story;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use device::Device;
use lexopt::{Arg, Parser};
use terminal_harness::{Site, SiteOptions, agent_binary};

const USAGE: &str = "\
usage: cargo demo [--stay]

  --stay   leave everything running, open the dashboard in the browser, unpack a terminal that
           wants to be activated, and print what to try, until Ctrl-C
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool> {
    let Some(stay) = arguments()? else {
        print!("{USAGE}");
        return Ok(true);
    };
    eprintln!("building the agent …");
    agent_binary()?;
    let site = Site::start(SiteOptions::default()).await?;
    println!("cloud   {}  (throw-away certificate authority)", site.cloud()?.base_url());
    let device = Device::start(&site)?;
    let pid = |pid: Option<u32>| pid.unwrap_or(0);
    println!("agent   process {}, terminal {}", pid(device.agent.pid()), site.terminal_id());
    println!("payment application  process {}, behind a Unix socket", pid(device.app.pid()));
    let held = match story::tell(&site, &device).await {
        Ok(story) => {
            table::timeline(&story);
            table::operations(&story);
            checks::print(&story)
        }
        Err(error) => {
            eprintln!("\ndemo: {error:#}\n\nthe agent logged:\n{}", site.agent_log()?);
            false
        }
    };
    if stay {
        stay::until_interrupted(&site, &device).await?;
    }
    device.stop()?;
    Ok(held)
}

/// Whether to stay, or `None` for help.
fn arguments() -> Result<Option<bool>> {
    let mut stay = false;
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("stay") => stay = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            _ => bail!("{}\n\n{USAGE}", argument.unexpected()),
        }
    }
    Ok(Some(stay))
}
