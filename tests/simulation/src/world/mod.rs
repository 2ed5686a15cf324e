//! Everything together: devices with their engines, the cloud, the links between them, one queue
//! of events in virtual time.
//!
//! [`World::run_until`] lets time pass; [`World::apply`] makes something of the plan happen now.

mod device;
mod effects;
mod faults;
mod link;
mod local;
mod process;
mod round;
mod to_cloud;

use std::collections::BTreeMap;

use terminal_hal::{OperationId, Timestamp};

pub use device::Device;
pub(crate) use link::{Down, Link};
pub use local::Trigger;
pub(crate) use process::Process;

use crate::{
    cloud::Cloud,
    counters::Counters,
    log::{Log, Violation},
    plan::{Behaviour, Plan, PlannedOperation, What},
    queue::{Due, Queue},
    rng::Rng,
};

/// When a life begins, in milliseconds since 1970.
pub(crate) const BEGIN_MS: u64 = 1_782_000_000_000;

/// A world in which one life takes place.
#[derive(Debug)]
pub struct World {
    /// What happens in it.
    pub plan: Plan,
    /// Milliseconds since it began.
    pub now: u64,
    /// The terminal, and the other one that has a copy of its store.
    pub devices: Vec<Device>,
    /// The cloud.
    pub cloud: Cloud,
    /// What has happened.
    pub counters: Counters,
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    pub(crate) links: Vec<Link>,
    pub(crate) queue: Queue,
    pub(crate) log: Log,
    pub(crate) behaviours: BTreeMap<OperationId, Behaviour>,
    /// What was begun at a terminal, by what triggered it.
    pub(crate) begun: BTreeMap<Trigger, OperationId>,
    /// What somebody at the terminal may have wanted, by number.
    pub(crate) wanted: BTreeMap<u32, PlannedOperation>,
    /// Nothing bad happens any more.
    pub(crate) is_calm: bool,
}

impl World {
    /// A world with one device that is about to start its agent, and the items of the plan ahead.
    pub fn new(plan: Plan) -> Self {
        let mut queue = Queue::new(plan.seed);
        for (n, item) in plan.items.iter().enumerate() {
            queue.push(item.at_ms, Due::Item(n));
        }
        let mut world = Self {
            now: 0,
            devices: Vec::new(),
            cloud: Cloud::default(),
            counters: Counters::default(),
            violation: None,
            links: Vec::new(),
            queue,
            log: Log::default(),
            behaviours: BTreeMap::new(),
            begun: BTreeMap::new(),
            wanted: BTreeMap::new(),
            is_calm: false,
            plan,
        };
        let up_at = world.plan.setting.application_ms;
        let mut device = Device::new(0, up_at);
        device.schedule = world.plan.setting.schedule;
        world.devices.push(device);
        world.start_process(0);
        world
    }

    /// Lets time pass, with everything that is due until then.
    pub fn run_until(&mut self, end: u64) {
        while self.violation.is_none() {
            let Some((at, due)) = self.queue.pop(end) else { break };
            self.now = self.now.max(at);
            self.happen(due);
        }
        if self.violation.is_none() {
            self.now = self.now.max(end);
        }
    }

    /// The same, for a time.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(self.now + ms);
    }

    /// Runs until something is so, at most for a time. Whether it became so.
    pub fn run_until_that(&mut self, ms: u64, is_so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + ms;
        while self.violation.is_none() && !is_so(self) {
            let Some((at, due)) = self.queue.pop(end) else { break };
            self.now = self.now.max(at);
            self.happen(due);
        }
        is_so(self)
    }

    /// Makes something happen to the terminal now.
    pub fn apply(&mut self, what: &What) {
        self.suffer(what, 0);
    }

    /// Notes what must never be; the first one counts.
    pub(crate) fn fail(&mut self, check: &'static str, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let violation = Violation { check, at_ms: self.now, detail: detail() };
            self.log.line(self.now, || format!("VIOLATION {check}: {}", violation.detail));
            self.violation = Some(violation);
        }
    }

    pub(crate) fn tell_story(&mut self) {
        self.log.lines = Some(Vec::new());
    }

    /// A stream of randomness that belongs to these labels in this life.
    pub(crate) fn random(&self, labels: &[u64]) -> Rng {
        let mut all = vec![self.plan.seed];
        all.extend_from_slice(labels);
        Rng::new(&all)
    }

    pub(crate) fn after(&mut self, ms: u64, due: Due) {
        self.queue.push(self.now + ms, due);
    }

    pub(crate) fn behaviour(&self, id: OperationId) -> Behaviour {
        self.behaviours.get(&id).copied().unwrap_or_default()
    }

    /// The time that the cloud and good clocks show.
    pub(crate) fn true_time(&self) -> Timestamp {
        Timestamp::from_unix_ms(BEGIN_MS + self.now)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Item(n) => {
                if let Some(item) = self.plan.items.get(n).filter(|_| !self.is_calm).cloned() {
                    self.log.line(self.now, || format!("plan {n}: {:?}", item.what));
                    self.suffer(&item.what, usize::from(item.to_twin));
                }
            }
            Due::Boot { device, boot } => self.boot(device, boot),
            Due::Process { device, generation } => {
                if self.devices[device].generation == generation {
                    self.start_process(device);
                }
            }
            Due::Round { device, generation } => self.when_awake(device, due, |world| {
                world.round(device, generation);
            }),
            Due::Wake { device, generation } => self.when_awake(device, due, |world| {
                world.wake(device, generation);
            }),
            Due::Farewell { device, generation } | Due::Poison { device, generation } => {
                if self.is_process(device, generation) {
                    self.end_process(device);
                }
            }
            Due::ClockSet { device, boot } => self.set_clock(device, boot),
            Due::Connected { link } => self.connected(link),
            Due::LinkEnds { link } => self.link_ends(link),
            Due::ToCloud { link } => self.arrive_at_cloud(link),
            Due::ToDevice { link } => self.arrive_at_device(link),
            Due::Ack { link } => self.ack(link),
            Due::CloudLook => self.cloud_look(),
            Due::CallWaits { device, ticket } => self.when_awake(device, due, |world| {
                world.call_waits(device, ticket);
            }),
            Due::CallEffect { device, ticket } => self.when_awake(device, due, |world| {
                world.call_effect(device, ticket);
            }),
            Due::CallEnds { device, ticket } => self.when_awake(device, due, |world| {
                world.call_ends(device, ticket);
            }),
            Due::StrayAnswer { device, boot, id, attempt, had_effect } => {
                self.when_awake(device, due, |world| {
                    world.stray_answer(device, boot, id, attempt, had_effect);
                });
            }
            Due::Answer { device, generation, id, attempt } => {
                self.when_awake(device, due, |world| {
                    world.answer(device, generation, id, attempt);
                });
            }
            Due::Configured { device, generation, call } => {
                self.when_awake(device, due, |world| {
                    world.configured(device, generation, call);
                });
            }
            Due::Health { device, generation } => self.health(device, generation),
            Due::ApplicationUp { device, instance } => self.application_up(device, instance),
            Due::HoldEnds { device, id } => self.hold_ends(device, id),
            Due::Restarts { device, boot, clean } => self.restarts(device, boot, clean),
            Due::DiskFree { device } => self.look_at_storage(device),
        }
    }

    /// What a sleeping device does, it does when it wakes up.
    fn when_awake(&mut self, device: usize, due: Due, act: impl FnOnce(&mut Self)) {
        let until = self.devices[device].asleep_until;
        if until > self.now {
            self.queue.push(until, due);
        } else {
            act(self);
        }
    }
}
