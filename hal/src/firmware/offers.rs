//! What there is to install: the manifests of a source, fetched, verified and compared with what
//! runs.

use super::{
    SlotFirmware, admission,
    manifest::{MANIFEST_BYTES_MAX, Manifest, Release},
    readiness,
    source::read_whole,
    trust::SIGNATURE_BYTES_MAX,
};
use crate::{
    ErrorCode, Failure,
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters,
        check_update::{Channel, Component, ComponentVersion, UPDATES_MAX},
    },
};

impl SlotFirmware {
    /// Answers `check_update`.
    pub(super) async fn look(
        &self,
        parameters: &CheckUpdateParameters,
    ) -> Result<CheckUpdateResult, Failure> {
        let manifest = self.manifest(parameters.channel).await?;
        let version = self.running_version()?;
        let all = parameters.components.is_empty();
        let wanted = all || parameters.components.iter().any(|component| component == "firmware");
        let (mut updates, mut current) = (Vec::new(), Vec::new());
        if wanted {
            let floor = self.state().memory.version_floor().map(str::to_owned);
            let mut releases =
                admission::applicable(&manifest, &self.config, &version, floor.as_deref());
            releases.reverse();
            updates = releases.into_iter().take(UPDATES_MAX).map(Release::listed).collect();
            current.push(ComponentVersion { component: Component::Firmware, version });
        }
        let mut blocked_by =
            readiness::blocked_by(&self.health().await, self.config.window, self.time());
        if self.state().journal.open_one().is_some() {
            blocked_by.push(ErrorCode::BusyOperation);
        }
        Ok(CheckUpdateResult {
            available: !updates.is_empty(),
            current,
            updates,
            checked_at: self.time().now,
            blocked_by,
        })
    }

    /// The release that a request means; `None` when what runs is the newest.
    pub(super) async fn choose(
        &self,
        parameters: &UpdateParameters,
        running: &str,
    ) -> Result<Option<Release>, Failure> {
        let Some(version) = parameters.version.as_deref() else {
            let manifest = self.manifest(self.config.channel).await?;
            let state = self.state();
            let floor = state.memory.version_floor();
            let newest = admission::applicable(&manifest, &self.config, running, floor).pop();
            return Ok(newest.cloned());
        };
        if version == running {
            return Ok(None);
        }
        let release = self.find(version).await?;
        let state = self.state();
        let floor = state.memory.version_floor();
        admission::check(&release, &self.config, parameters, running, floor)?;
        Ok(Some(release))
    }

    /// In the terminal's own channel, or else in the other one.
    async fn find(&self, version: &str) -> Result<Release, Failure> {
        let own = self.config.channel;
        let other = if own == Channel::Stable { Channel::Beta } else { Channel::Stable };
        let manifest = self.manifest(own).await?;
        if let Some(release) = admission::named(&manifest, version, &self.config.model) {
            return Ok(release.clone());
        }
        let nowhere = || Failure::new(ErrorCode::NoUpdate, format!("{version} is not on offer"));
        match self.manifest(other).await {
            Ok(manifest) => {
                let release = admission::named(&manifest, version, &self.config.model);
                release.cloned().ok_or_else(nowhere)
            }
            Err(failure) if failure.code == ErrorCode::NoUpdate => Err(nowhere()),
            Err(failure) => Err(failure),
        }
    }

    /// The manifest of a channel, verified and not older than any before.
    async fn manifest(&self, channel: Channel) -> Result<Manifest, Failure> {
        let name = match channel {
            Channel::Stable => "stable.json",
            Channel::Beta => "beta.json",
        };
        let source = self.around.source.as_ref();
        let missing = |name: &str| {
            Failure::new(ErrorCode::NoUpdate, format!("the source of updates has no {name}"))
        };
        let bytes = read_whole(source, name, MANIFEST_BYTES_MAX).await?;
        let bytes = bytes.ok_or_else(|| missing(name))?;
        let name = format!("{name}.minisig");
        let signature = read_whole(source, &name, SIGNATURE_BYTES_MAX).await?;
        let signature = signature.ok_or_else(|| missing(&name))?;
        self.config.keys.verify(&bytes, &signature)?;
        let manifest = Manifest::parse(&bytes)?;
        admission::check_manifest(&manifest, channel, self.time().now)?;
        self.state().memory.admit(&manifest)?;
        Ok(manifest)
    }
}
