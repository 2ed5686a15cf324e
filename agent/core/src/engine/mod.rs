//! The engine: events in, effects out.

mod effect;
mod event;
mod moment;
mod record;

pub use effect::{Effect, RestartOrder, StartOrder};
pub use event::{
    CallOutcome, ConfigurationOutcome, Event, Identity, LinkEnd, LocalRequest, Verification,
};
pub use moment::{Moment, Monotonic};
pub use record::{
    Configuration, ConfigurationRecord, Expiry, Meta, OperationRecord, OperationState, RestartCall,
    Snapshot, StoredReport, Write,
};
