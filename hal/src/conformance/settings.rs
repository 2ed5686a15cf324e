//! Settings: as a whole or not at all.

use serde_json::{Map, Value, json};

use super::{Checked, Circumstances, Suite, Trouble, holds, refused};
use crate::{
    ErrorCode, Failure,
    api::{Payments, SettingsOutcome},
    operation::ConfigureResult,
};

const PAYMENTS: &str = "payments";

pub(super) async fn checks(suite: &mut Suite, payments: &dyn Payments, at: &Circumstances) {
    let name = "the empty configuration is applied, and again without a change";
    suite.check(PAYMENTS, name, applied_twice(payments, at)).await;
    let name = "a section that nobody knows is a problem with its path";
    suite.check(PAYMENTS, name, rejected(payments, at)).await;
    let name = "an older revision is stale";
    suite.check(PAYMENTS, name, stale(payments, at)).await;
}

/// Newer than any before: seconds of this run.
fn revision(at: &Circumstances) -> u64 {
    at.now.unix_ms() / 1000
}

async fn apply(
    payments: &dyn Payments,
    at: &Circumstances,
    revision: u64,
    config: &Map<String, Value>,
) -> Result<SettingsOutcome, Failure> {
    let (call, _handle) = at.call();
    payments.apply_settings(&call, revision, config).await
}

async fn apply_empty(
    payments: &dyn Payments,
    at: &Circumstances,
) -> Result<ConfigureResult, Trouble> {
    match apply(payments, at, revision(at), &Map::new()).await? {
        SettingsOutcome::Applied(result) => Ok(result),
        SettingsOutcome::Rejected(problems) => Err(Trouble::Failed(format!("{problems:?}"))),
    }
}

async fn applied_twice(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let first = apply_empty(payments, at).await?;
    holds(first.revision == revision(at), || format!("revision {}", first.revision))?;
    let digest = first.sha256.as_bytes();
    let is_digest = digest.len() == 64 && digest.iter().all(|b| b"0123456789abcdef".contains(b));
    holds(is_digest, || format!("sha256 {:?}, want 64 hex digits", first.sha256))?;
    let again = apply_empty(payments, at).await?;
    holds(again.sha256 == first.sha256, || "another digest of the same".to_owned())?;
    holds(again.applied.is_empty(), || format!("changed again: {:?}", again.applied))
}

async fn rejected(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let before = apply_empty(payments, at).await?;
    let config = Map::from_iter([("noSuchSection".to_owned(), json!({ "x": 1 }))]);
    match apply(payments, at, revision(at) + 1, &config).await? {
        SettingsOutcome::Applied(_) => Err(Trouble::Failed("it was applied".to_owned())),
        SettingsOutcome::Rejected(problems) => {
            let named = problems.iter().any(|p| p.path.starts_with("noSuchSection"));
            holds(named && problems.iter().all(|p| !p.code.is_empty()), || format!("{problems:?}"))
        }
    }?;
    // What was in force still is.
    let after = apply_empty(payments, at).await?;
    holds(after.sha256 == before.sha256 && after.applied.is_empty(), || format!("{after:?}"))
}

async fn stale(payments: &dyn Payments, at: &Circumstances) -> Checked {
    apply_empty(payments, at).await?;
    let older = apply(payments, at, revision(at) - 1, &Map::new()).await;
    refused(older, &[ErrorCode::RevisionStale])
}
