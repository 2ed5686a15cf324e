//! Switching on: the memory of a new terminal, and what a boot does to an old one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    MockConfig, MockError, day, firmware,
    rng::{Rng, Stream},
    script::Script,
    shared::Shared,
    state::{
        Application, BOOTS_MAX, Boot, BootRecord, ClosedBatch, OpenBatch, STATE_VERSION,
        ScreenState, ScriptMemory, Settings, State, batch_id, push_bounded,
    },
    totals, turn,
};
use crate::{
    BootId, Timestamp,
    operation::{
        end_of_day::{CloseOutcome, EndOfDayResult, OfflineSummary},
        reboot::BootReason,
    },
};

const DAY_MS: u64 = 24 * 3_600_000;
/// Customers per hour of the day before the first.
const PER_HOUR: u32 = 18;
/// Shown until a configuration says something else.
pub(super) const IDLE_MESSAGE: &str = "Welcome";

impl Shared {
    /// Begins a life of the process: a new boot, if one is due.
    pub(super) fn start(&mut self, config: &MockConfig) -> Result<(), MockError> {
        self.now = (config.clock)();
        let script = self.script();
        let mut state = self.state.clone();
        let unexpected = script
            .unexpected_boot
            .filter(|boot| state.use_up(turn::UNEXPECTED_BOOT, boot.times, &format!("{boot:?}")));
        if let Some(reason) = state.rebooting.take().or(unexpected.map(|boot| boot.cause)) {
            state.boot_again(reason, self.now, &script);
        }
        self.state = state;
        self.begin_life();
        self.refresh(self.now);
        self.store.save(&self.state)
    }
}

impl State {
    /// A terminal that is switched on for the first time, in a shop that traded yesterday.
    pub(super) fn new(config: &MockConfig, now: Timestamp) -> Self {
        let opening = day::opening_before(now);
        let number = 100 + Rng::new(config.seed, Stream::Batch, 0).below(800);
        let mut state = Self {
            version: STATE_VERSION,
            serial_number: config.serial_number.clone(),
            created_at: now,
            boot: Boot { id: BootId(Uuid::nil()), number: 0, reason: BootReason::Unknown },
            boots: Vec::new(),
            rebooting: None,
            application: Application { instance: String::new(), starts: 0 },
            lock: None,
            settings: Settings::default(),
            batch: OpenBatch {
                number: number + 1,
                opened_at: opening,
                payments: Vec::new(),
                offline: OfflineSummary::default(),
            },
            closed: vec![batch_of_yesterday(config.seed, number, opening)],
            closes: Vec::new(),
            offline: Vec::new(),
            payments_until: opening,
            screen: ScreenState { idle_message: IDLE_MESSAGE.to_owned(), ..ScreenState::default() },
            firmware: firmware::factory(),
            effects: BTreeMap::new(),
            script: ScriptMemory::default(),
        };
        state.mint_boot(BootReason::Power, now);
        state.start_application();
        state
    }

    /// Refuses a memory that is not this terminal's.
    pub(super) fn check(&self, config: &MockConfig) -> Result<(), MockError> {
        let mismatch = |got: &dyn ToString, want: &dyn ToString| MockError::StateMismatch {
            path: config.state_file.clone().unwrap_or_default(),
            got: got.to_string(),
            want: want.to_string(),
        };
        if self.version != STATE_VERSION {
            let got = format!("version {}", self.version);
            return Err(mismatch(&got, &format!("version {STATE_VERSION}")));
        }
        if self.serial_number != config.serial_number {
            return Err(mismatch(&self.serial_number, &config.serial_number));
        }
        Ok(())
    }

    fn boot_again(&mut self, reason: BootReason, now: Timestamp, script: &Script) {
        self.mint_boot(reason, now);
        self.start_application();
        self.screen.menu = None;
        self.screen.message = None;
        if self.lock.as_ref().is_some_and(|lock| lock.clear_on_reboot) {
            self.lock = None;
            self.screen.lock_message = None;
        }
        let rolled_back = self.boot_firmware(now, script.health_check);
        if rolled_back {
            self.mint_boot(BootReason::Update, now);
            self.start_application();
        }
    }

    fn mint_boot(&mut self, reason: BootReason, now: Timestamp) {
        let number = self.boot.number + 1;
        let id = BootId(self.mint("boot", number));
        self.boot = Boot { id, number, reason };
        push_bounded(&mut self.boots, BootRecord { at: now, id, reason }, BOOTS_MAX);
    }

    /// The payment application starts, as another instance.
    pub(super) fn start_application(&mut self) {
        self.application.starts += 1;
        self.application.instance = self.mint("application", self.application.starts).to_string();
    }

    /// An identity that no other boot or instance of any terminal has.
    fn mint(&self, what: &str, number: u64) -> Uuid {
        let name = format!("{}/{}/{what}/{number}", self.serial_number, self.created_at);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

fn batch_of_yesterday(seed: u64, number: u64, opening: Timestamp) -> ClosedBatch {
    let (opened_at, closed_at) = day::day_before(opening);
    let payments = day::payments(seed, PER_HOUR, opened_at, closed_at);
    let batch = OpenBatch { number, opened_at, payments, offline: OfflineSummary::default() };
    let before = Timestamp::from_unix_ms(closed_at.unix_ms().saturating_sub(DAY_MS));
    let result = EndOfDayResult {
        outcome: CloseOutcome::Closed,
        next_batch_id: Some(batch_id(number + 1)),
        end_of_day_at: Some(closed_at),
        ..totals::report(&batch, Some(before))
    };
    ClosedBatch { id: batch.id(), closed_by: None, closes: 1, result }
}
