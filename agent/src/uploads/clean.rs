//! The last look at log text before it leaves the terminal.

use terminal_hal::{ErrorCode, Failure, operation::send_logs::Redactions};
use terminal_redact::{Counts, Redactor};

/// Masks card data, keys and tokens, line after line: a private key may be spread over several.
#[derive(Default)]
pub(super) struct Cleaner {
    redactor: Redactor,
}

impl Cleaner {
    /// A line that may leave the terminal, and what was masked in it. Lines come in their order,
    /// whole, with their ends.
    ///
    /// # Errors
    /// `REDACTION_FAILED` when a line cannot be looked at: nothing may be sent then.
    pub(super) fn clean(&mut self, line: &[u8]) -> Result<(Vec<u8>, Redactions), Failure> {
        let before = self.redactor.counts();
        let mut cleaned = Vec::with_capacity(line.len());
        self.redactor.push(line, &mut cleaned).map_err(|error| {
            Failure::new(ErrorCode::RedactionFailed, format!("cannot clean the logs: {error}"))
        })?;
        Ok((cleaned, masked_since(before, self.redactor.counts())))
    }
}

const fn masked_since(before: Counts, now: Counts) -> Redactions {
    Redactions {
        pan: now.pan - before.pan,
        track: now.track - before.track,
        pin: now.pin - before.pin,
        secret: now.secret - before.secret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal_redact::LINE_BYTES_MAX;

    #[test]
    fn what_is_masked_is_counted_line_by_line() {
        let mut cleaner = Cleaner::default();
        let (line, counts) = cleaner.clean(b"4111111111111111 pin=1234\n").unwrap();
        assert_eq!(line, b"****1111 pin=****\n");
        assert_eq!(counts, Redactions { pan: 1, pin: 1, ..Redactions::default() });
        let (line, counts) = cleaner.clean(b"token=a1 4111111111111111=2512\n").unwrap();
        assert_eq!(line, b"token=**** ****1111\n");
        assert_eq!(counts, Redactions { track: 1, secret: 1, ..Redactions::default() });
    }

    #[test]
    fn a_key_that_began_on_a_line_is_masked_on_the_next() {
        let mut cleaner = Cleaner::default();
        cleaner.clean(b"-----BEGIN PRIVATE KEY-----\n").unwrap();
        let (line, counts) = cleaner.clean(b"MIIEvQIBADANBgkqhkiG9w0B\n").unwrap();
        assert_eq!((line.as_slice(), counts.secret), (&b"****\n"[..], 1));
    }

    #[test]
    fn a_line_that_cannot_be_looked_at_fails_the_upload() {
        let mut line = vec![b'x'; LINE_BYTES_MAX + 1];
        line.push(b'\n');
        let failure = Cleaner::default().clean(&line).unwrap_err();
        assert_eq!((failure.code, failure.retryable), (ErrorCode::RedactionFailed, false));
    }
}
