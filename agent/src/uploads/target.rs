//! Where an upload goes, checked against what the terminal itself allows.

use hyper::{
    Method, Request, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use terminal_hal::{
    ErrorCode, Failure, Timestamp,
    operation::send_logs::{Upload, UploadMethod},
};

use super::UploadLimits;
use crate::link::{AddressRule, bare_host, is_public, port_of};

const HTTPS_PORT: u16 = 443;
const AGENT: &str = concat!("terminal-agent/", env!("CARGO_PKG_VERSION"));
/// Headers that belong to the connection or to the terminal, not to the cloud.
const HEADERS_REFUSED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A receiver that may be uploaded to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) rule: AddressRule,
    uri: Uri,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    expires_at: Option<Timestamp>,
}

impl Target {
    /// Checks URL, host and headers.
    pub(super) fn check(upload: &Upload, limits: &UploadLimits) -> Result<Self, Failure> {
        let uri: Uri = upload.url.parse().map_err(|_| invalid("upload.url: not a URL"))?;
        let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("https")) else {
            return Err(invalid("upload.url: want an https:// URL"));
        };
        if authority.as_str().contains('@') {
            return Err(invalid("upload.url: names a user"));
        }
        let host = bare_host(authority.host()).to_ascii_lowercase();
        let port = port_of(authority, HTTPS_PORT);
        let port = port.ok_or_else(|| invalid("upload.url: want a port from 0 to 65535"))?;
        if !limits.hosts.iter().any(|pattern| covers(pattern, &host, port)) {
            let reason = format!("{host}:{port} is not on this terminal's list of upload hosts");
            return Err(Failure::new(ErrorCode::UploadRejected, reason));
        }
        let private = limits.allow_private_addresses;
        let rule = if private { AddressRule::Any } else { AddressRule::Only(is_public) };
        let method = match upload.method {
            UploadMethod::Put => Method::PUT,
            UploadMethod::Post => Method::POST,
        };
        let headers = headers(upload)?;
        Ok(Self { host, port, rule, uri, method, headers, expires_at: upload.expires_at })
    }

    /// Refuses a URL that is of no use any more.
    pub(super) fn check_expiry(&self, now: Timestamp) -> Result<(), Failure> {
        match self.expires_at {
            Some(at) if at <= now => {
                let reason = format!("the upload URL has expired at {at}");
                Err(Failure::new(ErrorCode::UploadUrlExpired, reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The request, with `length` bytes of body.
    pub(super) fn request<B>(&self, length: u64, body: B) -> Result<Request<B>, Failure> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::builder()
            .method(self.method.clone())
            .uri(path)
            .header(HOST, authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_LENGTH, length)
            .body(body);
        let mut request = request.map_err(|error| invalid(&error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}

fn headers(upload: &Upload) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let header = |(name, value): (&String, &String)| {
        let refused = || invalid(&format!("upload.headers: {name} cannot be set"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        if HEADERS_REFUSED.contains(&parsed.as_str()) {
            return Err(refused());
        }
        let value = HeaderValue::from_str(value).map_err(|_| refused())?;
        Ok((parsed, value))
    };
    upload.headers.iter().map(header).collect()
}

/// Whether `name`, `*.suffix` or either with `:port` covers a host.
fn covers(pattern: &str, host: &str, port: u16) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let ported = pattern.rsplit_once(':').and_then(|(name, p)| Some((name, p.parse().ok()?)));
    // The colons of a bare IPv6 address separate no port.
    let ported = ported.filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    let (name, allowed_port) = ported.unwrap_or((pattern.as_str(), HTTPS_PORT));
    let matches = match name.strip_prefix("*.") {
        Some(suffix) => host
            .strip_suffix(suffix)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|label| !label.is_empty() && !suffix.is_empty()),
        None => bare_host(name) == host,
    };
    matches && allowed_port == port
}

fn invalid(reason: &str) -> Failure {
    Failure::new(ErrorCode::InvalidParameters, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(url: &str, hosts: &[&str]) -> Result<Target, ErrorCode> {
        let (method, headers) = (UploadMethod::Put, BTreeMap::new());
        let upload = Upload { url: url.into(), method, headers, expires_at: None };
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let limits = UploadLimits { hosts, bytes_max: 1, allow_private_addresses: false };
        Target::check(&upload, &limits).map_err(|failure| failure.code)
    }

    #[test]
    fn a_host_is_covered_exactly_or_below_a_suffix_and_never_beside_it() {
        let hosts = ["logs.example", "*.store.example", "[::1]:8443", "*."];
        for url in [
            "https://logs.example/x?y=1",
            "https://LOGS.example:443/x",
            "https://a.store.example/",
            "https://a.b.store.example",
            "https://[::1]:8443/",
        ] {
            assert!(check(url, &hosts).is_ok(), "{url}");
        }
        for url in [
            "https://logs.example.evil/x",
            "https://evil-logs.example/x",
            "https://store.example/",
            "https://.store.example/",
            "https://evilstore.example/",
            "https://logs.example./x",
            "https://logs.example:8443/x",
            "https://[::1]/",
        ] {
            assert_eq!(check(url, &hosts).unwrap_err(), ErrorCode::UploadRejected, "{url}");
        }
        assert_eq!(check("https://logs.example", &[]).unwrap_err(), ErrorCode::UploadRejected);
    }

    #[test]
    fn a_url_is_https_and_names_no_user() {
        for url in [
            "http://logs.example/x",
            "https://u:p@logs.example/x",
            "https://logs.example:65536/x",
            "https://logs.example:44x/x",
            "https:///x",
            "/x",
            "",
        ] {
            assert_eq!(check(url, &["logs.example"]).unwrap_err(), ErrorCode::InvalidParameters);
        }
    }

    #[test]
    fn headers_are_the_clouds_except_those_of_the_connection() {
        let upload = |name: &str| Upload {
            url: "https://logs.example/a?b".into(),
            method: UploadMethod::Post,
            headers: BTreeMap::from([(name.to_owned(), "v".to_owned())]),
            expires_at: None,
        };
        let hosts = vec!["logs.example".to_owned()];
        let limits = UploadLimits { hosts, bytes_max: 1, allow_private_addresses: false };
        let target = Target::check(&upload("Content-Type"), &limits).unwrap();
        let request = target.request(5, ()).unwrap();
        assert_eq!(request.headers()[CONTENT_TYPE], "v");
        assert_eq!(request.headers()[CONTENT_LENGTH], "5");
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/a?b"));
        for name in ["Host", "AUTHORIZATION", "Connection", "bad name", "Expect"] {
            assert!(Target::check(&upload(name), &limits).is_err(), "{name}");
        }
    }
}
