//! Bytes and frames between the terminal and the cloud.
