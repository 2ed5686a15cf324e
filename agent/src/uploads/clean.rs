//! The last look at log text before it leaves the terminal.

use terminal_hal::{Failure, operation::send_logs::Redactions};

/// Where a block of whole lines is cleaned in place; every byte of an upload passes through here.
/// Nothing is masked: log sources must hold no card data, as the `Logs` trait demands.
///
/// # Errors
/// `REDACTION_FAILED`: nothing is sent.
pub(super) fn clean(_block: &mut Vec<u8>) -> Result<Redactions, Failure> {
    Ok(Redactions::default())
}
