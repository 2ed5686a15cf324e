//! The shrinker itself, on judges that are made up.

use std::cell::Cell;

use terminal_simulation::{
    generate,
    log::Violation,
    plan::{Plan, What},
    shrink::shrink_with,
};

fn violation(check: &'static str) -> Violation {
    Violation { check, at_ms: 0, detail: String::new() }
}

fn has(plan: &Plan, is: impl Fn(&What) -> bool) -> bool {
    plan.items.iter().any(|item| is(&item.what))
}

/// A plan with many items, among them a cancellation and a drop of the link.
fn large_plan() -> Plan {
    let plans = (1..10_000).map(generate::plan);
    let is_large = |plan: &Plan| {
        plan.items.len() > 15
            && has(plan, |what| matches!(what, What::Cancel { .. }))
            && has(plan, |what| matches!(what, What::LinkDrop { .. }))
    };
    plans.into_iter().find(is_large).unwrap()
}

#[test]
fn what_the_failure_does_not_need_is_taken_away() {
    let needs_both = |plan: &Plan| {
        let cancels = has(plan, |what| matches!(what, What::Cancel { .. }));
        let drops = has(plan, |what| matches!(what, What::LinkDrop { .. }));
        (cancels && drops).then(|| violation("made up"))
    };
    let plan = large_plan();
    let (small, found) = shrink_with(&plan, &violation("made up"), needs_both);
    assert_eq!(found.check, "made up");
    assert_eq!(small.items.len(), 2, "{small:?}");
    assert!(needs_both(&small).is_some());
    assert!(small.items.iter().all(|item| plan.items.contains(item)));
}

#[test]
fn another_failure_is_not_taken_for_the_one_that_is_shrunk() {
    let plan = large_plan();
    let full = plan.items.len();
    let judge = |candidate: &Plan| {
        let check = if candidate.items.len() == full { "the one" } else { "another" };
        Some(violation(check))
    };
    let (small, found) = shrink_with(&plan, &violation("the one"), judge);
    assert_eq!(small.items.len(), full);
    assert_eq!(found.check, "the one");
}

#[test]
fn shrinking_ends_however_long_there_is_something_to_take_away() {
    let tries = Cell::new(0);
    let judge = |_: &Plan| {
        tries.set(tries.get() + 1);
        Some(violation("always"))
    };
    let (small, _) = shrink_with(&large_plan(), &violation("always"), judge);
    assert!(small.items.is_empty());
    assert!(tries.get() < 2_100, "{} tries", tries.get());
}
