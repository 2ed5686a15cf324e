//! The one place that updates are downloaded from.

use hyper::{
    Request, Uri,
    header::{ACCEPT_ENCODING, HOST, RANGE, USER_AGENT},
};
use terminal_hal::{ErrorCode, Failure};

use crate::link::{bare_host, port_of};

const HTTPS_PORT: u16 = 443;
const AGENT: &str = concat!("terminal-agent/", env!("CARGO_PKG_VERSION"));

/// An `https://` URL without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateUrl {
    host: String,
    port: u16,
    authority: String,
    /// Ends with a slash.
    path: String,
}

impl UpdateUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "want https://HOST/PATH";
        let uri: Uri = text.parse().map_err(|_| WANTED)?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or(WANTED)?;
        let host = bare_host(authority.host()).to_ascii_lowercase();
        let port = port_of(authority, HTTPS_PORT).ok_or(WANTED)?;
        if host.is_empty() || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(WANTED);
        }
        let mut path = uri.path().to_owned();
        if !path.ends_with('/') {
            path.push('/');
        }
        Ok(Self { host, port, authority: authority.to_string(), path })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Asks for the bytes of a file from `offset` on.
    pub(super) fn request(&self, name: &str, offset: u64) -> Result<Request<String>, Failure> {
        let mut request = Request::get(format!("{}{name}", self.path))
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let invalid = |error| Failure::new(ErrorCode::Internal, format!("the request: {error}"));
        request.body(String::new()).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_asked_for_below_the_url_and_from_their_offset() {
        let url = UpdateUrl::parse("https://Updates.example:8443/n92").unwrap();
        assert_eq!((url.host(), url.port()), ("updates.example", 8443));
        let request = url.request("stable.json", 0).unwrap();
        assert_eq!(request.uri(), "/n92/stable.json");
        assert_eq!(request.headers().get(RANGE), None);
        let request = url.request("image", 5).unwrap();
        assert_eq!(request.headers()[RANGE], "bytes=5-");
    }

    #[test]
    fn anything_but_a_plain_https_url_is_refused() {
        for text in [
            "http://updates.example/",
            "https://user@updates.example/",
            "https://updates.example/?token=x",
            "https://updates.example:port/",
            "updates.example",
            "",
        ] {
            assert!(UpdateUrl::parse(text).is_err(), "{text}");
        }
    }
}
