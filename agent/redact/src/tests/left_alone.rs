//! One line for each thing that looks like something and is not.

use super::masked;
use crate::Counts;

#[test]
fn what_is_no_card_data_is_left_alone() {
    for text in [
        "",
        "\n",
        "2026-06-29T09:00:00.000Z INFO payment approved in 420 ms",
        r#"{"time":"2026-06-29T09:00:00.000Z","level":"info","component":"a","message":"b"}"#,
        "1719652800 1719652800000 1719652800000000 1719652800000000000",
        "imei 490154203237518 iccid 8944500102198304826",
        "4111111111111112",
        "0.4111111111111111 and -1.4111111111111111",
        "b2a60a2f-7a35-4a87-9d0b-51a0e6a6f5c1",
        "f089181c-5947-4240-8471-0f7c8e02c4f4",
        "4ff3:2efd:3ee9:868e:c728:0f46:5f24:1af7",
        "d4111111111111111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "00:11:22:33:44:55 192.168.100.200 fe80::1",
        "411111******1111",
        "****1111",
        "pin: entry cancelled",
        "key: volume up",
        "token: expired",
        "authorization: declined",
        "Authorization: none",
        "basic settings loaded, bearer authentication failed",
        "shipping=1 spin=2 keyboard=3 monkey=4 tokens=5",
        "a -> pin",
        "=1234",
        r#"{"m":"pin=","b":1}"#,
        r#"{"m":"{\"pin\":\"\"}"}"#,
        r#"{"pin":null,"key":{"a":1},"token":[],"password":true}"#,
        "eyJ.short and eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "-----BEGIN CERTIFICATE----- MIIEvQIBADANBgkqhkiG -----END CERTIFICATE-----",
        "-----BEGIN PRIVATE",
        "5A08 9F2608 5F24",
    ] {
        assert_eq!(masked(text), (text.to_owned(), Counts::default()), "{text}");
    }
}
