//! The watchdog of the service manager: a loop that works feeds it, whatever else it is asked.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixDatagram, UnixStream},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::PATIENCE;

/// Half of it is how often the agent feeds the watchdog.
const LIMIT: Duration = Duration::from_millis(400);
/// Nothing else makes the loop turn while a test looks.
const HEARTBEAT_S: u32 = 600;

/// What an agent that is watched says to its service manager.
fn start_watched(site: &Site) -> Result<(Agent, UnixDatagram)> {
    let path = site.path("notify");
    let heard = UnixDatagram::bind(&path)?;
    heard.set_nonblocking(true)?;
    let mut launch = site.launch();
    // The watchdog is for the process that it names.
    launch.wrapper =
        ["sh", "-c", r#"export WATCHDOG_PID=$$; exec "$@""#, "sh"].map(Into::into).into();
    let limit = LIMIT.as_micros().to_string();
    launch.environment =
        vec![("NOTIFY_SOCKET".into(), path.into()), ("WATCHDOG_USEC".into(), limit.into())];
    Ok((Agent::launch(launch)?, heard))
}

/// How often it was fed since this was asked last.
fn feeds(heard: &UnixDatagram) -> Result<usize> {
    let mut feeds = 0;
    loop {
        let mut message = [0; 256];
        match heard.recv(&mut message) {
            Ok(length) => feeds += usize::from(message[..length].starts_with(b"WATCHDOG=1")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(feeds),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_do_not_keep_the_watchdog_from_being_fed() -> Result<()> {
    let options = SiteOptions { heartbeat_s: HEARTBEAT_S, ..SiteOptions::default() };
    let site = Site::start(options).await?;
    let (agent, heard) = start_watched(&site)?;
    site.online().await?;
    let (mut fed, mut asked, until) = (0, 0, Instant::now() + PATIENCE);
    feeds(&heard)?;
    while fed < 3 {
        let mut question = UnixStream::connect(site.path("agent/control.sock"))?;
        question.write_all(b"{\"request\":\"status\"}\n")?;
        let mut answer = String::new();
        question.read_to_string(&mut answer)?;
        assert!(answer.contains("\"link\""), "{answer}");
        (fed, asked) = (fed + feeds(&heard)?, asked + 1);
        if Instant::now() > until {
            bail!("fed {fed} times while {asked} questions were answered");
        }
    }
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}
