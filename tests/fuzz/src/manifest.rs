//! What a source of updates says that there is: read only once its signature has been verified, and
//! strictly even then.

use terminal_hal::{
    ErrorCode,
    firmware::{MANIFEST_BYTES_MAX, MODELS_MAX, Manifest, RELEASES_MAX, Release},
};

/// Reads a manifest.
pub fn manifest(data: &[u8]) {
    match Manifest::parse(data) {
        Ok(manifest) => {
            assert!(data.len() <= MANIFEST_BYTES_MAX);
            assert!((1..=RELEASES_MAX).contains(&manifest.releases.len()));
            manifest.releases.iter().for_each(is_usable);
            let written = serde_json::to_vec(&manifest);
            assert!(written.is_ok_and(|written| {
                // Defaults are written out, and may make it too long.
                written.len() > MANIFEST_BYTES_MAX || Manifest::parse(&written) == Ok(manifest)
            }));
        }
        Err(failure) => assert!(matches!(
            failure.code,
            ErrorCode::UnsupportedVersion | ErrorCode::PayloadTooLarge
        )),
    }
}

fn is_usable(release: &Release) {
    assert!((1..=MODELS_MAX).contains(&release.models.len()));
    assert!(release.size_bytes > 0 && release.sha256.len() == 64);
    // It becomes a part of a path and of a URL.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    assert!(release.file.chars().all(is_plain) && !release.file.starts_with('.'));
    let texts = [Some(&release.version), release.min_version.as_ref(), release.notes_url.as_ref()];
    let mut texts = texts.into_iter().flatten().chain(&release.models);
    assert!(texts.all(|text| !text.is_empty() && !text.contains(char::is_control)));
}
