//! A site whose terminal takes real updates: a folder with a signed manifest, a boot loader that
//! runs before the agent whenever the device has restarted, a health check that can be made to fail.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Result, ensure};
use minisign::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use terminal_harness::{Agent, Site, SiteOptions};

/// What runs at first.
pub(crate) const OLD: &str = "3.14.2";
/// What is on offer.
pub(crate) const NEW: &str = "3.15.0";

/// Runs the boot loader, then the agent. A kill is no restart: the simulated hardware remembers
/// the difference.
const BOOT: &str = r#"#!/bin/sh
set -eu
if [ ! -e "$SITE/up" ] || grep -q '"rebooting": *"' "$SITE/agent/mock-state.json"; then
    "$SITE/boot-loader"
    : >"$SITE/up"
fi
exec "$@"
"#;

/// A site whose terminal takes real updates.
pub(crate) struct UpdateSite {
    pub(crate) site: Site,
    key: KeyPair,
}

impl UpdateSite {
    /// `firmware` is the value of that key of `[hal]`; `version_file` and `slots` are for
    /// `[hal.updates]`, with `SITE` for the site's folder.
    pub(crate) async fn new(firmware: &str, version_file: &str, slots: &str) -> Result<Self> {
        let site = Site::start(SiteOptions::default()).await?;
        let key = KeyPair::generate_unencrypted_keypair()?;
        let folder = site.folder().display().to_string();
        fs::create_dir(site.path("source"))?;
        executable(&site.path("boot"), BOOT)?;
        let this = Self { site, key };
        this.health_check("exit 0")?;
        let updates = format!(
            "\n[hal.updates]\nsource = \"SITE/source\"\ndirectory = \"SITE/agent/updates\"\n\
             version-file = \"{version_file}\"\npublic-keys = [\"{}\"]\n{slots}\n\
             [[hal.updates.health-checks]]\nname = \"payments\"\nprogram = \"SITE/health-check\"\n",
            this.key.pk.to_base64(),
        );
        let backend = format!("backend = \"mock\"\nfirmware = \"{firmware}\"");
        let updates = updates.replace("SITE", &folder);
        this.site.edit_config(|text| text.replace("backend = \"mock\"", &backend) + &updates)?;
        Ok(this)
    }

    /// Switches the terminal on.
    pub(crate) async fn switch_on(&self, environment: &[(&str, String)]) -> Result<Agent> {
        let mut launch = self.site.launch();
        launch.wrapper = vec![self.site.path("boot").into()];
        launch.environment = vec![("SITE".into(), self.site.folder().into())];
        launch
            .environment
            .extend(environment.iter().map(|(name, value)| (name.into(), value.into())));
        let agent = Agent::launch(launch)?;
        self.site.online().await?;
        Ok(agent)
    }

    /// What a new system has to pass.
    pub(crate) fn health_check(&self, script: &str) -> Result<()> {
        executable(&self.site.path("health-check"), &format!("#!/bin/sh\n{script}\n"))
    }

    /// Signs a manifest for an image of the source.
    pub(crate) fn offer(&self, image: &str) -> Result<()> {
        let bytes = fs::read(self.site.path("source").join(image))?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let manifest = json!({
            "format": 1, "channel": "stable", "sequence": 1, "expires_at": "2099-12-31T00:00:00Z",
            "releases": [{
                "version": NEW, "models": ["nexgo_n92"], "file": image, "size_bytes": bytes.len(),
                "sha256": sha256, "security_fix": true,
            }],
        });
        let text = manifest.to_string();
        let signature = minisign::sign(None, &self.key.sk, text.as_bytes(), None, None)?;
        fs::write(self.site.path("source/stable.json"), &text)?;
        Ok(fs::write(self.site.path("source/stable.json.minisig"), signature.to_string())?)
    }
}

/// Of an update that is not to wait for the night.
pub(crate) fn at_once() -> Value {
    json!({ "apply": "now" })
}

/// The result of an update that has been committed.
pub(crate) fn is_committed(result: &Value, slot: &str) -> Result<()> {
    let fields = (&result["from"], &result["to"], &result["installed"], &result["slot"]);
    ensure!(fields == (&json!(OLD), &json!(NEW), &json!(true), &json!(slot)), "{result}");
    let checks = result["health_checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let passed: Vec<_> = checks.iter().filter(|c| c["ok"] == true).map(|c| &c["name"]).collect();
    ensure!(passed == ["version", "payments"], "{result}");
    Ok(())
}

/// A script that can be run.
pub(crate) fn executable(path: &Path, text: &str) -> Result<()> {
    // Written beside and moved: a running script is never half of another one.
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    Ok(fs::rename(new, path)?)
}
