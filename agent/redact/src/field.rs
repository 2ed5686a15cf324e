//! Fields that must not leave whatever their value is, known by their names.

use crate::finding::Kind;

/// Longest name, all its words together.
pub(crate) const NAME_MAX: usize = 24;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) value: Likely,
}

/// What the value looks like. It decides where no quotes say what is a value and what is prose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likely {
    /// Anything.
    Any,
    /// With a digit: `PIN: 1234`, but not `PIN: entry cancelled`.
    Digits,
    /// With a digit or long: `key=3af2`, but not `key: volume up`.
    Opaque,
    /// A scheme and credentials: `Authorization: Bearer abc`, but not `authorization: declined`.
    Credentials,
}

const fn field(kind: Kind, value: Likely) -> Field {
    Field { kind, value }
}

/// Names as lower-case letters and digits, their words put together.
#[rustfmt::skip]
const NAMES: &[(Field, &[&str])] = &[
    (field(Kind::Pin, Likely::Digits), &[
        "pin", "pinblock", "pinblk", "pindata", "pincode", "epb",
        "cvv", "cvv2", "cvc", "cvc2", "cvn", "cav2", "csc", "icvv", "securitycode",
    ]),
    (field(Kind::Track, Likely::Digits), &[
        "track", "track1", "track2", "track3", "trk1", "trk2", "trk3",
        "trackdata", "track1data", "track2data", "track3data", "track2equivalentdata",
        "emv", "emvdata", "emvtags", "emvtlv",
    ]),
    (field(Kind::Track, Likely::Any), &[
        "chd", "cardholder", "cardholdername", "cardholderdata",
    ]),
    (field(Kind::Secret, Likely::Any), &[
        "password", "passwd", "passwort", "pwd", "passphrase", "passcode",
        "secret", "clientsecret", "credential", "credentials",
    ]),
    (field(Kind::Secret, Likely::Opaque), &[
        "key", "apikey", "privatekey", "secretkey", "sessionkey", "accesskey", "masterkey",
        "pinkey", "mackey", "ksn", "kcv",
        "ipek", "bdk", "tmk", "tpk", "tak", "zpk", "zmk", "kek", "dek",
        "token", "accesstoken", "refreshtoken", "authtoken", "idtoken", "sessiontoken",
        "activationcode",
    ]),
    (field(Kind::Secret, Likely::Credentials), &["authorization"]),
];

/// The field of that name.
pub(crate) fn by_name(name: &[u8]) -> Option<Field> {
    let known = NAMES.iter().find(|(_, names)| names.iter().any(|known| known.as_bytes() == name));
    known.map(|(field, _)| *field)
}

/// Whether some name ends with these two characters, or with two that look alike to
/// [`ending`]: nearly all others need no further look.
pub(crate) fn may_end_with(last_but_one: u8, last: u8) -> bool {
    ENDINGS.get(ending(last_but_one, last)).copied().unwrap_or(true)
}

const fn ending(last_but_one: u8, last: u8) -> usize {
    (last_but_one as usize & 31) << 5 | last as usize & 31
}

const ENDINGS: [bool; 1024] = endings();

#[expect(clippy::indexing_slicing, reason = "when it is compiled, or it does not compile")]
const fn endings() -> [bool; 1024] {
    let mut endings = [false; 1024];
    let mut group = 0;
    while group < NAMES.len() {
        let mut name = 0;
        while name < NAMES[group].1.len() {
            if let [.., last_but_one, last] = NAMES[group].1[name].as_bytes() {
                endings[ending(*last_but_one, *last)] = true;
            }
            name += 1;
        }
        group += 1;
    }
    endings
}
