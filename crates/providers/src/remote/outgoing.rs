//! A request on its way out.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, RelayCall};
use domain::fault::{Fault, Retry};
use domain::id::ModelId;
use domain::ports::ModelError;
use domain::trace_context::CallTrace;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use outbound::Request;
use wire::protocol::Place;

/// A request on its way out.
pub(super) struct Outgoing {
    pub(super) place: Place,
    pub(super) body: Bytes,
    /// Fields that the caller's dialect lets through.
    pub(super) headers: Vec<(&'static str, Box<str>)>,
    pub(super) delivery: Delivery,
    pub(super) trace: Option<CallTrace>,
    /// What is asked of which model, where not every model can do it.
    pub(super) aside: Option<(ModelId, Dialect)>,
}

impl Outgoing {
    /// A request with nothing of its caller's but the body.
    pub(super) fn new(place: Place, body: Bytes, (delivery, trace): (Delivery, Option<CallTrace>)) -> Self {
        Self { place, body, headers: Vec::new(), delivery, trace, aside: None }
    }

    /// As the origin is sent it.
    pub(super) fn request(self) -> Result<Request, ModelError> {
        let Self { place, body, headers, trace, .. } = self;
        let mut fields = HeaderMap::with_capacity(8);
        if let Some(trace) = &trace {
            put_trace(trace, &mut fields);
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(ACCEPT, HeaderValue::from_static(place.accept));
        let own = place.headers.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in own.chain(headers.iter().map(|(name, value)| (*name, &**value))) {
            let value = HeaderValue::from_str(value).map_err(|_| ModelError {
                fault: Fault::caller(Retry::Never),
                detail: format!("the header `{name}` holds bytes that no header may"),
            })?;
            fields.insert(HeaderName::from_static(name), value);
        }
        Ok(Request { method: Method::POST, path: place.path, headers: fields, body })
    }
}

/// What a call asks, where it is not what models are for in the first place.
pub(super) fn aside(call: &RelayCall) -> Option<(ModelId, Dialect)> {
    let dialect = call.relayed.dialect;
    matches!(dialect, Dialect::OpenAiEmbeddings | Dialect::OpenAiCompletions | Dialect::AnthropicCountTokens)
        .then(|| (call.model.clone(), dialect))
}

/// Under which span the provider is called, for one that traces, too.
fn put_trace(trace: &CallTrace, fields: &mut HeaderMap) {
    let state = trace.state.as_ref().map(|state| ("tracestate", state.as_str().to_owned()));
    for (name, value) in [("traceparent", trace.parent.to_string())].into_iter().chain(state) {
        // Both are checked to be visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&value) {
            fields.insert(name, value);
        }
    }
}
