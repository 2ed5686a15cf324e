//! One line for each thing that is masked.

use super::masked;
use crate::Counts;

fn counts(pan: u64, track: u64, pin: u64, secret: u64) -> Counts {
    Counts { pan, track, pin, secret }
}

fn all_become(kind: Counts, cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        assert_eq!(masked(text), ((*wanted).to_owned(), kind), "{text}");
    }
}

#[test]
fn a_card_number_keeps_its_last_four_digits_wherever_it_stands() {
    all_become(
        counts(1, 0, 0, 0),
        &[
            ("4111111111111111", "****1111"),
            ("card 378282246310005 declined", "card ****0005 declined"),
            ("pan_4111111111111111_x", "pan_****1111_x"),
            ("card4111111111111111a", "card****1111a"),
            ("(5555555555554444)", "(****4444)"),
            ("/cards/4111111111111111/charge?x=1", "/cards/****1111/charge?x=1"),
            ("a=1&number=4111111111111111&b=2", "a=1&number=****1111&b=2"),
            ("number%3D4111111111111111%26", "number%3D****1111%26"),
            ("card%204111111111111111%20ok", "card%20****1111%20ok"),
            ("%224111111111111111%22", "%22****1111%22"),
            ("%C3%A94111111111111111", "%C3%A9****1111"),
            (r"\x024111111111111111\x03", r"\x02****1111\x03"),
            ("<Pan>4111111111111111</Pan>", "<Pan>****1111</Pan>"),
            (r#"{"n":"4111111111111111"}"#, r#"{"n":"****1111"}"#),
            (r#"{"m":"{\"n\":\"4111111111111111\"}"}"#, r#"{"m":"{\"n\":\"****1111\"}"}"#),
            (r#"{"m":"\u00024111111111111111"}"#, r#"{"m":"\u0002****1111"}"#),
            (r#"{"m":"\u00e94111111111111111"}"#, r#"{"m":"\u00e9****1111"}"#),
            (r#"{"m":"\n4111111111111111"}"#, r#"{"m":"\n****1111"}"#),
            ("4111111111111111.", "****1111."),
            ("4111111111111111.0", "****1111.0"),
            ("6759649826438453", "****8453"),
        ],
    );
}

#[test]
fn a_json_number_becomes_a_string() {
    all_become(
        counts(1, 0, 0, 0),
        &[
            (r#"{"n":4111111111111111}"#, r#"{"n":"****1111"}"#),
            (r#"[1, -4111111111111111.5e3,2]"#, r#"[1, "****1111",2]"#),
            (r#"{"a":"b","n": 4111111111111111 ,"c":1}"#, r#"{"a":"b","n": "****1111" ,"c":1}"#),
        ],
    );
    all_become(counts(0, 0, 1, 0), &[(r#"{"pin":1234}"#, r#"{"pin":"****"}"#)]);
}

#[test]
fn a_card_number_in_groups_is_one() {
    all_become(
        counts(1, 0, 0, 0),
        &[
            ("no 4111 1111 1111 1111 ok", "no ****1111 ok"),
            ("4111-1111-1111-1111", "****1111"),
            ("4111.1111.1111.1111", "****1111"),
            ("4111_1111_1111_1111", "****1111"),
            ("4111+1111+1111+1111", "****1111"),
            ("4111/1111/1111/1111", "****1111"),
            ("4111%201111%201111%201111", "****1111"),
            ("x%204111%2D1111%2d1111%201111", "x%20****1111"),
            ("4111\t1111\t1111\t1111", "****1111"),
            ("4111\u{a0}1111\u{2009}1111\u{202f}1111", "****1111"),
            ("4111\u{2013}1111\u{2212}1111\u{2013}1111", "****1111"),
            (r#"{"m":"4111\t1111\t1111\t1111"}"#, r#"{"m":"****1111"}"#),
            ("3782 822463 10005", "****0005"),
            ("3056 930902 5904", "****5904"),
            ("4222 2222 2222 2", "****2222"),
            ("41111111 11111111", "****1111"),
            ("6304 0000 0000 0000 000", "****0000"),
            ("1234 4111 1111 1111 1111 1225", "1234 ****1111 1225"),
            ("pan_4111 1111 1111 1111", "pan_****1111"),
        ],
    );
}

#[test]
fn so_many_digits_that_a_card_number_may_be_glued_to_others_are_masked_whole() {
    let cases = [
        ("x 41111111111111112512 y", "x **** y"),
        ("34313131313131313131313131313131", "****"),
        (r#"{"m":"\u000041111111111111112512"}"#, r#"{"m":"\u0000****"}"#),
    ];
    all_become(counts(1, 0, 0, 0), &cases);
}

#[test]
fn a_track_goes_with_everything_on_it() {
    all_become(
        counts(0, 1, 0, 0),
        &[
            (";4111111111111111=25121011234567890123?", ";****1111?"),
            ("4111111111111111D25121011234567890123F ok", "****1111 ok"),
            ("4111111111111111=2512", "****1111"),
            ("%3B4111111111111111%3D25121011234%3F", "%3B****1111%3F"),
            (r#"{"t":"4111111111111111\u003d2512101"}"#, r#"{"t":"****1111"}"#),
            ("%B4111111111111111^DOE/JOHN^25121011234567890?", "%B****1111?"),
            ("%B4111111111111111^DOE/JOHN MR^2512101 1234  0?;", "%B****1111?;"),
            ("B4111111111111111^DOE/J^25121011234 x", "B****1111 x"),
            ("B4111111111111111^DOE/JO", "B****1111"),
            (r#"{"t":"%B4111111111111111^DOE\/J^2512101?"}"#, r#"{"t":"%B****1111?"}"#),
            ("%B4111111111111111%5EDOE%2FJ%5E2512101%3F", "%B****1111%3F"),
        ],
    );
}

#[test]
fn chip_data_is_masked_value_by_value_packed_and_in_pairs() {
    all_become(
        counts(1, 0, 0, 0),
        &[
            ("5A084111111111111111", "5A08****1111"),
            (
                "rsp 9f2608112233445566778 5a0841111111111111119f34",
                "rsp 9f2608112233445566778 5a08****11119f34",
            ),
            ("5A08378282246310005F", "5A08****0005"),
            ("5A 08 41 11 11 11 11 11 11 11 95", "5A 08 ****1111 95"),
            ("5a:08:41:11:11:11:11:11:11:11", "5a:08:****1111"),
            ("BCD 41 11 11 11 11 11 11 11", "BCD ****1111"),
        ],
    );
    all_become(
        counts(0, 1, 0, 0),
        &[
            ("57134111111111111111D25121011234567890123F9F34", "5713****11119F34"),
            ("5711 4111111111111111D25121011234567F", "5711 ****1111"),
            ("9F6B0C4111111111111111D2512101", "9F6B0C****1111"),
            ("57 0B 41 11 11 11 11 11 11 11 D2 51 2F 9F 34", "57 0B ****1111 9F 34"),
            ("561442343131313131313131313131313131315E4141", "5614****1111"),
            ("5F200A4A4F484E20444F45202095050000", "5F200A****95050000"),
            ("5F2403251231", "5F2403****"),
            ("82021980 5F2403251231 9C0100", "82021980 5F2403**** 9C0100"),
            ("9F1F0430313233 9F2608", "9F1F04**** 9F2608"),
            ("9F2004112233449A03251231", "9F2004****9A03251231"),
        ],
    );
    all_become(
        counts(0, 0, 1, 0),
        &[
            ("9908A1B2C3D4E5F60718", "9908****"),
            ("9908A1B2C3D4E5F607189F3704DEADBEEF", "9908****9F3704DEADBEEF"),
            ("99 08 A1 B2 C3 D4 E5 F6 07 18 9F 37", "99 08 **** 9F 37"),
        ],
    );
}

#[test]
fn fields_are_known_by_their_names() {
    all_become(
        counts(0, 0, 1, 0),
        &[
            ("pin=1234 ok", "pin=**** ok"),
            ("PIN: 1234, ok", "PIN: ****, ok"),
            ("enteredPin: '1234'", "enteredPin: '****'"),
            ("pin_block=0412AC89ABCDEF67", "pin_block=****"),
            ("PIN block: 0412AC89ABCDEF67", "PIN block: ****"),
            ("a?cvv2=123&b", "a?cvv2=****&b"),
            (r#"{"cvc": "123"}"#, r#"{"cvc": "****"}"#),
            (
                r#"{"m":"{\"pinBlock\":\"04A2\",\"b\":1}"}"#,
                r#"{"m":"{\"pinBlock\":\"****\",\"b\":1}"}"#,
            ),
            (r#"{"m":"{\\\"pin\\\":\\\"12\\\"}"}"#, r#"{"m":"{\\\"pin\\\":\\\"****\\\"}"}"#),
            (r#"{"m":"{\"pin\":1234}"}"#, r#"{"m":"{\"pin\":****}"}"#),
            ("<ns:Pin>1234</ns:Pin>", "<ns:Pin>****</ns:Pin>"),
            ("pin%3D1234%26x", "pin%3D****%26x"),
            ("%22pin%22%3A%221234%22", "%22pin%22%3A%22****%22"),
            (r#"{"m":"a\npin=1234\n\u000bb"}"#, r#"{"m":"a\npin=****\n\u000bb"}"#),
            (r#"{"m":"a\u000bpin=1234"}"#, r#"{"m":"a\u000bpin=****"}"#),
            ("pin => 1234", "pin => ****"),
        ],
    );
    all_become(
        counts(0, 1, 0, 0),
        &[
            ("track2=not4even7a1card", "track2=****"),
            (r#"{"track2_equivalent_data":"41D25"}"#, r#"{"track2_equivalent_data":"****"}"#),
            ("emvData: 9F26", "emvData: ****"),
            (r#"{"cardholderName":"JOHN \"J\" DOE\\"}"#, r#"{"cardholderName":"****"}"#),
        ],
    );
    all_become(
        counts(0, 0, 0, 1),
        &[
            ("password=hunter", "password=****"),
            ("db.password: a\\b\\\\c d", "db.password: **** d"),
            (r#"{"password":"a\"b\\\"c"}"#, r#"{"password":"****"}"#),
            (r#"{"m":"{\"pwd\":\"a\\\"b\"}"}"#, r#"{"m":"{\"pwd\":\"****\"}"}"#),
            ("access_token=abc123;x", "access_token=****;x"),
            ("X-Api-Key: 9a8b7c", "X-Api-Key: ****"),
            ("ksn=FFFF9876543210E00001", "ksn=****"),
            ("activationCode=ACT-7X9K-2M4P", "activationCode=****"),
            ("activation code: ACT-7X9K-2M4P", "activation code: ****"),
            (r#"{"key":3}"#, r#"{"key":"****"}"#),
            ("Authorization: Bearer abcdefgh, x", "Authorization: Bearer ****, x"),
            (r#"{"authorization":"Basic abc def"}"#, r#"{"authorization":"Basic ****"}"#),
        ],
    );
}

#[test]
fn tokens_are_known_by_their_looks() {
    all_become(
        counts(0, 0, 0, 1),
        &[
            ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl ok", "got **** ok"),
            ("sent Bearer abcd1234efgh.", "sent Bearer ****"),
            ("bearer%20dG9rZW4tMTIz", "bearer%20****"),
            ("(Basic dXNlcjpwYXNz)", "(Basic ****)"),
            (r#"{"m":"Basic dXNl\/jpwYXNz+=="}"#, r#"{"m":"Basic ****"}"#),
        ],
    );
}

#[test]
fn a_private_key_goes_on_one_line_and_over_many() {
    all_become(
        counts(0, 0, 0, 1),
        &[
            (
                "-----BEGIN PRIVATE KEY----- MIIEvQIBADANBg== -----END PRIVATE KEY----- ok",
                "-----BEGIN PRIVATE KEY-----****-----END PRIVATE KEY----- ok",
            ),
            (
                r#"{"m":"-----BEGIN EC PRIVATE KEY-----\nMIIEvQ\nIBADANBg==\n-----END EC PRIVATE KEY-----\n"}"#,
                r#"{"m":"-----BEGIN EC PRIVATE KEY-----****-----END EC PRIVATE KEY-----\n"}"#,
            ),
            (
                r#"{"m":"-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg","n":"rest"}"#,
                r#"{"m":"-----BEGIN RSA PRIVATE KEY-----****","n":"rest"}"#,
            ),
        ],
    );
    let lines = "10:00 I -----BEGIN PRIVATE KEY-----\n\
        {\"time\":\"2026-06-29T09:00:00.000Z\",\"m\":\"MIIEvQIBADANBgkqhkiG\"}\n\
        10:00 I x MIIEvQIBADANBgkq/kiG9w0B\r\n\
        10:01 W other thing\n\
        {\"m\":\"IBAD\\n\"}\n\
        10:02 I -----END PRIVATE KEY-----\n\
        10:03 I MIIEvQIBADANBgkqhkiG\n";
    let wanted = "10:00 I -----BEGIN PRIVATE KEY-----\n\
        {\"time\":\"2026-06-29T09:00:00.000Z\",\"m\":\"****\"}\n\
        10:00 I x ****\r\n\
        10:01 W other thing\n\
        {\"m\":\"****\\n\"}\n\
        10:02 I -----END PRIVATE KEY-----\n\
        10:03 I MIIEvQIBADANBgkqhkiG\n";
    assert_eq!(masked(lines), (wanted.to_owned(), counts(0, 0, 0, 3)));
}

#[test]
fn a_key_that_never_ends_does_not_take_the_rest_of_the_log() {
    let piece = "MIIEvQIBADANBgkqhkiG\n";
    let text = format!("-----BEGIN PRIVATE KEY-----\n{}", piece.repeat(258));
    let (masked, counts) = masked(&text);
    assert_eq!(counts.secret, 256);
    assert!(masked.ends_with(&format!("****\n{piece}{piece}")));
}

#[test]
fn what_only_a_mask_uncovers_is_masked_too() {
    // The first four groups happen to make a card number as well.
    let (text, counts) = masked("4000 0000 0000 0002 4111 1111 1111 1111");
    assert_eq!((text.as_str(), counts.pan), ("****0002 ****1111", 2));
    // They make one with the first groups of the next.
    let (text, counts) = masked("3056 9301 5555-5555-5555-4444 cvc");
    assert_eq!((text.as_str(), counts.pan), ("****4444 cvc", 1));
    let (text, _) = masked("4222 2222 2222 2 4111 1111 1111 1111 and 4111111111111111");
    assert_eq!(text, "****2222 ****1111 and ****1111");
}
