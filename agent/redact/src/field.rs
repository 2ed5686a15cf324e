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

/// The field of that name: lower-case letters and digits, its words put together.
pub(crate) fn by_name(name: &[u8]) -> Option<Field> {
    let (kind, value) = match name {
        b"pin" | b"pinblock" | b"pinblk" | b"pindata" | b"pincode" | b"epb" => {
            (Kind::Pin, Likely::Digits)
        }
        b"cvv" | b"cvv2" | b"cvc" | b"cvc2" | b"cvn" | b"cav2" | b"csc" | b"icvv"
        | b"securitycode" => (Kind::Pin, Likely::Digits),
        b"track"
        | b"track1"
        | b"track2"
        | b"track3"
        | b"trackdata"
        | b"track1data"
        | b"track2data"
        | b"track3data"
        | b"track2equivalentdata"
        | b"trk1"
        | b"trk2"
        | b"trk3"
        | b"emv"
        | b"emvdata"
        | b"emvtags"
        | b"emvtlv"
        | b"5f20"
        | b"5f24"
        | b"9f1f"
        | b"9f20"
        | b"9f6b" => (Kind::Track, Likely::Digits),
        b"chd" | b"cardholder" | b"cardholdername" | b"cardholderdata" => {
            (Kind::Track, Likely::Any)
        }
        b"password" | b"passwd" | b"passwort" | b"pwd" | b"passphrase" | b"passcode"
        | b"secret" | b"clientsecret" | b"credential" | b"credentials" => {
            (Kind::Secret, Likely::Any)
        }
        b"key" | b"apikey" | b"privatekey" | b"secretkey" | b"sessionkey" | b"accesskey"
        | b"masterkey" | b"pinkey" | b"mackey" | b"ksn" | b"kcv" | b"ipek" | b"bdk" | b"tmk"
        | b"tpk" | b"tak" | b"zpk" | b"zmk" | b"kek" | b"dek" | b"token" | b"accesstoken"
        | b"refreshtoken" | b"authtoken" | b"idtoken" | b"sessiontoken" | b"activationcode" => {
            (Kind::Secret, Likely::Opaque)
        }
        b"authorization" => (Kind::Secret, Likely::Credentials),
        _ => return None,
    };
    Some(Field { kind, value })
}
