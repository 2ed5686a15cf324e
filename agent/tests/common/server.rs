//! Servers: a WebSocket end, and plain bytes for what a WebSocket library would not send.

use terminal_core::protocol::SUBPROTOCOL;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        handshake::server::{Request, Response},
        http::HeaderMap,
    },
};

/// A listener on a free port of loopback.
pub async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// The server's end of a WebSocket with the right subprotocol, and what the client asked with.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> (WebSocketStream<S>, HeaderMap) {
    let mut headers = HeaderMap::new();
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let answer = |request: &Request, mut response: Response| {
        headers = request.headers().clone();
        let protocol = SUBPROTOCOL.parse().unwrap();
        response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    let socket = accept_hdr_async(stream, answer).await.unwrap();
    (socket, headers)
}

/// Reads up to the end of a header block; the bytes after it are what follows.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "head is incomplete");
    };
    let rest = bytes.split_off(end);
    (String::from_utf8(bytes).unwrap(), rest)
}

/// Reads a request and answers it with these bytes.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, response: &str) {
    read_head(&mut stream).await;
    stream.write_all(response.as_bytes()).await.unwrap();
    // The client hangs up.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}
