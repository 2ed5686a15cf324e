//! Switches that make the cloud misbehave, for tests.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    db::{DbError, reports},
    link::{Order, Stop},
    secret,
    state::Shared,
};

/// One set of orders. What is absent stays as it is; `clear` comes first, then the lasting
/// switches, then the rest in the order of the fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSwitches {
    /// Ends every lasting switch.
    pub clear: bool,
    /// New links are reset without an answer, for so many milliseconds (0: until cleared).
    pub refuse_links_ms: Option<u64>,
    /// Upgrades are answered with 503 and `Retry-After`, until cleared.
    pub unavailable: Option<Unavailable>,
    /// `hello` is never answered.
    pub ignore_hello: Option<bool>,
    /// Acks are sent so much later; 0 ends it.
    pub delay_acks_ms: Option<u64>,
    /// Reports are stored but not acked; `false` sends the last ack that is due.
    pub withhold_acks: Option<bool>,
    /// Every `operation` frame is sent twice.
    pub duplicate_dispatch: Option<bool>,
    /// Links are neither read nor written, pings stay unanswered; the TCP connection stays.
    pub black_hole: Option<bool>,
    /// Ends the link of a terminal now.
    pub drop_link: Option<DropLink>,
    /// Sends a text frame as it is.
    pub send_text: Option<SendText>,
    /// Sends a binary frame as it is.
    pub send_bytes: Option<SendBytes>,
    /// Sends a `reconnect` frame.
    pub reconnect: Option<SendReconnect>,
    /// Goes back to an older state of a terminal's reports, as after a restored backup.
    pub forget_acks: Option<ForgetAcks>,
}

/// Answer of a cloud that is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unavailable {
    /// `Retry-After`.
    pub retry_after_s: u32,
}

/// Ends a link.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropLink {
    /// Whose.
    pub terminal_id: String,
    /// By TCP reset when absent.
    #[serde(default)]
    pub how: DropHow,
    /// With `close`; 1001 when absent.
    #[serde(default)]
    pub code: Option<u16>,
}

/// How a link ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropHow {
    /// TCP reset, no close frame.
    #[default]
    Rst,
    /// Close frame.
    Close,
}

/// A text frame for one terminal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendText {
    /// To whom.
    pub terminal_id: String,
    /// As it is.
    pub text: String,
}

/// A binary frame for one terminal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendBytes {
    /// To whom.
    pub terminal_id: String,
    /// As hex.
    pub hex: String,
}

/// A `reconnect` frame for one terminal or for all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendReconnect {
    /// To all linked terminals when absent.
    #[serde(default)]
    pub terminal_id: Option<String>,
    /// Least wait.
    pub after_s: u32,
    /// Random addition.
    #[serde(default)]
    pub spread_s: u32,
}

/// Back to an older state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetAcks {
    /// Whose reports.
    pub terminal_id: String,
    /// Reports above this were never seen; their operations are PENDING again.
    pub seq: u64,
}

/// Switches that last until they are cleared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lasting {
    pub(crate) refuse_links: Option<Until>,
    pub(crate) unavailable: Option<u32>,
    pub(crate) ignore_hello: bool,
    pub(crate) delay_acks: Duration,
    pub(crate) withhold_acks: bool,
    pub(crate) duplicate_dispatch: bool,
    pub(crate) black_hole: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Cleared,
    Instant(Instant),
}

impl Lasting {
    pub(crate) fn refuses_links(&self) -> bool {
        match self.refuse_links {
            None => false,
            Some(Until::Cleared) => true,
            Some(Until::Instant(end)) => Instant::now() < end,
        }
    }
}

/// The switches that are on.
pub(crate) struct Faults(watch::Sender<Lasting>);

impl Faults {
    pub(crate) fn none() -> Self {
        Self(watch::Sender::new(Lasting::default()))
    }

    pub(crate) fn now(&self) -> Lasting {
        self.0.borrow().clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Lasting> {
        self.0.subscribe()
    }
}

/// Why an order could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("{0} has no link")]
    NoLink(String),
    #[error("send_bytes.hex: want an even number of hex digits")]
    Hex,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Carries out a set of orders.
pub(crate) async fn apply(shared: &Shared, switches: FaultSwitches) -> Result<(), FaultError> {
    shared.faults.0.send_modify(|lasting| set(lasting, &switches));
    if let Some(DropLink { terminal_id, how, code }) = switches.drop_link {
        let stop = match how {
            DropHow::Rst => Stop::Reset,
            DropHow::Close => Stop::close(code.unwrap_or(1001), "dropped on request"),
        };
        require(shared.hub.stop(&terminal_id, stop), terminal_id)?;
    }
    if let Some(SendText { terminal_id, text }) = switches.send_text {
        require(shared.hub.order(&terminal_id, Order::Text(text)), terminal_id)?;
    }
    if let Some(SendBytes { terminal_id, hex }) = switches.send_bytes {
        let bytes = secret::unhex(&hex).ok_or(FaultError::Hex)?;
        require(shared.hub.order(&terminal_id, Order::Bytes(bytes)), terminal_id)?;
    }
    if let Some(SendReconnect { terminal_id, after_s, spread_s }) = switches.reconnect {
        let targets = terminal_id.map_or_else(|| shared.hub.linked(), |one| vec![one]);
        for terminal_id in targets {
            let sent = shared.hub.order(&terminal_id, Order::Reconnect { after_s, spread_s });
            require(sent, terminal_id)?;
        }
    }
    if let Some(ForgetAcks { terminal_id, seq }) = switches.forget_acks {
        let id = terminal_id.clone();
        shared.db.write(move |db| reports::forget_after(db, &id, seq)).await?;
        shared.hub.wake(&terminal_id);
        shared.timeouts.notify_one();
    }
    Ok(())
}

fn require(done: bool, terminal_id: String) -> Result<(), FaultError> {
    if done { Ok(()) } else { Err(FaultError::NoLink(terminal_id)) }
}

fn set(lasting: &mut Lasting, switches: &FaultSwitches) {
    if switches.clear {
        *lasting = Lasting::default();
    }
    if let Some(ms) = switches.refuse_links_ms {
        lasting.refuse_links = Some(match ms {
            0 => Until::Cleared,
            ms => Until::Instant(Instant::now() + Duration::from_millis(ms.min(86_400_000))),
        });
    }
    if let Some(unavailable) = switches.unavailable {
        lasting.unavailable = Some(unavailable.retry_after_s);
    }
    if let Some(ms) = switches.delay_acks_ms {
        lasting.delay_acks = Duration::from_millis(ms.min(86_400_000));
    }
    lasting.ignore_hello = switches.ignore_hello.unwrap_or(lasting.ignore_hello);
    lasting.withhold_acks = switches.withhold_acks.unwrap_or(lasting.withhold_acks);
    lasting.duplicate_dispatch = switches.duplicate_dispatch.unwrap_or(lasting.duplicate_dispatch);
    lasting.black_hole = switches.black_hole.unwrap_or(lasting.black_hole);
}
