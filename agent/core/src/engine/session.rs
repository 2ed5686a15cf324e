//! The link as the engine sees it: when to connect, when a peer is dead, when to try again.

use super::{
    Backoff, Effect, Endpoint, LinkEnd, Moment, Monotonic,
    backoff::{BackoffSettings, Wait},
    limits::{ACK_MS_MAX, CLOSE_MS_MAX, CONNECT_MS_MAX, WELCOME_MS_MAX},
};
use crate::protocol::{Reconnect, SessionId, close_code};

#[derive(Debug)]
pub(super) struct Session {
    backoff: Backoff,
    /// Of the link before.
    pub(super) last_id: Option<SessionId>,
    /// Of the newest link.
    endpoint: Endpoint,
    state: State,
}

/// Each state ends: by an event, or by the deadline that [`Session::deadline`] names.
#[derive(Clone, Debug)]
enum State {
    /// Not started yet.
    Resting,
    Waiting {
        until: Monotonic,
        ends_early: bool,
    },
    Connecting {
        since: Monotonic,
    },
    AwaitingWelcome {
        since: Monotonic,
    },
    Up(Up),
    Closing {
        since: Monotonic,
        was_up_ms: u64,
        then: Then,
    },
}

/// What decides the wait after a link that this end has closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The end of the link.
    Usual,
    /// The cloud has named it.
    Asked(Reconnect),
    /// Nothing stands in the way of the next link.
    Soon,
    /// Trying again soon is of no use.
    Slowly,
}

#[derive(Clone, Debug)]
struct Up {
    since: Monotonic,
    heard_at: Monotonic,
    heartbeat_ms: u64,
    /// Next half of a heartbeat.
    beat_at: Monotonic,
    /// Whether that beat carries a status.
    status_due: bool,
    /// Since when reports have been on the way without an ack.
    unacked_since: Option<Monotonic>,
}

/// What the passing of time asks the engine for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    /// A link is due.
    Connect,
    /// The status is due.
    Status,
}

/// How the link is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkView {
    /// Waiting before the next attempt, in milliseconds.
    Waiting {
        /// Time left.
        ms: u64,
    },
    /// Connecting, or waiting for `welcome`.
    Connecting,
    /// Up for this long, in milliseconds.
    Up {
        /// Time since `welcome`.
        ms: u64,
    },
    /// Being closed.
    Closing,
}

impl Session {
    pub(super) const fn new(settings: BackoffSettings) -> Self {
        Self {
            backoff: Backoff::new(settings),
            last_id: None,
            endpoint: Endpoint::Operations,
            state: State::Resting,
        }
    }

    pub(super) fn start(&mut self, moment: &Moment) {
        let wait = self.backoff.first(moment);
        self.wait(moment, wait);
    }

    /// Whether operations and reports can be exchanged.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_)) && !self.is_enrolling()
    }

    pub(super) const fn is_awaiting_welcome(&self) -> bool {
        matches!(self.state, State::AwaitingWelcome { .. })
    }

    /// Which end of the cloud the newest link is to.
    pub(super) const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(super) fn is_enrolling(&self) -> bool {
        self.endpoint == Endpoint::Enrolment
    }

    /// Whether frames mean anything: the link is open and not being closed.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::AwaitingWelcome { .. } | State::Up(_))
    }

    /// The link is open. False when nobody waits for it any more: it is closed again.
    pub(super) fn opened(&mut self, effects: &mut Vec<Effect>, moment: &Moment) -> bool {
        match self.state {
            State::Connecting { .. } => {
                self.state = State::AwaitingWelcome { since: moment.monotonic };
                true
            }
            State::Resting | State::Waiting { .. } => {
                let reason = "too late".to_owned();
                effects.push(Effect::CloseLink { code: close_code::GOING_AWAY, reason });
                false
            }
            // Told to close already, or an echo of what is known.
            State::AwaitingWelcome { .. } | State::Up(_) | State::Closing { .. } => false,
        }
    }

    /// The peer has said that it will serve this terminal.
    pub(super) fn welcomed(&mut self, heartbeat_ms: u64, moment: &Moment) {
        let now = moment.monotonic;
        self.state = State::Up(Up {
            since: now,
            heard_at: now,
            heartbeat_ms,
            beat_at: now.plus_ms(heartbeat_ms / 2),
            status_due: false,
            unacked_since: None,
        });
    }

    /// The peer has spoken. False when it is dead by now: what a process that stood still, or a
    /// device that slept, finds in its socket may be hours old.
    pub(super) fn heard(&mut self, moment: &Moment) -> bool {
        let now = moment.monotonic;
        match &mut self.state {
            State::Up(up) if now < up.dead_at() => {
                up.heard_at = now;
                true
            }
            State::Up(_) => false,
            State::AwaitingWelcome { since } => now.ms_since(*since) < WELCOME_MS_MAX,
            State::Resting
            | State::Waiting { .. }
            | State::Connecting { .. }
            | State::Closing { .. } => true,
        }
    }

    /// Keeps the time for which reports have been on the way without progress.
    pub(super) fn reports_in_flight(&mut self, in_flight: bool, progress: bool, moment: &Moment) {
        if let State::Up(up) = &mut self.state {
            match (in_flight, up.unacked_since, progress) {
                (false, _, _) => up.unacked_since = None,
                (true, None, _) | (true, _, true) => up.unacked_since = Some(moment.monotonic),
                (true, Some(_), false) => {}
            }
        }
    }

    /// Closes the link; the next attempt follows the usual backoff.
    pub(super) fn close(&mut self, code: u16, reason: &str, out: &mut Vec<Effect>, now: &Moment) {
        self.close_then(code, reason, Then::Usual, out, now);
    }

    /// Closes the link as the cloud has asked for.
    pub(super) fn drain(&mut self, asked: Reconnect, out: &mut Vec<Effect>, now: &Moment) {
        self.close_then(close_code::NORMAL, "draining", Then::Asked(asked), out, now);
    }

    /// Closes the link; `then` decides when the next one is made.
    pub(super) fn close_then(
        &mut self,
        code: u16,
        reason: &str,
        then: Then,
        effects: &mut Vec<Effect>,
        moment: &Moment,
    ) {
        let was_up_ms = match &self.state {
            State::Up(up) => moment.monotonic.ms_since(up.since),
            State::Connecting { .. } | State::AwaitingWelcome { .. } => 0,
            State::Resting | State::Waiting { .. } | State::Closing { .. } => return,
        };
        tracing::info!(code, reason, "closing the link");
        self.state = State::Closing { since: moment.monotonic, was_up_ms, then };
        effects.push(Effect::CloseLink { code, reason: reason.to_owned() });
    }

    /// The link has ended or could not be made.
    pub(super) fn closed(&mut self, end: &LinkEnd, moment: &Moment) {
        let (was_up_ms, then) = match &self.state {
            State::Up(up) => (moment.monotonic.ms_since(up.since), Then::Usual),
            State::Closing { was_up_ms, then, .. } => (*was_up_ms, *then),
            State::Connecting { .. } | State::AwaitingWelcome { .. } => (0, Then::Usual),
            State::Resting | State::Waiting { .. } => return,
        };
        self.backoff.link_was_up(was_up_ms);
        let wait = match then {
            Then::Usual => self.backoff.after(end, moment),
            Then::Asked(Reconnect { after_s, spread_s }) => {
                self.backoff.asked(after_s, spread_s, moment)
            }
            Then::Soon => Wait { ms: self.backoff.network_up(moment), ends_early: true },
            Then::Slowly => self.backoff.refused(moment),
        };
        tracing::info!(why = %end, was_up_ms, wait_ms = wait.ms, "no link");
        self.wait(moment, wait);
    }

    pub(super) fn network_up(&mut self, moment: &Moment) {
        if let State::Waiting { until, ends_early: true } = &mut self.state {
            let soon = moment.monotonic.plus_ms(self.backoff.network_up(moment));
            *until = soon.min(*until);
        }
    }

    /// Ends a wait, whatever it was for; a person is in front of the terminal.
    pub(super) fn hasten(&mut self, moment: &Moment) {
        if let State::Waiting { until, .. } = &mut self.state {
            *until = moment.monotonic;
        }
    }

    /// The link that is due goes to this end of the cloud.
    pub(super) const fn connecting_to(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, moment: &Moment, effects: &mut Vec<Effect>) -> Beat {
        let now = moment.monotonic;
        match &mut self.state {
            State::Waiting { until, .. } if now >= *until => {
                self.state = State::Connecting { since: now };
                return Beat::Connect;
            }
            State::Connecting { since } if now.ms_since(*since) >= CONNECT_MS_MAX => {
                self.close(close_code::NORMAL, "connecting took too long", effects, moment);
            }
            State::AwaitingWelcome { since } if now.ms_since(*since) >= WELCOME_MS_MAX => {
                self.close(close_code::HANDSHAKE_TIMEOUT, "no welcome", effects, moment);
            }
            State::Closing { since, .. } if now.ms_since(*since) >= CLOSE_MS_MAX => {
                let reason = "the link did not close in time".to_owned();
                self.closed(&LinkEnd::Lost { reason }, moment);
            }
            State::Up(up) => {
                if now >= up.dead_at() {
                    self.close(close_code::GOING_AWAY, "the peer is silent", effects, moment);
                } else if up.ack_overdue_at().is_some_and(|at| now >= at) {
                    self.close(close_code::GOING_AWAY, "no ack of reports", effects, moment);
                } else if now >= up.beat_at {
                    return up.beat(now, effects);
                }
            }
            State::Resting
            | State::Waiting { .. }
            | State::Connecting { .. }
            | State::AwaitingWelcome { .. }
            | State::Closing { .. } => {}
        }
        Beat::Nothing
    }

    /// When [`Session::tick`] has something to do next.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match &self.state {
            State::Resting => None,
            State::Waiting { until, .. } => Some(*until),
            State::Connecting { since } => Some(since.plus_ms(CONNECT_MS_MAX)),
            State::AwaitingWelcome { since } => Some(since.plus_ms(WELCOME_MS_MAX)),
            State::Closing { since, .. } => Some(since.plus_ms(CLOSE_MS_MAX)),
            State::Up(up) => {
                let first = up.beat_at.min(up.dead_at());
                Some(up.ack_overdue_at().map_or(first, |at| at.min(first)))
            }
        }
    }

    pub(super) fn view(&self, now: Monotonic) -> LinkView {
        match &self.state {
            State::Resting => LinkView::Waiting { ms: 0 },
            State::Waiting { until, .. } => LinkView::Waiting { ms: until.ms_since(now) },
            State::Connecting { .. } | State::AwaitingWelcome { .. } => LinkView::Connecting,
            State::Up(up) => LinkView::Up { ms: now.ms_since(up.since) },
            State::Closing { .. } => LinkView::Closing,
        }
    }

    fn wait(&mut self, moment: &Moment, wait: Wait) {
        let until = moment.monotonic.plus_ms(wait.ms);
        self.state = State::Waiting { until, ends_early: wait.ends_early };
    }
}

impl Up {
    const fn dead_at(&self) -> Monotonic {
        self.heard_at.plus_ms(self.heartbeat_ms + self.heartbeat_ms / 2)
    }

    fn ack_overdue_at(&self) -> Option<Monotonic> {
        self.unacked_since.map(|since| since.plus_ms(ACK_MS_MAX))
    }

    fn beat(&mut self, now: Monotonic, effects: &mut Vec<Effect>) -> Beat {
        self.beat_at = now.plus_ms(self.heartbeat_ms / 2);
        effects.push(Effect::Ping);
        let beat = if self.status_due { Beat::Status } else { Beat::Nothing };
        self.status_due = !self.status_due;
        beat
    }
}
