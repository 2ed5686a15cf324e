//! What is shipped, on a system of its own: the Debian package through its life, and a booted
//! systemd with the agent in it. Root is needed; the machine itself is not touched.

mod nspawn;
mod packages;
mod root;
mod settings;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

const USAGE: &str = "\
usage: terminal-device packages | nspawn

  packages   install, upgrade, downgrade, remove and purge target/packages/*_amd64.deb
  nspawn     boot the package under systemd-nspawn, cut its power, hang it, restart it
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terminal-device: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ensure!(nix::unistd::geteuid().is_root(), "only root can make and boot a root file system");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["packages"] => packages::life().await,
        ["nspawn"] => story::tell().await,
        _ => bail!("{USAGE}"),
    }
}
