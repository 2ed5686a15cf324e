//! From a plan that fails to a small one that fails in the same way.

use crate::{
    life::live,
    log::Violation,
    plan::{Behaviour, Item, Plan, Setting, What},
};

/// Lives that one shrinking may cost.
const TRIES_MAX: u32 = 2_000;

/// The smallest plan that was found to fail the same check, and how it does.
pub fn shrink(plan: &Plan, violation: &Violation) -> (Plan, Violation) {
    shrink_with(plan, violation, |plan| live(plan).violation)
}

/// The same, with any judge of plans.
pub fn shrink_with(
    plan: &Plan,
    violation: &Violation,
    judge: impl Fn(&Plan) -> Option<Violation>,
) -> (Plan, Violation) {
    let mut shrinking =
        Shrinking { best: (plan.clone(), violation.clone()), tries: 0, judge: &judge };
    loop {
        let before = shrinking.best.0.clone();
        shrinking.drop_items();
        shrinking.simplify_items();
        shrinking.simplify_setting();
        if shrinking.best.0 == before || shrinking.tries >= TRIES_MAX {
            return shrinking.best;
        }
    }
}

struct Shrinking<'a> {
    best: (Plan, Violation),
    tries: u32,
    judge: &'a dyn Fn(&Plan) -> Option<Violation>,
}

impl Shrinking<'_> {
    /// Keeps a plan that still fails the same check.
    fn keep_if_failing(&mut self, plan: Plan) -> bool {
        if self.tries >= TRIES_MAX || plan == self.best.0 {
            return false;
        }
        self.tries += 1;
        match (self.judge)(&plan) {
            Some(violation) if violation.check == self.best.1.check => {
                self.best = (plan, violation);
                true
            }
            _ => false,
        }
    }

    /// Takes away halves, then quarters, down to single items.
    fn drop_items(&mut self) {
        let mut size = self.best.0.items.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < self.best.0.items.len() {
                let mut plan = self.best.0.clone();
                let end = (at + size).min(plan.items.len());
                plan.items.drain(at..end);
                if !self.keep_if_failing(plan) {
                    at += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn simplify_items(&mut self) {
        for n in 0..self.best.0.items.len() {
            for simpler in simpler(&self.best.0.items[n]) {
                let mut plan = self.best.0.clone();
                plan.items[n] = simpler;
                self.keep_if_failing(plan);
            }
        }
    }

    fn simplify_setting(&mut self) {
        let usual = Setting::default();
        let now = self.best.0.setting;
        let last = self.best.0.items.iter().map(|item| item.at_ms).max().unwrap_or(0);
        let candidates = [
            Setting { horizon_ms: (last + 60_000).min(now.horizon_ms), ..now },
            Setting { heartbeat_s: usual.heartbeat_s, ..now },
            Setting { latency_ms: usual.latency_ms, ..now },
            Setting { loop_ms: usual.loop_ms, ..now },
            Setting { ack_ms: usual.ack_ms, ..now },
            Setting { restart_ms: usual.restart_ms, ..now },
            Setting { application_ms: usual.application_ms, ..now },
            Setting { forgets_settings: false, ..now },
            Setting { rejects_every: 0, ..now },
            Setting { schedule: None, ..now },
        ];
        for setting in candidates {
            let horizon_ms = self.best.0.setting.horizon_ms.min(setting.horizon_ms);
            let mut plan = self.best.0.clone();
            plan.setting = Setting { horizon_ms, ..merged(plan.setting, now, setting) };
            self.keep_if_failing(plan);
        }
    }
}

/// What differs between `from` and `to`, applied to `base`.
fn merged(base: Setting, from: Setting, to: Setting) -> Setting {
    fn pick<T: PartialEq>(base: T, from: T, to: T) -> T {
        if from == to { base } else { to }
    }
    Setting {
        horizon_ms: base.horizon_ms,
        heartbeat_s: pick(base.heartbeat_s, from.heartbeat_s, to.heartbeat_s),
        latency_ms: pick(base.latency_ms, from.latency_ms, to.latency_ms),
        loop_ms: pick(base.loop_ms, from.loop_ms, to.loop_ms),
        ack_ms: pick(base.ack_ms, from.ack_ms, to.ack_ms),
        restart_ms: pick(base.restart_ms, from.restart_ms, to.restart_ms),
        application_ms: pick(base.application_ms, from.application_ms, to.application_ms),
        forgets_settings: pick(base.forgets_settings, from.forgets_settings, to.forgets_settings),
        rejects_every: pick(base.rejects_every, from.rejects_every, to.rejects_every),
        schedule: pick(base.schedule, from.schedule, to.schedule),
    }
}

/// The same item with less that is special about it.
fn simpler(item: &Item) -> Vec<Item> {
    let with = |what: What| Item { what, ..item.clone() };
    match &item.what {
        What::Operation(planned) => {
            let usual = Behaviour::default();
            let hardware = planned.hardware;
            let behaviours = [
                usual,
                Behaviour { latency_ms: usual.latency_ms, ..hardware },
                Behaviour { effect_percent: usual.effect_percent, ..hardware },
                Behaviour { end: usual.end, ..hardware },
                Behaviour { ignores_cancel: false, ..hardware },
                Behaviour { forgets: false, ..hardware },
                Behaviour { deferrals: 0, ..hardware },
                Behaviour { restart: usual.restart, ..hardware },
                Behaviour { crashes: 0, ..hardware },
            ];
            let mut simpler: Vec<Item> = behaviours
                .into_iter()
                .map(|hardware| {
                    let mut planned = planned.clone();
                    planned.hardware = hardware;
                    with(What::Operation(planned))
                })
                .collect();
            let mut plain = planned.clone();
            plain.policy = terminal_core::protocol::Policy::default();
            plain.ttl_s = 900;
            plain.not_after_s = 90_000;
            simpler.push(with(What::Operation(plain)));
            simpler
        }
        What::Crash { rounds, effects, power: Some(_) } => {
            vec![with(What::Crash { rounds: *rounds, effects: *effects, power: None })]
        }
        What::Flood { first, count, one_lane } => vec![
            with(What::Flood { first: *first, count: count / 2, one_lane: *one_lane }),
            with(What::Flood { first: *first, count: count * 9 / 10, one_lane: *one_lane }),
        ],
        _ => Vec::new(),
    }
}
