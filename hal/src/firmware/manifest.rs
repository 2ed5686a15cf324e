//! What a source of updates says that there is: strict, bounded, and believed only once its
//! signature has been verified.

use serde::{Deserialize, Serialize};

use crate::{
    ErrorCode, Failure, Timestamp,
    operation::check_update::{AvailableUpdate, Channel, Component},
    text::line_problem,
    version::compare,
};

/// Longest manifest.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// Most releases in one manifest.
pub const RELEASES_MAX: usize = 64;
/// Most models that a release is made for.
pub const MODELS_MAX: usize = 64;
/// The only version of the format so far.
pub const FORMAT: u32 = 1;
/// Longest name of a file beside the manifest.
const FILE_CHARS_MAX: usize = 128;

/// The releases of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Which channel.
    pub channel: Channel,
    /// Grows with every manifest of the channel: an older one is not believed again.
    pub sequence: u64,
    /// Not believed from this instant on.
    pub expires_at: Timestamp,
    /// What can be installed, 1 to [`RELEASES_MAX`], in any order.
    pub releases: Vec<Release>,
}

/// Something that can be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Dotted numbers, `-` and a word for what comes before a release.
    pub version: String,
    /// Hardware models that it is made for, 1 to [`MODELS_MAX`].
    pub models: Vec<String>,
    /// Name of the file beside the manifest.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, 64 hex digits in lower case.
    pub sha256: String,
    /// What must run at least before this is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Whether the merchant may put it off.
    #[serde(default)]
    pub mandatory: bool,
    /// When it becomes mandatory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_at: Option<Timestamp>,
    /// Expected duration in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_s: Option<u32>,
    /// Release notes, at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_url: Option<String>,
    /// Whether it closes a security hole.
    #[serde(default)]
    pub security_fix: bool,
}

impl Manifest {
    /// Reads a manifest whose signature has been verified.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, or `UNSUPPORTED_VERSION` for what this terminal does not understand.
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            let reason = format!("the update manifest is longer than {MANIFEST_BYTES_MAX} bytes");
            return Err(Failure::new(ErrorCode::PayloadTooLarge, reason));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| unknown(&e.to_string()))?;
        manifest.check().map_err(|problem| unknown(&problem))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format: got {}, want {FORMAT}", self.format));
        }
        count("releases", self.releases.len(), RELEASES_MAX)?;
        for (index, release) in self.releases.iter().enumerate() {
            release.check().map_err(|problem| format!("releases[{index}].{problem}"))?;
        }
        Ok(())
    }
}

impl Release {
    fn check(&self) -> Result<(), String> {
        version("version", &self.version)?;
        self.min_version.iter().try_for_each(|least| version("min_version", least))?;
        count("models", self.models.len(), MODELS_MAX)?;
        self.models.iter().try_for_each(|model| line("models", model, 64))?;
        self.notes_url.iter().try_for_each(|url| line("notes_url", url, 512))?;
        if !is_plain_name(&self.file) {
            return Err("file: want a name of letters, digits, \".\", \"_\" and \"-\"".to_owned());
        }
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if self.sha256.len() != 64 || !self.sha256.chars().all(is_hex) {
            return Err("sha256: want 64 hex digits in lower case".to_owned());
        }
        if self.size_bytes == 0 {
            return Err("size_bytes: got 0, want at least 1".to_owned());
        }
        Ok(())
    }

    /// As `check_update` lists it.
    pub(super) fn listed(&self) -> AvailableUpdate {
        AvailableUpdate {
            component: Component::Firmware,
            version: self.version.clone(),
            size_bytes: self.size_bytes,
            sha256: self.sha256.clone(),
            mandatory: self.mandatory,
            required_at: self.required_at,
            estimated_s: self.estimated_s,
            requires_reboot: true,
            notes_url: self.notes_url.clone(),
            security_fix: self.security_fix,
        }
    }
}

/// A name that cannot lead anywhere else, in a folder or in a URL.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty()
        && name.len() <= FILE_CHARS_MAX
        && !name.starts_with('.')
        && name.chars().all(plain)
}

fn version(key: &str, text: &str) -> Result<(), String> {
    line(key, text, 64)?;
    // One that compares with itself compares with every other one.
    compare(text, text).map(|_| ()).ok_or_else(|| format!("{key}: got {text:?}, want a version"))
}

fn line(key: &str, text: &str, max: usize) -> Result<(), String> {
    line_problem(text, 1, max).map_or(Ok(()), |problem| Err(format!("{key}: {problem}")))
}

fn count(key: &str, count: usize, max: usize) -> Result<(), String> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    Err(format!("{key}: got {count}, want 1 to {max}"))
}

fn unknown(problem: &str) -> Failure {
    let reason = format!("the update manifest is not understood: {problem}");
    Failure::new(ErrorCode::UnsupportedVersion, reason)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest() -> Value {
        json!({
            "format": 1, "channel": "stable", "sequence": 1, "expires_at": "2026-12-31T00:00:00Z",
            "releases": [{
                "version": "3.15.0", "models": ["n92"], "file": "firmware-3.15.0.tar",
                "size_bytes": 1, "sha256": "0".repeat(64),
            }],
        })
    }

    fn parse(manifest: &Value) -> Result<Manifest, Failure> {
        Manifest::parse(manifest.to_string().as_bytes())
    }

    #[test]
    fn what_is_not_exactly_a_manifest_is_refused_with_its_place() {
        parse(&manifest()).unwrap();
        for (pointer, value, problem) in [
            ("/format", json!(2), "format: got 2, want 1"),
            ("/releases", json!([]), "releases: got 0"),
            ("/releases/0/version", json!("newest"), "releases[0].version"),
            ("/releases/0/file", json!("../firmware"), "releases[0].file"),
            ("/releases/0/file", json!(".hidden"), "releases[0].file"),
            ("/releases/0/sha256", json!("F".repeat(64)), "releases[0].sha256"),
            ("/releases/0/size_bytes", json!(0), "releases[0].size_bytes"),
            ("/releases/0/models", json!([]), "releases[0].models"),
            ("/sequence", json!(-1), "sequence"),
        ] {
            let mut wrong = manifest();
            *wrong.pointer_mut(pointer).unwrap() = value;
            let failure = parse(&wrong).unwrap_err();
            assert_eq!(failure.code, ErrorCode::UnsupportedVersion);
            assert!(
                failure.failure_reason.contains(problem) || pointer == "/sequence",
                "{failure}"
            );
        }
        let mut wrong = manifest();
        wrong["signature"] = json!("none");
        assert!(parse(&wrong).unwrap_err().failure_reason.contains("signature"));
    }

    #[test]
    fn a_manifest_is_bounded_at_n_and_n_plus_one() {
        let mut text = manifest().to_string();
        text.push_str(&" ".repeat(MANIFEST_BYTES_MAX - text.len()));
        assert!(Manifest::parse(text.as_bytes()).is_ok());
        text.push(' ');
        let failure = Manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!(failure.code, ErrorCode::PayloadTooLarge);
        let mut many = manifest();
        let release = many["releases"][0].clone();
        many["releases"] = json!(vec![release.clone(); RELEASES_MAX]);
        assert!(parse(&many).is_ok());
        many["releases"] = json!(vec![release; RELEASES_MAX + 1]);
        assert!(parse(&many).is_err());
    }
}
