//! A cloud that sends as fast as it can: what is too much is refused as the protocol says, nothing
//! grows without bound, and the process is the same afterwards.
//!
//! `TERMINAL_FLOOD_FRAMES` is how many frames of each kind are sent: 3,000 unless it says so.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt as _, WriteHalf},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use crate::{
    hostile::{besieged, is_none_the_worse, text},
    hostile_peer::{Door, Ears, frame, now},
};

/// Frames that are written at once.
const BURST: usize = 64;
/// Answers that may be on their way. With more, acks would come late behind the frames that wait.
const WINDOW: u64 = 512;

fn frames() -> u64 {
    let Ok(text) = std::env::var("TERMINAL_FLOOD_FRAMES") else { return 3_000 };
    text.parse().unwrap_or_else(|_| panic!("TERMINAL_FLOOD_FRAMES is {text:?}, want a number"))
}

/// Ids that tell the kind of flood from its number.
fn id(flood: u16, number: u64) -> Uuid {
    Uuid::from_u64_pair(0x0bad_0000_0000_4000 | u64::from(flood) << 32, number)
}

/// What the agent has answered, by operation.
#[derive(Debug, Default)]
struct Answers {
    accepted: BTreeMap<String, u32>,
    errors: BTreeMap<String, BTreeMap<String, u32>>,
    /// Code and report id of each verdict.
    verdicts: BTreeMap<String, (String, String)>,
    seq: u64,
}

impl Answers {
    fn take(&mut self, frame: &Value) -> Result<()> {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        match text("type").as_str() {
            "accepted" => *self.accepted.entry(text("id")).or_default() += 1,
            "error" => {
                let errors = self.errors.entry(text("code")).or_default();
                *errors.entry(text("ref")).or_default() += 1;
            }
            "report" => {
                let seq = frame["seq"].as_u64().context("no seq")?;
                self.seq = self.seq.max(seq);
                let code = frame["error"]["code"].as_str().unwrap_or("COMPLETED").to_owned();
                let verdict = (code, text("report_id"));
                let old = self.verdicts.insert(text("id"), verdict.clone());
                ensure!(old.is_none_or(|old| old == verdict), "a second verdict: {frame}");
            }
            _ => {}
        }
        Ok(())
    }

    /// How far it has come.
    fn told(&self) -> String {
        let codes = self.errors.keys().map(|code| format!("{} {code}", self.errors(code)));
        let codes: Vec<_> = codes.collect();
        format!("{} accepted, {} verdicts, {codes:?}", self.accepted.len(), self.verdicts.len())
    }

    fn errors(&self, code: &str) -> u64 {
        let errors = self.errors.get(code).into_iter().flatten();
        errors.map(|(_, times)| u64::from(*times)).sum()
    }

    fn verdicts(&self, code: &str) -> usize {
        self.verdicts.values().filter(|(of, _)| of == code).count()
    }
}

/// A welcomed link of the agent, written to and read at the same time.
struct Flood {
    ears: Ears,
    mouth: Option<Mouth>,
    answers: Answers,
}

/// What writes.
struct Mouth {
    stream: WriteHalf<TlsStream<TcpStream>>,
    store_epoch: Value,
    acked: u64,
}

/// How far the reader has come: what the writer has to know.
#[derive(Debug, Default)]
struct Progress {
    /// Answers of this run.
    count: AtomicU64,
    /// Newest report.
    seq: AtomicU64,
    is_complete: AtomicBool,
}

impl Flood {
    async fn open(door: &Door) -> Result<Self> {
        let (peer, hello) = door.welcomed().await?;
        let (ears, stream) = peer.split();
        let mouth = Mouth { stream, store_epoch: hello["store_epoch"].clone(), acked: 0 };
        Ok(Self { ears, mouth: Some(mouth), answers: Answers::default() })
    }

    /// Sends everything as fast as the agent takes it, acks its reports, and reads until the
    /// answers are complete. Each item has so many answers.
    async fn run(
        &mut self,
        items: impl Iterator<Item = Vec<u8>> + Send + 'static,
        answers_each: u64,
        complete: impl Fn(&Answers) -> bool,
    ) -> Result<()> {
        let progress = Arc::new(Progress::default());
        let mouth = self.mouth.take().context("the link is broken")?;
        // A task of its own: reading must not keep it from giving signs of life.
        let writing = tokio::spawn(mouth.talk(items, answers_each, Arc::clone(&progress)));
        while !complete(&self.answers) {
            let answer = self.ears.json().await;
            self.answers.take(&answer.with_context(|| self.answers.told())?)?;
            progress.seq.store(self.answers.seq, Relaxed);
            progress.count.fetch_add(1, Relaxed);
        }
        progress.is_complete.store(true, Relaxed);
        self.mouth = Some(writing.await??);
        Ok(())
    }
}

impl Mouth {
    async fn talk(
        mut self,
        items: impl Iterator<Item = Vec<u8>>,
        answers_each: u64,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let mut items = items.peekable();
        let mut expected: u64 = 0;
        while !progress.is_complete.load(Relaxed) {
            let mut burst = Vec::new();
            let waiting = expected.saturating_sub(progress.count.load(Relaxed));
            if items.peek().is_none() || waiting > WINDOW {
                sleep(Duration::from_millis(10)).await;
                // A sign of life.
                burst.extend(frame(0x8a, b""));
            } else {
                burst.extend(items.by_ref().take(BURST).flatten());
                expected += BURST as u64 * answers_each;
            }
            let seq = progress.seq.load(Relaxed);
            if seq > self.acked {
                self.acked = seq;
                let ack = json!({ "type": "ack", "store_epoch": self.store_epoch, "seq": seq });
                burst.extend(text(ack.to_string()));
            }
            self.stream.write_all(&burst).await?;
            self.stream.flush().await?;
        }
        Ok(self)
    }
}

/// An operation that does nothing until it is cancelled, see the script.
fn operation(id: Uuid, kind: &str) -> Vec<u8> {
    let now = now();
    text(
        json!({
            "type": "operation", "id": id, "operation": kind, "created_at": now,
            "ttl_s": 80_000, "deadline_s": 80_000, "not_after": now.plus_ms(80_000_000),
        })
        .to_string(),
    )
}

fn cancel(id: Uuid) -> Vec<u8> {
    text(json!({ "type": "cancel", "id": id }).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_beyond_the_caps_are_refused_and_the_others_get_one_verdict() -> Result<()> {
    /// Runs and waits in the lane of everything else, and in that of `lock`.
    const MAIN: u64 = 1 + 256;
    const LOCK: u64 = 512 - MAIN;
    /// More for the main lane than it holds.
    const TOO_MANY: u64 = 43;
    let count = frames();
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let hang = json!({ "hang": {} });
    site.script(&json!({ "methods": { "check_update": hang, "set_locked": hang } }))?;
    let mut flood = Flood::open(&door).await?;
    let kind = move |n| if n < MAIN + TOO_MANY { "check_update" } else { "lock" };
    let operations = (0..count).map(move |n| operation(id(1, n), kind(n)));
    let accepted = MAIN + TOO_MANY + LOCK;
    let answered = |a: &Answers| a.accepted.len() as u64 + a.errors("OVERLOADED") == count;
    flood.run(operations, 1, answered).await?;
    assert_eq!(flood.answers.accepted.len() as u64, accepted);
    assert!(flood.answers.accepted.values().all(|times| *times == 1));
    let refused = flood.answers.errors.get("OVERLOADED").context("none refused")?;
    assert!(refused.iter().all(|(id, n)| *n == 1 && !flood.answers.accepted.contains_key(id)));

    // All are withdrawn, those that it never took as well.
    let unknown = count - accepted;
    let cancels = (0..count).map(|n| cancel(id(1, n)));
    let answered = |a: &Answers| {
        a.errors("UNKNOWN_OPERATION") == unknown && a.verdicts.len() as u64 == accepted
    };
    flood.run(cancels, 1, answered).await?;
    let answers = &flood.answers;
    assert_eq!(answers.verdicts("QUEUE_FULL") as u64, TOO_MANY);
    assert_eq!(answers.verdicts("CANCELED") as u64, accepted - TOO_MANY, "{answers:?}");
    assert!(answers.accepted.keys().eq(answers.verdicts.keys()));
    site.script(&json!({}))?;
    drop(flood);
    is_none_the_worse(&site, door, &agent, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_small_frames_is_answered_and_starves_nothing() -> Result<()> {
    let count = frames();
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let mut flood = Flood::open(&door).await?;
    let epoch = Uuid::new_v4();
    let last = id(2, 0);
    let noise = (1..=count).map(move |n| {
        let ack = json!({ "type": "ack", "store_epoch": epoch, "seq": 1_000_000 + n });
        let log_ack = json!({ "type": "log_ack", "id": id(2, n), "attempt": 1, "offset": n });
        [
            frame(0x89, &[0x70; 125]),
            frame(0x8a, b"unasked"),
            text(ack.to_string()),
            text(log_ack.to_string()),
            cancel(id(2, n)),
            text(r#"{"type":"error","code":"X","message":"no"}"#),
        ]
        .concat()
    });
    let done = |a: &Answers| {
        a.errors.get("UNKNOWN_OPERATION").is_some_and(|ids| ids.contains_key(&last.to_string()))
    };
    // A person can look on meanwhile.
    let looking = async {
        sleep(Duration::from_millis(100)).await;
        agent.ask("status")
    };
    let (flooded, looked) = tokio::join!(flood.run(noise.chain([cancel(last)]), 2, done), looking);
    flooded?;
    looked?;
    assert_eq!(flood.answers.errors("INVALID_ACK"), count);
    assert_eq!(flood.answers.errors("UNKNOWN_OPERATION"), count + 1);
    assert!(flood.answers.verdicts.is_empty());
    drop(flood);
    is_none_the_worse(&site, door, &agent, pid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_only_talks_and_never_listens_is_left() -> Result<()> {
    let (site, door, agent) = besieged().await?;
    let pid = agent.pid();
    let flood = Flood::open(&door).await?;
    let Flood { ears, mouth, .. } = flood;
    let mut mouth = mouth.context("no link")?.stream;
    let burst: Vec<u8> = (0..BURST as u64).flat_map(|n| cancel(id(3, n))).collect();
    let talking = async { while mouth.write_all(&burst).await.is_ok() {} };
    // Another link is made only when this one has ended.
    let another = tokio::select! {
        () = talking => door.welcomed().await?,
        another = door.welcomed() => another?,
    };
    drop((ears, another));
    is_none_the_worse(&site, door, &agent, pid).await
}
