//! A client of a running server: asks over HTTP and reads the answer as it comes.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::Clock;
use http::{HeaderMap, HeaderValue, Method, header};
use outbound::{Origin, OriginConfig, OutboundError, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use wire::sse::{Decoder, Event, Limits};

use crate::clock::SystemClock;

/// A running server.
pub(crate) struct Server {
    origin: Origin,
    clock: Arc<SystemClock>,
    /// Keeps the connections alive as long as the server is asked.
    _http: outbound::Client,
}

/// A question without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there.
    #[error("no server answers at {url}: {source}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        source: OutboundError,
    },
    /// The server refused.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The reply broke off or is no reply.
    #[error("the reply broke off: {0}")]
    Broken(String),
}

/// Longer than any request may take at the server.
const PATIENCE: Duration = Duration::from_secs(90);
/// Most bytes of a reply that is read whole.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// What a client is told while it waits.
pub(crate) enum Told<'a> {
    /// A step began or ended.
    Step { name: &'a str, is_running: bool },
    /// Released text.
    Text(&'a str),
}

impl Server {
    pub(crate) fn new(url: &str, clock: Arc<SystemClock>) -> anyhow::Result<Self> {
        let http = outbound::Client::new(Arc::clone(&clock) as _, outbound::Config::default());
        let config = OriginConfig { base_url: url.to_owned(), allow_private: true, secret: None };
        let origin = http.origin(&config).map_err(|error| anyhow::anyhow!("--url `{url}`: {error}"))?;
        Ok(Self { origin, clock, _http: http })
    }

    /// Reads a JSON document.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(Request::get(path)).await?;
        let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string()))
    }

    /// How each target is.
    pub(crate) async fn breakers(&self) -> Result<Value, ClientError> {
        self.call(Request::get("/admin/v1/breakers")).await
    }

    /// Closes the breaker of `target`; returns how it is then.
    pub(crate) async fn reset_breaker(&self, target: &str) -> Result<Value, ClientError> {
        let target = utf8_percent_encode(target, NON_ALPHANUMERIC);
        let path = format!("/admin/v1/breakers/{target}/reset");
        self.call(Request { method: Method::POST, ..Request::get(&path) }).await
    }

    /// The JSON document of a reply that is no refusal.
    async fn call(&self, request: Request) -> Result<Value, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(request).await?;
        let status = response.status;
        let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string())),
            false => Err(ClientError::Refused(detail(&body))),
        }
    }

    /// Asks `/query`, telling what happens meanwhile; returns the body of the answer.
    pub(crate) async fn query(
        &self,
        question: &str,
        agent: Option<&str>,
        mut tell: impl FnMut(Told<'_>),
    ) -> Result<Value, ClientError> {
        let mut body = json!({ "query": question });
        if let (Some(agent), Some(fields)) = (agent, body.as_object_mut()) {
            fields.insert("agent".to_owned(), Value::from(agent));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let request = Request {
            method: Method::POST,
            path: "/query".to_owned(),
            headers,
            body: Bytes::from(body.to_string()),
        };
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(request).await?;
        if !response.status.is_success() {
            let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
            return Err(ClientError::Refused(detail(&body)));
        }
        let mut stream = response.body;
        let mut decoder =
            Decoder::new(Limits { line_bytes_max: REPLY_BYTES_MAX, event_bytes_max: REPLY_BYTES_MAX });
        let mut events = Vec::new();
        while let Some(portion) = stream.chunk(deadline).await.map_err(broken)? {
            decoder
                .push(&portion, &mut events)
                .map_err(|_| ClientError::Broken("an event is too long".to_owned()))?;
            for event in events.drain(..) {
                if let Some(answer) = take(&event, &mut tell)? {
                    return Ok(answer);
                }
            }
        }
        Err(ClientError::Broken("it ended without an answer".to_owned()))
    }

    async fn send(&self, request: Request) -> Result<outbound::Response, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        self.origin
            .send(request, deadline)
            .await
            .map_err(|source| ClientError::Unreachable { url: self.origin.name().to_owned(), source })
    }
}

fn broken(error: OutboundError) -> ClientError {
    ClientError::Broken(error.to_string())
}

fn take(event: &Event, tell: &mut impl FnMut(Told<'_>)) -> Result<Option<Value>, ClientError> {
    let data: Value =
        serde_json::from_slice(&event.data).map_err(|error| ClientError::Broken(error.to_string()))?;
    match event.name.as_str() {
        "step" => tell(Told::Step {
            name: data["name"].as_str().unwrap_or_default(),
            is_running: data["state"] == "started",
        }),
        "text" => tell(Told::Text(data["delta"].as_str().unwrap_or_default())),
        "answer" => return Ok(Some(data)),
        "error" => return Err(ClientError::Refused(detail(&event.data))),
        _ => {}
    }
    Ok(None)
}

fn detail(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    problem["detail"].as_str().unwrap_or("it did not say why").to_owned()
}
