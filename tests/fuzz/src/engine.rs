//! The engine, fed with whatever can happen: frames, answers of the hardware, time, the end of
//! links, crashes between any two effects. In the end the world is kind, and everything that was
//! taken must get its verdict.

use serde_json::{Map, Value, json};
use terminal_core::{
    engine::{
        CallOutcome, ConfigurationOutcome, ConfigureCall, Effect, Event, LinkEnd, Verification,
    },
    protocol::{
        Ack, Cancel, CloudFrame, ConfigurationFrame, ErrorFrame, IfBusy, IfPaymentActive, LogAck,
        OperationFrame, Policy, Reconnect, ReportId, Seq, StoreEpoch, Welcome,
    },
};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, Timestamp, operation::SettingProblem,
    status::TerminalHealth,
};
use uuid::Uuid;

use crate::{
    frames::reaches_the_terminal,
    input::Input,
    results::result,
    world::{Link, World},
};

/// Steps that one input may take: more cost time and show nothing new.
const STEPS_MAX: usize = 200;
/// Steps without accidents in which everything must come to its end.
const QUIET_STEPS_MAX: usize = 4_000;
const OPERATIONS: u8 = 12;

/// A life of a terminal, as the bytes tell it.
pub fn engine(data: &[u8]) {
    let mut life = Life { w: World::new(), input: Input::new(data) };
    for _ in 0..STEPS_MAX {
        if life.input.is_empty() {
            break;
        }
        life.live();
    }
    life.settle();
}

struct Life<'a> {
    w: World,
    input: Input<'a>,
}

impl Life<'_> {
    /// The next thing that happens.
    fn live(&mut self) {
        let event = match self.input.below(32) {
            0 => {
                let boots = self.input.chance();
                self.w.memory_is_the_store();
                return self.w.restart(boots);
            }
            1..=2 => return self.crash(),
            3..=15 => self.frame(),
            16..=22 => self.answer(),
            23..=25 => self.network(),
            26 => self.time(),
            27 => self.unasked(),
            28 => Event::StorageChanged { low: self.input.chance() },
            29 => self.surroundings(),
            30 => self.health(),
            _ => Event::StopRequested,
        };
        self.w.step(&event);
    }

    /// Only some of the effects happen, then the process is gone.
    fn crash(&mut self) {
        let (done, boots) = (self.input.below(8), self.input.chance());
        let event = if self.input.chance() { self.frame() } else { self.answer() };
        self.w.step_cut(&event, done.into());
        self.w.restart(boots);
    }

    fn frame(&mut self) -> Event {
        if self.input.below(8) == 0 {
            let length = usize::from(self.input.u16());
            return Event::FrameReceived(self.input.take(length).to_vec());
        }
        let frame = if self.w.is_up() { self.cloud_frame() } else { self.welcome() };
        Event::FrameReceived(reaches_the_terminal(&frame))
    }

    fn welcome(&mut self) -> CloudFrame {
        let honest = self.w.welcome();
        CloudFrame::Welcome(match self.input.below(16) {
            0 => Welcome { ack_seq: Seq(self.input.u64()), ..honest },
            1 => {
                let other = ReportId(Uuid::from_u128(self.input.byte().into()));
                Welcome { ack_report_id: Some(other), ..honest }
            }
            2 => Welcome { server_time: Timestamp::from_unix_ms(self.input.u64()), ..honest },
            3 => Welcome { heartbeat_s: u32::from(self.input.u16()), ..honest },
            4 => return CloudFrame::Reconnect(Reconnect { after_s: 0, spread_s: 1 }),
            _ => honest,
        })
    }

    fn cloud_frame(&mut self) -> CloudFrame {
        match self.input.below(16) {
            0..=6 => self.operation(),
            7 => CloudFrame::Cancel(Cancel { id: self.id() }),
            8..=9 => CloudFrame::Ack(Ack { store_epoch: self.w.epoch(), seq: self.w.ack() }),
            10 => {
                let store_epoch = self.w.epoch();
                CloudFrame::Ack(Ack { store_epoch, seq: Seq(self.input.u64()) })
            }
            11 => CloudFrame::Configuration(ConfigurationFrame {
                revision: self.input.below(6).into(),
                config: object(json!({ "tip": self.input.byte() })),
            }),
            12 => {
                let after_s = self.input.u16().into();
                CloudFrame::Reconnect(Reconnect { after_s, spread_s: self.input.byte().into() })
            }
            13 => {
                let (id, attempt) = (self.id(), self.input.byte().into());
                let offset = self.input.u64();
                CloudFrame::LogAck(LogAck { id, attempt, offset, complete: self.input.chance() })
            }
            14 => {
                let reference = Some(self.id().to_string());
                let (code, message) = (self.input.text(), self.input.text());
                CloudFrame::Error(ErrorFrame { code, message, reference })
            }
            _ => CloudFrame::Welcome(self.w.welcome()),
        }
    }

    fn id(&mut self) -> OperationId {
        id(self.input.below(OPERATIONS))
    }

    /// The same id is always the same kind: an honest cloud never reuses one.
    fn operation(&mut self) -> CloudFrame {
        let number = self.input.below(OPERATIONS);
        let kind = kind_of(number);
        let flags = self.input.byte();
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let name = if flags == 0xff { self.input.text() } else { kind.to_string() };
        let parameters = if kind == OperationKind::Configure {
            object(json!({ "revision": number, "config": {} }))
        } else if flag(0) && flag(1) && flag(2) {
            object(json!({ "delay_s": 0, "x": null }))
        } else {
            Map::new()
        };
        let now = Timestamp::from_unix_ms(self.w.wall);
        let not_after_s = if flag(3) && flag(4) { u64::from(self.input.u16()) } else { 86_400 };
        CloudFrame::Operation(Box::new(OperationFrame {
            id: id(number),
            operation: name,
            parameters,
            created_at: now,
            created_by: "user:kari".into(),
            first_epoch: (flag(5) && flag(6)).then(|| StoreEpoch(Uuid::nil())),
            ttl_s: if flag(3) { self.input.byte().into() } else { 900 },
            not_after: now.plus_ms(not_after_s * 1000),
            deadline_s: if flag(4) { self.input.byte().into() } else { 300 },
            policy: Policy {
                if_busy: if flag(7) { IfBusy::Reject } else { IfBusy::Queue },
                if_payment_active: IfPaymentActive::Wait,
                wait_max_s: 60,
            },
        }))
    }

    /// The hardware answers something that it was asked.
    fn answer(&mut self) -> Event {
        if self.w.open.is_empty() {
            return self.time();
        }
        let which = usize::from(self.input.byte()) % self.w.open.len();
        let how = self.input.byte();
        self.answer_to(which, how)
    }

    fn answer_to(&mut self, which: usize, how: u8) -> Event {
        match self.w.open.swap_remove(which) {
            Effect::Start(order) => {
                let kind = order.parameters.kind();
                let restarts = matches!(kind, OperationKind::Reboot | OperationKind::Update);
                let outcome = match how % 6 {
                    0 => CallOutcome::Failed(failure()),
                    1 if kind == OperationKind::Update => {
                        self.w.ledger.may_start_again(order.id);
                        CallOutcome::Deferred { retry_after_s: u32::from(how) }
                    }
                    2..=3 if restarts => {
                        CallOutcome::ReadyToRestart { instance: None, application_hangs: false }
                    }
                    _ => CallOutcome::Completed(Box::new(result(kind))),
                };
                Event::Finished { id: order.id, attempt: order.attempt, outcome }
            }
            Effect::Verify(order) => {
                let kind = order.parameters.kind();
                let answer = match how % 8 {
                    0 => Verification::Completed(Box::new(result(kind))),
                    1 => Verification::Unavailable,
                    2 => Verification::Running,
                    3 => Verification::Unknown,
                    4 => Verification::Failed(failure()),
                    5 if kind == OperationKind::Update => Verification::RestartRequired,
                    _ => {
                        self.w.ledger.may_start_again(order.id);
                        Verification::NotStarted
                    }
                };
                Event::Verified { id: order.id, attempt: order.attempt, answer }
            }
            Effect::Restart(order) => {
                let outcome = CallOutcome::Failed(failure());
                Event::Finished { id: order.id, attempt: order.attempt, outcome }
            }
            Effect::Configure(order) => Event::Configured {
                call: order.call,
                outcome: match how % 3 {
                    0 => ConfigurationOutcome::Applied { sha256: "0".repeat(64) },
                    1 => ConfigurationOutcome::Rejected(problems()),
                    _ => ConfigurationOutcome::Unavailable(failure()),
                },
            },
            Effect::ReadHealth => Event::HealthObserved(Box::default()),
            Effect::Append(_)
            | Effect::Connect(_)
            | Effect::Identity(_)
            | Effect::Send(_)
            | Effect::SendReport(_)
            | Effect::Ping
            | Effect::CloseLink { .. }
            | Effect::Cancel(_)
            | Effect::Abandon(_)
            | Effect::UploadAcked(_)
            | Effect::UploadRefused { .. }
            | Effect::AllowUploads
            | Effect::Answer(_)
            | Effect::Stop => Event::Woken,
        }
    }

    /// What the network does next.
    fn network(&mut self) -> Event {
        let how = self.input.below(16);
        match (self.w.link, how) {
            (Link::Wanted, 3..) => {
                self.w.link = Link::Open;
                return Event::LinkOpened;
            }
            (Link::Open, 8..) | (Link::Down, 1..) => return self.time(),
            (Link::Open, 4..=7) => return Event::PeerHeard,
            (Link::Wanted | Link::Open | Link::Closing | Link::Down, _) => {}
        }
        self.w.link = Link::Down;
        Event::LinkClosed(match how % 4 {
            0 => LinkEnd::RetryAfter { seconds: self.input.u16().into() },
            1 => LinkEnd::Refused { reason: self.input.text() },
            2 => LinkEnd::Closed { code: self.input.u16(), reason: String::new() },
            _ => LinkEnd::Lost { reason: String::new() },
        })
    }

    fn time(&mut self) -> Event {
        if self.input.chance() {
            self.w.wait();
        } else {
            let ms = u64::from(self.input.u16()) * 10;
            self.w.pass(ms);
        }
        Event::Woken
    }

    /// Answers that nobody waits for.
    fn unasked(&mut self) -> Event {
        let number = self.input.below(OPERATIONS);
        let (id, attempt) = (id(number), u32::from(self.input.below(5)));
        match self.input.below(4) {
            0 => Event::Progressed { id, phase: self.input.text(), percent: Some(attempt as u8) },
            1 => {
                let answer = Verification::Unknown;
                Event::Verified { id, attempt, answer }
            }
            2 => Event::Configured {
                call: ConfigureCall(attempt.into()),
                outcome: ConfigurationOutcome::Applied { sha256: self.input.text() },
            },
            _ => {
                let outcome = CallOutcome::Completed(Box::new(result(kind_of(number))));
                Event::Finished { id, attempt, outcome }
            }
        }
    }

    fn surroundings(&mut self) -> Event {
        match self.input.below(4) {
            0 => Event::NetworkUp,
            1 => Event::HalConnected,
            2 => {
                self.w.wall = self.input.u64() >> 16;
                Event::Woken
            }
            _ => {
                self.w.wall_trusted = self.input.chance();
                Event::Woken
            }
        }
    }

    fn health(&mut self) -> Event {
        let flags = self.input.byte();
        Event::HealthObserved(Box::new(TerminalHealth {
            battery_level: Some(flags),
            locked: flags & 1 == 1,
            payment_active: flags & 2 == 2,
            tampered: flags & 4 == 4,
            ..TerminalHealth::default()
        }))
    }

    /// Nothing bad happens any more: everything that was taken comes to its end.
    fn settle(&mut self) {
        self.w.step(&Event::StorageChanged { low: false });
        self.w.wall_trusted = true;
        for _ in 0..QUIET_STEPS_MAX {
            if self.w.unfinished() == 0 {
                break;
            }
            self.settle_a_little();
        }
        assert_eq!(self.w.unfinished(), 0, "taken, and without a verdict");
        self.w.memory_is_the_store();
    }

    fn settle_a_little(&mut self) {
        let event = if let Some(last) = self.w.open.len().checked_sub(1) {
            // The answer that ends it soonest.
            self.answer_to(last, 0)
        } else {
            match self.w.link {
                Link::Wanted => {
                    self.w.link = Link::Open;
                    Event::LinkOpened
                }
                Link::Closing => {
                    self.w.link = Link::Down;
                    Event::LinkClosed(LinkEnd::Lost { reason: String::new() })
                }
                Link::Open if !self.w.is_up() => {
                    let welcome = CloudFrame::Welcome(self.w.welcome());
                    Event::FrameReceived(reaches_the_terminal(&welcome))
                }
                Link::Open | Link::Down => {
                    self.w.wait();
                    Event::Woken
                }
            }
        };
        self.w.step(&event);
    }
}

fn id(number: u8) -> OperationId {
    OperationId(Uuid::from_u128(number.into()))
}

fn kind_of(number: u8) -> OperationKind {
    let kinds = OperationKind::ALL;
    kinds.get(usize::from(number) % kinds.len()).copied().unwrap_or(OperationKind::EndOfDay)
}

fn failure() -> Failure {
    Failure::new(ErrorCode::DeviceFault, "does not work")
}

fn problems() -> Vec<SettingProblem> {
    let problem = |n: usize| SettingProblem {
        path: format!("tip[{n}]"),
        code: "TOO_MANY".into(),
        message: "want fewer".into(),
    };
    (0..3).map(problem).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
