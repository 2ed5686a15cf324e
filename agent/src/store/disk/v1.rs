//! Format 1 of the single facts and of the configuration, and what all records of format 1 are
//! made of. Identities are in the keys; empty fields are left out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_core::engine;
use terminal_core::protocol::{self, ReportId, Seq, StoreEpoch};
use terminal_hal::{BootId, Timestamp};
use uuid::Uuid;

/// A time of the wall clock, in milliseconds since 1970.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ms(u64);

impl From<Timestamp> for Ms {
    fn from(time: Timestamp) -> Self {
        Self(time.unix_ms())
    }
}

impl From<Ms> for Timestamp {
    fn from(ms: Ms) -> Self {
        Self::from_unix_ms(ms.0)
    }
}

/// A uuid as 32 hex digits.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hex(#[serde(with = "uuid::serde::simple")] pub(super) Uuid);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[derive(Serialize, Deserialize)]
pub(super) struct Meta {
    #[serde(rename = "e")]
    store_epoch: Hex,
    #[serde(rename = "s")]
    serial_number: String,
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    epoch_base: u64,
    #[serde(rename = "a")]
    acked_seq: u64,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    acked_report_id: Option<Hex>,
    #[serde(rename = "b")]
    boot_id: Hex,
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    clean_stop: bool,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(rename = "h", default, skip_serializing_if = "is_zero")]
    held_up_to: u64,
}

impl From<&engine::Meta> for Meta {
    fn from(meta: &engine::Meta) -> Self {
        Self {
            store_epoch: Hex(meta.store_epoch.0),
            serial_number: meta.serial_number.clone(),
            epoch_base: meta.epoch_base.0,
            acked_seq: meta.acked_seq.0,
            acked_report_id: meta.acked_report_id.map(|id| Hex(id.0)),
            boot_id: Hex(meta.boot_id.0),
            clean_stop: meta.clean_stop,
            owner: meta.owner.clone(),
            held_up_to: meta.held_up_to.0,
        }
    }
}

impl From<Meta> for engine::Meta {
    fn from(meta: Meta) -> Self {
        Self {
            store_epoch: StoreEpoch(meta.store_epoch.0),
            serial_number: meta.serial_number,
            epoch_base: Seq(meta.epoch_base),
            acked_seq: Seq(meta.acked_seq),
            acked_report_id: meta.acked_report_id.map(|id| ReportId(id.0)),
            boot_id: BootId(meta.boot_id.0),
            clean_stop: meta.clean_stop,
            owner: meta.owner,
            held_up_to: Seq(meta.held_up_to),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Origin {
    #[serde(rename = "c")]
    Cloud,
    #[serde(rename = "l")]
    Local,
}

impl From<protocol::Origin> for Origin {
    fn from(origin: protocol::Origin) -> Self {
        match origin {
            protocol::Origin::Cloud => Self::Cloud,
            protocol::Origin::Local => Self::Local,
        }
    }
}

impl From<Origin> for protocol::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Cloud => Self::Cloud,
            Origin::Local => Self::Local,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ConfigurationRecord {
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    desired: Option<Configuration>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    applied: Option<Configuration>,
}

#[derive(Serialize, Deserialize)]
struct Configuration {
    #[serde(rename = "r")]
    revision: u64,
    #[serde(rename = "c", default, skip_serializing_if = "Map::is_empty")]
    config: Map<String, Value>,
}

impl From<&engine::ConfigurationRecord> for ConfigurationRecord {
    fn from(record: &engine::ConfigurationRecord) -> Self {
        let copied = |wanted: &engine::Configuration| Configuration {
            revision: wanted.revision,
            config: wanted.config.clone(),
        };
        Self {
            desired: record.desired.as_ref().map(copied),
            applied: record.applied.as_ref().map(copied),
        }
    }
}

impl From<ConfigurationRecord> for engine::ConfigurationRecord {
    fn from(record: ConfigurationRecord) -> Self {
        let read = |stored: Configuration| engine::Configuration {
            revision: stored.revision,
            config: stored.config,
        };
        Self { desired: record.desired.map(read), applied: record.applied.map(read) }
    }
}
