//! How long a certificate is good for: the one thing that the TLS library does not tell.

use rustls::pki_types::CertificateDer;
use terminal_core::engine::Certificate;
use terminal_hal::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the validity (RFC 5280, 4.1); `None` when this is no certificate.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    let (mut certificate, _) = value(certificate, SEQUENCE)?;
    let mut to_be_signed = take(&mut certificate, SEQUENCE)?;
    // Version, where it is not 1; serial number; algorithm; issuer.
    if to_be_signed.first() == Some(&VERSION) {
        take(&mut to_be_signed, VERSION)?;
    }
    take(&mut to_be_signed, INTEGER)?;
    take(&mut to_be_signed, SEQUENCE)?;
    take(&mut to_be_signed, SEQUENCE)?;
    let mut validity = take(&mut to_be_signed, SEQUENCE)?;
    let not_before = time(&mut validity)?;
    let not_after = time(&mut validity)?;
    Some(Certificate { not_before, not_after })
}

/// The value at the beginning of `bytes`, which go on behind it.
fn take<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = value(bytes, tag)?;
    *bytes = rest;
    Some(found)
}

/// A value with this tag, and what follows it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, bytes) = bytes.split_first()?;
    let (length, bytes) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, bytes) = match *length {
        short @ 0..=0x7f => (usize::from(short), bytes),
        // No certificate here is longer than 64 KiB.
        0x81 => (usize::from(*bytes.first()?), bytes.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(bytes.first_chunk().copied()?)), bytes.get(2..)?),
        _ => return None,
    };
    bytes.split_at_checked(length)
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from then on.
fn time(bytes: &mut &[u8]) -> Option<Timestamp> {
    let tag = *bytes.first()?;
    let text = std::str::from_utf8(take(bytes, tag)?).ok()?;
    let is_ascii = text.is_ascii();
    let text = match tag {
        UTC_TIME if is_ascii => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME if is_ascii => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let written = format!(
        "{}-{}-{}T{}:{}:{}",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        text.get(12..)?,
    );
    Timestamp::parse(&written)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: i32, to: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(to, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        let read = |from, to| validity(&made(from, to).into()).unwrap();
        let (before, after) = (at("2026-02-03T00:00:00Z"), at("2049-12-31T00:00:00Z"));
        assert_eq!(read(2026, 2049), Certificate { not_before: before, not_after: after });
        assert_eq!(read(1998, 2050).not_before, at("1998-02-03T00:00:00Z"));
        assert_eq!(read(1998, 2050).not_after, at("2050-12-31T00:00:00Z"));
    }

    #[test]
    fn what_is_cut_off_or_turned_over_is_no_certificate_and_no_panic() {
        let whole = made(2026, 2050);
        let ends = (0..whole.len()).filter(|end| validity(&whole[..*end].into()).is_some());
        assert_eq!(ends.count(), 0);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let _ = validity(&damaged.into());
            }
        }
    }
}
