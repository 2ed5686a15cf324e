//! Delivers events to webhook endpoints: signed, retried, given up in the end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use reqwest::redirect;
use terminal_hal::text::bounded;
use tokio::task::JoinSet;

use crate::{
    db::{
        DbError,
        deliveries::{self, Attempt, Due, ENDPOINT_ATTEMPTS_MAX},
        now,
    },
    secret,
    state::Shared,
    vinr,
};

/// Header with the time of the attempt and the signature.
pub(crate) const SIGNATURE_HEADER: &str = "Vinr-Signature";
/// An endpoint that has not answered by then has not taken it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait between two attempts.
const RETRY_CAP: Duration = Duration::from_secs(3600);
/// Attempts under way, to all endpoints.
const ATTEMPTS_AT_ONCE_MAX: usize = 64;
/// Commits that come together are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// Looks again, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Delivers until the cloud ends.
pub(crate) async fn deliver(shared: Arc<Shared>) {
    let client = reqwest::Client::builder()
        .timeout(ANSWER_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent("terminal-cloud")
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no webhooks without an HTTP client"),
    };
    let mut commits = shared.db.commits();
    let mut under_way = UnderWay::default();
    loop {
        commits.borrow_and_update();
        let wait = match begin(&shared, &client, &mut under_way).await {
            Ok(wait) => wait,
            Err(DbError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "looking for webhooks");
                LOOK_AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = commits.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
            }
            Some(ended) = under_way.tasks.join_next() => under_way.ended(ended.ok()),
        }
    }
}

/// Attempts that have begun and not ended.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<(i64, i64)>,
    deliveries: HashSet<i64>,
    per_endpoint: HashMap<i64, usize>,
}

impl UnderWay {
    fn has_room_for(&self, due: &Due) -> bool {
        let here = self.per_endpoint.get(&due.endpoint).copied().unwrap_or_default();
        self.tasks.len() < ATTEMPTS_AT_ONCE_MAX
            && here < ENDPOINT_ATTEMPTS_MAX
            && !self.deliveries.contains(&due.delivery)
    }

    fn ended(&mut self, ended: Option<(i64, i64)>) {
        // A task that was cut off ends with the runtime.
        let Some((delivery, endpoint)) = ended else { return };
        self.deliveries.remove(&delivery);
        if let Some(count) = self.per_endpoint.get_mut(&endpoint) {
            *count = count.saturating_sub(1);
        }
        self.per_endpoint.retain(|_, count| *count > 0);
    }
}

/// Begins the attempts that are due; returns how long nothing else is.
async fn begin(
    shared: &Arc<Shared>,
    client: &reqwest::Client,
    under_way: &mut UnderWay,
) -> Result<Duration, DbError> {
    let at = now();
    let mut wait = LOOK_AGAIN;
    for due in shared.db.read(deliveries::next).await? {
        if due.next_at > at {
            wait = wait.min(Duration::from_millis(due.next_at.ms_since(at)));
            break;
        }
        if under_way.has_room_for(&due) {
            under_way.deliveries.insert(due.delivery);
            *under_way.per_endpoint.entry(due.endpoint).or_default() += 1;
            let (shared, client) = (Arc::clone(shared), client.clone());
            under_way.tasks.spawn(async move {
                let ended = (due.delivery, due.endpoint);
                if let Err(error) = attempt(&shared, &client, due).await {
                    tracing::error!(%error, "recording an attempt of a webhook");
                }
                ended
            });
        }
    }
    Ok(wait)
}

async fn attempt(shared: &Shared, client: &reqwest::Client, due: Due) -> Result<(), DbError> {
    let seconds = vinr::seconds(now());
    let signature = secret::sign(due.secret.as_bytes(), &format!("{seconds}.{}", due.body));
    let sent = client
        .post(&due.url)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .header(SIGNATURE_HEADER, format!("t={seconds},v1={signature}"))
        .body(due.body.clone())
        .send()
        .await;
    let (status, error) = match sent {
        Ok(answer) if answer.status().is_success() => (Some(answer.status().as_u16()), None),
        Ok(answer) => {
            let error = format!("the endpoint answered {}", answer.status());
            (Some(answer.status().as_u16()), Some(error))
        }
        // Without the URL, which may hold what is nobody's business.
        Err(error) => (None, Some(bounded(&chain(&error.without_url()), 256))),
    };
    let at = now();
    let retry_at = at.plus_ms(retry_delay_ms(shared.config.webhook_retry_base, due.attempts)?);
    let attempt = Attempt { status, error, retry_at };
    shared.db.write(move |db| deliveries::attempted(db, &due, &attempt, at)).await
}

/// An error and what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Doubles with every attempt up to the cap; the upper half of it is random.
fn retry_delay_ms(base: Duration, attempts: u32) -> Result<u64, DbError> {
    let doubled = base.saturating_mul(2_u32.saturating_pow(attempts)).min(RETRY_CAP);
    let half = u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX) / 2;
    let [a, b, c, d, ..] = secret::random_bytes()?;
    Ok(half + u64::from(u32::from_be_bytes([a, b, c, d])) % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_is_spread_over_its_upper_half_and_has_a_cap() {
        let base = Duration::from_secs(5);
        let mut seen = HashSet::new();
        for (attempts, from, to) in [(0, 2500, 5000), (1, 5000, 10_000), (3, 20_000, 40_000)] {
            for _ in 0..50 {
                let wait = retry_delay_ms(base, attempts).unwrap();
                assert!((from..=to).contains(&wait), "{attempts}: {wait}");
                seen.insert(wait);
            }
        }
        assert!(seen.len() > 100, "no jitter");
        for attempts in [12, 31, u32::MAX] {
            let wait = retry_delay_ms(base, attempts).unwrap();
            assert!((1_800_000..=3_600_000).contains(&wait), "{attempts}: {wait}");
        }
    }
}
