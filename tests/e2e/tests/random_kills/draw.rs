//! What is asked for next, and how the terminal behaves meanwhile: a matter of chance, the same for
//! the same seed.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use terminal_cloud::NewOperation;
use terminal_core::protocol::IfBusy;
use terminal_harness::Site;

use crate::support::{ACCOUNT, order};

/// Knuth's MMIX generator.
pub(super) struct Lcg(u64);

impl Lcg {
    pub(super) fn new(seed: u64) -> Self {
        let mut lcg = Self(seed);
        // Neighbouring seeds begin alike.
        lcg.below(1);
        lcg.0 = lcg.0.rotate_left(31);
        lcg
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(super) fn ms_below(&mut self, n: u64) -> Duration {
        Duration::from_millis(self.below(n))
    }
}

/// Methods of the simulated terminal that take their time.
const METHODS: [&str; 9] = [
    "close_batch",
    "collect_logs",
    "check_update",
    "open_menu",
    "reboot",
    "restart_application",
    "install_update",
    "set_locked",
    "apply_settings",
];

/// Latencies, one payment to be closed, a version to install, and now and then a payment under way.
pub(super) fn script(lcg: &mut Lcg, round: u64) -> Value {
    let mut script = json!({
        "methods": {},
        "payments": [{ "id": format!("p{round}"), "sale": 100 + round }],
        "updates": [{ "version": format!("3.{}.0", 15 + round) }],
    });
    for method in METHODS {
        script["methods"][method]["latency_ms"] = json!(lcg.below(300));
    }
    if lcg.below(6) == 0 {
        let state = if lcg.below(2) == 0 { "committed" } else { "cancellable" };
        script["payment_active"] = json!({ "state": state, "for_ms": 50 + lcg.below(300) });
    }
    script
}

/// One operation of any kind. `n` is its number on this site.
pub(super) fn operation(lcg: &mut Lcg, site: &Site, n: usize) -> Result<NewOperation> {
    let few_logs = json!({ "max_bytes": 65_536, "min_level": "error" });
    let (kind, parameters) = match lcg.below(14) {
        0..2 => ("end_of_day", json!({ "print_report": lcg.below(2) == 0 })),
        2 => ("send_logs", few_logs),
        3 => {
            let mut parameters = few_logs;
            let valid = Duration::from_secs(3600);
            let url = site.cloud()?.mint_upload(ACCOUNT, &upload_name(n), valid);
            parameters["upload"] = json!({ "url": url.url });
            ("send_logs", parameters)
        }
        4 => ("check_update", json!({})),
        5..7 => ("open_menu", json!({})),
        7 => ("reboot", json!({ "delay_s": 0, "scope": "device" })),
        8 => ("reboot", json!({ "delay_s": 0, "scope": "application" })),
        9..11 => {
            let first = lcg.below(3) == 0;
            ("update", json!({ "apply": "now", "close_batch_first": first }))
        }
        11 => ("lock", json!({ "finish_active_payment": lcg.below(2) == 0 })),
        12 => ("unlock", json!({})),
        _ => {
            let config = json!({ "display": { "idleMessage": format!("message {n}") } });
            ("configure", json!({ "revision": n + 1, "config": config }))
        }
    };
    let mut new = order(site, kind, parameters);
    // However many pile up, none may expire, and none is given up for its length.
    (new.ttl_s, new.deadline_s) = (86_400, 3_600);
    if lcg.below(8) == 0 {
        new.policy.if_busy = IfBusy::Reject;
    }
    Ok(new)
}

/// The name under which operation `n` uploads.
pub(super) fn upload_name(n: usize) -> String {
    format!("random-{n}.gz")
}
