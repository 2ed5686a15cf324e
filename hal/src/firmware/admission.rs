//! Which release a request means, and whether this terminal takes it.

use std::cmp::Ordering;

use super::{
    FirmwareConfig,
    manifest::{Manifest, Release},
};
use crate::{
    ErrorCode, Failure, Timestamp,
    operation::{UpdateParameters, check_update::Channel},
    version::compare,
};

/// Refuses a manifest that has expired, or is of another channel than the one asked for.
pub(super) fn check_manifest(
    manifest: &Manifest,
    channel: Channel,
    now: Timestamp,
) -> Result<(), Failure> {
    if manifest.expires_at <= now {
        let reason = format!("the update manifest has expired at {}", manifest.expires_at);
        return Err(Failure::new(ErrorCode::MetadataExpired, reason));
    }
    if manifest.channel != channel {
        let reason = format!("the manifest of {channel:?} is one of {:?}", manifest.channel);
        return Err(Failure::new(ErrorCode::SignatureInvalid, reason));
    }
    Ok(())
}

/// What this terminal could take of a manifest, oldest first.
pub(super) fn applicable<'a>(
    manifest: &'a Manifest,
    config: &FirmwareConfig,
    running: &str,
    floor: Option<&str>,
) -> Vec<&'a Release> {
    let none = UpdateParameters::default();
    let mut releases: Vec<_> = manifest
        .releases
        .iter()
        .filter(|release| compare(&release.version, running) == Some(Ordering::Greater))
        .filter(|release| check(release, config, &none, running, floor).is_ok())
        .collect();
    releases.sort_by(|a, b| compare(&a.version, &b.version).unwrap_or(Ordering::Equal));
    releases
}

/// The release of that version that is made for this model; one of another model where there is
/// no better one, so that the refusal can say so.
pub(super) fn named<'a>(manifest: &'a Manifest, version: &str, model: &str) -> Option<&'a Release> {
    let mut named = manifest.releases.iter().filter(|release| release.version == version);
    let mut others = named.clone();
    named.find(|release| is_for(release, model)).or_else(|| others.next())
}

/// Refuses a release that is not for this terminal, or not any more.
pub(super) fn check(
    release: &Release,
    config: &FirmwareConfig,
    parameters: &UpdateParameters,
    running: &str,
    floor: Option<&str>,
) -> Result<(), Failure> {
    let refuse = |code, reason: String| Err(Failure::new(code, reason));
    let version = &release.version;
    if !is_for(release, &config.model) {
        let reason =
            format!("{version} is for {}, this is {}", release.models.join(", "), config.model);
        return refuse(ErrorCode::IncompatibleHardware, reason);
    }
    if release.size_bytes > config.size_bytes_max {
        let (is, most) = (release.size_bytes, config.size_bytes_max);
        let reason = format!("{version} has {is} bytes, this terminal takes at most {most}");
        return refuse(ErrorCode::PayloadTooLarge, reason);
    }
    let least = release.min_version.as_deref();
    if let Some(least) = least.filter(|least| is_older(running, least)) {
        let reason = format!("{version} needs {least} first, {running} runs");
        return refuse(ErrorCode::IncompatibleHardware, reason);
    }
    if parameters.allow_downgrade && config.allow_downgrade {
        return Ok(());
    }
    for (other, what) in [(Some(running), "which runs"), (floor, "which has run")] {
        if let Some(other) = other.filter(|other| is_older(version, other)) {
            let own_rule = parameters.allow_downgrade;
            let by = if own_rule { "; this terminal's own rule forbids it" } else { "" };
            let reason = format!("{version} is older than {other}, {what}{by}");
            return refuse(ErrorCode::DowngradeRefused, reason);
        }
    }
    Ok(())
}

fn is_for(release: &Release, model: &str) -> bool {
    release.models.iter().any(|made_for| made_for == model)
}

/// What cannot be compared counts as older: it is refused.
fn is_older(version: &str, than: &str) -> bool {
    compare(version, than).is_none_or(|order| order == Ordering::Less)
}
