//! What must have held, each with what was seen.

use terminal_cloud::OperationStatus;

use crate::story::{Done, Story};

/// Prints each promise and whether it held; true when all did.
pub(crate) fn print(story: &Story) -> bool {
    let completed =
        story.operations.iter().filter(|d| d.operation.status == OperationStatus::Completed);
    let (all, completed) = (story.operations.len(), completed.count());
    let closes: Vec<&Done> =
        story.operations.iter().filter(|d| d.operation.operation == "end_of_day").collect();
    let effects: Vec<u64> = closes.iter().map(|done| done.effects).collect();
    let verdicts = story.operations.iter().all(|done| count(done, "report") == 1);
    let (held, sent) = story.log_bytes;
    let batches = batch_ids(&closes);
    let checks = [
        (completed == all, format!("{completed} of {all} operations completed")),
        (verdicts, "every operation got exactly one verdict".to_owned()),
        (
            effects.iter().all(|n| *n == 1) && batches == closes.len(),
            format!("{batches} batches closed by {} ends of day, each once", closes.len()),
        ),
        (
            story.unsent_while_cut_off >= 1,
            format!("{} report waited on the terminal while cut off", story.unsent_while_cut_off),
        ),
        (story.starts == 4, starts("agent", story.starts)),
        (story.app_starts == 4, starts("payment application", story.app_starts)),
        (story.same_key_same_operation, "one Idempotency-Key, one operation".to_owned()),
        (held == sent && held > 0, format!("{held} bytes of log arrived of {sent} sent")),
    ];
    println!();
    for (held, what) in &checks {
        println!(" {} {what}", if *held { "ok    " } else { "FAILED" });
    }
    checks.iter().all(|(held, _)| *held)
}

fn starts(what: &str, times: u32) -> String {
    format!("the {what} was started {times} times: at first, when killed, by update and reboot")
}

fn count(done: &Done, event: &str) -> usize {
    done.timeline.iter().filter(|entry| entry.event == event).count()
}

fn batch_ids(closes: &[&Done]) -> usize {
    let mut ids: Vec<String> = closes
        .iter()
        .filter_map(|done| done.operation.result.as_ref())
        .filter_map(|result| result["batch_id"].as_str().map(str::to_owned))
        .collect();
    ids.sort();
    ids.dedup();
    ids.len()
}
