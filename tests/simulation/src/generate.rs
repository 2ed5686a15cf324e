//! A plan from a seed. Each life has its own mixture of accidents: some have none of a kind, some
//! have many, so that rare things meet each other.

use serde_json::{Map, Value, json};
use terminal_core::protocol::{IfBusy, Policy};
use terminal_hal::{OperationKind, operation::IfPaymentActive};

use crate::{
    plan::{
        Behaviour, CallEnd, Hostility, Item, Plan, PlannedOperation, PowerLoss, RestartEnd,
        Schedule, Setting, What,
    },
    rng::Rng,
};

/// Most operations of an ordinary life.
const OPERATIONS_MAX: u64 = 8;
/// Most operations of a life that somebody at the terminal wants, and the number of the first.
const LOCAL_MAX: u64 = 3;
const FIRST_LOCAL: u32 = 500;
/// Most accidents.
const ACCIDENTS_MAX: u64 = 14;
/// So soon after an operation was ordered most accidents happen.
const NEAR_MS: u64 = 40_000;
/// One life in so many is given more than a terminal takes.
const FLOODS: u64 = 1_000;

/// The plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut random = Rng::new(&[seed, 0x91a7]);
    let random = &mut random;
    let horizon_ms = random.scale(20_000, 1_800_000);
    let setting = Setting {
        horizon_ms,
        heartbeat_s: random.pick(&[60, 300, 600, 3_600]),
        latency_ms: random.scale(1, 2_000),
        loop_ms: random.pick(&[0, 0, 5, 200, 3_000]),
        ack_ms: random.scale(1, 5_000),
        restart_ms: random.scale(50, 10_000),
        application_ms: random.pick(&[0, 0, 0, 5_000, 5_000, 60_000, 200_000]),
        forgets_settings: random.one_in(2),
        rejects_every: random.pick(&[0, 0, 2, 3]),
        schedule: schedule(seed, horizon_ms),
    };
    let mut items = Vec::new();
    let operations = u32::try_from(random.scale(1, OPERATIONS_MAX)).unwrap_or(1);
    let mut ordered_at = Vec::new();
    for n in 1..=operations {
        let planned = operation(n, random);
        let at_ms = random.below(horizon_ms);
        ordered_at.push(at_ms);
        items.push(item(at_ms, What::Operation(Box::new(planned))));
        if random.one_in(5) {
            items.push(item(at_ms + random.scale(1, NEAR_MS), What::Cancel { n }));
        }
        if random.one_in(5) {
            items.push(item(at_ms + random.scale(1, NEAR_MS), What::DispatchAgain { n }));
        }
    }
    if random.one_in(FLOODS) {
        let one_lane = random.one_in(2);
        let count = if one_lane { 300 } else { 700 };
        let flood = What::Flood { first: 1_000, count, one_lane };
        items.push(item(random.below(horizon_ms / 2), flood));
    }
    // Only some kinds of accidents happen in this life.
    let kinds: Vec<u64> = (0..ACCIDENTS).filter(|_| random.one_in(3)).collect();
    let accidents = if kinds.is_empty() { 0 } else { random.below(ACCIDENTS_MAX + 1) };
    for _ in 0..accidents {
        let kind = random.pick(&kinds);
        // Where nothing goes on, little can go wrong.
        let at_ms = if random.one_in(3) {
            random.below(horizon_ms)
        } else {
            random.pick(&ordered_at) + random.scale(1, NEAR_MS)
        };
        for (after_ms, what) in accident(kind, operations, random) {
            items.push(item(at_ms + after_ms, what));
        }
    }
    if random.one_in(25) {
        items.push(item(random.below(horizon_ms), What::Twin));
        for _ in 0..random.below(4) {
            let kind = random.below(6);
            let at_ms = random.below(horizon_ms);
            for (after_ms, what) in accident(kind, operations, random) {
                items.push(Item { to_twin: true, ..item(at_ms + after_ms, what) });
            }
        }
    }
    items.extend(begun_at_the_terminal(seed, horizon_ms, &ordered_at));
    items.sort_by_key(|item| item.at_ms);
    Plan { seed, setting, items }
}

/// In one life of four the terminal closes its batch by itself.
fn schedule(seed: u64, horizon_ms: u64) -> Option<Schedule> {
    let mut random = Rng::new(&[seed, 0x5c4e]);
    random.one_in(4).then(|| Schedule {
        at_ms: random.below(horizon_ms),
        window_ms: random.scale(60_000, 1_800_000),
    })
}

/// In every other life somebody at the terminal wants something, sometimes again and again.
fn begun_at_the_terminal(seed: u64, horizon_ms: u64, ordered_at: &[u64]) -> Vec<Item> {
    let mut random = Rng::new(&[seed, 0x10ca1]);
    let mut items = Vec::new();
    if random.one_in(2) {
        return items;
    }
    for n in 0..u32::try_from(random.range(1, LOCAL_MAX)).unwrap_or(1) {
        let planned = operation(FIRST_LOCAL + n, &mut random);
        let mut at_ms = if random.one_in(3) {
            random.below(horizon_ms)
        } else {
            random.pick(ordered_at) + random.scale(1, NEAR_MS)
        };
        items.push(item(at_ms, What::Local(Box::new(planned.clone()))));
        while random.one_in(3) {
            at_ms += random.scale(1, NEAR_MS);
            items.push(item(at_ms, What::Local(Box::new(planned.clone()))));
        }
    }
    items
}

const fn item(at_ms: u64, what: What) -> Item {
    Item { at_ms, to_twin: false, what }
}

/// Kinds of accidents.
const ACCIDENTS: u64 = 24;

fn accident(kind: u64, operations: u32, random: &mut Rng) -> Vec<(u64, What)> {
    let n = u32::try_from(random.range(1, operations.into())).unwrap_or(1);
    let one = |what| vec![(0, what)];
    match kind {
        0 | 1 => one(What::Crash {
            rounds: u32::try_from(random.below(6)).unwrap_or(0),
            effects: u32::try_from(random.below(5)).unwrap_or(0),
            power: random.one_in(3).then(|| power_loss(random)),
        }),
        2 => one(What::PowerCut(power_loss(random))),
        3 => one(What::LinkDrop {
            lost: random.one_in(2),
            late_ms: random.scale(1, 60_000),
            silent: random.one_in(4),
        }),
        4 => one(What::LinkStall { ms: random.scale(1_000, 300_000) }),
        5 => one(What::Stop),
        6 => one(What::Cancel { n }),
        7 => one(What::DispatchAgain { n }),
        8 => (0..=random.below(4))
            .map(|n| (if n == 0 { 0 } else { random.scale(1, NEAR_MS) }, What::Configuration))
            .collect(),
        9 => one(What::Suspend { ms: random.scale(1_000, 7_200_000) }),
        10 => {
            let ms = i64::try_from(random.scale(1_000, 4_000_000_000)).unwrap_or(0);
            one(What::ClockJump { ms: if random.one_in(2) { ms } else { -ms } })
        }
        11 => one(What::NetworkDown { ms: random.scale(1_000, 600_000), hangs: random.one_in(2) }),
        12 => one(What::CloudRestart { down_ms: random.scale(100, 120_000) }),
        13 => vec![(0, What::CloudBackup), (random.scale(1_000, 600_000), What::CloudRestore)],
        14 => one(What::CloudClose {
            code: random.pick(&[1000, 1001, 1002, 1007, 1008, 1009, 1011, 4401, 4403, 4408, 4409]),
        }),
        15 => one(What::CloudReconnect {
            after_s: u32::try_from(random.scale(1, 3_600)).unwrap_or(1),
            spread_s: u32::try_from(random.scale(1, 600)).unwrap_or(1),
        }),
        16 => one(What::CloudRefuses {
            ms: random.scale(1_000, 300_000),
            retry_after_s: random
                .one_in(2)
                .then(|| u32::try_from(random.scale(1, 3_600)).unwrap_or(1)),
        }),
        17 => one(What::CloudMute { ms: random.scale(1_000, 200_000) }),
        18 => one(What::Hostile(random.pick(&[
            Hostility::AckOfAnotherEpoch,
            Hostility::AckBeyond,
            Hostility::WelcomeAgain,
            Hostility::CancelUnknown,
            Hostility::UnknownType,
            Hostility::InvalidFrame,
            Hostility::Garbage,
            Hostility::TooLarge,
        ]))),
        19 => one(What::AppendFails { applied: random.one_in(2) }),
        20 => one(What::DiskFull { ms: random.scale(1_000, 120_000), hard: random.one_in(3) }),
        21 => match random.below(5) {
            0..=2 => {
                vec![(0, What::StoreBackup), (random.scale(1_000, 900_000), What::StoreRestore)]
            }
            3 => one(What::StoreDamage),
            _ => one(What::SerialNumber { n: 7 }),
        },
        22 => {
            one(What::Payment { ms: random.scale(1_000, 400_000), cancellable: random.one_in(2) })
        }
        _ => match random.below(3) {
            0 => vec![
                (0, What::Forbid { kind: random.pick(&OperationKind::ALL) }),
                (random.scale(1_000, 300_000), What::AllowAll),
            ],
            _ => one(What::ApplicationDown { ms: random.scale(1_000, 400_000) }),
        },
    }
}

fn power_loss(random: &mut Rng) -> PowerLoss {
    PowerLoss {
        off_ms: random.scale(5_000, 900_000),
        clock_lost_ms: random.one_in(2).then(|| random.scale(1_000, 600_000)),
    }
}

fn operation(n: u32, random: &mut Rng) -> PlannedOperation {
    let kind = random.pick(&OperationKind::ALL);
    let mut planned = PlannedOperation::new(n, kind);
    if random.one_in(40) {
        planned.operation = "dance".to_owned();
    }
    planned.parameters = parameters(kind, n, random);
    planned.ttl_s = match random.below(16) {
        0 => 0,
        1..=4 => u32::try_from(random.scale(1, 120)).unwrap_or(1),
        _ => u32::try_from(random.scale(60, 7_200)).unwrap_or(60),
    };
    planned.deadline_s = u32::try_from(random.scale(1, 600)).unwrap_or(1);
    planned.not_after_s = match random.below(16) {
        // Just now, soon, and further ahead than is taken.
        0 if random.one_in(3) => 0,
        1 if random.one_in(3) => 40 * 86_400,
        2 | 3 => u32::try_from(random.scale(1, 3_600)).unwrap_or(1),
        _ => planned.ttl_s + planned.deadline_s + 86_400,
    };
    planned.policy = Policy {
        if_busy: if random.one_in(4) { IfBusy::Reject } else { IfBusy::Queue },
        if_payment_active: random.pick(&[
            IfPaymentActive::Wait,
            IfPaymentActive::Reject,
            IfPaymentActive::Cancel,
        ]),
        wait_max_s: u32::try_from(random.below(600)).unwrap_or(0),
    };
    planned.hardware = behaviour(random);
    planned
}

fn behaviour(random: &mut Rng) -> Behaviour {
    let end = match random.below(10) {
        0 => CallEnd::FailsBefore,
        1 => CallEnd::FailsAfter,
        2 => CallEnd::Hangs { ms: Some(random.scale(1_000, 900_000)) },
        3 if random.one_in(2) => CallEnd::Hangs { ms: None },
        _ => CallEnd::Works,
    };
    let restart = match random.below(8) {
        0 => RestartEnd::Never,
        1 => RestartEnd::Fails,
        2 => RestartEnd::RollsBack,
        3 | 4 => RestartEnd::Unclean,
        _ => RestartEnd::Clean,
    };
    Behaviour {
        latency_ms: random.scale(1, 60_000),
        effect_percent: random.below(101),
        end,
        ignores_cancel: random.one_in(3),
        forgets: random.one_in(10),
        deferrals: if random.one_in(3) { u32::try_from(random.below(4)).unwrap_or(0) } else { 0 },
        deferral_s: u32::try_from(random.scale(1, 900)).unwrap_or(1),
        restart,
        crashes: if random.one_in(8) { u32::try_from(random.range(1, 4)).unwrap_or(1) } else { 0 },
    }
}

fn parameters(kind: OperationKind, n: u32, random: &mut Rng) -> Map<String, Value> {
    let value = match kind {
        _ if random.one_in(30) => json!({"nonsense": 1}),
        OperationKind::Configure => {
            json!({"revision": random.range(1, u64::from(n) + 2), "config": {"a": n}})
        }
        OperationKind::Reboot => {
            let scope = random.pick(&["device", "device", "application"]);
            json!({"scope": scope, "delay_s": random.pick(&[0, 0, 5, 60])})
        }
        OperationKind::EndOfDay => {
            json!({"mode": random.pick(&["close", "close", "close", "report"])})
        }
        OperationKind::Update => {
            json!({"apply": random.pick(&["now", "window", "on_idle"]),
                   "close_batch_first": random.one_in(2)})
        }
        OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Lock
        | OperationKind::Unlock => json!({}),
    };
    value.as_object().cloned().unwrap_or_default()
}
