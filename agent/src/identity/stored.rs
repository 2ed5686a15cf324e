//! One identity as it is kept: a folder of files that the link reads at each connect.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use terminal_core::{engine::Certificate, protocol::Enrolled};

use super::{IdentityError, UNFINISHED, disk, disk::Change, key::SigningKey};
use crate::link::{ClientIdentity, LinkUrl, certificate};

/// Of `identity.json`; a later one that older agents cannot read gets another number.
const FORMAT: u32 = 1;
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const TRUST: &str = "trust.pem";
const FACTS: &str = "identity.json";
const PROBATION: &str = "probation";

/// An identity on the medium.
#[derive(Clone, Debug)]
pub struct StoredIdentity {
    pub(super) folder: PathBuf,
    pub(super) number: u32,
    /// As the cloud knows this terminal.
    pub terminal_id: String,
    /// Where `terminal-ops.v1` is spoken.
    pub url: LinkUrl,
    /// How long the certificate is good for.
    pub certificate: Certificate,
    /// The cloud has never welcomed this terminal, with this identity or another.
    pub is_on_probation: bool,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    format: u32,
    terminal_id: String,
    location_id: Option<String>,
    display_name: Option<String>,
    url: String,
}

impl StoredIdentity {
    /// Reads a folder. One that misses something or makes no sense is damaged; that the medium
    /// cannot be read now says nothing about what is on it.
    pub(super) fn read(folder: &Path, number: u32) -> Result<Self, IdentityError> {
        let damaged = |problem: String| IdentityError::Damaged { path: folder.to_owned(), problem };
        let problem = |name: &str, error: IdentityError| {
            let IdentityError::Io { source, .. } = &error else {
                return damaged(format!("{name}: {error}"));
            };
            let is_missing = source.kind() == io::ErrorKind::NotFound;
            if is_missing { damaged(format!("{name} is missing")) } else { error }
        };
        let content =
            |name: &str| disk::read(&folder.join(name)).map_err(|error| problem(name, error));
        let facts: Facts = serde_json::from_slice(&content(FACTS)?)
            .map_err(|error| damaged(format!("{FACTS}: {error}")))?;
        if facts.format > FORMAT {
            let format = facts.format;
            return Err(IdentityError::NewerFormat { path: folder.to_owned(), format });
        }
        let url = LinkUrl::parse(&facts.url, false)
            .map_err(|error| damaged(format!("{FACTS}: url: {error}")))?;
        let leaf = CertificateDer::from_pem_slice(&content(CERTIFICATE)?).ok();
        let certificate = leaf.as_ref().and_then(certificate::validity);
        let unreadable = || damaged(format!("{CERTIFICATE} cannot be read"));
        let certificate = certificate.ok_or_else(unreadable)?;
        SigningKey::read(&folder.join(KEY)).map_err(|error| problem(KEY, error))?;
        content(TRUST)?;
        let is_on_probation = folder.join(PROBATION).exists();
        let (folder, terminal_id) = (folder.to_owned(), facts.terminal_id);
        Ok(Self { folder, number, terminal_id, url, certificate, is_on_probation })
    }

    /// Certificate and key, as the link wants them.
    pub fn client(&self) -> ClientIdentity {
        ClientIdentity {
            certificate_file: self.folder.join(CERTIFICATE),
            key_file: self.key_file(),
        }
    }

    /// Authorities of the cloud.
    pub fn trust_file(&self) -> PathBuf {
        self.folder.join(TRUST)
    }

    /// What makes it durable that the cloud has welcomed the terminal.
    pub(super) fn ending_probation(&self) -> [Change; 2] {
        [Change::RemoveFile(self.folder.join(PROBATION)), Change::Sync(self.folder.clone())]
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.join(KEY)
    }
}

/// What makes an identity durable: everything in a folder that is not one yet, then its name.
pub(super) fn writing(
    directory: &Path,
    number: u32,
    enrolled: &Enrolled,
    key_pem: &str,
    on_probation: bool,
) -> Vec<Change> {
    let unfinished = directory.join(UNFINISHED);
    let write = |name: &str, text: &str| {
        Change::WriteSynced(unfinished.join(name), text.as_bytes().to_vec())
    };
    let facts = serde_json::json!(Facts {
        format: FORMAT,
        terminal_id: enrolled.terminal_id.clone(),
        location_id: enrolled.location_id.clone(),
        display_name: enrolled.display_name.clone(),
        url: enrolled.url.clone(),
    });
    let mut changes = vec![
        Change::RemoveFolder(unfinished.clone()),
        Change::MakeFolder(unfinished.clone()),
        write(KEY, key_pem),
        write(CERTIFICATE, &enrolled.certificate),
        write(TRUST, &enrolled.trust_bundle),
        write(FACTS, &facts.to_string()),
    ];
    changes.extend(on_probation.then(|| write(PROBATION, "")));
    changes.extend([
        Change::Sync(unfinished.clone()),
        Change::Rename(unfinished, directory.join(disk::folder_name(number))),
        Change::Sync(directory.to_owned()),
        Change::RemoveFile(directory.join(super::PENDING_KEY)),
        Change::Sync(directory.to_owned()),
    ]);
    changes
}
