//! Records to bytes and back: one byte for the version, then compact JSON.
//!
//! The types on the medium are not those of the engine: they change only together with
//! [`FORMAT`]. That includes new names in the enums that they borrow (error codes, events): an
//! older agent could not read them and would take the store for damaged.

mod v1;
mod v1_operation;
mod v1_report;

use std::collections::BTreeMap;

use serde::Serialize;
use terminal_core::engine::{OperationRecord, Snapshot, Write};
use terminal_core::protocol::{Report, Seq};

use super::key::Key;

/// Format of a store as a whole, written to its file `format`.
pub(super) const FORMAT: u64 = 1;
const VERSION: u8 = 1;

/// What a commit does to each record: its new bytes, or none.
pub(super) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// The changes of some writes; of several to one record the last counts.
pub(super) fn changes(writes: &[Write]) -> Result<Changes, serde_json::Error> {
    let mut changes = Changes::new();
    for write in writes {
        let (key, bytes) = change(write)?;
        changes.insert(key, bytes);
    }
    Ok(changes)
}

fn change(write: &Write) -> Result<(Key, Option<Vec<u8>>), serde_json::Error> {
    Ok(match write {
        Write::PutMeta(meta) => (Key::Meta, Some(encode(&v1::Meta::from(meta))?)),
        Write::PutOperation(record) => {
            (Key::Operation(record.id), Some(encode(&v1_operation::Operation::from(&**record))?))
        }
        Write::RemoveOperation(id) => (Key::Operation(*id), None),
        Write::PutReport(report) => {
            (Key::Report(report.seq), Some(encode(&v1_report::Report::from(&**report))?))
        }
        Write::RemoveReport(seq) => (Key::Report(*seq), None),
        Write::PutConfiguration(record) => {
            (Key::Configuration, Some(encode(&v1::ConfigurationRecord::from(&**record))?))
        }
    })
}

/// Adds a record to a snapshot. The message of an error says what was wrong.
pub(super) fn load(snapshot: &mut Snapshot, key: Key, bytes: &[u8]) -> Result<(), String> {
    match key {
        Key::Meta => snapshot.meta = Some(decode::<v1::Meta>(bytes)?.into()),
        Key::Configuration => {
            snapshot.configuration = Some(decode::<v1::ConfigurationRecord>(bytes)?.into());
        }
        Key::Operation(id) => {
            snapshot.operations.push(decode::<v1_operation::Operation>(bytes)?.into_record(id));
        }
        Key::Report(seq) => {
            snapshot.reports.push(decode::<v1_report::Head>(bytes)?.into_stored(seq));
        }
    }
    Ok(())
}

/// Reads a whole report.
pub(super) fn report(seq: Seq, bytes: &[u8]) -> Result<Report, String> {
    Ok(decode::<v1_report::Report>(bytes)?.into_report(seq))
}

/// What the store keeps of an operation: of one that is finished only what answers a repetition.
#[must_use]
pub fn kept(record: &OperationRecord) -> OperationRecord {
    v1_operation::Operation::from(record).into_record(record.id)
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, record)?;
    Ok(bytes)
}

fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| error.to_string()),
        Some((version, _)) => Err(format!("it has the unknown version {version}")),
        None => Err("it is empty".to_owned()),
    }
}
