//! Identity of the boot. No device is restarted.

use super::{Checked, Suite, holds};
use crate::{BootId, Failure, api::Power};

/// `before` is what it said before anything was checked.
pub(super) async fn checks(suite: &mut Suite, power: &dyn Power, before: &Result<BootId, Failure>) {
    let name = "the boot has one identity and a reason";
    suite.check("power", name, boot(power)).await;
    let name = "the boot is still the same after everything else";
    suite.check("power", name, same(power, before)).await;
}

async fn boot(power: &dyn Power) -> Checked {
    let (first, second) = (power.boot_id().await?, power.boot_id().await?);
    holds(first == second && !first.0.is_nil(), || format!("{first}, then {second}"))?;
    let (first, second) = (power.reset_cause().await?, power.reset_cause().await?);
    holds(first == second, || format!("{first:?}, then {second:?}"))
}

async fn same(power: &dyn Power, before: &Result<BootId, Failure>) -> Checked {
    let (before, now) = (before.clone()?, power.boot_id().await?);
    holds(before == now, || format!("{before}, then {now}"))
}
