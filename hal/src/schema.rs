//! Patterns that the JSON Schemas of several types share. Only with the feature `schema`.

/// Text without control characters, as [`crate::text::line_problem`] wants it.
pub const LINE: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";
/// RFC 3339 between 1970 and 9999, as [`crate::Timestamp`] reads it.
pub const TIME: &str = concat!(
    r"^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}",
    r"(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
);
/// SHA-256 in lower-case hex.
pub const SHA256: &str = "^[0-9a-f]{64}$";
