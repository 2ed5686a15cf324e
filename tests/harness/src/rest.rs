//! The cloud's REST API as a client uses it.

use anyhow::{Context, Result};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::Value;

/// A client with a bearer token.
#[derive(Clone)]
pub struct Rest {
    client: Client,
    base: String,
    token: String,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// JSON body, or null.
    pub body: Value,
}

impl Rest {
    /// A client that trusts this authority only.
    pub fn new(base: &str, ca_pem: &str, token: &str) -> Result<Self> {
        let client = Client::builder()
            .add_root_certificate(Certificate::from_pem(ca_pem.as_bytes())?)
            .no_proxy()
            .build()?;
        Ok(Self { client, base: base.to_owned(), token: token.to_owned() })
    }

    /// GET with the token.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    /// POST of a JSON body with the token.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// POST with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Result<Answer> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        self.send(request.header("Idempotency-Key", key)).await
    }

    /// GET of bytes.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.bearer_auth(&self.token).send().await.context("no answer")?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
        let retry_after_s = retry_after.and_then(|text| text.parse().ok());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, retry_after_s, body })
    }
}
