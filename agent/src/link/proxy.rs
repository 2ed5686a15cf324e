//! A tunnel through an HTTP proxy.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{config::ProxyConfig, credentials, error::ConnectError};

/// Largest header block that a proxy may answer with.
const ANSWER_BYTES_MAX: usize = 8 << 10;
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// Asks the proxy for a tunnel to `host`; the stream is then connected to it.
pub(super) async fn open_tunnel(
    mut stream: TcpStream,
    proxy: &ProxyConfig,
    host: &str,
    port: u16,
) -> Result<TcpStream, ConnectError> {
    let request = request(proxy, host, port)?;
    let broken = |error: std::io::Error| ConnectError::Proxy(error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    let end = loop {
        let count = stream.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            return Err(ConnectError::Proxy("closed the connection".to_owned()));
        }
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(at) = answer.windows(HEADERS_END.len()).position(|w| w == HEADERS_END) {
            break at + HEADERS_END.len();
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(ConnectError::Proxy("answer is larger than 8 KiB".to_owned()));
        }
    };
    let status =
        status(&answer).ok_or_else(|| ConnectError::Proxy("answer is not HTTP".to_owned()))?;
    if !(200..300).contains(&status) {
        return Err(ConnectError::ProxyStatus(status));
    }
    // Both protocols inside begin with this end, so early bytes can only be the proxy's own.
    if end != answer.len() {
        return Err(ConnectError::Proxy("sent data into the tunnel".to_owned()));
    }
    Ok(stream)
}

fn request(proxy: &ProxyConfig, host: &str, port: u16) -> Result<String, ConnectError> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let login = match &proxy.credentials_file {
        None => String::new(),
        Some(file) => {
            let login = base64(credentials::proxy_login(file)?.as_bytes());
            format!("Proxy-Authorization: Basic {login}\r\n")
        }
    };
    Ok(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n"))
}

/// The status of `HTTP/1.x NNN …`.
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let (digits, after) = rest.split_first_chunk::<3>()?;
    if !matches!(after.first(), Some(b' ' | b'\r')) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|status| *status >= 100)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * n) & 63) as usize);
            let digit = digit.filter(|_| n <= group.len()).unwrap_or(&b'=');
            text.push(char::from(*digit));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn only_an_http_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for bad in [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n", b"HTTP/1.1 +20 x"] {
            assert_eq!(status(bad), None);
        }
    }
}
