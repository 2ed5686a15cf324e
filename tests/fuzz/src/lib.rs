//! What the fuzz targets run: one function per target, each from bytes to nothing or a panic.
//!
//! A target promises more than that nothing panics: see `README.md`. The functions know nothing of
//! a fuzzer, so that `tests/replay.rs` runs the same ones over the committed corpora, and
//! `libfuzzer/` is left with one line per target.

mod agent_files;
mod archive;
mod arguments;
mod config;
mod engine;
mod firmware;
mod frames;
mod hal_answer;
mod input;
mod ledger;
mod link;
mod log_data;
mod manifest;
mod mock_files;
mod nearly;
mod redact;
mod results;
/// What the agent's own files name, where they are compiled here.
mod shell {
    pub(crate) use terminal_agent::shell::StartRequest;
}
mod store;
mod store_records;
mod url;
mod world;

pub use archive::archive;
pub use arguments::arguments;
pub use config::config;
pub use engine::engine;
pub use frames::{agent_frame, cloud_frame};
pub use hal_answer::hal_answer;
pub use link::link;
pub use log_data::log_data;
pub use manifest::manifest;
pub use mock_files::mock_files;
pub use redact::redact;
pub use store_records::store_records;
pub use url::url;

use terminal_hal::{ErrorCode, Failure};

/// A target, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("cloud_frame", cloud_frame),
    ("agent_frame", agent_frame),
    ("log_data", log_data),
    ("engine", engine),
    ("config", config),
    ("store_records", store_records),
    ("hal_answer", hal_answer),
    ("mock_files", mock_files),
    ("link", link),
    ("url", url),
    ("arguments", arguments),
    ("redact", redact),
    ("manifest", manifest),
    ("archive", archive),
];
