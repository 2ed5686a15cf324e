//! One site: rounds of orders and disturbances, then the judgement.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;
use terminal_hal::OperationId;
use terminal_harness::{Agent, Site, SiteOptions};

use super::{
    draw::{self, Lcg},
    figures::Figures,
    judge,
};
use crate::support::{drop_link, with_receiver};

/// Then a kill comes although nothing has happened.
const EFFECT_TIME_MAX: Duration = Duration::from_millis(500);

/// An operation that was asked for.
pub(super) struct Order {
    pub(super) id: OperationId,
    pub(super) kind: String,
    pub(super) parameters: Value,
}

/// Runs one site through its rounds and says what came of it.
pub(super) async fn live(seed: u64, rounds: u64) -> Result<Figures> {
    let mut lcg = Lcg::new(seed);
    let mut figures = Figures { rounds, ..Figures::default() };
    let mut site = with_receiver(SiteOptions::default()).await?;
    let agent = site.start_agent()?;
    site.online().await?;
    let mut orders: Vec<Order> = Vec::new();
    for round in 0..rounds {
        site.script(&draw::script(&mut lcg, round))?;
        for _ in 0..=lcg.below(3) {
            let new = draw::operation(&mut lcg, &site, orders.len())?;
            let (kind, parameters) = (new.operation.clone(), new.parameters.clone().into());
            let id = site.cloud()?.create_operation(new).await?;
            orders.push(Order { id, kind, parameters });
        }
        for _ in 0..=lcg.below(2) {
            // A moment, not a condition: nothing depends on its length.
            tokio::time::sleep(lcg.ms_below(400)).await;
            if lcg.below(2) == 0 {
                let recent = orders.len().saturating_sub(5);
                let which = recent + usize::try_from(lcg.below(5))?;
                if let Some(order) = orders.get(which) {
                    figures.cancels += u64::from(site.cloud()?.cancel_operation(order.id).await?);
                }
            }
            disturb(&mut lcg, &mut site, &agent, &mut figures).await?;
        }
    }
    judge::life(seed, &site, &agent, &orders, &mut figures).await?;
    let ends = agent.ends();
    figures.agent_kills += ends.iter().filter(|end| end.signal() == Some(9)).count() as u64;
    // A reboot of the device ends it in good order; nothing else does.
    for end in ends.iter().filter(|end| end.signal() != Some(9) && !end.success()) {
        figures.faults.push(format!("seed {seed}: the agent ended with {end}"));
    }
    Ok(figures)
}

/// Waits until the terminal has done something, the moment at which a crash hides most; not for
/// ever.
async fn next_effect(site: &Site) {
    let changed =
        || std::fs::metadata(site.path("agent/mock-state.json")).and_then(|m| m.modified());
    let (before, begin) = (changed().ok(), Instant::now());
    while changed().ok() == before && begin.elapsed() < EFFECT_TIME_MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Kills, or cuts the link. Either may be coming up again at this very moment.
async fn disturb(
    lcg: &mut Lcg,
    site: &mut Site,
    agent: &Agent,
    figures: &mut Figures,
) -> Result<()> {
    match lcg.below(10) {
        0..3 => {
            let _ = agent.kill_9();
        }
        3..6 => {
            next_effect(site).await;
            let _ = agent.kill_9();
        }
        6..8 => figures.cuts += u64::from(drop_link(site).await.is_ok()),
        _ => {
            site.kill_cloud().await?;
            figures.cloud_kills += 1;
            let agent_too = lcg.below(2) == 0;
            tokio::time::sleep(lcg.ms_below(200)).await;
            if agent_too {
                let _ = agent.kill_9();
            }
            tokio::time::sleep(lcg.ms_below(100)).await;
            site.restart_cloud().await?;
        }
    }
    // Not always in quick succession: attempts are few, and some are to succeed.
    if lcg.below(3) == 0 {
        tokio::time::sleep(Duration::from_millis(500) + lcg.ms_below(500)).await;
    }
    Ok(())
}
