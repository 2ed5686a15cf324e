//! The short form: two hundred real links, a hundred thousand simulated ones.

use std::{path::PathBuf, time::Duration};

use terminal_core::engine::BackoffSettings;
use terminal_storm::{
    Jitter,
    fleet::{self, Plan, Report, Restart, Unavailable},
    million::RATIO_MAX,
    simulated::{
        Fleet, Loss, Outcome, Scenario,
        admission::{self, Answer, Limited},
        play,
    },
};

const LINKS: u32 = 200;
const SEED: u64 = 20_260_629;

async fn storm(restart: Restart, outage_s: u64, unavailable: Option<Unavailable>) -> Report {
    let plan = Plan {
        links: LINKS,
        restart,
        outage: Duration::from_secs(outage_s),
        unavailable,
        // Everybody is back within seconds.
        backoff: BackoffSettings { base_ms: 500, cap_ms: 3_000 },
        seed: SEED,
        program: PathBuf::from(env!("CARGO_BIN_EXE_terminal-storm")),
    };
    let report = fleet::run(&plan).await.unwrap();
    println!("{report}");
    assert_eq!(report.back.count(), u64::from(LINKS));
    assert_eq!(report.lost_again, 0);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_every_terminal_comes_back_and_does_its_operation_once() {
    let report = storm(Restart::Crash, 2, None).await;
    assert!(report.away.count() > u64::from(LINKS), "nobody tried while the cloud was away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_restart_is_obeyed_by_everybody() {
    let report = storm(Restart::Planned { after_s: 10, spread_s: 3 }, 0, None).await;
    assert!(report.first_attempt_ms >= 10_000, "{} ms", report.first_attempt_ms);
    // A machine that is busy enough makes the cloud late.
    if report.outage_ms < 10_000 {
        assert_eq!(report.attempts_max, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_says_retry_after_is_obeyed_by_everybody() {
    let unavailable = Unavailable { lasts: Duration::from_secs(3), retry_after_s: 4 };
    let report = storm(Restart::Crash, 0, Some(unavailable)).await;
    assert!(report.refused > 0, "nobody was refused");
    assert_eq!(report.hasty, 0);
}

fn simulate(scenario: &Scenario, terminals: u32, jitter: Jitter) -> Outcome {
    let outcome = play(scenario, Fleet { terminals, seed: SEED, jitter });
    assert_eq!(outcome.back.count(), u64::from(terminals), "{}, seed {SEED}", scenario.name);
    outcome
}

/// At least 167 terminals belong into a bin: chance alone brings 1.3 times as many into one of 300.
#[test]
fn whatever_happened_the_return_is_spread_evenly_over_its_window() {
    for scenario in Scenario::all(BackoffSettings::default()) {
        let ratio = simulate(&scenario, 50_000, Jitter::Full).ratio();
        println!("{}: {ratio:.2}", scenario.name);
        assert!(ratio <= RATIO_MAX, "{}: {ratio:.2}, seed {SEED}", scenario.name);
    }
}

#[test]
fn without_jitter_no_window_is_kept() {
    for scenario in Scenario::all(BackoffSettings::default()) {
        let ratio = simulate(&scenario, 5_000, Jitter::None).ratio();
        assert!(ratio > 10.0, "{}: {ratio:.2}: the check could not fail", scenario.name);
    }
}

#[test]
fn a_planned_restart_is_over_when_the_cloud_said() {
    let drain = Loss::Drain { after_s: 10, spread_s: 60 };
    let outcome = simulate(&Scenario::new("planned", drain, 10), 1_000, Jitter::Full);
    assert_eq!(outcome.away.count(), 0);
    assert!(outcome.back.last_ms() <= 60_000);
}

#[test]
fn a_limited_cloud_lets_everybody_in_and_retry_after_thins_the_attempts() {
    let fleet = Fleet { terminals: 100_000, seed: SEED, jitter: Jitter::Full };
    let come_back = |answer| {
        let backoff = BackoffSettings::default();
        let limited = Limited { outage_ms: 0, per_s: 1_000, answer, backoff };
        let admission = admission::play(&limited, fleet).unwrap();
        assert_eq!(admission.admitted.count(), 100_000);
        assert!(admission.admitted.peak_per_s(100, 0) <= 1_000.0);
        admission
    };
    // Twice the time that the limit needs for everybody: one second wave, as wide as it must be.
    let asked = come_back(Answer::RetryAfter { seconds: 200 });
    assert!(asked.attempts.peak_per_s(1_000, 10_000) <= RATIO_MAX * 1_000.0);
    assert!(asked.admitted.last_ms() <= 700_000, "{} ms", asked.admitted.last_ms());
    let reset = come_back(Answer::Reset);
    assert!(reset.attempts.count() > 2 * asked.attempts.count());
}
