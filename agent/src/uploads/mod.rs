//! Log uploads.
