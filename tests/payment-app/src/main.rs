//! `terminal-payment-app`: a simulated payment application that listens on a Unix socket.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use terminal_hal::mock::{MockConfig, MockTerminal};
use terminal_payment_app::{EXIT_REBOOT, ServerOptions, bind, draw, serve};
use tokio::sync::Notify;

const USAGE: &str = "\
usage: terminal-payment-app --socket PATH [--state FILE] [--script FILE] [--screen FILE]

A simulated payment application, as hal/VENDOR.md describes one.

  --socket PATH          where it listens
  --state FILE           its memory; forgotten at every start without it
  --script FILE          how it behaves and misbehaves, as hal/README.md describes
  --screen FILE          what is on the screen is kept there, as text
  --seed N               another seed is another shop (1)
  --serial-number TEXT   of the terminal
  --allow-uid UID        a user that may connect, beside root and its own; may be repeated

It ends with exit code 75 when the simulated device restarts: what runs on it should then be
started again.
";

struct Options {
    socket: PathBuf,
    screen: Option<PathBuf>,
    terminal: MockConfig,
    allowed_uids: Vec<u32>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("terminal-payment-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let Some(options) = options()? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(listen(options))
}

async fn listen(options: Options) -> Result<ExitCode> {
    let rebooting = Arc::new(Notify::new());
    let on_reboot = Arc::clone(&rebooting);
    let terminal = MockTerminal::open(MockConfig {
        on_reboot: Arc::new(move || on_reboot.notify_one()),
        ..options.terminal
    })?;
    let listener = bind(&options.socket)
        .with_context(|| format!("listening on {}", options.socket.display()))?;
    let nonce = nonce();
    println!("listening on {}, process {nonce}", options.socket.display());
    let server = ServerOptions { allowed_uids: options.allowed_uids, nonce };
    let screen = async {
        match &options.screen {
            Some(file) => draw(&terminal, file).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serve(listener, terminal.clone(), server) => ended.map(|()| ExitCode::SUCCESS),
        () = rebooting.notified() => {
            // The answer may still be on its way; a device takes longer to go down.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            println!("the device restarts");
            Ok(ExitCode::from(EXIT_REBOOT))
        }
        never = screen => match never {},
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells this process from every other.
fn nonce() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", std::process::id(), since.as_micros())
}

/// `None` for help.
fn options() -> Result<Option<Options>> {
    let mut terminal = MockConfig::default();
    let (mut socket, mut screen) = (None, None);
    let mut allowed_uids = vec![0, nix::unistd::geteuid().as_raw()];
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("socket") => socket = Some(PathBuf::from(parser.value()?)),
            Arg::Long("state") => terminal.state_file = Some(parser.value()?.into()),
            Arg::Long("script") => terminal.script_file = Some(parser.value()?.into()),
            Arg::Long("screen") => screen = Some(PathBuf::from(parser.value()?)),
            Arg::Long("seed") => terminal.seed = parser.value()?.parse()?,
            Arg::Long("serial-number") => terminal.serial_number = parser.value()?.string()?,
            Arg::Long("allow-uid") => allowed_uids.push(parser.value()?.parse()?),
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            _ => bail!("{}\n\n{USAGE}", argument.unexpected()),
        }
    }
    let Some(socket) = socket else { bail!("--socket is missing\n\n{USAGE}") };
    Ok(Some(Options { socket, screen, terminal, allowed_uids }))
}
