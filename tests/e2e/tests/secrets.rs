//! Nothing that opens a door is ever written down.

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use serde_json::json;
use terminal_harness::{Site, SiteOptions};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{drop_link, open, result};

/// What everything in this process has logged, the cloud above all.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_any_log_of_a_whole_session() -> Result<()> {
    let cloud_log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(cloud_log.clone())
        .with_ansi(false)
        .finish();
    // The cloud has threads of its own: only a global subscriber hears them.
    tracing::subscriber::set_global_default(subscriber)?;

    let (site, agent) = open(SiteOptions { log_level: "debug", ..SiteOptions::default() }).await?;
    let url = site.rest()?.post("/v1/uploads", &json!({ "name": "x" })).await?.body["url"].clone();
    for (kind, parameters) in [
        ("end_of_day", json!({ "operator_id": "7" })),
        ("send_logs", json!({ "min_level": "error" })),
        ("configure", json!({ "revision": 1, "config": {} })),
        ("reboot", json!({ "delay_s": 0 })),
    ] {
        result(&site.run(kind, parameters).await?)?;
    }
    site.run("send_logs", json!({ "upload": { "url": url } })).await?;
    drop_link(&site).await?;
    result(&site.run("check_update", json!({})).await?)?;
    agent.kill_9()?;
    result(&site.run("lock", json!({})).await?)?;
    site.rest()?.post("/v1/admin/terminals/operations", &json!({ "terminal_id": 7 })).await?;
    assert_eq!(agent.stop()?, Some(0));
    refused_token(&site).await?;

    let agent_log = site.agent_log()?;
    let cloud_log = cloud_log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let cloud_log = String::from_utf8_lossy(&cloud_log);
    assert!(agent_log.contains("DEBUG") && agent_log.contains("accepted"), "{agent_log}");
    assert!(cloud_log.contains("link up"), "{cloud_log}");
    let upload_token = url.as_str().and_then(|url| url.rsplit('=').next()).unwrap_or("none");
    let secrets = [
        ("token of the terminal", fs::read_to_string(site.path("agent/token.good"))?),
        ("token that is wrong", "trm_not_this_one_either".to_owned()),
        ("token of the API", site.api_token().to_owned()),
        ("token of an upload", upload_token.to_owned()),
    ];
    for (name, secret) in &secrets {
        assert!(secret.len() > 8, "{name}");
        for (whose, log) in [("agent", agent_log.as_str()), ("cloud", &cloud_log)] {
            for line in log.lines() {
                assert!(!line.contains(secret.trim()), "{name} in the log of the {whose}: {line}");
            }
        }
    }
    Ok(())
}

/// A refusal is a good moment to log too much.
async fn refused_token(site: &Site) -> Result<()> {
    fs::rename(site.path("agent/token"), site.path("agent/token.good"))?;
    fs::write(site.path("agent/token"), "trm_not_this_one_either")?;
    let agent = site.start_agent()?;
    site.until("a refusal", async |site| Ok(site.agent_log()?.contains("HTTP status 401"))).await?;
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}
