//! The lock in a file of its own: it outlives the store and the memory of the payment application.
//!
//! The file is written before the application is told to lock, and removed after it has said that
//! it is unlocked. That it is missing unlocks nothing.

use std::{
    cell::RefCell,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use terminal_hal::{
    BootId, OperationId, Timestamp, durable, operation::LockParameters, vendor::StandingLock,
};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

/// Format of the file.
const VERSION: u32 = 1;
/// Names the boot where the hardware layer does not.
const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A lock that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Locked {
    version: u32,
    operation_id: OperationId,
    locked_at: Timestamp,
    /// The boot in which it was made, where that is known.
    boot_id: Option<BootId>,
    parameters: LockParameters,
}

/// Whether the terminal has to be locked.
#[derive(Debug)]
pub(super) struct LockRecord {
    path: PathBuf,
    /// What the file says.
    locked: RefCell<Option<Locked>>,
    /// What the bridge locks an application with that comes back.
    standing: watch::Sender<Option<StandingLock>>,
    boot_id: RefCell<Option<BootId>>,
    /// The lock is on record, and whether the application is locked is not known. The bridge makes
    /// it false when it has locked an application that connects.
    unconfirmed: watch::Sender<bool>,
    /// Held from a change of the record to the answer of the application, or the other way round.
    pub(super) turn: Mutex<()>,
}

impl LockRecord {
    /// Reads the file, if there is one. One that cannot be read is a lock.
    pub(super) fn load(path: PathBuf) -> Self {
        let locked = found(&path);
        if let Some(Locked { operation_id, locked_at, .. }) = &locked {
            tracing::warn!(%operation_id, %locked_at, "the terminal is locked");
        }
        let record = Self {
            path,
            locked: RefCell::new(locked),
            standing: watch::Sender::new(None),
            boot_id: RefCell::new(None),
            unconfirmed: watch::Sender::new(false),
            turn: Mutex::new(()),
        };
        // Whether a boot has cleared it is not known yet.
        if !record.locked.borrow().as_ref().is_some_and(Locked::ends_with_boot) {
            record.publish();
        }
        record
    }

    /// This boot is known now: a lock that ends with its boot is over if it was another one.
    pub(super) fn booted(&self, boot_id: Option<BootId>) {
        let boot_id = boot_id.or_else(|| kernel_boot_id(Path::new(KERNEL_BOOT_ID)));
        *self.boot_id.borrow_mut() = boot_id;
        let before = self.locked.borrow().clone();
        let is_over = before.as_ref().is_some_and(|locked| {
            locked.ends_with_boot() && locked.boot_id.is_some() && locked.boot_id != boot_id
        });
        if is_over {
            tracing::info!("the restart of the device has ended the lock");
            if let Err(error) = self.store(None) {
                tracing::warn!(%error, path = %self.path.display(), "record of the lock not removed");
            }
        }
        self.publish();
    }

    /// Whether the terminal has to be locked.
    pub(super) fn is_locked(&self) -> bool {
        self.locked.borrow().is_some()
    }

    /// Whether the application has not confirmed the lock that is on record.
    pub(super) fn is_unconfirmed(&self) -> bool {
        *self.unconfirmed.borrow()
    }

    /// Whether the application is known to be locked, as is on record.
    pub(super) fn confirm(&self, is_confirmed: bool) {
        self.unconfirmed.send_replace(!is_confirmed && self.is_locked());
    }

    /// Returns once [`is_unconfirmed`](Self::is_unconfirmed) is `wanted`.
    pub(super) async fn until_unconfirmed_is(&self, wanted: bool) {
        let mut unconfirmed = self.unconfirmed.subscribe();
        // The sender lives as long as this.
        let _ = unconfirmed.wait_for(|unconfirmed| *unconfirmed == wanted).await;
    }

    /// Whether an application that connects now is locked.
    pub(super) fn is_standing(&self) -> bool {
        self.standing.borrow().is_some()
    }

    /// The lock that an application is to be told, and every change of it.
    pub(super) fn standing(&self) -> watch::Receiver<Option<StandingLock>> {
        self.standing.subscribe()
    }

    /// Whether the lock on record is this operation's.
    pub(super) fn is_of(&self, id: OperationId) -> bool {
        self.locked.borrow().as_ref().is_some_and(|locked| locked.operation_id == id)
    }

    /// Locks, durably, and gives what was before. A lock on a lock is never weaker. After an error
    /// it may be on record all the same, see [`is_of`](Self::is_of).
    pub(super) fn lock(
        &self,
        operation_id: OperationId,
        parameters: &LockParameters,
        now: Timestamp,
    ) -> io::Result<Option<Locked>> {
        let before = self.locked.borrow().clone();
        let stays = before.as_ref().is_some_and(|before| !before.ends_with_boot());
        let mut parameters = parameters.clone();
        parameters.clear_on_reboot &= !stays;
        self.replace(Some(Locked {
            version: VERSION,
            operation_id,
            locked_at: before.as_ref().map_or(now, |before| before.locked_at),
            boot_id: *self.boot_id.borrow(),
            parameters,
        }))?;
        Ok(before)
    }

    /// Makes it what it was, or unlocked.
    pub(super) fn replace(&self, locked: Option<Locked>) -> io::Result<()> {
        let stored = self.store(locked);
        self.publish();
        stored
    }

    fn store(&self, locked: Option<Locked>) -> io::Result<()> {
        let stored = match &locked {
            Some(locked) => durable::replace(&self.path, &serde_json::to_vec(locked)?),
            None => durable::remove(&self.path),
        };
        // What failed may have been the sync of a change that was made: the next process will
        // believe the file, so this one does.
        let locked = if stored.is_ok() { locked } else { found(&self.path) };
        let is_over = locked.is_none();
        *self.locked.borrow_mut() = locked;
        if is_over {
            // There is nothing to confirm any more.
            self.confirm(true);
        }
        stored
    }

    fn publish(&self) {
        self.standing.send_replace(self.locked.borrow().as_ref().map(|locked| StandingLock {
            operation_id: locked.operation_id,
            parameters: locked.parameters.clone(),
            unconfirmed: self.unconfirmed.clone(),
        }));
    }
}

impl Locked {
    const fn ends_with_boot(&self) -> bool {
        self.parameters.clear_on_reboot
    }
}

/// What the file says. One that cannot be read is a lock.
fn found(path: &Path) -> Option<Locked> {
    read(path).unwrap_or_else(|error| {
        let path = path.display();
        tracing::error!(%error, %path, "the record of the lock cannot be read: locked");
        Some(unreadable())
    })
}

fn unreadable() -> Locked {
    Locked {
        version: VERSION,
        operation_id: OperationId(Uuid::nil()),
        locked_at: Timestamp::default(),
        boot_id: None,
        parameters: LockParameters::default(),
    }
}

fn read(path: &Path) -> io::Result<Option<Locked>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let locked: Locked = serde_json::from_slice(&text)?;
    if locked.version == VERSION {
        return Ok(Some(locked));
    }
    let problem = format!("version {}, want {VERSION}", locked.version);
    Err(io::Error::new(ErrorKind::InvalidData, problem))
}

fn kernel_boot_id(path: &Path) -> Option<BootId> {
    Some(BootId(Uuid::parse_str(fs::read_to_string(path).ok()?.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(number: u128) -> Option<BootId> {
        Some(BootId(Uuid::from_u128(number)))
    }

    fn id(number: u128) -> OperationId {
        OperationId(Uuid::from_u128(number))
    }

    fn until_reboot() -> LockParameters {
        LockParameters { clear_on_reboot: true, ..LockParameters::default() }
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("lock.json")
        }

        /// A process that has found out its boot.
        fn starts(&self, boot_id: Option<BootId>) -> LockRecord {
            let record = LockRecord::load(self.path());
            record.booted(boot_id);
            record
        }
    }

    #[test]
    fn a_lock_is_on_the_medium_and_stands_from_the_first_moment_of_the_next_process() {
        let place = Place::new();
        let record = place.starts(boot(1));
        assert!(!record.is_locked() && record.standing().borrow().is_none());
        let parameters =
            LockParameters { message: Some("Call us".to_owned()), ..LockParameters::default() };
        assert_eq!(record.lock(id(7), &parameters, Timestamp::default()).unwrap(), None);
        // Before the boot is known.
        let next = LockRecord::load(place.path());
        let standing = next.standing().borrow().clone().unwrap();
        assert_eq!((standing.operation_id, standing.parameters), (id(7), parameters));
        next.booted(boot(2));
        assert!(next.is_locked());
        next.replace(None).unwrap();
        assert!(next.standing().borrow().is_none() && !place.path().exists());
        assert!(!place.starts(boot(2)).is_locked());
    }

    #[test]
    fn a_lock_until_the_next_boot_ends_with_its_boot_and_not_with_its_process() {
        let place = Place::new();
        let record = place.starts(boot(1));
        record.lock(id(7), &until_reboot(), Timestamp::default()).unwrap();
        let same_boot = LockRecord::load(place.path());
        // Whether it still stands is not known yet: the application is told nothing.
        assert!(same_boot.is_locked() && same_boot.standing().borrow().is_none());
        same_boot.booted(boot(1));
        assert!(same_boot.is_locked() && same_boot.standing().borrow().is_some());
        let next_boot = place.starts(boot(2));
        assert!(!next_boot.is_locked() && next_boot.standing().borrow().is_none());
        assert!(!place.path().exists());
    }

    #[test]
    fn a_lock_on_a_lock_is_never_weaker_and_keeps_its_time() {
        let place = Place::new();
        let record = place.starts(boot(1));
        let (early, late) = (Timestamp::from_unix_ms(1_000), Timestamp::from_unix_ms(2_000));
        record.lock(id(7), &LockParameters::default(), early).unwrap();
        let before = record.lock(id(8), &until_reboot(), late).unwrap().unwrap();
        assert_eq!((before.operation_id, before.locked_at), (id(7), early));
        let next = place.starts(boot(2));
        assert!(next.is_locked());
        assert_eq!(next.locked.borrow().as_ref().unwrap().locked_at, early);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_lock() {
        let place = Place::new();
        for content in ["", "{}", "locked", r#"{"version":2}"#] {
            fs::write(place.path(), content).unwrap();
            let record = place.starts(boot(1));
            assert!(record.is_locked() && record.standing().borrow().is_some(), "{content:?}");
        }
    }

    #[test]
    fn a_lock_is_unconfirmed_until_an_application_has_confirmed_it_or_it_is_over() {
        let place = Place::new();
        let record = place.starts(boot(1));
        record.confirm(false);
        assert!(!record.is_unconfirmed(), "there is no lock");
        record.lock(id(7), &LockParameters::default(), Timestamp::default()).unwrap();
        assert!(!record.is_unconfirmed(), "the application is about to be told");
        record.confirm(false);
        assert!(record.is_unconfirmed());
        let told_by_bridge = record.standing().borrow().clone().unwrap();
        told_by_bridge.unconfirmed.send_replace(false);
        assert!(!record.is_unconfirmed());
        record.confirm(false);
        record.replace(None).unwrap();
        assert!(!record.is_unconfirmed());
    }

    #[test]
    fn without_a_boot_id_of_the_hardware_the_kernel_is_asked() {
        let place = Place::new();
        let file = place.0.path().join("boot_id");
        fs::write(&file, format!("{}\n", Uuid::from_u128(5))).unwrap();
        assert_eq!(kernel_boot_id(&file), boot(5));
        assert_eq!(kernel_boot_id(&place.path()), None);
    }
}
