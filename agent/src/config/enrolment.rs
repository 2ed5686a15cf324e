//! The section `[enrolment]`: a terminal that comes to its credentials by itself.

use std::path::PathBuf;

use super::{
    COMES_WITH_THE_IDENTITY, Problems, credential_path, pair, proxy,
    raw::{RawCloud, RawEnrolment},
    timeouts,
};
use crate::link::{LinkConfig, LinkUrl, Trust};

/// How the terminal comes to its credentials.
#[derive(Clone, Debug)]
pub struct EnrolmentConfig {
    /// Folder of its keys and certificates; belongs to the agent alone.
    pub identity_directory: PathBuf,
    /// File with the one-time secret of a serial number that was registered beforehand.
    pub secret_file: Option<PathBuf>,
}

/// The link to where terminals enrol, and the rest.
pub(super) fn checked(
    raw: RawEnrolment,
    cloud: RawCloud,
    problems: &mut Problems<'_>,
) -> Option<(LinkConfig, EnrolmentConfig)> {
    for (key, is_there) in [
        ("cloud.url", cloud.url.is_some()),
        ("cloud.ca-file", cloud.ca_file.is_some()),
        ("cloud.client-certificate-file", cloud.client_certificate_file.is_some()),
        ("cloud.client-key-file", cloud.client_key_file.is_some()),
        ("cloud.token-file", cloud.token_file.is_some()),
    ] {
        if is_there {
            problems.add(key, COMES_WITH_THE_IDENTITY);
        }
    }
    problems.absolute("enrolment.identity-directory", &raw.identity_directory);
    let keys = ["enrolment.factory-certificate-file", "enrolment.factory-key-file"];
    let identity = pair(keys, raw.factory_certificate_file, raw.factory_key_file, problems);
    let url = match LinkUrl::parse(&raw.url, cloud.allow_insecure) {
        Ok(url) => url,
        Err(error) => {
            problems.add("enrolment.url", &error.to_string());
            return None;
        }
    };
    if url.is_tls() && raw.ca_file.is_none() {
        problems.add("enrolment.ca-file", "missing, want a PEM bundle of whom to trust");
    }
    let crl_file = cloud.crl_file.map(credential_path);
    let link = LinkConfig {
        url,
        trust: raw.ca_file.map(|file| Trust { ca_file: credential_path(file), crl_file }),
        identity,
        token_file: None,
        proxy: cloud.proxy.map(proxy),
        timeouts: timeouts(cloud.connect_timeout_s),
    };
    let enrolment = EnrolmentConfig {
        identity_directory: raw.identity_directory,
        secret_file: raw.secret_file.map(credential_path),
    };
    Some((link, enrolment))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, ConfigError};

    const MINIMAL: &str = r#"
        [terminal]
        serial-number = "123456789012"
        model = "nexgo_n92"
        [enrolment]
        url = "wss://cloud.example/v1/terminal/enrol"
        ca-file = "/etc/terminal-agent/ca.pem"
        identity-directory = "/var/lib/terminal-agent/identity"
        [store]
        directory = "/var/lib/terminal-agent"
        [hal]
        backend = "mock"
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("agent.toml"), text)
    }

    #[test]
    fn a_terminal_that_enrols_needs_neither_an_id_nor_a_section_about_the_cloud() {
        let config = parse(MINIMAL).unwrap();
        assert_eq!(config.terminal.id, None);
        assert_eq!(config.link.url.to_string(), "wss://cloud.example/v1/terminal/enrol");
        assert!(config.enrolment.is_some());
    }

    #[test]
    fn what_comes_with_the_identity_is_not_configured_beside_it() {
        let text = MINIMAL.replace("[terminal]", "[terminal]\nid = \"T-1\"")
            + "[cloud]\nurl = \"wss://cloud.example/\"\nca-file = \"/ca\"\ntoken-file = \"/token\"\n";
        let error = parse(&text).unwrap_err().to_string();
        for key in ["terminal.id", "cloud.url", "cloud.ca-file", "cloud.token-file"] {
            let problem = format!("agent.toml: {key}: comes with the identity");
            assert!(error.contains(&problem), "{problem} is not in {error}");
        }
    }

    #[test]
    fn every_problem_of_enrolment_is_reported_at_once() {
        let text = MINIMAL.replace("wss://cloud", "ws://cloud").replace(
            "\"/var/lib/terminal-agent/identity\"",
            "\"identity\"\nfactory-key-file = \"/k\"",
        );
        let error = parse(&text).unwrap_err().to_string();
        for key in ["url", "identity-directory", "factory-certificate-file"] {
            assert!(error.contains(&format!("agent.toml: enrolment.{key}: ")), "{key} in {error}");
        }
    }

    #[test]
    fn without_enrolment_the_id_and_the_cloud_are_needed() {
        let begin = MINIMAL.find("[enrolment]").unwrap();
        let end = MINIMAL.find("[store]").unwrap();
        let text = format!("{}{}", &MINIMAL[..begin], &MINIMAL[end..]);
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("terminal.id: missing") && error.contains("cloud.url: missing"));
    }
}
