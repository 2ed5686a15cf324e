//! Addresses that others name: of the cloud, of a receiver of logs, of a wait.

use std::{
    cell::LazyCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use terminal_agent::{
    link::LinkUrl,
    uploads::{UploadLimits, Uploads, send_logs},
};
use terminal_hal::{
    ErrorCode, Failure, OperationId, Timestamp,
    api::{Call, HalFuture, LogRange, LogStream, Logs, call},
    operation::{
        SendLogsParameters,
        send_logs::{Upload, UploadMethod},
    },
};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::agent_files::{is_public, retry_after_s};

/// Hosts that uploads may go to here.
const HOSTS: [&str; 4] = ["logs.example", "*.store.example", "[2001:db8::7]:8443", "192.0.2.7"];

thread_local! {
    static RUNTIME: LazyCell<Option<Runtime>> =
        const { LazyCell::new(|| Builder::new_current_thread().enable_time().build().ok()) };
}

/// The first byte says what the rest is.
pub fn url(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    if which % 5 == 4 {
        return addresses(rest);
    }
    let text = String::from_utf8_lossy(rest);
    match which % 5 {
        0 => link_url(&text, false),
        1 => link_url(&text, true),
        2 => upload_url(&text),
        _ => retry_after(&text),
    }
}

fn link_url(text: &str, allow_insecure: bool) {
    match LinkUrl::parse(text, allow_insecure) {
        Ok(url) => {
            let (scheme, rest) = text.split_once("://").unwrap_or_default();
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            assert!(!url.host().is_empty() && !authority.contains('@'), "{text}");
            assert!(!text.contains('#'), "{text}");
            // Behind the brackets of an address, if there are any.
            let (_, port) = authority.rsplit_once(']').unwrap_or(("", authority));
            let port = port.split_once(':').map_or("", |(_, port)| port);
            assert!(port.is_empty() || port.parse() == Ok(url.port()), "{text}");
            assert!(scheme.eq_ignore_ascii_case(if url.is_tls() { "wss" } else { "ws" }));
            let here = url.host().eq_ignore_ascii_case("localhost")
                || url.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            assert!(url.is_tls() || allow_insecure || here, "{text}");
            assert_eq!(LinkUrl::parse(&url.to_string(), allow_insecure), Ok(url));
        }
        Err(error) => assert!(error.to_string().len() <= 12 * text.len() + 256),
    }
}

/// A receiver that is taken is on the list, as a plain look at the text tells.
fn upload_url(text: &str) {
    let upload = Upload {
        url: text.to_owned(),
        method: UploadMethod::Put,
        headers: [("x-meta".to_owned(), text.to_owned())].into(),
        expires_at: None,
    };
    let plain = Upload { headers: Default::default(), ..upload.clone() };
    for upload in [upload, plain] {
        let Some(code) = refused_with(upload) else { return };
        let taken = code == ErrorCode::DeviceFault;
        let refused = [ErrorCode::InvalidParameters, ErrorCode::UploadRejected].contains(&code);
        assert!(taken || refused, "{code:?} for {text}");
        assert!(!taken || is_on_the_list(text), "{text}");
    }
}

/// How an upload ends whose lines cannot be had: a `DEVICE_FAULT` once the target is taken.
fn refused_with(upload: Upload) -> Option<ErrorCode> {
    let parameters = SendLogsParameters { upload: Some(upload), ..Default::default() };
    let limits = UploadLimits {
        hosts: HOSTS.map(str::to_owned).to_vec(),
        bytes_max: 1 << 20,
        allow_private_addresses: false,
    };
    let (call, _handle) = call(OperationId(Uuid::nil()), 1, Duration::from_secs(60));
    let uploads = Uploads::new(None);
    let now = Timestamp::from_unix_ms(1 << 40);
    let sending = send_logs(&call, &parameters, &NoLogs, &uploads, now, &limits);
    let sent = RUNTIME.with(|runtime| Some(runtime.as_ref()?.block_on(sending)));
    sent.and_then(Result::err).map(|failure| failure.code)
}

struct NoLogs;

impl Logs for NoLogs {
    fn collect<'a>(&'a self, _: &'a Call, _: &'a LogRange) -> HalFuture<'a, LogStream> {
        Box::pin(async { Err(Failure::new(ErrorCode::DeviceFault, "no lines here")) })
    }
}

fn is_on_the_list(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if matches!(authority, "[2001:db8::7]:8443") {
        return true;
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    // A port may be left out, colon and all.
    let is_443 = port.is_empty() || port.parse() == Ok(443_u16);
    is_443
        && (matches!(host, "logs.example" | "192.0.2.7")
            || host.strip_suffix(".store.example").is_some_and(|name| !name.is_empty()))
}

fn retry_after(text: &str) {
    let now = Timestamp::from_unix_ms(784_111_777_000);
    if let Some(seconds) = retry_after_s(text, now) {
        let digits = text.trim();
        match digits.parse::<u64>() {
            Ok(number) => assert_eq!(u64::from(seconds), number.min(u32::MAX.into()), "{text}"),
            Err(_) => assert!(digits.contains("GMT") || seconds == u32::MAX, "{text}"),
        }
    }
}

/// No address of a neighbour is public, however it is wrapped.
fn addresses(bytes: &[u8]) {
    if let Some(octets) = bytes.first_chunk::<4>() {
        let address = Ipv4Addr::from(*octets);
        let public = is_public(address.into());
        let near = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_unspecified();
        assert!(!(public && near), "{address}");
        assert_eq!(public, is_public(address.to_ipv6_mapped().into()), "{address}");
        let [a, b, c, d] = *octets;
        let pair = |high, low| u16::from_be_bytes([high, low]);
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, pair(a, b), pair(c, d));
        let six_to_four = Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1);
        assert_eq!(public, is_public(nat64.into()), "{nat64}");
        assert_eq!(public, is_public(six_to_four.into()), "{six_to_four}");
    }
    if let Some(octets) = bytes.first_chunk::<16>() {
        let address = Ipv6Addr::from(*octets);
        let near = address.is_loopback()
            || address.is_multicast()
            || address.is_unspecified()
            || address.is_unique_local()
            || address.is_unicast_link_local();
        assert!(!(is_public(address.into()) && near), "{address}");
    }
}
