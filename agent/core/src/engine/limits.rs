//! Every bound of the engine, each with its reason.

/// Operations without a verdict. A terminal gets a handful a day; a burst of a few hundred is a
/// fault in the cloud that should neither be lost nor fill the memory.
pub const UNFINISHED_MAX: usize = 512;
/// Operations that wait in one lane before further ones fail with `QUEUE_FULL`.
pub const QUEUED_MAX: usize = 256;
/// Bytes of parameters of all unfinished operations together: they are held in memory.
pub const PARAMETERS_BYTES_MAX: usize = 512 << 10;
/// Reports without an ack: the terminal's storage is sized for this many verdicts.
pub const UNACKED_MAX: usize = 16_384;
/// Events without an ack; beyond this the oldest leaves a `dropped` report.
pub const UNACKED_EVENTS_MAX: usize = 256;
/// Remembered verdicts: about 100 bytes of memory each.
pub const REMEMBERED_MAX: usize = 32_768;
/// Reports on the way at once: enough to fill a slow link, little enough to resend.
pub const REPORTS_IN_FLIGHT_MAX: u64 = 64;
/// Attempts of one operation, verification included; then it fails with `INTERRUPTED`.
pub const ATTEMPTS_MAX: u32 = 3;
/// Longest `operation` name that is kept and reported.
pub const OPERATION_NAME_CHARS_MAX: usize = 64;
/// Longest `created_by`.
pub const CREATED_BY_CHARS_MAX: usize = 128;
/// Longest `deadline_s`.
pub const DEADLINE_S_MAX: u32 = 86_400;
/// Longest time to `not_after`, in milliseconds: 30 days, and an hour for clocks that differ.
pub const NOT_AFTER_MS_MAX: u64 = (30 * 24 + 1) * 3600 * 1000;
/// Longest `policy.wait_max_s`.
pub const WAIT_S_MAX: u32 = 3600;
/// Least time for asking the hardware what became of an operation: a payment application may
/// take minutes to come up.
pub const VERIFY_MS_MIN: u64 = 300_000;
/// Between two such questions.
pub const VERIFY_INTERVAL_MS: u64 = 5_000;
/// The schedule is looked at again after this at the latest: the wall clock may have been set.
pub const SCHEDULE_LOOK_MS_MAX: u64 = 60_000;
/// The schedule is looked at again after this at the earliest.
pub const SCHEDULE_LOOK_MS_MIN: u64 = 1_000;
/// A local operation is remembered for this long: a clock that is set back by less finds it.
pub const LOCAL_MEMORY_MS: u64 = 30 * 24 * 3600 * 1000;
/// A call that has outlived its deadline is asked about, or dropped, after this.
pub const OVERDUE_INTERVAL_MS: u64 = 30_000;
/// A configuration that could not be applied for want of the payment application is tried again.
pub const CONFIGURE_RETRY_MS: u64 = 30_000;
/// Applying a configuration may take this long.
pub const CONFIGURE_MS_MAX: u64 = 60_000;
/// Longest `phase` of `progress`.
pub const PHASE_CHARS_MAX: usize = 32;
/// Between two `progress` frames of one operation.
pub const PROGRESS_INTERVAL_MS: u64 = 1_000;
/// Deletions that may wait for the next commit.
pub const LAZY_WRITES_MAX: usize = 1_024;
/// Expired memories that one step forgets.
pub const PRUNE_MAX: usize = 256;
/// `welcome` must come within this.
pub const WELCOME_MS_MAX: u64 = 15_000;
/// Connecting may take this long, name resolution to WebSocket handshake.
pub const CONNECT_MS_MAX: u64 = 60_000;
/// With reports on the way, an ack must come within this.
pub const ACK_MS_MAX: u64 = 60_000;
/// The link must have reported its end this long after it was told to close.
pub const CLOSE_MS_MAX: u64 = 10_000;
/// Bounds of `welcome.heartbeat_s`.
pub const HEARTBEAT_S: std::ops::RangeInclusive<u32> = 5..=3600;
/// Longest wait that the cloud may ask for, in seconds.
pub const RECONNECT_S_MAX: u32 = 3600;
/// Bytes from the cloud must come within one and a half times this on a link of enrolment.
pub const ENROL_HEARTBEAT_MS: u64 = 60_000;
/// Longest life of an activation code.
pub const ACTIVATION_CODE_S_MAX: u32 = 86_400;
/// When an activation code has run out, the next one must come within this.
pub const NEW_CODE_MS_MAX: u64 = 15_000;
/// Links in a row that do not come about with what a first enrolment gave, before the terminal asks
/// for it again: more than a cloud that restarts, little enough for a person who waits for it.
pub const PROBATION_LINKS_MAX: u32 = 3;
/// Longest `terminal_id`.
pub const TERMINAL_ID_CHARS_MAX: usize = 64;
/// The answer to a request for renewal must come within this.
pub const RENEWAL_MS_MAX: u64 = 60_000;
/// Least wait before the next attempt to renew.
pub const RENEWAL_RETRY_MS_MIN: u64 = 60_000;
/// The range of that wait never grows beyond this.
pub const RENEWAL_RETRY_MS_MAX: u64 = 3_600_000;
