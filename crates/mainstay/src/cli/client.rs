//! A client of a running server: asks over HTTP and reads the answer as it comes.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::Clock;
use domain::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, header};
use outbound::{Origin, OriginConfig, OriginError, OutboundError, Request, SecretForm};
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
    /// Someone else listens there.
    #[error("what answers at {url} is not a Mainstay server")]
    Foreign {
        /// Where.
        url: String,
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
    /// A client of the server at `url`, which is shown `key`.
    pub(crate) fn new(url: &str, key: Option<Secret>, clock: Arc<SystemClock>) -> anyhow::Result<Self> {
        let http = outbound::Client::new(Arc::clone(&clock) as _, outbound::Config::default());
        let secret = key.map(|key| (header::AUTHORIZATION, SecretForm::Bearer(key)));
        let config = OriginConfig { base_url: url.to_owned(), allow_private: true, secret };
        let origin = http.origin(&config).map_err(|error| no_origin(url, &error))?;
        Ok(Self { origin, clock, _http: http })
    }

    /// How the server is, by one of `/health/…`.
    pub(crate) async fn health(&self, path: &str) -> Result<Value, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(Request::get(path)).await?;
        // A server that is not ready says so with a 503; one that wants a key refuses.
        let is_refused = response.status.is_client_error();
        let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
        if is_refused {
            return Err(self.refused(&body));
        }
        self.own(&body, |health| {
            let status = health["status"].as_str().unwrap_or_default();
            let is_deep = health["parts"].is_array() && health["version"].is_string();
            let is_ready = health["reason"].is_string() && ["starting", "stopping"].contains(&status);
            is_deep || is_ready || (["live", "ready"].contains(&status) && path != DEEP)
        })
    }

    /// How each target is.
    pub(crate) async fn breakers(&self) -> Result<Value, ClientError> {
        let is_own = |listed: &Value| {
            listed["breakers"].as_array().is_some_and(|breakers| breakers.iter().all(is_breaker))
        };
        self.call(Request::get("/admin/v1/breakers"), is_own).await
    }

    /// What calls cost, as the text that the server sent: its amounts have more digits than a number here.
    pub(crate) async fn costs(&self, path: &str) -> Result<String, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(Request::get(path)).await?;
        let status = response.status;
        let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
        if !status.is_success() {
            return Err(self.refused(&body));
        }
        self.own(&body, |costs| costs["total"]["calls"].is_u64())?;
        String::from_utf8(body.to_vec()).map_err(|_| self.foreign())
    }

    /// What calls cost as comma-separated values, told in parts as they come.
    pub(crate) async fn costs_csv(&self, path: &str, mut tell: impl FnMut(&str)) -> Result<(), ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let mut request = Request::get(path);
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        let response = self.send(request).await?;
        if !response.status.is_success() {
            let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
            return Err(self.refused(&body));
        }
        let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/csv")) {
            return Err(self.foreign());
        }
        let mut body = response.body;
        // A character may be cut where a part ends.
        let mut pending = Vec::new();
        while let Some(part) = body.chunk(deadline).await.map_err(broken)? {
            pending.extend_from_slice(&part);
            let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            tell(&String::from_utf8_lossy(pending.get(..whole).unwrap_or_default()));
            pending.drain(..whole);
        }
        tell(&String::from_utf8_lossy(&pending));
        Ok(())
    }

    /// Closes the breaker of `target`; returns how it is then.
    pub(crate) async fn reset_breaker(&self, target: &str) -> Result<Value, ClientError> {
        let path = format!("/admin/v1/breakers/{}/reset", encoded(target));
        self.call(Request { method: Method::POST, ..Request::get(&path) }, is_breaker).await
    }

    /// Makes a key; the reply holds it.
    pub(crate) async fn create_key(&self, body: &Value) -> Result<Value, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_string());
        let path = KEYS.to_owned();
        self.call(Request { method: Method::POST, path, headers, body }, is_key).await
    }

    /// Makes a key that takes the place of another.
    pub(crate) async fn rotate_key(&self, id: &str, overlap: &str) -> Result<Value, ClientError> {
        let (id, overlap) = (encoded(id), encoded(overlap));
        let request = Request::get(&format!("{KEYS}/{id}/rotate?overlap={overlap}"));
        self.call(Request { method: Method::POST, ..request }, is_key).await
    }

    /// Levels that have a budget.
    pub(crate) async fn budgets(&self) -> Result<Vec<Value>, ClientError> {
        let page = self.call(Request::get(BUDGETS), |page| page["budgets"].is_array()).await?;
        Ok(page["budgets"].as_array().cloned().unwrap_or_default())
    }

    /// Lays `changes` over the limits that a key has of its own; returns how they are then.
    pub(crate) async fn set_limits(&self, key: &str, changes: &Value) -> Result<Value, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (path, body) = (format!("{BUDGETS}/key/{}", encoded(key)), Bytes::from(changes.to_string()));
        self.call(Request { method: Method::PUT, path, headers, body }, is_limits).await
    }

    /// Lets the budgets of a level begin anew; returns how they are then.
    pub(crate) async fn reset_budget(&self, level: &str, id: &str) -> Result<Value, ClientError> {
        let request = Request::get(&format!("{BUDGETS}/{}/{}/reset", encoded(level), encoded(id)));
        self.call(Request { method: Method::POST, ..request }, is_limits).await
    }

    /// Takes a key back; returns it as it is then.
    pub(crate) async fn revoke_key(&self, id: &str) -> Result<Value, ClientError> {
        let request = Request::get(&format!("{KEYS}/{}", encoded(id)));
        self.call(Request { method: Method::DELETE, ..request }, is_key).await
    }

    /// All keys, page by page.
    pub(crate) async fn keys(&self) -> Result<Vec<Value>, ClientError> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let is_page = |page: &Value| page["keys"].as_array().is_some_and(|keys| keys.iter().all(is_key));
            let page = self.call(Request::get(&format!("{KEYS}?limit=1000{cursor}")), is_page).await?;
            all.extend(page["keys"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => return Ok(all),
            }
        }
    }

    /// The JSON document of a reply that is no refusal.
    async fn call(
        &self,
        request: Request,
        is_own: impl FnOnce(&Value) -> bool,
    ) -> Result<Value, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        let response = self.send(request).await?;
        let status = response.status;
        let body = response.body.whole(REPLY_BYTES_MAX, deadline).await.map_err(broken)?;
        match status.is_success() {
            true => self.own(&body, is_own),
            false => Err(self.refused(&body)),
        }
    }

    /// A document, where it is one of Mainstay's.
    fn own(&self, body: &[u8], is_own: impl FnOnce(&Value) -> bool) -> Result<Value, ClientError> {
        let document = serde_json::from_slice(body).ok().filter(is_own);
        document.ok_or_else(|| self.foreign())
    }

    /// What a refusal says; each of Mainstay's has a code and a detail.
    fn refused(&self, body: &[u8]) -> ClientError {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        match (problem["code"].as_str(), problem["detail"].as_str()) {
            (Some(_), Some(detail)) => ClientError::Refused(detail.to_owned()),
            _ => self.foreign(),
        }
    }

    fn foreign(&self) -> ClientError {
        ClientError::Foreign { url: self.origin.name().to_owned() }
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
            return Err(self.refused(&body));
        }
        let mut stream = response.body;
        let mut decoder =
            Decoder::new(Limits { line_bytes_max: REPLY_BYTES_MAX, event_bytes_max: REPLY_BYTES_MAX });
        let (mut events, mut n_events) = (Vec::new(), 0_u64);
        while let Some(portion) = stream.chunk(deadline).await.map_err(broken)? {
            decoder
                .push(&portion, &mut events)
                .map_err(|_| ClientError::Broken("an event is too long".to_owned()))?;
            for event in events.drain(..) {
                n_events += 1;
                if let Some(answer) = take(&event, &mut tell)? {
                    return Ok(answer);
                }
            }
        }
        match n_events {
            0 => Err(self.foreign()),
            _ => Err(ClientError::Broken("it ended without an answer".to_owned())),
        }
    }

    async fn send(&self, request: Request) -> Result<outbound::Response, ClientError> {
        let deadline = self.clock.now().after(PATIENCE);
        self.origin.send(request, deadline).await.map_err(|source| match source {
            OutboundError::Unreadable { .. } => self.foreign(),
            source => ClientError::Unreachable { url: self.origin.name().to_owned(), source },
        })
    }
}

/// The path that tells of every part.
pub(crate) const DEEP: &str = "/health/deep";

/// The path of keys.
const KEYS: &str = "/admin/v1/keys";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The path of limits and budgets.
const BUDGETS: &str = "/admin/v1/budgets";

fn is_limits(limits: &Value) -> bool {
    limits["level"].is_string() && limits["budgets"].is_array()
}

fn is_key(key: &Value) -> bool {
    key["id"].is_string() && key["role"].is_string()
}

fn is_breaker(breaker: &Value) -> bool {
    breaker["target"].is_string() && breaker["state"].is_string()
}

/// These errors are worded for the settings.
fn no_origin(url: &str, error: &OriginError) -> anyhow::Error {
    match error {
        OriginError::Unreadable => {
            anyhow::anyhow!("--url `{url}`: this is not an address; write one as http://127.0.0.1:8080")
        }
        OriginError::Secret => {
            anyhow::anyhow!("the key cannot be sent: it holds letters that no header can carry")
        }
        OriginError::Scheme => anyhow::anyhow!("--url: an address begins with http:// or https://"),
        // The address is not repeated: it may hold a password.
        error => anyhow::anyhow!("--url: {}", error.to_string().replace("`base_url`", "the address")),
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
