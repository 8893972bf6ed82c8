//! `POST /$batch`: up to twenty requests in one, answered in any order.
//! Source: "Combine multiple HTTP requests using JSON batching".

use std::collections::BTreeMap;

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::{Draft, Envelope, GraphError};

/// The most requests in one batch.
const BATCH_MAX: usize = 20;

#[derive(Deserialize)]
struct Batch {
    requests: Vec<BatchItem>,
}

/// One request of a batch.
#[derive(Deserialize)]
pub(crate) struct BatchItem {
    pub(crate) id: String,
    method: String,
    url: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: Value,
}

/// The requests of a batch.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<BatchItem>, GraphError> {
    let bad = |message: String| GraphError::new(400, "BadRequest", message);
    let batch: Batch = serde_json::from_slice(body)
        .map_err(|error| bad(format!("Invalid batch payload format: {error}.")))?;
    if batch.requests.len() > BATCH_MAX {
        return Err(bad(format!(
            "Number of batch request steps exceeds the maximum value of '{BATCH_MAX}'."
        )));
    }
    let mut ids: Vec<&str> = batch.requests.iter().map(|item| item.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(bad(format!("Request Id '{}' is not unique.", twice[0])));
    }
    Ok(batch.requests)
}

impl BatchItem {
    /// The method, and the path and query under `/v1.0`.
    pub(crate) fn asked(&self) -> (Method, String) {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or(Method::TRACE);
        (
            method,
            format!("/v1.0/{}", self.url.trim_start_matches('/')),
        )
    }

    /// The answer to this request, as it stands in the answer to the batch.
    pub(crate) fn response(&self, envelope: &Envelope, draft: Draft) -> (u16, Value) {
        let written = envelope.write(draft);
        let mut headers = Map::new();
        headers.insert("Content-Type".to_owned(), "application/json".into());
        for (name, value) in written.headers {
            headers.insert(canonical(name), value.into());
        }
        let text = String::from_utf8_lossy(&written.body).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let response = json!({
            "id": self.id,
            "status": written.status,
            "headers": headers,
            "body": body,
        });
        (written.status, response)
    }
}

/// `retry-after` as `Retry-After`.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
