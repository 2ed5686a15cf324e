//! A store in memory that holds the same bytes as the one on the medium: its encoding is the
//! agent's own file, compiled here once more.

use std::collections::BTreeMap;

use serde_json::Value;
use terminal_core::{
    engine::{Snapshot, Write},
    protocol::{Report, Seq},
};

use crate::nearly;
use key::Key;

#[expect(dead_code, unreachable_pub, reason = "written for another parent")]
#[path = "../../../agent/src/store/disk/mod.rs"]
mod disk;

#[expect(dead_code, reason = "nothing is cut into pieces here")]
#[path = "../../../agent/src/store/key.rs"]
mod key;

/// Largest record that the store takes.
pub(crate) const RECORD_BYTES_MAX: usize = key::RECORD_BYTES_MAX;

/// Records by identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Store(BTreeMap<Key, Vec<u8>>);

impl Store {
    /// Makes changes durable, all of them.
    pub(crate) fn append(&mut self, writes: &[Write]) {
        let changes = disk::changes(writes);
        assert!(changes.is_ok(), "cannot be encoded: {writes:?}");
        for (key, bytes) in changes.unwrap_or_default() {
            match bytes {
                Some(bytes) => {
                    assert!(bytes.len() <= RECORD_BYTES_MAX, "{key:?}: {} bytes", bytes.len());
                    self.0.insert(key, bytes);
                }
                None => drop(self.0.remove(&key)),
            }
        }
    }

    /// Puts bytes where a record of that kind would be: 0 the single facts, 1 the configuration,
    /// 2 an operation, 3 a report.
    pub(crate) fn put_raw(&mut self, kind: u8, number: u64, bytes: &[u8]) {
        let key = match kind % 4 {
            0 => Key::Meta,
            1 => Key::Configuration,
            2 => Key::Operation(terminal_hal::OperationId(uuid::Uuid::from_u128(number.into()))),
            _ => Key::Report(Seq(number)),
        };
        self.0.insert(key, bytes.to_vec());
    }

    /// Everything, without the bodies of reports.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, String> {
        let mut snapshot = Snapshot::default();
        for (key, bytes) in &self.0 {
            disk::load(&mut snapshot, *key, bytes)?;
        }
        Ok(snapshot)
    }

    /// A report, whole.
    pub(crate) fn report(&self, seq: Seq) -> Result<Option<Report>, String> {
        let bytes = self.0.get(&Key::Report(seq));
        bytes.map(|bytes| disk::report(seq, bytes)).transpose()
    }

    /// Whether a record holds a number that is no integer.
    pub(crate) fn has_fraction(&self) -> bool {
        self.0.values().any(|record| nearly::has_fraction(&json(record)))
    }

    /// Whether it holds the same records as another, but for the last digits of fractions.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|((key, one), (of, two))| key == of && nearly::values(&json(one), &json(two)))
    }

    /// Operations and reports.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What follows the version.
fn json(record: &[u8]) -> Value {
    let json = record.split_first().map_or(record, |(_, json)| json);
    serde_json::from_slice(json).unwrap_or_default()
}
