//! Any server that speaks OpenAI's chat completions.
//!
//! Reading order: this file (the call and its refusal), `answer` (the stream of an accepted call), `relay` (a caller's
//! own bytes, there and back), [`translated`] (the same for models that take texts only).

mod answer;
mod relay;
#[cfg(test)]
mod tests;
pub mod translated;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::chat::{ChatCall, Delivery, RelayCall};
use domain::fault::{Fault, Kind};
use domain::id::ProviderName;
use domain::ports::{BoxFuture, ChatModel, ChatStream, Clock, ModelError, RelayError, RelayedStream};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use outbound::{Origin, OutboundError, Request, Response};
use wire::openai::chat::{self, Call, LimitField};
use wire::openai::failure::{self, Reply};
use wire::retry_after;

/// How long a provider may be silent. Each wait also ends at the call's own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// From the request to the first event of the answer.
    pub first: Duration,
    /// From one event to the next; comments are no events.
    pub silence: Duration,
    /// From the finish reason to the usage and the end marker; the answer is complete without them.
    pub trailer: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        // First token and silence: DESIGN.md §4.
        let limit = Duration::from_secs(15);
        Self { first: limit, silence: limit, trailer: Duration::from_secs(2) }
    }
}

/// Most bytes read of an error's body, and the time for them.
const ERROR_BYTES_MAX: usize = 64 << 10;
const ERROR_TIME_MAX: Duration = Duration::from_secs(2);

/// A provider that speaks OpenAI's chat completions. Our own calls always stream; relayed ones as their caller wants.
pub struct OpenAiCompatible {
    provider: ProviderName,
    origin: Origin,
    clock: Arc<dyn Clock>,
    waits: Waits,
    limit_field: LimitField,
}

impl OpenAiCompatible {
    /// A client of `provider` at `origin`.
    #[must_use]
    pub fn new(provider: ProviderName, origin: Origin, clock: Arc<dyn Clock>) -> Self {
        Self { provider, origin, clock, waits: Waits::default(), limit_field: LimitField::default() }
    }

    /// The same with other limits of waiting.
    #[must_use]
    pub fn with_waits(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// The same with another field for the token limit.
    #[must_use]
    pub fn with_limit_field(self, limit_field: LimitField) -> Self {
        Self { limit_field, ..self }
    }

    async fn start(&self, call: ChatCall) -> Result<ChatStream, ModelError> {
        let first = self.clock.now().after(self.waits.first).min(call.deadline);
        let shape = Call {
            model: call.model.name_at_provider(),
            delivery: Delivery::Streamed,
            limit_field: self.limit_field,
        };
        let request = request(chat::request(shape, &call.request), Delivery::Streamed);
        let response = self.origin.send(request, first).await.map_err(|error| self.outbound(&error))?;
        if response.status.as_u16() != 200 {
            return Err(self.refused(response, first).await.error);
        }
        self.plain(&response.headers)?;
        let waiting = answer::Waiting {
            provider: self.provider.clone(),
            clock: Arc::clone(&self.clock),
            waits: self.waits,
            deadline: call.deadline,
            quiet_until: first,
        };
        Ok(answer::stream(response.body, waiting))
    }

    fn outbound(&self, error: &OutboundError) -> ModelError {
        failed(&self.provider, error)
    }

    /// A body in a coding that nobody asked for cannot be read, and must not be passed on as if it could.
    fn plain(&self, headers: &HeaderMap) -> Result<(), ModelError> {
        match headers.get(CONTENT_ENCODING) {
            Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let detail = format!("`{}` sent a compressed answer, which nobody asked for", self.provider);
                Err(ModelError { fault: Fault::provider(Kind::Transient), detail })
            }
            _ => Ok(()),
        }
    }

    /// What a status other than 200 means. Of the body only its codes count, and its words for a caller who speaks
    /// this dialect.
    async fn refused(&self, response: Response, until: domain::time::Moment) -> RelayError {
        let status = response.status.as_u16();
        let until = until.min(self.clock.now().after(ERROR_TIME_MAX));
        let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after = retry_after::told(header);
        let body = response.body.whole(ERROR_BYTES_MAX, until).await.unwrap_or_default();
        let fault = failure::classify(Reply { status, retry_after, body: &body, now: self.clock.wall() });
        let detail = format!("`{}` answered with status {status} ({})", self.provider, fault.kind.name());
        let reply = failure::words(status, &body, &|text| self.origin.conceal(text)).map(Box::new);
        RelayError { error: ModelError { fault, detail }, reply }
    }
}

fn request(body: Bytes, delivery: Delivery) -> Request {
    let accept = match delivery {
        Delivery::Streamed => "text/event-stream",
        Delivery::Whole => "application/json",
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    Request { method: Method::POST, path: "/chat/completions".to_owned(), headers, body }
}

fn failed(provider: &ProviderName, error: &OutboundError) -> ModelError {
    ModelError { fault: error.fault(), detail: format!("`{provider}` failed: {error}") }
}

impl ChatModel for OpenAiCompatible {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        Box::pin(self.start(call))
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, RelayError>> {
        Box::pin(self.pass(call))
    }
}
