//! Thousands of lives from a fixed seed, in every test run.
//!
//! `SIM_SEED` is the first seed, `SIM_LIVES` how many; README.md says how to read a failure.

use terminal_simulation::{
    generate,
    life::{live, tell},
    lives::live_many,
    shrink::shrink,
};

const SEED: u64 = 1;
const LIVES: u64 = 4_000;
/// Lines of the story that a failure shows.
const LINES_MAX: usize = 200;

fn setting(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, want a number"))
}

/// What must have occurred in a run of [`LIVES`] lives, or the run has proved nothing about it.
const MUST_OCCUR: &[(&str, &[&str])] = &[
    (
        "fault",
        &[
            "another serial number",
            "append failed",
            "append failed but is durable",
            "application down",
            "cancel",
            "clock back",
            "clock forward",
            "cloud is mute",
            "cloud restart",
            "cloud restored",
            "crash",
            "disk full, commits fail",
            "disk low",
            "dispatched again",
            "frame arrived late",
            "link dies silently",
            "link drops",
            "link stalls",
            "network down",
            "payment",
            "poisonous call",
            "power cut",
            "reconnect",
            "store damaged",
            "store restored",
            "suspend",
            "twin",
        ],
    ),
    ("crash", &["before any effect", "after some effects"]),
    ("process", &["started", "stopped in order"]),
    (
        "closed by the cloud",
        &["1000", "1001", "1002", "1007", "1008", "1009", "1011", "4401", "4403", "4408", "4409"],
    ),
    ("closed by the terminal", &["1000", "1001", "1007", "1009", "4408"]),
    (
        "link",
        &[
            "attempted",
            "cloud is down",
            "could not connect",
            "gap after the cloud was restored",
            "new epoch",
            "refused",
            "told to retry later",
        ],
    ),
    (
        "hostile",
        &[
            "ack beyond what was sent",
            "ack of another epoch",
            "cancel of an unknown id",
            "garbage",
            "invalid frame",
            "second welcome",
            "too large",
            "unknown type",
        ],
    ),
    (
        "error frame",
        &[
            "INVALID_ACK",
            "INVALID_MESSAGE",
            "OVERLOADED",
            "STORAGE_FULL",
            "UNKNOWN_OPERATION",
            "UNSUPPORTED_MESSAGE",
        ],
    ),
    (
        "call",
        &[
            "abandoned",
            "answered to the next process",
            "cancelled",
            "cancelled in vain",
            "deferred",
            "hangs for a while",
            "hangs for ever",
            "ready to restart",
            "while the application was down",
        ],
    ),
    ("payment", &["busy", "cancelled", "hold ran out", "waited for"]),
    ("restart", &["application", "clean", "fails", "never happens", "unclean"]),
    (
        "verify answer",
        &[
            "completed",
            "failed",
            "not started",
            "restart required",
            "running",
            "unavailable",
            "unknown",
        ],
    ),
    ("verify asked", &["end_of_day", "reboot", "update"]),
    (
        "completed",
        &[
            "check_update",
            "configure",
            "end_of_day",
            "lock",
            "open_menu",
            "reboot",
            "send_logs",
            "unlock",
            "update",
        ],
    ),
    ("outcome unknown", &["end_of_day", "open_menu", "reboot", "update"]),
    (
        "configuration",
        &["applied", "rejected", "call did not answer", "hangs", "in force without an answer"],
    ),
    ("event", &["booted", "epoch_changed", "late_outcome", "storage_recovered", "store_damaged"]),
    ("report", &["again", "dropped", "of an empty place", "on a link that has ended"]),
    ("accepted", &["from a lost epoch"]),
    ("forgotten", &["verdict"]),
    (
        "verdict",
        &[
            "BUSY_OPERATION",
            "BUSY_PAYMENT",
            "CANCELED",
            "COMPLETED",
            "DEADLINE_EXCEEDED",
            "DEVICE_FAULT",
            "EXPIRED",
            "HAL_UNAVAILABLE",
            "HOST_UNREACHABLE",
            "INTERRUPTED",
            "INVALID_PARAMETERS",
            "OUTCOME_UNKNOWN",
            "QUEUE_FULL",
            "REVISION_STALE",
            "ROLLED_BACK",
            "UNAUTHORIZED",
            "UNSUPPORTED_OPERATION",
            "WRONG_TERMINAL",
            "after the cloud gave it up",
        ],
    ),
];

#[test]
fn in_every_life_nothing_is_lost_and_nothing_happens_twice() {
    let (seed, count) = (setting("SIM_SEED", SEED), setting("SIM_LIVES", LIVES));
    println!("SIM_SEED={seed} SIM_LIVES={count}");
    let lives = live_many(seed, count, 1);
    if let Some((seed, plan, violation)) = lives.failures.first() {
        let (small, violation) = shrink(plan, violation);
        let story = tell(&small).story;
        let skipped = story.len().saturating_sub(LINES_MAX);
        println!("{}", story[skipped..].join("\n"));
        println!("\nthe plan:\n{}\n", serde_json::to_string_pretty(&small).unwrap());
        panic!(
            "seed {seed} fails {}: {}; {} of {} lives failed",
            violation.check, violation.detail, lives.failed, lives.lived
        );
    }
    assert_eq!(lives.lived, count);
    if count < LIVES {
        return;
    }
    let missing: Vec<String> = MUST_OCCUR
        .iter()
        .flat_map(|(group, names)| names.iter().map(move |name| (group, name)))
        .filter(|(group, name)| lives.counters.of(group, name) == 0)
        .map(|(group, name)| format!("{group}: {name}"))
        .collect();
    assert!(missing.is_empty(), "never happened: {missing:?}\n{}", lives.counters);
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in [3, 17, 4_711] {
        let plan = generate::plan(seed);
        assert_eq!(plan, generate::plan(seed));
        let (first, second) = (tell(&plan), tell(&plan));
        assert!(first.story.len() > 20, "a life in which nothing happens");
        assert_eq!(first.story, second.story);
        assert_eq!(live(&plan).counters, first.counters);
    }
}
