//! Log data over the link: durable offsets, gaps, digests, attempts.

use futures_util::SinkExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use terminal_core::protocol::LogChunk;
use terminal_hal::OperationId;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bench::{Bench, FakeTerminal, epoch};

async fn chunk(link: &mut FakeTerminal, id: OperationId, attempt: u32, offset: u64, data: &[u8]) {
    let bytes = LogChunk { id, attempt, offset, data }.encode();
    link.socket.send(Message::binary(bytes)).await.unwrap();
}

async fn durable(link: &mut FakeTerminal, offset: u64) {
    while link.frame_of("log_ack").await["offset"].as_u64().unwrap() < offset {}
}

fn end(id: OperationId, attempt: u32, data: &[u8]) -> Value {
    let sha256 = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "type": "log_end", "id": id, "attempt": attempt, "length": data.len(), "sha256": sha256,
    })
}

#[tokio::test]
async fn a_log_arrives_whole_whatever_is_sent_twice_and_can_be_fetched() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "send_logs").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let data = (0..100_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    chunk(&mut link, id, 1, 0, &data[..30_000]).await;
    durable(&mut link, 30_000).await;
    // A gap: the answer is what is durable.
    chunk(&mut link, id, 1, 60_000, &data[60_000..70_000]).await;
    assert_eq!(link.frame_of("log_ack").await["offset"], 30_000);
    // An overlap, over the next link.
    let mut link = bench.link(&terminal, epoch()).await;
    chunk(&mut link, id, 1, 20_000, &data[20_000..50_000]).await;
    durable(&mut link, 50_000).await;
    for (at, part) in data[50_000..].chunks(25_000).enumerate() {
        chunk(&mut link, id, 1, 50_000 + 25_000 * at as u64, part).await;
    }
    for _ in 0..2 {
        link.send(&end(id, 1, &data)).await;
        loop {
            let ack = link.frame_of("log_ack").await;
            if ack["complete"] == true {
                assert_eq!(ack["offset"], 100_000);
                break;
            }
        }
    }
    assert_eq!(bench.cloud.log(&terminal.terminal_id, id).await.unwrap(), data);
    let path = format!("/v1/terminals/{}/logs", terminal.terminal_id);
    assert_eq!(bench.get(&path).await[0]["bytes"], 100_000);
    let fetched =
        bench.request(Method::GET, &format!("{path}/{id}")).send().await.unwrap().bytes().await;
    assert_eq!(fetched.unwrap(), data);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_a_new_attempt_starts_at_0() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let id = bench.operate(&terminal.terminal_id, "send_logs").await;
    let mut link = bench.link(&terminal, epoch()).await;
    chunk(&mut link, id, 1, 0, b"damaged").await;
    link.send(&end(id, 1, b"correct")).await;
    let error = link.frame_of("error").await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("DIGEST_MISMATCH"), &json!(id)));

    chunk(&mut link, id, 2, 0, b"cor").await;
    durable(&mut link, 3).await;
    chunk(&mut link, id, 1, 0, b"late").await;
    assert_eq!(link.frame_of("error").await["code"], "INVALID_MESSAGE");
    chunk(&mut link, id, 2, 3, b"rect").await;
    durable(&mut link, 7).await;
    link.send(&end(id, 2, b"correct")).await;
    assert_eq!(link.frame_of("log_ack").await["complete"], true);
    assert_eq!(bench.cloud.log(&terminal.terminal_id, id).await.unwrap(), b"correct");
}

#[tokio::test]
async fn log_data_of_another_terminal_or_another_kind_is_refused() {
    let bench = Bench::start().await;
    let (one, two) = (bench.terminal("1").await, bench.terminal("2").await);
    let foreign = bench.operate(&two.terminal_id, "send_logs").await;
    let other = bench.operate(&one.terminal_id, "end_of_day").await;
    let mut link = bench.link(&one, epoch()).await;
    for id in [foreign, other] {
        chunk(&mut link, id, 1, 0, b"x").await;
        let error = link.frame_of("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("INVALID_MESSAGE"), &json!(id)));
    }
    // No chunk at all: the answer names the operation as long as the header does.
    let named = OperationId(Uuid::from_u128(5));
    for (length, id) in [(28, json!(named)), (28 + 32_769, json!(named)), (15, json!(null))] {
        let mut bytes = named.0.as_bytes().to_vec();
        bytes.resize(length, 0);
        link.socket.send(Message::binary(bytes)).await.unwrap();
        let error = link.frame_of("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("INVALID_MESSAGE"), &id), "{length}");
    }
}

#[tokio::test]
async fn the_oldest_log_makes_room_for_the_next_and_one_that_goes_on_needs_none() {
    let bench = Bench::start().await;
    let terminal = bench.terminal("1").await;
    let mut link = bench.link(&terminal, epoch()).await;
    let (oldest, next) = (OperationId(Uuid::from_u128(1)), OperationId(Uuid::from_u128(2)));
    chunk(&mut link, oldest, 1, 0, b"old").await;
    link.send(&end(oldest, 1, b"old")).await;
    while link.frame_of("log_ack").await["complete"] != true {}
    let dir = bench.data.path().join("logs").join(&terminal.terminal_id);
    let file = std::fs::File::options().append(true).open(dir.join(format!("{oldest}.log")));
    file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    for number in 1..1000 {
        std::fs::write(dir.join(format!("{}.log", Uuid::from_u128(1000 + number))), "").unwrap();
    }
    chunk(&mut link, next, 1, 0, b"ne").await;
    durable(&mut link, 2).await;
    let files = || std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(files(), 1000);
    assert!(bench.cloud.log(&terminal.terminal_id, oldest).await.is_err());
    let path = format!("/v1/terminals/{}/logs", terminal.terminal_id);
    assert_eq!(bench.get(&path).await, json!([]));

    let mut link = bench.link(&terminal, epoch()).await;
    chunk(&mut link, next, 1, 2, b"w").await;
    durable(&mut link, 3).await;
    assert_eq!(files(), 1000, "it has its place already");
    link.send(&end(next, 1, b"new")).await;
    while link.frame_of("log_ack").await["complete"] != true {}
    assert_eq!(bench.cloud.log(&terminal.terminal_id, next).await.unwrap(), b"new");
}
