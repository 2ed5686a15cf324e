//! What the items of a plan do.

use terminal_core::{engine::Event, protocol::encode};
use terminal_hal::{OperationKind, operation::reboot::BootReason};

use super::{Device, Down, World};
use crate::{
    plan::{PlannedOperation, PowerLoss, What},
    queue::Due,
};

impl World {
    pub(super) fn suffer(&mut self, what: &What, device: usize) {
        if device >= self.devices.len() {
            return;
        }
        match what {
            What::Operation(planned) => self.order(planned),
            What::Local(planned) => self.want(planned, device),
            What::Flood { first, count, one_lane } => self.flood(*first, *count, *one_lane),
            What::Cancel { n } => self.withdraw(*n),
            What::DispatchAgain { n } => self.dispatch_again(*n),
            What::Configuration => self.set_configuration(),
            What::Crash { rounds, effects, power } => {
                self.devices[device].crashes.push_back((*rounds, *effects, *power));
            }
            What::Stop => self.tell(device, Event::StopRequested),
            What::PowerCut(loss) => self.cut_power(device, *loss, BootReason::Power),
            What::Suspend { ms } => {
                self.counters.count("fault", "suspend");
                let until = self.devices[device].asleep_until.max(self.now + ms);
                self.devices[device].asleep_until = until;
            }
            What::ClockJump { ms } => {
                self.counters.count("fault", if *ms < 0 { "clock back" } else { "clock forward" });
                let terminal = &mut self.devices[device];
                terminal.wall_ahead_ms += ms;
                terminal.clock_lied |= terminal.wall_trusted;
            }
            What::LinkDrop { lost, late_ms, silent } => {
                if let Some(link) = self.link_of(device) {
                    self.counters
                        .count("fault", if *silent { "link dies silently" } else { "link drops" });
                    self.end_link(link, *lost, *late_ms, (!silent).then_some(1));
                }
            }
            What::LinkStall { ms } => {
                if let Some(link) = self.link_of(device) {
                    self.counters.count("fault", "link stalls");
                    self.links[link].stalled_until = self.now + ms;
                }
            }
            What::NetworkDown { ms, hangs } => self.lose_network(device, *ms, *hangs),
            What::CloudRestart { down_ms } => self.restart_cloud(*down_ms),
            What::CloudBackup => self.cloud.back_up(),
            What::CloudRestore => self.restore_cloud(),
            What::CloudClose { code } => self.close_by_cloud(*code),
            What::CloudReconnect { after_s, spread_s } => self.drain(*after_s, *spread_s),
            What::CloudRefuses { ms, retry_after_s } => {
                self.cloud.refuse(self.now + ms, *retry_after_s);
            }
            What::CloudMute { ms } => {
                self.counters.count("fault", "cloud is mute");
                self.cloud.mute_until = self.now + ms;
                self.after(*ms, Due::CloudLook);
            }
            What::Hostile(hostility) => self.send_hostile(device, *hostility),
            What::AppendFails { applied } => self.devices[device].append_fails = Some(*applied),
            What::DiskFull { ms, hard } => {
                self.counters
                    .count("fault", if *hard { "disk full, commits fail" } else { "disk low" });
                let terminal = &mut self.devices[device];
                terminal.disk_full_until = self.now + ms;
                terminal.disk_full_hard = *hard;
                self.after(*ms, Due::DiskFree { device });
            }
            What::StoreBackup => {
                let image = self.devices[device].store.clone();
                self.devices[device].backup = Some(image);
            }
            What::StoreRestore => self.restore_store(device),
            What::StoreDamage => self.damage_store(device),
            What::SerialNumber { n } => {
                self.counters.count("fault", "another serial number");
                self.devices[device].serial = *n;
                self.devices[device].lost_memory = true;
                self.replug(device);
            }
            What::Twin => self.make_twin(),
            What::ApplicationDown { ms } => self.take_application_down(device, *ms),
            What::Payment { ms, cancellable } => {
                self.counters.count("fault", "payment");
                let hardware = &mut self.devices[device].hardware;
                hardware.payment_until = self.now + ms;
                hardware.payment_is_cancellable = *cancellable;
            }
            What::Forbid { kind } => {
                self.devices[device].forbidden.insert(*kind);
            }
            What::AllowAll => self.devices[device].forbidden.clear(),
        }
    }

    fn flood(&mut self, first: u32, count: u32, one_lane: bool) {
        let kinds = [OperationKind::CheckUpdate, OperationKind::Unlock, OperationKind::Configure];
        let kinds = if one_lane { &kinds[..1] } else { &kinds };
        for (n, kind) in (first..first + count).zip(kinds.iter().copied().cycle()) {
            let mut planned = PlannedOperation::new(n, kind);
            if kind == OperationKind::Configure {
                let parameters = serde_json::json!({"revision": n, "config": {}});
                planned.parameters = parameters.as_object().cloned().unwrap_or_default();
            }
            self.order(&planned);
        }
    }

    fn lose_network(&mut self, device: usize, ms: u64, hangs: bool) {
        self.counters.count("fault", "network down");
        let until = self.now + ms;
        self.devices[device].network_down_until = until;
        self.devices[device].network_hangs = hangs;
        if let Some(link) = self.link_of(device) {
            self.end_link(link, true, 0, (!hangs).then_some(1));
        }
    }

    /// An image of the medium from before is put back.
    fn restore_store(&mut self, device: usize) {
        let Some(image) = self.devices[device].backup.clone() else { return };
        self.counters.count("fault", "store restored");
        self.replug(device);
        self.excuse_what_is_lost(device, &image);
        self.devices[device].store = image;
    }

    fn damage_store(&mut self, device: usize) {
        self.counters.count("fault", "store damaged");
        self.replug(device);
        let empty = crate::store::Store::default();
        self.excuse_what_is_lost(device, &empty);
        self.devices[device].store = empty;
        self.devices[device].damage = Some("damaged".to_owned());
    }

    /// Nobody can know what only the store knew; rule 4 says where somebody can.
    fn excuse_what_is_lost(&mut self, device: usize, image: &crate::store::Store) {
        let terminal = &mut self.devices[device];
        terminal.lost_memory = true;
        for (id, entry) in &mut terminal.hardware.ledger {
            if image.operations.get(id) != terminal.store.operations.get(id) {
                entry.excused = true;
                entry.is_cancelled = false;
                entry.has_verdict = false;
                entry.taken = None;
            }
        }
    }

    fn replug(&mut self, device: usize) {
        let loss = PowerLoss { off_ms: 3_000, clock_lost_ms: None };
        self.cut_power(device, loss, BootReason::Power);
    }

    /// Another device comes up from a copy of this one's store.
    fn make_twin(&mut self) {
        if self.devices.len() > 1 {
            return;
        }
        self.counters.count("fault", "twin");
        let up_at = self.now + self.plan.setting.application_ms;
        let mut twin = Device::new(1, up_at);
        twin.store = self.devices[0].store.clone();
        // An image says nothing about the case that it is in.
        twin.serial = self.devices[0].serial;
        twin.lost_memory = true;
        twin.schedule = self.plan.setting.schedule;
        self.devices.push(twin);
        self.start_process(1);
    }

    /// From now on nothing bad happens, and what is going on comes to its end.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.cloud.down_until = 0;
        self.cloud.refuses_until = 0;
        self.cloud.mute_until = 0;
        if self.devices.len() > 1 {
            self.kill_process(1, true);
            let twin = &mut self.devices[1];
            twin.is_on = false;
            twin.generation += 1;
            // It never boots again.
            twin.boot += 1;
        }
        for device in 0..self.devices.len() {
            let terminal = &mut self.devices[device];
            terminal.crashes.clear();
            terminal.schedule = None;
            terminal.append_fails = None;
            terminal.disk_full_until = 0;
            terminal.network_down_until = 0;
            terminal.forbidden.clear();
            terminal.hardware.payment_until = self.now;
            self.after(0, Due::DiskFree { device });
            if let Some(link) = self.link_of(device) {
                self.links[link].stalled_until = self.now;
            }
        }
        self.after(0, Due::CloudLook);
    }

    /// Sends bytes to the terminal as they are.
    pub fn send_bytes(&mut self, device: usize, bytes: Vec<u8>) {
        if let Some(link) = self.link_of(device) {
            self.put_down(link, Down::Frame(bytes));
        }
    }

    /// Sends a frame to the terminal.
    pub fn send_frame<T: serde::Serialize>(&mut self, device: usize, frame: &T) {
        self.send_bytes(device, encode(frame).into_bytes());
    }

    /// The link breaks, and both ends notice.
    pub fn drop_link(&mut self) {
        self.apply(&What::LinkDrop { lost: true, late_ms: 0, silent: false });
    }
}
