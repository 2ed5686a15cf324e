//! A cloud that means harm, or does not know what it does, against the real process: it lives on,
//! keeps to the codes of the protocol and to its memory, and then works as if nothing had been.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use terminal_harness::{Agent, Site, SiteOptions};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::{
    hostile_peer::{Door, Peer, TEXT, accept_key, frame, now, upgrade, welcome},
    support::{has_one_verdict, result},
};

/// What the process may hold at most. The unit allows it 32 MB; a debug build is larger by its
/// program, of which whole pages are read.
const RSS_KB_MAX: u64 = if cfg!(debug_assertions) { 48 << 10 } else { 32 << 10 };

/// A site whose agent has a door in front of it, instead of a cloud.
pub(crate) async fn besieged() -> Result<(Site, Door, Agent)> {
    let site = Site::start(SiteOptions { log_level: "error", ..SiteOptions::default() }).await?;
    let door = Door::open(&site).await?;
    let agent = site.start_agent()?;
    Ok((site, door, agent))
}

/// The same process works with a good cloud, and has never held too much.
pub(crate) async fn is_none_the_worse(
    site: &Site,
    door: Door,
    agent: &Agent,
    pid: Option<u32>,
) -> Result<()> {
    let aside = door.step_aside();
    site.online().await?;
    let id = site.create("end_of_day", json!({})).await?;
    result(&site.verdict(id).await?)?;
    has_one_verdict(site, id).await?;
    assert_eq!(site.effects_of(id)?, 1);
    assert_eq!((agent.pid(), agent.starts()), (pid, 1));
    let peak_kb = agent.proc_status("VmHWM")?;
    ensure!(peak_kb <= RSS_KB_MAX, "held {peak_kb} kB, want at most {RSS_KB_MAX}");
    aside.abort();
    Ok(())
}

pub(crate) fn text(content: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0x80 | TEXT, content.as_ref())
}

/// A header that announces so many bytes, of which none come.
fn announcing(bytes: u64) -> Vec<u8> {
    [&[0x80 | TEXT, 127][..], &bytes.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_breaks_the_websocket_is_left_with_the_right_code() -> Result<()> {
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let half = vec![b'x'; 40_000];
    let cases = [
        ("4 GB announced", announcing(1 << 32), 1009),
        ("2^63 bytes announced", announcing(1 << 63), 1009),
        ("fragments above the limit", [frame(1, &half), frame(0, &half)].concat(), 1009),
        ("a long control frame", frame(0x89, &[0; 126]), 1002),
        ("a masked frame", b"\x81\x81mask\x00".to_vec(), 1002),
        ("a reserved bit", frame(0xa0 | TEXT, b"{}"), 1002),
        ("compression that nobody agreed on", frame(0xc0 | TEXT, &[0xaa; 100]), 1002),
        ("a reserved opcode", frame(0x83, b"{}"), 1002),
        ("an end without a beginning", frame(0x80, b"{}"), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("not UTF-8", text(b"{\"type\":\"\xff\"}"), 1007),
    ];
    for (what, bytes, code) in cases {
        let (mut peer, _) = door.welcomed().await?;
        peer.send(&bytes).await?;
        assert_eq!(peer.close_code().await?, code, "{what}");
    }
    is_none_the_worse(&site, door, &agent, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_talks_nonsense_is_answered_or_left() -> Result<()> {
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let id = Uuid::new_v4();
    let deep = |depth: usize| text(format!(r#"{{"type":"cancel","id":{}"#, "[".repeat(depth)));
    let left = [
        ("no JSON", text("{ this is not JSON"), 1007),
        ("no object", text("[]"), 1007),
        ("no type", text("{}"), 1007),
        ("nested within the limit", deep(60_000), 1007),
        ("nested above the limit", deep(100_000), 1009),
        (
            "one id given twice",
            text(format!(r#"{{"type":"cancel","id":"{id}","id":"{id}"}}"#)),
            1007,
        ),
        ("one byte too many", text("x".repeat(65_537)), 1009),
    ];
    for (what, bytes, code) in left {
        let (mut peer, _) = door.welcomed().await?;
        peer.send(&bytes).await?;
        assert_eq!(peer.close_code().await?, code, "{what}");
    }

    let (mut peer, hello) = door.greeted().await?;
    let cancel = json!({ "type": "cancel", "id": id });
    answered(&mut peer, text(cancel.to_string()), "NOT_WELCOMED", None).await?;
    let welcome = welcome(&hello);
    peer.say(&welcome).await?;
    answered(&mut peer, text(welcome.to_string()), "INVALID_MESSAGE", None).await?;
    let (epoch, id_text) = (&hello["store_epoch"], id.to_string());
    let ack = |seq: &str| text(format!(r#"{{"type":"ack","store_epoch":{epoch},"seq":{seq}}}"#));
    answered(&mut peer, ack("4000000000"), "INVALID_ACK", Some("4000000000")).await?;
    answered(&mut peer, ack(&u64::MAX.to_string()), "INVALID_ACK", Some(&u64::MAX.to_string()))
        .await?;
    answered(&mut peer, ack("-1"), "INVALID_MESSAGE", None).await?;
    answered(&mut peer, ack("1,\"seq\":1"), "INVALID_MESSAGE", None).await?;
    answered(&mut peer, ack(&"9".repeat(60_000)), "INVALID_MESSAGE", None).await?;
    answered(&mut peer, text(cancel.to_string()), "UNKNOWN_OPERATION", Some(&id_text)).await?;
    let long = json!({ "type": "x".repeat(60_000) }).to_string();
    answered(&mut peer, text(long), "UNSUPPORTED_MESSAGE", None).await?;
    let long = json!({ "type": "cancel", "id": "x".repeat(60_000) }).to_string();
    answered(&mut peer, text(long), "INVALID_MESSAGE", Some(&"x".repeat(64))).await?;
    let long =
        json!({ "type": "error", "code": "x".repeat(30_000), "message": "y".repeat(30_000) });
    peer.say(&long).await?;
    let log_ack = json!({ "type": "log_ack", "id": id, "attempt": 9, "offset": u64::MAX });
    peer.say(&log_ack).await?;
    peer.send(&frame(0x82, &[0x5a; 60_000])).await?;
    peer.send(&frame(0x82, b"")).await?;
    // An operation whose every text is as long as a frame lets it be, and what is in it twice.
    peer.send(&text(strange_operation(id))).await?;
    let report = loop {
        let frame = peer.json().await?;
        if frame["type"] == "report" && frame["id"] == id_text {
            break frame;
        }
    };
    assert_eq!(report["error"]["code"], "UNSUPPORTED_OPERATION", "{report}");
    assert_eq!(report["operation"], "x".repeat(64));
    drop(peer);
    is_none_the_worse(&site, door, &agent, pid).await
}

/// Sends bytes, and waits for the `error` that answers them.
async fn answered(
    peer: &mut Peer,
    bytes: Vec<u8>,
    code: &str,
    reference: Option<&str>,
) -> Result<()> {
    peer.send(&bytes).await?;
    let error = peer.error().await?;
    assert_eq!((error["code"].as_str(), error["ref"].as_str()), (Some(code), reference), "{error}");
    Ok(())
}

fn strange_operation(id: Uuid) -> String {
    let (long, now) = ("x".repeat(15_000), now());
    let later = now.plus_ms(3_600_000);
    format!(
        r#"{{"type":"operation","id":"{id}","operation":"{long}","created_by":"{long}",
            "parameters":{{"a":1,"a":[2],"a":{{"a":"{long}"}}}},"created_at":"{now}",
            "ttl_s":4294967295,"not_after":"{later}","deadline_s":4294967295}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_cloud_is_asked_again() -> Result<()> {
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let ok = |key: &str| upgrade(key).replace("\r\n\r\n", "\r\n");
    let long_header = format!("{}x: {}\r\n\r\n", ok("KEY"), "y".repeat(10 << 20));
    let many_headers = format!("{}{}\r\n", ok("KEY"), "x: y\r\n".repeat(100_000));
    let answers = [
        ("a header of 10 MB", long_header),
        ("100,000 headers", many_headers),
        ("no end of a line", "H".repeat(1 << 20)),
        ("another's key", upgrade("dGhlIHNhbXBsZSBub25jZQ==")),
        ("another status", upgrade("KEY").replace("101", "200")),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        ("a body without an end", format!("HTTP/1.1 500 x\r\n\r\n{}", "z".repeat(10 << 20))),
    ];
    for (what, answer) in answers {
        let mut peer = door.peer().await?;
        let key = accept_key(&peer.head().await?);
        // It need not hear all of it.
        let _ = peer.send(answer.replace("KEY", &key).as_bytes()).await;
        ensure!(peer.is_left().await, "{what} was taken for a link");
    }
    door.show_chain(500).await?;
    is_none_the_worse(&site, door, &agent, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_never_welcomes_and_never_ends_a_message_is_left() -> Result<()> {
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let begin = Instant::now();
    let (peer, _) = door.greeted().await?;
    let (mut ears, mut mouth) = peer.split();
    mouth.write_all(&frame(TEXT, b"{")).await?;
    let endless = frame(0, b"").repeat(512);
    let talking = tokio::spawn(async move { while mouth.write_all(&endless).await.is_ok() {} });
    assert_eq!(ears.close_code().await?, 4408);
    assert!(begin.elapsed() >= Duration::from_secs(14), "{:?}", begin.elapsed());
    talking.abort();
    drop(ears);
    is_none_the_worse(&site, door, &agent, pid).await
}
