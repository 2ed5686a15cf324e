//! The cloud's process from inside: the simulated cloud, and orders on standard input.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context, Result, bail};
use terminal_cloud::{
    Cloud, CloudConfig, FaultSwitches, SendReconnect, TlsConfig, Transport, Unavailable,
};

/// First argument of the process.
pub(super) const SUBCOMMAND: &str = "cloud";
/// Answers an order that has been carried out, and the start.
pub(super) const DONE: &str = "done";

/// Serves the folder of a site until it is told to stop or nobody is left to tell it.
///
/// # Errors
/// When the cloud cannot start, or an order cannot be carried out.
pub fn serve(directory: &Path, port: u16) -> Result<()> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).with_context(|| path.display().to_string())
    };
    let tls = TlsConfig {
        cert_chain_pem: read("server.pem")?,
        key_pem: read("server.key")?,
        client_ca_pem: None,
    };
    let mut config = CloudConfig::new(directory.join("data"), Transport::Tls(tls));
    config.listen = SocketAddr::from(([127, 0, 0, 1], port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cloud = runtime.block_on(Cloud::start(config))?;
    say(DONE)?;
    for order in io::stdin().lines() {
        let order = order?;
        if order == "stop" {
            runtime.block_on(cloud.stop());
            return say(DONE);
        }
        match runtime.block_on(obey(&cloud, &order)) {
            Ok(()) => say(DONE)?,
            Err(error) => say(&format!("{error:#}"))?,
        }
    }
    Ok(())
}

async fn obey(cloud: &Cloud, order: &str) -> Result<()> {
    let switches = match order.split(' ').collect::<Vec<_>>().as_slice() {
        ["clear"] => FaultSwitches { clear: true, ..FaultSwitches::default() },
        ["unavailable", seconds] => FaultSwitches {
            unavailable: Some(Unavailable { retry_after_s: seconds.parse()? }),
            ..FaultSwitches::default()
        },
        ["reconnect", after, spread] => FaultSwitches {
            reconnect: Some(SendReconnect {
                terminal_id: None,
                after_s: after.parse()?,
                spread_s: spread.parse()?,
            }),
            ..FaultSwitches::default()
        },
        _ => bail!("unknown order {order:?}"),
    };
    Ok(cloud.fault(switches).await?)
}

fn say(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
