//! One device: its medium, its hardware, its clocks, and the process of its agent.

use std::collections::{BTreeSet, VecDeque};

use terminal_core::engine::{
    BackoffSettings, Calendar, Credentials, Due as DueTime, Identity, LocalDate, Moment, Monotonic,
    Settings,
};
use terminal_hal::{BootId, OperationKind, Timestamp, operation::reboot::BootReason};
use uuid::Uuid;

use super::{BEGIN_MS, Process, World};
use crate::{
    hardware::Hardware,
    plan::{PowerLoss, Schedule},
    queue::Due,
    rng::{Rng, hash},
    store::Store,
};

/// The boot clock shows this when the first process starts.
const BOOT_MS: u64 = 15_000;
const DAY_MS: u64 = 86_400_000;
/// Most steps of one life that a fresh identifier may be drawn for; keeps devices apart.
const BOOTS_MAX: u32 = 10_000;

/// One device.
#[derive(Debug)]
pub struct Device {
    /// What is on its medium.
    pub store: Store,
    /// A saved image of it.
    pub backup: Option<Store>,
    /// Its hardware and payment application.
    pub hardware: Hardware,
    /// The agent, while it runs.
    pub process: Option<Process>,
    /// Number of this boot.
    pub boot: u32,
    /// Number on the case.
    pub serial: u32,
    pub(crate) boot_reason: BootReason,
    /// When its boot clock showed 0; it may have been before the life.
    booted_at: i64,
    pub(crate) is_on: bool,
    /// By how much the wall clock is ahead.
    pub(crate) wall_ahead_ms: i64,
    pub(crate) wall_trusted: bool,
    /// The wall clock was wrong while somebody vouched for it.
    pub(crate) clock_lied: bool,
    /// Number of the process, the next one while none runs.
    pub(crate) generation: u32,
    pub(crate) asleep_until: u64,
    /// Rounds to survive, effects to carry out, power failure.
    pub(crate) crashes: VecDeque<(u32, u32, Option<PowerLoss>)>,
    pub(crate) append_fails: Option<bool>,
    pub(crate) disk_full_until: u64,
    pub(crate) disk_full_hard: bool,
    pub(crate) network_down_until: u64,
    pub(crate) network_hangs: bool,
    pub(crate) forbidden: BTreeSet<OperationKind>,
    pub(crate) damage: Option<String>,
    /// When it closes its batch by itself.
    pub(crate) schedule: Option<Schedule>,
    /// The store went back in time or was lost.
    pub(crate) lost_memory: bool,
}

impl Device {
    pub(crate) fn new(n: u32, up_at: u64) -> Self {
        Self {
            store: Store::default(),
            backup: None,
            hardware: Hardware::new(up_at),
            process: None,
            boot: n * BOOTS_MAX + 1,
            serial: n,
            boot_reason: BootReason::Power,
            booted_at: -i64::try_from(BOOT_MS).unwrap_or(0),
            is_on: true,
            wall_ahead_ms: 0,
            wall_trusted: true,
            clock_lied: false,
            generation: 0,
            asleep_until: 0,
            crashes: VecDeque::new(),
            append_fails: None,
            disk_full_until: 0,
            disk_full_hard: false,
            network_down_until: 0,
            network_hangs: false,
            forbidden: BTreeSet::new(),
            damage: None,
            schedule: None,
            lost_memory: false,
        }
    }

    /// The boot clock.
    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        u64::try_from(i64::try_from(now).unwrap_or(i64::MAX) - self.booted_at).unwrap_or(0)
    }

    /// When the boot clock shows that.
    pub(crate) fn when(&self, at: Monotonic) -> u64 {
        let at = i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(self.booted_at);
        u64::try_from(at).unwrap_or(0)
    }

    /// The identity of a boot.
    pub fn boot_id(boot: u32) -> BootId {
        BootId(Uuid::from_u128((0xb007 << 112) | u128::from(boot)))
    }

    pub(crate) fn wall(&self, now: u64) -> Timestamp {
        let right = i64::try_from(BEGIN_MS + now).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(u64::try_from(right + self.wall_ahead_ms).unwrap_or(0))
    }

    /// The moment as this device sees it.
    pub fn moment(&self, now: u64, seed: u64) -> Moment {
        let steps = self.process.as_ref().map_or(0, |process| process.steps);
        let generation = u64::from(self.generation);
        let labels = [seed, u64::from(self.boot), generation, steps];
        let mut random = Rng::new(&[hash(&labels), 0xe27]);
        Moment {
            monotonic: Monotonic(self.monotonic(now)),
            wall: self.wall(now),
            wall_trusted: self.wall_trusted,
            calendar: self.schedule.and_then(|schedule| calendar(schedule, self.wall(now))),
            entropy: (u128::from(random.next()) << 64) | u128::from(random.next()),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            terminal_id: "T".to_owned(),
            serial_number: format!("SN-{}", self.serial),
            model: "model".to_owned(),
            agent_version: "1".to_owned(),
            software_version: "1".to_owned(),
            boot_id: Self::boot_id(self.boot),
            boot_reason: self.boot_reason,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let allowed = OperationKind::ALL.into_iter().filter(|kind| !self.forbidden.contains(kind));
        Settings {
            supported: OperationKind::ALL.to_vec(),
            allowed: allowed.collect(),
            backoff: BackoffSettings::default(),
            credentials: Credentials::Configured,
        }
    }

    pub(crate) const fn disk_is_full(&self, now: u64) -> bool {
        now < self.disk_full_until
    }
}

/// What a schedule says at a time of the wall clock. Days are those of UTC here; the date counts
/// them from 1970, which is all that a date is needed for.
fn calendar(schedule: Schedule, wall: Timestamp) -> Option<Calendar> {
    let day = (wall.unix_ms() + DAY_MS).checked_sub(schedule.at_ms)? / DAY_MS;
    let at = Timestamp::from_unix_ms(day.checked_sub(1)? * DAY_MS + schedule.at_ms);
    let date = LocalDate { year: u16::try_from(day).ok()?, month: 1, day: 1 };
    let last = DueTime { date, at, until: at.plus_ms(schedule.window_ms) };
    Some(Calendar { last, next: at.plus_ms(DAY_MS) })
}

impl World {
    /// The power is gone, and comes back after a while.
    pub(crate) fn cut_power(&mut self, device: usize, loss: PowerLoss, reason: BootReason) {
        if !self.devices[device].is_on {
            return;
        }
        self.counters.count("fault", "power cut");
        self.log.line(self.now, || format!("device {device}: the power is gone"));
        self.kill_process(device, true);
        self.lose_power_of_hardware(device);
        let now = self.now;
        let terminal = &mut self.devices[device];
        terminal.is_on = false;
        terminal.asleep_until = 0;
        terminal.generation += 1;
        terminal.boot += 1;
        terminal.boot_reason = reason;
        if let Some(ms) = loss.clock_lost_ms {
            let right = i64::try_from(BEGIN_MS + now).unwrap_or(i64::MAX);
            terminal.wall_ahead_ms = -right;
            terminal.wall_trusted = false;
            let boot = terminal.boot;
            self.after(loss.off_ms + ms, Due::ClockSet { device, boot });
        }
        let boot = self.devices[device].boot;
        self.after(loss.off_ms, Due::Boot { device, boot });
    }

    pub(super) fn boot(&mut self, device: usize, boot: u32) {
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        let terminal = &mut self.devices[device];
        if terminal.boot != boot || terminal.is_on {
            return;
        }
        terminal.is_on = true;
        terminal.booted_at = now - i64::try_from(BOOT_MS).unwrap_or(0);
        self.log.line(self.now, || format!("device {device}: boot {boot}"));
        self.boot_hardware(device);
        self.start_process(device);
    }

    pub(super) fn set_clock(&mut self, device: usize, boot: u32) {
        let terminal = &mut self.devices[device];
        if terminal.boot == boot {
            terminal.wall_ahead_ms = 0;
            terminal.wall_trusted = true;
        }
    }
}
