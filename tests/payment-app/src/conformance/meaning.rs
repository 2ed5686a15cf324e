//! What the methods mean: the tests that every backend of the agent passes, through its bridge.

use anyhow::Result;
use terminal_hal::{
    conformance::{CheckOutcome, Circumstances, run},
    vendor::{Vendor, VendorConfig},
};
use uuid::Uuid;

use crate::{
    peer::{Target, now},
    table::{Need, Outcome, Table},
};

pub(crate) async fn check(table: &mut Table, at: &Target) {
    if let Err(error) = through_the_bridge(table, at).await {
        table.add("the agent connects", Need::Required, Outcome::Failed(format!("{error:#}")));
    }
}

async fn through_the_bridge(table: &mut Table, at: &Target) -> Result<()> {
    let stream = tokio::net::UnixStream::connect(&at.socket).await?;
    // On a development machine whoever listens there is the one to check.
    let allowed_uids = vec![stream.peer_cred()?.uid()];
    drop(stream);
    let vendor = Vendor::open(VendorConfig {
        socket: at.socket.clone(),
        allowed_uids,
        agent_version: "conformance".to_owned(),
        standing_lock: tokio::sync::watch::channel(None).1,
        requests: tokio::sync::mpsc::channel(1).0,
    });
    let capabilities = vendor.capabilities().await?;
    let hal = vendor.hal(&capabilities);
    for check in run(&hal, &Circumstances::new(now(), Uuid::new_v4())).await {
        let offered = capabilities.iter().any(|offered| offered.as_str() == check.capability);
        let need = match (check.capability, offered) {
            ("payments", _) => Need::Required,
            (_, true) => Need::Offered,
            (_, false) => Need::Optional,
        };
        let name = format!("{}: {}", check.capability, check.name);
        let outcome = match check.outcome {
            CheckOutcome::Passed => Outcome::Passed,
            CheckOutcome::Failed(why) => Outcome::Failed(why),
            CheckOutcome::Skipped(why) => Outcome::Skipped(why),
            CheckOutcome::Absent => Outcome::Skipped("not offered".to_owned()),
        };
        table.add(&name, need, outcome);
    }
    Ok(())
}
