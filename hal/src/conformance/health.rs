//! What a terminal says about itself: absent means unknown, never a made-up value.

use super::{Checked, Circumstances, Suite, Trouble, holds};
use crate::{
    Timestamp,
    api::{Health, LockRequest, Payments},
    operation::{EndOfDayParameters, LockParameters, UnlockParameters, end_of_day::CloseMode},
    status::{Batch, OfflineQueue, TerminalHealth},
};

const HEALTH: &str = "health";
/// Clocks of two parts of one terminal may differ by this.
const CLOCKS_DIFFER_MS_MAX: u64 = 60_000;

pub(super) async fn checks(
    suite: &mut Suite,
    health: &dyn Health,
    payments: Option<&dyn Payments>,
    at: &Circumstances,
) {
    let name = "the state of the terminal is within its limits";
    suite.check(HEALTH, name, within_limits(health)).await;
    let name = "no value is made up: empty, of the future, or unknown the next moment";
    suite.check(HEALTH, name, not_made_up(health, at)).await;
    if let Some(payments) = payments {
        let name = "batch and lock are those of the payment application";
        suite.check(HEALTH, name, agrees(health, payments, at)).await;
    }
}

async fn within_limits(health: &dyn Health) -> Checked {
    let state = health.health().await?;
    holds(state == state.clone().bounded(), || format!("{state:?}"))?;
    holds(!state.locked, || "still locked".to_owned())
}

async fn not_made_up(health: &dyn Health, at: &Circumstances) -> Checked {
    let (first, second) = (health.health().await?, health.health().await?);
    let known = |state: &TerminalHealth| {
        [state.battery_level.is_some(), state.power.is_some(), state.printer.is_some()]
    };
    holds(known(&first) == known(&second), || format!("{first:?}, then {second:?}"))?;
    let is_past = |time: Timestamp| time.ms_since(at.now) <= CLOCKS_DIFFER_MS_MAX;
    if let Some(queue) = &first.offline_queue {
        let OfflineQueue { count, amount, currency, oldest_at } = queue;
        let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        let is_empty = *amount == 0 && oldest_at.is_none();
        holds(is_code && (*count > 0 || is_empty), || format!("{queue:?}"))?;
        holds(oldest_at.is_none_or(is_past), || format!("of the future: {queue:?}"))?;
    }
    if let Some(batch) = &first.batch {
        let is_good = !batch.id.is_empty() && is_past(batch.opened_at);
        holds(is_good, || format!("without id or of the future: {batch:?}"))?;
    }
    Ok(())
}

/// A source that does not name the batch does not speak of the payment application.
async fn open_batch(health: &dyn Health) -> Result<Batch, Trouble> {
    let unknown = || Trouble::Skipped("it does not name the open batch".to_owned());
    health.health().await?.batch.ok_or_else(unknown)
}

async fn agrees(health: &dyn Health, payments: &dyn Payments, at: &Circumstances) -> Checked {
    let batch = open_batch(health).await?;
    let (call, _handle) = at.call();
    let mode = CloseMode::Report;
    let parameters = EndOfDayParameters { mode, ..EndOfDayParameters::default() };
    let report = payments.close_batch(&call, &parameters).await?;
    holds(report.batch_id == batch.id, || {
        format!("batch {:?} is open, it says {:?}", report.batch_id, batch.id)
    })?;
    let (call, _handle) = at.call();
    payments.set_locked(&call, &LockRequest::Lock(LockParameters::default())).await?;
    let locked = health.health().await;
    let (call, _handle) = at.call();
    payments.set_locked(&call, &LockRequest::Unlock(UnlockParameters::default())).await?;
    holds(locked?.locked, || "it says unlocked while locked".to_owned())?;
    holds(!health.health().await?.locked, || "it says locked when unlocked".to_owned())
}
