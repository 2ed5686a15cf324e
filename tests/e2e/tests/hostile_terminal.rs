//! A terminal that means harm against the simulated cloud: it is left with the right code, and the
//! cloud serves others as before. What a terminal can say within the framing is in the cloud's own
//! tests.

use std::{fs, sync::Arc};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_harness::{Site, SiteOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use uuid::Uuid;

use crate::{
    hostile_peer::{TEXT, frame},
    support::{PATIENCE, has_one_verdict, result},
};

const CLOSE: u8 = 8;
const EPOCH: Uuid = Uuid::from_u128(0xe90c);

/// A link whose every byte is written by the test.
struct Terminal {
    stream: TlsStream<TcpStream>,
}

impl Terminal {
    /// Connects with the site's token and says `hello`.
    async fn welcomed(site: &Site) -> Result<Self> {
        let mut terminal = Self::upgraded(site).await?;
        terminal.say(&hello(site.terminal_id())).await?;
        let welcome = terminal.json().await?;
        ensure!(welcome["type"] == "welcome", "{welcome}");
        Ok(terminal)
    }

    async fn upgraded(site: &Site) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(site.ca_file())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(site.cloud()?.addr()).await?;
        let name = ServerName::try_from("localhost")?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let token = fs::read_to_string(site.path("agent/token"))?;
        let request = format!(
            "GET /v1/terminal/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: terminal-ops.v1\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await??);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Ok(Self { stream })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn say(&mut self, value: &Value) -> Result<()> {
        self.send(&masked(0x80 | TEXT, value.to_string().as_bytes())).await
    }

    /// The next frame; `None` at the end of the connection.
    async fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let Ok(first) = timeout(PATIENCE, self.stream.read_u8()).await? else { return Ok(None) };
        let length = match self.stream.read_u8().await? {
            126 => self.stream.read_u16().await?.into(),
            127 => self.stream.read_u64().await?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut payload).await?;
        Ok(Some((first & 0x0f, payload)))
    }

    async fn json(&mut self) -> Result<Value> {
        loop {
            let (opcode, payload) = self.frame().await?.context("the connection has ended")?;
            ensure!(opcode != CLOSE, "closed: {payload:?}");
            if opcode == TEXT {
                return Ok(serde_json::from_slice(&payload)?);
            }
        }
    }

    /// The code that the cloud closes with; `None` when it just ends the connection.
    async fn close_code(&mut self) -> Result<Option<u16>> {
        while let Some((opcode, payload)) = self.frame().await? {
            if opcode == CLOSE {
                return Ok(payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
            }
        }
        Ok(None)
    }
}

/// A frame as a client sends it. The mask is 0, so that the payload stays as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let header = frame(first, payload);
    let (header, _) = header.split_at(header.len() - payload.len());
    let mut bytes = header.to_vec();
    bytes[1] |= 0x80;
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn announcing(length: u64) -> Vec<u8> {
    [&[0x80 | TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

fn hello(terminal_id: &str) -> Value {
    json!({
        "type": "hello", "protocol": 1, "terminal_id": terminal_id, "serial_number": "1",
        "model": "x", "agent_version": "0", "software_version": "0", "boot_id": Uuid::nil(),
        "store_epoch": EPOCH, "session_id": null, "operations": [], "unfinished": [],
        "outbox": { "first_seq": 1, "last_seq": 0 },
        "caps": { "unfinished": 1, "unacked": 1, "frame_bytes": 65_536 },
        "locked": false, "config_revision": 0,
        "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "synchronised" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_terminal_is_left_and_the_cloud_is_none_the_worse() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let deep = |depth: usize| masked(0x80 | TEXT, &vec![b'['; depth]);
    let deep_field = format!(r#"{{"type":"accepted","id":{}"#, "[".repeat(60_000));
    let half = vec![b'x'; 40_000];
    let cases = [
        ("4 GB announced", announcing(1 << 32), Some(1009)),
        ("2^63 bytes announced", announcing(1 << 63), Some(1009)),
        ("too large in pieces", [masked(1, &half), masked(0, &half)].concat(), Some(1009)),
        ("too large when nested", deep(100_000), Some(1009)),
        ("nested", deep(60_000), Some(1007)),
        ("nested in a field", masked(0x80 | TEXT, deep_field.as_bytes()), Some(1007)),
        ("not UTF-8", masked(0x80 | TEXT, b"{\"type\":\"\xff\"}"), Some(1007)),
    ];
    for (what, bytes, code) in cases {
        let mut terminal = Terminal::welcomed(&site).await?;
        terminal.send(&bytes).await?;
        assert_eq!(terminal.close_code().await?, code, "{what}");
    }
    let broken = [
        ("not masked", frame(0x80 | TEXT, b"{}")),
        ("a reserved bit", masked(0xc0 | TEXT, b"{}")),
        ("a long control frame", masked(0x89, &[0; 126])),
        ("a reserved opcode", masked(0x8b, b"")),
    ];
    for (what, bytes) in broken {
        let mut terminal = Terminal::welcomed(&site).await?;
        terminal.send(&bytes).await?;
        let code = terminal.close_code().await?;
        assert!(matches!(code, None | Some(1002)), "{what}: {code:?}");
    }
    numbers_that_cannot_be(&site).await?;

    let agent = site.start_agent()?;
    site.online().await?;
    let id = site.create("end_of_day", json!({})).await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(&site, id).await?;
    assert_eq!((site.effects_of(id)?, agent.starts()), (1, 1));
    Ok(())
}

/// Reports under numbers that no sequence has are refused, and none of them is acked.
async fn numbers_that_cannot_be(site: &Site) -> Result<()> {
    let mut terminal = Terminal::welcomed(site).await?;
    let report = |seq: &str| {
        format!(
            r#"{{"type":"report","seq":{seq},"store_epoch":"{EPOCH}","report_id":"{}",
                "kind":"dropped"}}"#,
            Uuid::new_v4()
        )
    };
    let nines = "9".repeat(60_000);
    for seq in ["0", "-1", "9223372036854775808", "18446744073709551615", "1e3", "1.5", &nines] {
        terminal.send(&masked(0x80 | TEXT, report(seq).as_bytes())).await?;
        let error = terminal.json().await?;
        assert_eq!(error["code"], "INVALID_MESSAGE", "{seq:.30}: {error}");
    }
    // Far beyond a gap: kept, and not acked until the first one comes.
    terminal.send(&masked(0x80 | TEXT, report("9223372036854775807").as_bytes())).await?;
    terminal.send(&masked(0x80 | TEXT, report("1").as_bytes())).await?;
    let ack = terminal.json().await?;
    assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(1)), "{ack}");
    Ok(())
}
