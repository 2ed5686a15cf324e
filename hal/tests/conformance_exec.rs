//! A program that serves the screen and the state of the terminal passes what every backend must.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

mod common;

use common::Served;
use terminal_hal::{
    Timestamp,
    api::Hal,
    conformance::{Check, CheckOutcome, Circumstances, run, table},
};
use uuid::Uuid;

const PROGRAM: &str = r#"#!/bin/sh
shows="$0.shows"
case "$(cat)" in
    *'"screen.open_menu"'*)
        echo '{"showing":"menu","text":"reports"}' > "$shows"
        echo '{"result":{"opened_at":"2026-06-29T18:35:00Z","shown":true}}' ;;
    *'"message":null'*)
        echo '{"showing":"idle"}' > "$shows"
        echo '{"result":{}}' ;;
    *'"screen.show_message"'*)
        echo '{"showing":"message","text":"Service until 9"}' > "$shows"
        echo '{"result":{}}' ;;
    *'"health.read"'*)
        screen=$(cat "$shows" 2>/dev/null || echo null)
        echo '{"result":{"printer":"ok","battery_level":80,"screen":'"$screen"'}}' ;;
    *) exit 64 ;;
esac
"#;

async fn checks(hal: &Hal) -> Vec<Check> {
    let now = Timestamp::parse("2026-06-29T19:00:00Z").unwrap();
    run(hal, &Circumstances::new(now, Uuid::from_u128(7))).await
}

fn of<'a>(checks: &'a [Check], capability: &str) -> Vec<&'a CheckOutcome> {
    let of_it = checks.iter().filter(|check| check.capability == capability);
    of_it.map(|check| &check.outcome).collect()
}

#[tokio::test]
async fn a_program_has_the_screen_and_the_state_and_passes() {
    let checks = checks(&Served::by(PROGRAM).hal).await;
    println!("{}", table(&checks));
    for capability in ["screen", "health"] {
        let outcomes = of(&checks, capability);
        let passed = outcomes.iter().all(|outcome| **outcome == CheckOutcome::Passed);
        assert!(passed && !outcomes.is_empty(), "{}", table(&checks));
    }
    for capability in ["payments", "logs", "firmware", "power"] {
        let tried = |o: &&CheckOutcome| matches!(o, CheckOutcome::Passed | CheckOutcome::Failed(_));
        assert!(!of(&checks, capability).iter().any(tried), "{}", table(&checks));
    }
}

#[tokio::test]
async fn a_program_that_tells_of_another_screen_fails_and_one_that_tells_of_none_does_not() {
    let agrees = |checks: &[Check]| {
        let named = |check: &&Check| check.name.starts_with("what it tells of the screen");
        checks.iter().find(named).unwrap().outcome.clone()
    };
    let stuck = PROGRAM.replace("screen=$(cat \"$shows\" 2>/dev/null || echo null)", "screen=$S");
    let wrong = stuck.replace("shows=", "S='{\"showing\":\"idle\"}'\nshows=");
    let outcome = agrees(&checks(&Served::by(&wrong).hal).await);
    assert!(matches!(outcome, CheckOutcome::Failed(_)), "{outcome:?}");
    let silent = stuck.replace("shows=", "S=null\nshows=");
    let outcome = agrees(&checks(&Served::by(&silent).hal).await);
    assert!(matches!(outcome, CheckOutcome::Skipped(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_program_without_menus_fails_where_it_does() {
    let program = PROGRAM.replace("open_menu", "open_door");
    let checks = checks(&Served::by(&program).hal).await;
    let outcomes = of(&checks, "screen");
    assert!(
        matches!(
            outcomes[..],
            [CheckOutcome::Passed, CheckOutcome::Failed(_), CheckOutcome::Failed(_)]
        ),
        "{outcomes:?}"
    );
}
