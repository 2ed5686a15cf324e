//! Checks as text.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{Check, CheckOutcome};

/// One line per check.
pub fn table(checks: &[Check]) -> String {
    let mut table = String::new();
    for Check { capability, name, outcome } in checks {
        let (word, why) = match outcome {
            CheckOutcome::Passed => ("passed", ""),
            CheckOutcome::Failed(why) => ("FAILED", why.as_str()),
            CheckOutcome::Skipped(why) => ("skipped", why.as_str()),
            CheckOutcome::Absent => ("absent", ""),
        };
        let _ = writeln!(table, "{capability:<9} {word:<8} {name}");
        if !why.is_empty() {
            let _ = writeln!(table, "{:<18} {why}", "");
        }
    }
    table
}

/// Which capabilities each backend has, and how many of its checks have passed: a line per
/// capability, a column per backend.
pub fn matrix(backends: &[(&str, &[Check])]) -> String {
    let all = backends.iter().flat_map(|(_, checks)| checks.iter());
    let capabilities: BTreeSet<&str> = all.map(|check| check.capability).collect();
    let mut matrix = format!("{:<10}", "");
    for (backend, _) in backends {
        let _ = write!(matrix, " {backend:>12}");
    }
    for capability in capabilities {
        let _ = write!(matrix, "\n{capability:<10}");
        for (_, checks) in backends {
            let _ = write!(matrix, " {:>12}", cell(checks, capability));
        }
    }
    matrix.push('\n');
    matrix
}

/// Such as `7 of 8`, or a dash for what is not there.
fn cell(checks: &[Check], capability: &str) -> String {
    let of_it = checks.iter().filter(|check| check.capability == capability);
    let tried: Vec<_> = of_it.filter(|check| check.outcome != CheckOutcome::Absent).collect();
    if tried.is_empty() {
        return "-".to_owned();
    }
    let passed = tried.iter().filter(|check| check.outcome == CheckOutcome::Passed).count();
    format!("{passed} of {}", tried.len())
}
