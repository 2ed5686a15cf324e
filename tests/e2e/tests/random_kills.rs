//! `kill -9` and cut links at random moments of mixed operations.
//!
//! `E2E_SEED` and `E2E_ROUNDS` say which moments and how many; the seed is printed.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use terminal_cloud::OperationStatus;
use terminal_hal::OperationId;
use terminal_harness::SiteOptions;

use crate::support::{drop_link, has_one_verdict, no_batch_was_closed_twice, open, order, unsent};

const ROUNDS: u64 = 20;

/// Knuth's MMIX generator: the same moments for the same seed.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A kind with its parameters, and how often it may take effect.
fn draw(lcg: &mut Lcg, round: u64) -> (&'static str, Value, u64) {
    match lcg.below(8) {
        0..3 => ("end_of_day", json!({}), 1),
        3 => ("open_menu", json!({}), 1),
        4 => ("check_update", json!({}), 0),
        5 => (if round % 2 == 0 { "lock" } else { "unlock" }, json!({}), 1),
        6 => ("send_logs", json!({ "max_bytes": 65_536, "min_level": "error" }), 0),
        _ => ("reboot", json!({ "delay_s": 0 }), 3),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_cuts_at_random_moments_cost_no_verdict_and_double_no_effect() -> Result<()> {
    let seed = setting("E2E_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let rounds = setting("E2E_ROUNDS").unwrap_or(ROUNDS);
    println!("E2E_SEED={seed} E2E_ROUNDS={rounds}");
    let mut lcg = Lcg(seed);
    let (site, agent) = open(SiteOptions::default()).await?;
    let mut operations: Vec<(OperationId, &str, u64)> = Vec::new();
    for round in 0..rounds {
        let payment = json!({ "id": format!("p{round}"), "sale": 100 + round });
        let mut script = json!({ "methods": {}, "payments": [payment] });
        for method in ["close_batch", "open_menu", "check_update", "set_locked", "collect_logs"] {
            script["methods"][method]["latency_ms"] = json!(lcg.below(120));
        }
        site.script(&script)?;
        for _ in 0..=lcg.below(2) {
            let (kind, parameters, effects) = draw(&mut lcg, round);
            let mut order = order(&site, kind, parameters);
            // However many rounds pile up, none may expire.
            order.ttl_s = 86_400;
            operations.push((site.cloud()?.create_operation(order).await?, kind, effects));
        }
        // A moment, not a condition: nothing depends on its length.
        tokio::time::sleep(Duration::from_millis(lcg.below(250))).await;
        // Either may be coming up again at this very moment.
        if lcg.below(3) == 0 {
            let _ = drop_link(&site).await;
        } else {
            let _ = agent.kill_9();
        }
    }
    for (id, kind, effects) in &operations {
        let operation = site.verdict(*id).await?;
        assert_ne!(operation.status, OperationStatus::Timeout, "{kind}: {operation:?}");
        has_one_verdict(&site, *id).await?;
        assert!(site.effects_of(*id)? <= *effects, "{kind} {id} took effect too often");
        let closed = *kind == "end_of_day" && operation.status == OperationStatus::Completed;
        if closed && operation.result.is_some_and(|result| result["outcome"] == "closed") {
            assert_eq!(site.effects_of(*id)?, 1);
        }
    }
    no_batch_was_closed_twice(&site)?;
    unsent(&site, &agent, 0).await?;
    assert!(site.cloud()?.gaps(site.terminal_id()).await?.is_empty());
    Ok(())
}
