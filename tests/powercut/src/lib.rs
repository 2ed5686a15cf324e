//! Power cuts below the file system: recorded block writes, cut anywhere, and the store opened
//! again.
//!
//! A worker process runs the real store on an ext4 whose drive records every write and every flush
//! in order. Then the recording is cut, again and again: what was flushed is on the medium, of the
//! rest an arbitrary part is. Every image is mounted, and the store on it is opened and compared
//! with a model. Nothing here knows how the store works inside, and nothing replaces a part of it.

pub mod check;
pub mod cut;
pub mod dice;
pub mod drive;
pub mod figures;
mod fuse;
pub mod ground;
pub mod image;
pub mod life;
pub mod model;
pub mod mounted;
mod records;
pub mod run;
pub mod silence;
pub mod unrest;
pub mod worker;
pub mod workload;
