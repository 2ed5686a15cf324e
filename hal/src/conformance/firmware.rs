//! Software updates, as far as they can be looked at without installing one.

use super::{Checked, Circumstances, Suite, Trouble, holds, refused};
use crate::{
    ErrorCode, SideEffects,
    api::{Firmware, UpdateState},
    operation::{CheckUpdateParameters, UpdateParameters, update::Apply},
};

const FIRMWARE: &str = "firmware";

pub(super) async fn checks(suite: &mut Suite, firmware: &dyn Firmware, at: &Circumstances) {
    let name = "what runs has a version";
    suite.check(FIRMWARE, name, versions(firmware)).await;
    let name = "a check for updates is well formed and agrees with what runs";
    suite.check(FIRMWARE, name, check(firmware, at)).await;
    let name = "asking whether an installation could begin starts none";
    suite.check(FIRMWARE, name, ready(firmware, at)).await;
    let name = "a version that is not on offer is refused and nothing is installed";
    suite.check(FIRMWARE, name, unknown_version(firmware, at)).await;
    let name = "an installation that was never asked for has not started";
    suite.check(FIRMWARE, name, never_asked_for(firmware, at)).await;
}

async fn versions(firmware: &dyn Firmware) -> Checked {
    let versions = firmware.versions().await?;
    let named = versions.iter().all(|running| !running.version.is_empty());
    holds(!versions.is_empty() && named, || format!("{versions:?}"))
}

async fn check(firmware: &dyn Firmware, at: &Circumstances) -> Checked {
    let (call, _handle) = at.call();
    let before = firmware.versions().await?;
    let result = match firmware.check(&call, &CheckUpdateParameters::default()).await {
        Err(failure) if failure.code == ErrorCode::NetworkUnavailable => {
            return Err(Trouble::Skipped("there is no network".to_owned()));
        }
        result => result?,
    };
    let available = !result.updates.is_empty();
    holds(result.available == available, || format!("{result:?}"))?;
    let digests = result.updates.iter().all(|update| update.sha256.len() == 64);
    holds(digests, || format!("{:?}", result.updates))?;
    let running = firmware.versions().await?;
    holds(running == before, || format!("{before:?} ran, after the check {running:?}"))?;
    let state = firmware.query_update(call.id).await?;
    holds(state == UpdateState::NotStarted, || format!("the check has installed: {state:?}"))?;
    let agree = result.current.iter().all(|current| running.contains(current));
    holds(agree, || format!("{:?} runs, the check says {:?}", running, result.current))
}

async fn ready(firmware: &dyn Firmware, at: &Circumstances) -> Checked {
    let (call, _handle) = at.call();
    match firmware.check_ready(&call, &UpdateParameters::default()).await {
        Err(failure) if failure.code == ErrorCode::OutsideWindow => {
            holds(failure.retry_after_s.is_some(), || "no retry_after_s".to_owned())?;
        }
        Err(failure) => {
            holds(failure.side_effects == SideEffects::None, || format!("{failure:?}"))?;
        }
        Ok(_) => {}
    }
    let state = firmware.query_update(call.id).await?;
    holds(state == UpdateState::NotStarted, || format!("{state:?}"))
}

async fn unknown_version(firmware: &dyn Firmware, at: &Circumstances) -> Checked {
    use ErrorCode::{LowBattery, NetworkUnavailable, NoUpdate, OutsideWindow};
    let before = firmware.versions().await?;
    let (call, _handle) = at.call();
    let version = Some("no such version".to_owned());
    let parameters = UpdateParameters { version, apply: Apply::Now, ..Default::default() };
    match firmware.install(&call, &parameters).await {
        Err(failure) if [LowBattery, NetworkUnavailable, OutsideWindow].contains(&failure.code) => {
            return Err(Trouble::Skipped(failure.to_string()));
        }
        answer => refused(answer, &[NoUpdate])?,
    }
    let running = firmware.versions().await?;
    holds(running == before, || format!("{before:?} ran, now {running:?}"))?;
    let state = firmware.query_update(call.id).await?;
    if let UpdateState::Failed(failure) = state {
        return refused::<()>(Err(failure), &[NoUpdate]);
    }
    holds(state == UpdateState::NotStarted, || format!("{state:?}"))
}

async fn never_asked_for(firmware: &dyn Firmware, at: &Circumstances) -> Checked {
    let state = firmware.query_update(at.operation()).await?;
    holds(state == UpdateState::NotStarted, || format!("{state:?}"))
}
