//! What the agent shows to the cloud, and how it comes to it: credentials from the configuration, or
//! an identity from enrolment.

use std::{path::PathBuf, sync::Arc};

use terminal_core::{
    engine::{Credentials, Endpoint, Event, IdentityRequest},
    protocol::{EnrolAgentFrame, EnrolBegin, Enrolled, encode},
};
use terminal_hal::text::{REASON_CHARS_MAX, bounded};

use crate::{
    config::{Config, Terminal},
    identity::{IdentityError, IdentityStore, StoredIdentity},
    link::{self, Connector, LinkConfig, Trust, VerificationClock},
};

/// Everything that a link needs beside the moment to be made.
pub(super) struct Access {
    terminal: Terminal,
    /// Of the configuration: to the cloud, or to where terminals enrol.
    link: LinkConfig,
    clock: Arc<VerificationClock>,
    enrolment: Option<Enrolment>,
}

struct Enrolment {
    identities: IdentityStore,
    secret_file: Option<PathBuf>,
}

impl Access {
    pub(super) fn open(
        config: &Config,
        clock: &Arc<VerificationClock>,
    ) -> Result<Self, IdentityError> {
        let enrolment = match &config.enrolment {
            None => None,
            Some(enrolment) => Some(Enrolment {
                identities: IdentityStore::open(&enrolment.identity_directory)?,
                secret_file: enrolment.secret_file.clone(),
            }),
        };
        Ok(Self {
            terminal: config.terminal.clone(),
            link: config.link.clone(),
            clock: Arc::clone(clock),
            enrolment,
        })
    }

    /// As the cloud knows this terminal; empty before it is enrolled.
    pub(super) fn terminal_id(&self) -> &str {
        let enrolled = self.enrolment.as_ref().and_then(|enrolment| enrolment.identities.newest());
        let id = enrolled.map(|identity| &identity.terminal_id).or(self.terminal.id.as_ref());
        id.map_or("", String::as_str)
    }

    pub(super) fn credentials(&self) -> Credentials {
        match &self.enrolment {
            None => Credentials::Configured,
            Some(enrolment) => Credentials::Enrolled(enrolment.identities.certificates()),
        }
    }

    /// Makes links to that end of the cloud.
    pub(super) fn connector(&self, endpoint: Endpoint) -> Arc<Connector> {
        let (link, clock) = (self.link.clone(), Arc::clone(&self.clock));
        let Some(Enrolment { identities, .. }) = &self.enrolment else {
            return Arc::new(Connector::new(link, clock));
        };
        let identity = match endpoint {
            Endpoint::Operations => identities.newest(),
            Endpoint::OperationsAsBefore => identities.before(),
            Endpoint::Enrolment => None,
        };
        Arc::new(match identity {
            Some(identity) => Connector::new(link_of(identity, link), clock),
            None => Connector::to_enrol(link, clock),
        })
    }

    /// The `enrol_begin` of a request, or why there is none. Its key is on the medium.
    pub(super) fn request(&self, request: &IdentityRequest) -> Result<String, Event> {
        let Some(Enrolment { identities, secret_file }) = &self.enrolment else {
            return Err(refused("there is no section [enrolment]"));
        };
        let serial_number = self.terminal.serial_number.clone();
        let csr = identities.signing_request(request.key, &serial_number);
        let csr = csr.map_err(|error| refused(&error.to_string()))?;
        let is_first = identities.newest().is_none();
        let secret = secret_file.as_ref().filter(|_| is_first).and_then(|file| {
            // Without it, somebody has to type in a code.
            let secret = link::one_time_secret(file);
            secret.inspect_err(|error| tracing::warn!(%error, "going on without")).ok()
        });
        let begin = EnrolBegin {
            serial_number,
            model: self.terminal.model.clone(),
            csr,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            software_version: self.terminal.software_version.clone(),
            battery_level: request.battery_level,
            nonce: request.nonce.clone(),
            secret,
        };
        Ok(encode(&EnrolAgentFrame::EnrolBegin(Box::new(begin))))
    }

    /// Checks and keeps an identity, and tells what became of it.
    pub(super) fn adopt(&mut self, enrolled: &Enrolled) -> Event {
        let Some(enrolment) = &mut self.enrolment else {
            return refused("there is no section [enrolment]");
        };
        // A clock that runs ahead must not believe that what was made just now has expired.
        match enrolment.identities.adopt(enrolled, self.clock.earliest().as_secs()) {
            Ok(identity) => Event::IdentityAdopted {
                terminal_id: identity.terminal_id.clone(),
                certificate: identity.certificate,
            },
            Err(error) => refused(&error.to_string()),
        }
    }

    /// The cloud has accepted these credentials. What cannot be removed now goes another time.
    pub(super) fn keep(&mut self, accepted: Endpoint) {
        let is_newest = accepted != Endpoint::OperationsAsBefore;
        let kept = self.enrolment.as_mut().map(|e| e.identities.keep(is_newest));
        if let Some(Err(error)) = kept {
            tracing::warn!(%error, "an identity that is not used any more is still there");
        }
    }

    pub(super) fn forget(&mut self) {
        let forgotten = self.enrolment.as_mut().map(|e| e.identities.forget());
        if let Some(Err(error)) = forgotten {
            tracing::error!(%error, "an identity that was given up is still there");
        }
    }
}

fn link_of(identity: &StoredIdentity, link: LinkConfig) -> LinkConfig {
    let crl_file = link.trust.as_ref().and_then(|trust| trust.crl_file.clone());
    LinkConfig {
        url: identity.url.clone(),
        trust: Some(Trust { ca_file: identity.trust_file(), crl_file }),
        identity: Some(identity.client()),
        ..link
    }
}

fn refused(reason: &str) -> Event {
    Event::IdentityRefused { reason: bounded(reason, REASON_CHARS_MAX) }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use rcgen::{CertificateParams, KeyPair};
    use terminal_core::engine::RequestKey;

    use super::*;
    use crate::link::{LinkUrl, Timeouts};

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    const YEAR_2096: Duration = Duration::from_secs(3_976_214_400);

    fn access(directory: PathBuf, clock: VerificationClock) -> Access {
        Access {
            terminal: Terminal {
                id: None,
                serial_number: "SN-1".to_owned(),
                model: "M".to_owned(),
                software_version: "1".to_owned(),
            },
            link: LinkConfig {
                url: LinkUrl::parse("wss://cloud.example/", false).unwrap(),
                trust: None,
                identity: None,
                token_file: None,
                proxy: None,
                timeouts: Timeouts::default(),
            },
            clock: Arc::new(clock),
            enrolment: Some(Enrolment {
                identities: IdentityStore::open(&directory).unwrap(),
                secret_file: None,
            }),
        }
    }

    /// Valid for a year from the time of the build.
    fn enrolled(key_pem: &str) -> Enrolled {
        let build = Duration::from_millis(VerificationClock::build_time().unix_ms());
        let mut params = CertificateParams::default();
        params.not_before = (std::time::UNIX_EPOCH + build).into();
        params.not_after = (std::time::UNIX_EPOCH + build + YEAR).into();
        let pem = params.self_signed(&KeyPair::from_pem(key_pem).unwrap()).unwrap().pem();
        Enrolled {
            nonce: String::new(),
            terminal_id: "T-1".to_owned(),
            location_id: None,
            display_name: None,
            certificate: pem.clone(),
            trust_bundle: pem,
            url: "wss://cloud.example/v1/terminal/ws".to_owned(),
            config_revision: 0,
        }
    }

    #[test]
    fn a_new_certificate_looks_expired_only_to_a_clock_that_somebody_vouches_for() {
        for synchronised in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let clock = VerificationClock::with_system(|| YEAR_2096);
            clock.set_synchronised(synchronised);
            let mut access = access(folder.path().join("identity"), clock);
            let identities = &access.enrolment.as_ref().unwrap().identities;
            identities.signing_request(RequestKey::New, "SN-1").unwrap();
            let key = fs::read_to_string(folder.path().join("identity/pending.key")).unwrap();
            let event = access.adopt(&enrolled(&key));
            let is_adopted = matches!(event, Event::IdentityAdopted { .. });
            assert_eq!(is_adopted, !synchronised, "{event:?}");
        }
    }
}
