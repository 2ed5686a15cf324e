//! Hardware abstraction of a payment terminal.
//!
//! Three things live here and nothing else: the **domain types** (parameters, results and error
//! codes of every operation), the **capability traits** that a backend implements (feature `api`),
//! and the **backends** themselves. A terminal maker needs only this crate.
//!
//! It never talks to the cloud, never stores operations and never decides whether one may run.

#[cfg(any(feature = "exec", feature = "vendor"))]
pub mod answer;
#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "child")]
pub mod child;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "api")]
pub mod durable;
pub mod error;
#[cfg(feature = "exec")]
pub mod exec;
#[cfg(feature = "firmware")]
pub mod firmware;
pub mod ids;
#[cfg(feature = "linux")]
pub mod linux;
#[cfg(feature = "mock")]
pub mod mock;
pub mod operation;
#[cfg(feature = "schema")]
pub mod schema;
pub mod settings;
pub mod status;
pub mod text;
pub mod time;
#[cfg(feature = "vendor")]
pub mod vendor;
#[cfg(any(feature = "firmware", feature = "mock"))]
pub(crate) mod version;

pub use error::{ErrorCode, Failure, SideEffects};
pub use ids::{BootId, OperationId};
pub use operation::{OperationKind, OperationResult, Parameters};
pub use time::Timestamp;
