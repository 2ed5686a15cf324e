//! Many lives.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use crate::{counters::Counters, generate, life::live, log::Violation, plan::Plan};

/// What became of many lives.
#[derive(Debug, Default)]
pub struct Lives {
    /// How many.
    pub lived: u64,
    /// Virtual milliseconds of all of them.
    pub ms: u64,
    /// What happened.
    pub counters: Counters,
    /// How many failed.
    pub failed: u64,
    /// The first one that failed each check, by seed.
    pub failures: Vec<(u64, Plan, Violation)>,
}

/// Lives that fail before it is enough.
const FAILED_MAX: u64 = 200;

/// Lives `count` lives from `seed` on, on so many threads; stops when enough have failed.
pub fn live_many(seed: u64, count: u64, threads: usize) -> Lives {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut lives = Lives::default();
        while !stop.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                break;
            }
            let plan = generate::plan(seed.wrapping_add(n));
            let life = live(&plan);
            lives.lived += 1;
            lives.ms += life.ms;
            lives.counters.add(&life.counters);
            if let Some(violation) = life.violation {
                lives.failed += 1;
                if lives.failures.iter().all(|(.., known)| known.check != violation.check) {
                    lives.failures.push((seed.wrapping_add(n), plan, violation));
                }
                if lives.failed >= FAILED_MAX {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
        lives
    };
    let mut all = Lives::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in running {
            let lives = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            all.lived += lives.lived;
            all.failed += lives.failed;
            all.ms += lives.ms;
            all.counters.add(&lives.counters);
            all.failures.extend(lives.failures);
        }
    });
    all.failures.sort_by_key(|(seed, ..)| *seed);
    let mut checks = BTreeSet::new();
    all.failures.retain(|(.., violation)| checks.insert(violation.check));
    all
}
