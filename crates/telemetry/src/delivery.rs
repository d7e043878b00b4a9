//! One export: sent, tried again as OTLP says (specification 1.9), and given up.

use std::time::Duration;

use bytes::Bytes;
use domain::fault::Retry;
use domain::ports::Clock;
use domain::time::Moment;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use outbound::{Origin, Request};
use resilience::backoff;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::standard::Endpoint;

/// OTLP's own waits.
const BACKOFF: backoff::Config =
    backoff::Config { first: Duration::from_secs(1), max: Duration::from_secs(30) };
/// What could not be sent in this time is too old to wait for.
const TRYING: Duration = Duration::from_secs(60);
/// No collector is waited for longer than this before the next try.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(30);
/// Most bytes read of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The collector cannot be reached.
    #[error(transparent)]
    Outbound(#[from] outbound::OutboundError),
    /// It does not take it, at least now.
    #[error("it answered with status {status}")]
    Status { status: u16, retry: Retry },
}

impl Failed {
    fn retry(&self) -> Retry {
        match self {
            // Refused connections and timeouts may pass; a certificate or a redirect does not, but costs no more than
            // those to try.
            Self::Outbound(_) => Retry::Here,
            Self::Status { retry, .. } => *retry,
        }
    }
}

/// Sends one signal's exports.
pub(crate) struct Delivery<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) rng: &'a dyn domain::ports::Rng,
    pub(crate) origin: Origin,
    pub(crate) endpoint: Endpoint,
    pub(crate) stopping: CancellationToken,
}

impl Delivery<'_> {
    /// Sends `body`, trying again until it is taken, refused for good, or too old. While the server stops it is tried
    /// once more, without a wait. Returns what the collector said.
    pub(crate) async fn deliver(&self, body: Bytes) -> Result<Bytes, Failed> {
        let clock = &*self.hub.clock;
        let until = clock.now().after(TRYING);
        let mut retry_index = 0;
        loop {
            let was_stopping = self.stopping.is_cancelled();
            // Boxed, as a call is a large future and two signals are sent side by side.
            let failed = match Box::pin(self.send(body.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let wait = BACKOFF.wait(retry_index, failed.retry(), self.rng);
            let Some(wait) = wait.filter(|wait| !was_stopping && clock.now().after(*wait) < until) else {
                return Err(failed);
            };
            retry_index += 1;
            tokio::select! {
                () = clock.sleep(wait) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    async fn send(&self, body: Bytes) -> Result<Bytes, Failed> {
        let deadline = self.hub.clock.now().after(self.hub.settings.timeout);
        let response = self.origin.send(self.request(body), deadline).await?;
        let status = response.status.as_u16();
        let retry = retry_of(status, &response.headers, &*self.hub.clock);
        let answer = response.body.whole(ANSWER_BYTES_MAX, deadline).await;
        match response.status.is_success() {
            // Taken is taken, whatever becomes of the answer's body.
            true => Ok(answer.unwrap_or_default()),
            false => Err(Failed::Status { status, retry }),
        }
    }

    fn request(&self, body: Bytes) -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.hub.settings.headers {
            headers.insert(HeaderName::clone(name), HeaderValue::clone(value));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Request { method: Method::POST, path: self.endpoint.path.clone(), headers, body }
    }

    pub(crate) fn deadline(&self, wait: Duration) -> Moment {
        self.hub.clock.now().after(wait)
    }
}

/// Which statuses are worth another try (OTLP, "Retryable Response Codes").
fn retry_of(status: u16, headers: &HeaderMap, clock: &dyn Clock) -> Retry {
    if ![429, 502, 503, 504].contains(&status) {
        return Retry::Never;
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    match asked.and_then(|text| wire::retry_after::parse(text, clock.wall())) {
        Some(wait) => Retry::After(wait.min(ASKED_WAIT_MAX)),
        None => Retry::Here,
    }
}
