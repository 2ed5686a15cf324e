//! A log full of card data, in every form in which components log it, and hardware that quotes some
//! when it fails: none of it leaves.

use std::io::Read;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use terminal_hal::{Timestamp, operation::send_logs::Redactions};
use terminal_harness::{Site, SiteOptions};

use crate::{
    send_logs::{check, open_with_receiver, range, upload_url},
    support::{ACCOUNT, create, error, open, result},
};

/// What a component wrote, what must not be left of it, and as what it counts.
const PLANTED: &[(&str, &str, char)] = &[
    ("declined 4111 1111 1111 1111 exp 12/29", "4111 1111", 'c'),
    ("pan_5555555555554444_ok", "55555555", 'c'),
    ("GET /cards/378282246310005?x=1", "37828224", 'c'),
    ("card%3D6011111111111117%26x", "60111111", 'c'),
    ("<Pan>3530111333300000</Pan>", "35301113", 'c'),
    ("{\"number\":\"5105105105105100\",\"n\":4012888888881881}", "51051051", 'C'),
    ("frame \u{2}4222222222222\u{1c}00\u{3}", "42222222", 'c'),
    ("glued 41111111111111112912", "41111111", 'c'),
    ("tlv 5A0862000000000000055F340101", "62000000", 'c'),
    ("tlv 57 11 22 23 00 31 22 00 32 22 D2 91 21 01 00 00 00 00 0F", "22 23 00 31", 't'),
    ("%B4000056655665556^DOE/JANE^29121011234567890?", "DOE/JANE", 't'),
    (";4000002500003155=29121011234567890?", "2912101", 't'),
    ("holder 5F200A4A4F484E20444F45202099", "4A4F484E", 't'),
    ("track2=garbled7but0mine", "garbled", 't'),
    ("pin=9173 entered", "pin=9173", 'p'),
    ("{\"pinBlock\":\"A1B2C3D4E5F60718\"}", "A1B2C3D4", 'p'),
    ("{\\\"cvv\\\":\\\"739\\\"}", "\"739", 'p'),
    ("tag 9908F0E1D2C3B4A596879F3704DEADBEEF", "F0E1D2C3", 'p'),
    ("Authorization: Bearer c2VjcmV0LXRva2Vu", "c2VjcmV0", 's'),
    ("session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmVk", "eyJhbGci", 's'),
    ("db password: hunter2secret", "hunter2", 's'),
    ("ksn=FFFF9876543210E00001", "FFFF98765", 's'),
    ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----", "MC4CAQ", 's'),
    // A key over several lines.
    ("-----BEGIN EC PRIVATE KEY-----", "no such text", '-'),
    ("MHcCAQEEIBkg4LVWM9nuwNSk3yByxZpYRTBnVJZ0", "MHcCAQEE", 's'),
    ("oUQDQgAE", "oUQDQg", 's'),
    ("-----END EC PRIVATE KEY-----", "no such text", '-'),
    ("payment approved in 420 ms", "no such text", '-'),
];

/// What is planted in the name of a component instead of a message.
const COMPONENT: (&str, &str) = ("card-4242424242424242", "42424242");

fn plant(site: &Site, from: Timestamp) -> Result<()> {
    // At one instant, so that nothing else comes in between.
    let line = |component: &str, message: &str| json!({ "time": from, "level": "error", "component": component, "message": message });
    let messages = PLANTED.iter().map(|(message, ..)| line("payment", message));
    let lines: Vec<Value> = messages.chain([line(COMPONENT.0, "in the wrong field")]).collect();
    site.script(&json!({ "log_lines": lines }))
}

/// What must have been counted.
fn planted() -> Redactions {
    let count = |of: char| PLANTED.iter().filter(|(.., kind)| *kind == of).count() as u64;
    Redactions {
        // Of one line there are two, and one is in the name of a component.
        pan: count('c') + 2 * count('C') + 1,
        track: count('t'),
        pin: count('p'),
        secret: count('s'),
    }
}

fn holds_none(bytes: &[u8]) -> Result<String> {
    let mut text = String::new();
    MultiGzDecoder::new(bytes).read_to_string(&mut text)?;
    for (message, secret, _) in PLANTED {
        assert!(!text.contains(secret), "{message}: {secret} has left the terminal");
    }
    assert!(!text.contains(COMPONENT.1) && !text.contains("40128888"), "{text}");
    // The lines themselves are there.
    for kept in ["declined ****1111 exp 12/29", "payment approved in 420 ms", "in the wrong field"]
    {
        assert!(text.contains(kept), "{kept}");
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn card_data_that_faulty_components_logged_does_not_leave_by_any_way() -> Result<()> {
    let (site, _agent) = open_with_receiver().await?;
    let (from, to) = range(5);
    plant(&site, from)?;
    let operation = site.run("send_logs", json!({ "from": from, "to": to })).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
    let report = check(&bytes, result(&operation)?, from, to)?;
    assert_eq!(report.redactions, planted());
    let text = holds_none(&bytes)?;

    let url = upload_url(&site, "card-data").await?.url;
    let parameters = json!({ "from": from, "to": to, "upload": { "url": url } });
    let operation = site.run("send_logs", parameters).await?;
    let bytes = site.cloud()?.upload(ACCOUNT, "card-data").await?;
    let report = check(&bytes, result(&operation)?, from, to)?;
    assert_eq!(report.redactions, planted());
    assert_eq!(holds_none(&bytes)?, text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn as_plain_text_it_does_not_leave_either() -> Result<()> {
    let (site, agent) = open_with_receiver().await?;
    let (from, to) = range(5);
    plant(&site, from)?;
    let parameters = json!({ "from": from, "to": to, "format": "text" });
    let operation = site.run("send_logs", parameters).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
    let text = holds_none(&bytes)?;
    let redactions = result(&operation)?["redactions"].clone();
    assert_eq!(redactions, serde_json::to_value(planted()).context("counts")?, "{text}");
    // Nor does the agent write down what it has seen.
    assert_eq!(agent.stop()?, Some(0));
    let log = site.agent_log()?;
    for (message, secret, _) in PLANTED {
        assert!(!log.contains(secret), "{message}: {secret} is in the agent's own log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hardware_says_of_a_card_when_it_fails_does_not_leave_and_is_not_written_down()
-> Result<()> {
    const NUMBER: &str = "4111111111111111";
    let (site, agent) = open(SiteOptions::default()).await?;
    let fails =
        json!({ "fail": { "code": "DEVICE_FAULT", "failure_reason": format!("read {NUMBER}") } });
    site.script(
        &json!({ "methods": { "close_batch": fails, "health": fails, "release_payments": fails } }),
    )?;
    let id = create(&site, "end_of_day", json!({})).await?;
    let failed = error(&site.verdict(id).await?)?;
    assert_eq!(failed["failure_reason"], "read ****1111");
    assert!(agent.show("operations")?.contains("DEVICE_FAULT: read ****1111"));
    assert_eq!(agent.stop()?, Some(0));
    let log = site.agent_log()?;
    // By the engine, and by who gives the hold back.
    for said in ["operation failed", "hold not released"] {
        let line = log.lines().find(|line| line.contains(said)).context(said)?;
        assert!(line.contains("read ****1111"), "{line}");
    }
    assert!(!log.contains(NUMBER), "{log}");
    for entry in std::fs::read_dir(site.path("agent/store/store"))? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            let is_there = bytes.windows(NUMBER.len()).any(|bytes| bytes == NUMBER.as_bytes());
            assert!(!is_there, "{} holds it", path.display());
        }
    }
    Ok(())
}
