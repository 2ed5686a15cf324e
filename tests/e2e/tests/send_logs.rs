//! Logs: over the link and to a URL, whole, within their range, only to whom the terminal allows.

use std::io::Read;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use terminal_cloud::UploadUrl;
use terminal_hal::{Timestamp, operation::SendLogsResult};
use terminal_harness::{Site, SiteOptions};

use crate::support::{
    ACCOUNT, attempt, clear_faults, cut_off, error, has_one_verdict, open, result, seen, sha256,
    slow, with_receiver,
};

/// The last `minutes`, whole seconds, as parameters.
pub(crate) fn range(minutes: u64) -> (Timestamp, Timestamp) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let to = Timestamp::from_unix_ms(since.as_secs() * 1000);
    (Timestamp::from_unix_ms(to.unix_ms() - minutes * 60_000), to)
}

/// Checks bytes against the report about them.
pub(crate) fn check(
    bytes: &[u8],
    result: Value,
    from: Timestamp,
    to: Timestamp,
) -> Result<SendLogsResult> {
    let report: SendLogsResult = serde_json::from_value(result)?;
    assert_eq!(report.bytes_compressed, bytes.len() as u64);
    assert_eq!(report.sha256, sha256(bytes));
    let mut text = String::new();
    MultiGzDecoder::new(bytes).read_to_string(&mut text)?;
    assert_eq!(report.bytes_raw, text.len() as u64);
    assert_eq!(report.lines, text.lines().count() as u64);
    assert!(report.lines > 0);
    let mut times = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        times.push(line["time"].as_str().and_then(Timestamp::parse).context("no time")?);
        assert!(line["message"].is_string() && line["component"].is_string(), "{line}");
    }
    assert!(times.is_sorted());
    assert!(times.iter().all(|time| (from..to).contains(time)), "outside of the range");
    assert_eq!(times.first(), Some(&report.covered_from));
    assert_eq!(times.last(), Some(&report.covered_to));
    Ok(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_over_the_link_arrive_whole_and_within_their_range() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let (from, to) = range(90);
    let operation = site.run("send_logs", json!({ "from": from, "to": to })).await?;
    let path = format!("/v1/terminals/{}/logs/{}", site.terminal_id(), operation.id);
    let bytes = site.rest()?.bytes(&path).await?;
    let report = check(&bytes, result(&operation)?, from, to)?;
    assert_eq!(report.log_id, operation.id.to_string());
    assert!(!report.truncated);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_the_same_bytes_after_a_cut_and_after_a_kill() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let (from, to) = range(24 * 60);
    let parameters = json!({ "from": from, "to": to });
    let undisturbed = site.run("send_logs", parameters.clone()).await?;
    let undisturbed = site.cloud()?.log(site.terminal_id(), undisturbed.id).await?;

    site.script(&slow("collect_logs", 600))?;
    let cut = site.create("send_logs", parameters.clone()).await?;
    seen(&site, cut, "started", 1).await?;
    cut_off(&site).await?;
    clear_faults(&site).await?;
    let operation = site.verdict(cut).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), cut).await?;
    check(&bytes, result(&operation)?, from, to)?;
    assert!(bytes == undisturbed, "other bytes after a cut");

    let killed = site.create("send_logs", parameters).await?;
    seen(&site, killed, "started", 1).await?;
    agent.kill_9()?;
    let operation = site.verdict(killed).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), killed).await?;
    check(&bytes, result(&operation)?, from, to)?;
    assert!(bytes == undisturbed, "other bytes after a kill");
    assert_eq!(attempt(&site, killed).await?, 2);
    has_one_verdict(&site, killed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_lines_are_read_is_followed_by_a_whole_upload() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let (from, to) = range(24 * 60);
    // Strikes when a hundred lines have been read.
    let crash = json!({ "crash": { "at": "after_effect", "times": 1 } });
    site.script(&json!({ "methods": { "collect_logs": crash } }))?;
    let operation = site.run("send_logs", json!({ "from": from, "to": to })).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
    check(&bytes, result(&operation)?, from, to)?;
    assert_eq!(attempt(&site, operation.id).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_are_too_many_lose_their_oldest_lines() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let (from, to) = range(24 * 60);
    let parameters = json!({
        "from": from, "to": to, "min_level": "trace", "max_bytes": 65_536, "format": "ndjson",
    });
    let operation = site.run("send_logs", parameters).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
    let report = check(&bytes, result(&operation)?, from, to)?;
    assert!(report.truncated && bytes.len() <= 65_536, "{report:?}");
    // A line is written every four seconds.
    assert!(to.ms_since(report.covered_to) < 10_000 && report.covered_from > from, "{report:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_ends_an_upload_and_frees_the_terminal() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let (from, to) = range(60);
    // Stops when a hundred lines have been read, until it is cancelled.
    let hang = json!({ "hang": { "at": "after_effect", "times": 1 } });
    site.script(&json!({ "methods": { "collect_logs": hang } }))?;
    let id = site.create("send_logs", json!({ "from": from, "to": to })).await?;
    seen(&site, id, "started", 1).await?;
    assert!(site.cloud()?.cancel_operation(id).await?);
    assert_eq!(error(&site.verdict(id).await?)?["code"], "CANCELED");
    assert!(site.cloud()?.log(site.terminal_id(), id).await.is_err());
    let again = site.run("send_logs", json!({ "from": from, "to": to })).await?;
    let bytes = site.cloud()?.log(site.terminal_id(), again.id).await?;
    check(&bytes, result(&again)?, from, to)?;
    Ok(())
}

/// A site whose agent is connected and may upload to the receiver of its cloud.
pub(crate) async fn open_with_receiver() -> Result<(Site, terminal_harness::Agent)> {
    let site = with_receiver(SiteOptions::default()).await?;
    let agent = site.start_agent()?;
    site.online().await?;
    Ok((site, agent))
}

pub(crate) async fn upload_url(site: &Site, name: &str) -> Result<UploadUrl> {
    let answer = site.rest()?.post("/v1/uploads", &json!({ "name": name })).await?;
    Ok(serde_json::from_value(answer.body)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_to_a_url_arrive_whole_with_put_and_with_post() -> Result<()> {
    let (site, _agent) = open_with_receiver().await?;
    let (from, to) = range(30);
    for method in ["PUT", "POST"] {
        let url = upload_url(&site, method).await?;
        let upload = json!({ "url": url.url, "method": method, "expires_at": url.expires_at });
        let parameters = json!({ "from": from, "to": to, "upload": upload });
        let operation = site.run("send_logs", parameters).await?;
        let bytes = site.rest()?.bytes(&format!("/v1/uploads/{method}")).await?;
        check(&bytes, result(&operation)?, from, to)?;
        // It went there and nowhere else.
        assert!(site.cloud()?.log(site.terminal_id(), operation.id).await.is_err());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_on_to_a_url_while_the_link_is_cut() -> Result<()> {
    let (site, _agent) = open_with_receiver().await?;
    site.script(&slow("collect_logs", 600))?;
    let (from, to) = range(30);
    let upload = json!({ "url": upload_url(&site, "offline").await?.url });
    let parameters = json!({ "from": from, "to": to, "upload": upload });
    let id = site.create("send_logs", parameters).await?;
    seen(&site, id, "started", 1).await?;
    cut_off(&site).await?;
    site.until("the upload", async |site| {
        Ok(site.cloud()?.upload(ACCOUNT, "offline").await.is_ok())
    })
    .await?;
    clear_faults(&site).await?;
    let operation = site.verdict(id).await?;
    check(&site.cloud()?.upload(ACCOUNT, "offline").await?, result(&operation)?, from, to)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_terminal_or_the_receiver_does_not_allow_is_refused() -> Result<()> {
    let (site, _agent) = open_with_receiver().await?;
    let (from, to) = range(5);
    let good = upload_url(&site, "good").await?.url;
    let port = format!(":{}/", site.cloud()?.addr().port());
    let expired = json!({ "url": good, "expires_at": "2020-01-01T00:00:00Z" });
    for (upload, code) in [
        (json!({ "url": good.replace("localhost", "127.0.0.1") }), "UPLOAD_REJECTED"),
        (json!({ "url": good.replace(&port, ":1/") }), "UPLOAD_REJECTED"),
        (json!({ "url": good.replace("localhost", "logs.example") }), "UPLOAD_REJECTED"),
        (json!({ "url": good.replace("token=", "token=0") }), "UPLOAD_REJECTED"),
        (json!({ "url": good.replace("https:", "http:") }), "INVALID_PARAMETERS"),
        (json!({ "url": good, "headers": { "Authorization": "x" } }), "INVALID_PARAMETERS"),
        (expired, "UPLOAD_URL_EXPIRED"),
    ] {
        let parameters = json!({ "from": from, "to": to, "upload": upload });
        let failed = error(&site.run("send_logs", parameters).await?)?;
        assert_eq!(failed["code"], code, "{upload}: {failed}");
    }
    assert!(site.cloud()?.upload(ACCOUNT, "good").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_hosts_no_url_is_taken() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    let url = upload_url(&site, "x").await?.url;
    let failed = error(&site.run("send_logs", json!({ "upload": { "url": url } })).await?)?;
    assert_eq!(failed["code"], "UPLOAD_REJECTED");
    // Nor does a range without lines become an empty file.
    let parameters = json!({ "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z" });
    let failed = error(&site.run("send_logs", parameters).await?)?;
    assert_eq!(failed["code"], "LOG_RANGE_EMPTY");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn control_frames_pass_while_logs_are_collected_and_a_cancel_stops_them() -> Result<()> {
    let (site, _agent) = open(SiteOptions::default()).await?;
    site.script(&slow("collect_logs", 60_000))?;
    let logs = site.create("send_logs", json!({})).await?;
    seen(&site, logs, "started", 1).await?;
    // `lock` does not queue behind them.
    let lock = crate::support::create(&site, "lock", json!({})).await?;
    result(&site.verdict(lock).await?)?;
    assert!(site.cloud()?.cancel_operation(logs).await?);
    let failed = error(&site.verdict(logs).await?)?;
    assert_eq!(failed["code"], "CANCELED");
    Ok(())
}
