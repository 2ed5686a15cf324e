//! One call of a method: takes its time, reports progress, can be cancelled, and strikes the
//! faults that the script asks for.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    MockTerminal,
    script::{Method, Point, Rule, Script},
    shared::Shared,
    state::{State, Used},
};
use crate::{ErrorCode, Failure, api::Call};

/// Progress reports of each half of a call.
const STEPS: u32 = 4;

/// A call under way.
#[derive(Debug)]
pub(super) struct Turn {
    terminal: MockTerminal,
    method: Method,
    pub(super) rule: Rule,
    call: Option<Call>,
    pub(super) life: u64,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    InFull,
    Cancelled,
}

impl MockTerminal {
    /// Begins a call.
    pub(super) fn turn(&self, method: Method, call: Option<&Call>) -> Turn {
        let shared = self.shared();
        let rule = shared.script().methods.get(&method).cloned().unwrap_or_default();
        let life = shared.live.life;
        drop(shared);
        Turn { terminal: self.clone(), method, rule, call: call.cloned(), life }
    }

    /// A whole call with one effect.
    pub(super) async fn perform<T>(
        &self,
        method: Method,
        call: Option<&Call>,
        effect: impl FnOnce(&mut Shared) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let turn = self.turn(method, call);
        turn.before(method.as_str()).await?;
        let value = turn.effect(effect)?;
        turn.after().await?;
        Ok(value)
    }
}

impl Turn {
    /// The first half: waits, then strikes what is due before the effect.
    pub(super) async fn before(&self, phase: &str) -> Result<(), Failure> {
        self.wait(phase, 0, 50, self.half()).await?;
        self.strike(Point::BeforeEffect).await
    }

    /// Waits within the first half, reporting progress from one percentage to another.
    pub(super) async fn wait(
        &self,
        phase: &str,
        from: u32,
        to: u32,
        duration: Duration,
    ) -> Result<(), Failure> {
        match self.sleep(phase, from, to, duration).await {
            Waited::InFull => Ok(()),
            Waited::Cancelled => Err(canceled()),
        }
    }

    /// The effect, unless the terminal has died or restarted meanwhile.
    pub(super) fn effect<T>(
        &self,
        effect: impl FnOnce(&mut Shared) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut shared = self.terminal.shared();
        self.check_alive(&shared)?;
        let value = effect(&mut shared);
        drop(shared);
        self.terminal.changed();
        value
    }

    /// Refuses a call of an earlier life of the terminal.
    pub(super) fn check_alive(&self, shared: &Shared) -> Result<(), Failure> {
        if shared.live.life == self.life && !shared.live.dead {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::HalUnavailable, "the terminal has restarted"))
    }

    /// The second half: strikes what is due after the effect, then waits.
    pub(super) async fn after(&self) -> Result<(), Failure> {
        self.strike(Point::AfterEffect).await?;
        self.sleep(self.method.as_str(), 50, 100, self.half()).await;
        Ok(())
    }

    /// Strikes the faults of that point that have some of their `times` left.
    pub(super) async fn strike(&self, point: Point) -> Result<(), Failure> {
        if let Some(crash) = self.rule.crash.filter(|crash| crash.at == point) {
            if self.is_due("crash", crash.times, &format!("{crash:?}"))? {
                self.terminal.crash();
                return std::future::pending().await;
            }
        }
        if let Some(hang) = self.rule.hang.filter(|hang| hang.at == point) {
            if self.is_due("hang", hang.times, &format!("{hang:?}"))? {
                self.cancelled().await;
                return match point {
                    Point::BeforeEffect => Err(canceled()),
                    Point::AfterEffect => Ok(()),
                };
            }
        }
        if let Some(fail) = self.rule.fail.as_ref().filter(|fail| fail.at == point) {
            if self.is_due("fail", fail.times, &format!("{fail:?}"))? {
                return Err(fail.failure());
            }
        }
        Ok(())
    }

    /// Returns when the call is cancelled, if it listens.
    pub(super) async fn cancelled(&self) {
        match self.listened() {
            Some(call) => call.cancellation.cancelled().await,
            None => std::future::pending().await,
        }
    }

    fn half(&self) -> Duration {
        Duration::from_millis(self.rule.latency_ms) / 2
    }

    /// The call, if its cancellation counts.
    fn listened(&self) -> Option<&Call> {
        self.call.as_ref().filter(|_| !self.rule.ignore_cancel)
    }

    fn is_due(&self, fault: &str, times: Option<u32>, spec: &str) -> Result<bool, Failure> {
        self.terminal.shared().use_up(&fault_name(self.method, fault), times, spec)
    }

    async fn sleep(&self, phase: &str, from: u32, to: u32, duration: Duration) -> Waited {
        if self.listened().is_some_and(|call| call.cancellation.is_cancelled()) {
            return Waited::Cancelled;
        }
        let begin = Instant::now();
        for step in 1..=STEPS {
            let until = begin + duration * step / STEPS;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                continue;
            }
            match self.listened() {
                None => sleep(left).await,
                Some(call) => tokio::select! {
                    () = sleep(left) => {}
                    () = call.cancellation.cancelled() => return Waited::Cancelled,
                },
            }
            if let Some(call) = &self.call {
                let percent = from + (to - from) * step / STEPS;
                call.progress(phase, u8::try_from(percent).ok());
            }
        }
        Waited::InFull
    }
}

impl Shared {
    /// Whether a fault strikes now; counts it durably where the count is limited.
    fn use_up(&mut self, name: &str, times: Option<u32>, fault: &str) -> Result<bool, Failure> {
        if times.is_none() {
            return Ok(true);
        }
        self.commit(|state| Ok(state.use_up(name, times, fault)))
    }
}

impl State {
    /// Whether a fault strikes now; counts it.
    pub(super) fn use_up(&mut self, name: &str, times: Option<u32>, fault: &str) -> bool {
        let Some(times) = times else { return true };
        let used = self.script.used.get(name).filter(|used| used.fault == fault);
        let used = used.map_or(0, |used| used.times);
        if used < times {
            let entry = Used { fault: fault.to_owned(), times: used + 1 };
            self.script.used.insert(name.to_owned(), entry);
        }
        used < times
    }
}

/// The name under which the boot of a script is counted.
pub(super) const UNEXPECTED_BOOT: &str = "unexpected_boot";

/// The names of every fault of a script.
pub(super) fn faults(script: &Script) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (method, rule) in &script.methods {
        let there = [
            (rule.crash.is_some(), "crash"),
            (rule.hang.is_some(), "hang"),
            (rule.fail.is_some(), "fail"),
        ];
        names.extend(there.iter().filter(|(is, _)| *is).map(|(_, f)| fault_name(*method, f)));
    }
    if script.unexpected_boot.is_some() {
        names.insert(UNEXPECTED_BOOT.to_owned());
    }
    names
}

fn fault_name(method: Method, fault: &str) -> String {
    format!("{}.{fault}", method.as_str())
}

/// The answer to a cancelled call that has not had any effect.
pub(super) fn canceled() -> Failure {
    Failure::new(ErrorCode::Canceled, "cancelled before anything happened")
}
