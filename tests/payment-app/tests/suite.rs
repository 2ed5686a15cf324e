//! The tests that every backend passes, run through the bridge against the simulated application.

mod support;

use anyhow::Result;
use serde_json::json;
use support::Shop;
use terminal_hal::{
    api::Capability,
    conformance::{CheckOutcome, Circumstances, run, table},
};
use uuid::Uuid;

#[tokio::test]
async fn the_bridge_has_every_capability_of_the_application_and_passes() -> Result<()> {
    let shop = Shop::open(&json!({}))?;
    let hal = shop.vendor.hal(&shop.vendor.capabilities().await?);
    let checks = run(&hal, &Circumstances::new(support::now(), Uuid::new_v4())).await;
    let passed = checks.iter().filter(|check| check.outcome == CheckOutcome::Passed).count();
    assert_eq!(passed, checks.len(), "{}", table(&checks));
    assert!(passed >= 27, "{}", table(&checks));
    Ok(())
}

#[tokio::test]
async fn what_the_application_does_not_offer_the_bridge_does_not_have() -> Result<()> {
    let shop = Shop::open(&json!({ "capabilities": ["payments", "screen"] }))?;
    let capabilities = shop.vendor.capabilities().await?;
    assert_eq!(capabilities, [Capability::Payments, Capability::Screen]);
    let hal = shop.vendor.hal(&capabilities);
    let checks = run(&hal, &Circumstances::new(support::now(), Uuid::new_v4())).await;
    let skipped = |outcome: &CheckOutcome| matches!(outcome, CheckOutcome::Skipped(_));
    let absent = checks.iter().filter(|check| skipped(&check.outcome));
    assert_eq!(absent.count(), 4, "{}", table(&checks));
    assert!(!checks.iter().any(|check| matches!(check.outcome, CheckOutcome::Failed(_))));
    Ok(())
}
