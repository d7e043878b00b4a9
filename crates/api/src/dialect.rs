//! The doors that vendors' SDKs know, and what they have in common.
//!
//! Reading order: `incoming` (a request), this file (how it is read, and who answers it), `manner` (how a dialect's replies look), `relay` (bare
//! models, the caller's own bytes), `agent` (the whole pipeline in a dialect's shape), `refusal` (errors).

mod agent;
pub(crate) mod incoming;
pub(crate) mod manner;
pub(crate) mod refusal;
mod relay;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use domain::chat::Relayed;
use domain::id::ContentHash;
use domain::time::Moment;
use http::{HeaderMap, HeaderName, header};
use registry::clients::Named;

use crate::allowed;
use crate::anthropic::headers::is_anthropic;
use crate::anthropic::manner::Anthropic;
use crate::bedrock::manner::Bedrock;
use crate::body::read_json_bytes;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::head::{Head, Terms};
use crate::openai;
use crate::problem::Problem;
use crate::server::TIMEOUT;

/// Larger bodies are read on a thread that may block: a megabyte takes about a millisecond.
const READ_HERE_BYTES_MAX: usize = 256 << 10;

/// A request that was read.
struct Asked {
    relayed: Relayed,
    /// Of the body as received.
    hash: ContentHash,
    terms: Terms,
    /// When a stream must be over, where the caller limits its time.
    streams_until: Option<Moment>,
    /// The conversation, where the caller names it.
    session: Option<String>,
}

/// Headers that name a conversation: ours, and those that other gateways' clients send.
const SESSION: [HeaderName; 2] =
    [HeaderName::from_static("x-mainstay-session-id"), HeaderName::from_static("x-session-id")];

fn session(headers: &HeaderMap) -> Option<String> {
    let value = SESSION.iter().find_map(|name| headers.get(name))?;
    value.to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Paths at which nobody speaks Anthropic's dialect, whatever else is sent along.
const OPENAI_ONLY: [&str; 4] = ["/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/responses"];

/// Whether AWS's signature is on the request.
fn is_signed(headers: &HeaderMap) -> bool {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    text.is_some_and(|text| text.starts_with("AWS4-"))
}

/// How replies at `path` look; `None` where the native doors are.
pub(crate) fn manner_of(path: &str, headers: &HeaderMap) -> Option<&'static dyn Manner> {
    match path {
        _ if path.starts_with("/anthropic/") || path.starts_with("/v1/messages") => Some(&Anthropic),
        _ if OPENAI_ONLY.iter().any(|own| path.starts_with(own)) => Some(&openai::manner::OpenAi),
        // Two dialects have lists of models at the same path, and who asks for what is nowhere is told in its own.
        _ if path.starts_with("/v1/") && is_anthropic(headers) => Some(&Anthropic),
        _ if path.starts_with("/model/") || is_signed(headers) => Some(&Bedrock),
        _ if path.starts_with("/v1/") || path.starts_with("/openai/") => Some(&openai::manner::OpenAi),
        _ => None,
    }
}

/// Reads a request with what its dialect makes of the body.
async fn read<E: Into<Refusal> + Send + 'static>(
    head: &Head,
    body: Body,
    understand: impl FnOnce(Bytes) -> Result<Relayed, E> + Send + 'static,
) -> Result<Asked, Refusal> {
    let Head { api, headers, .. } = head;
    let (terms, session) = (head.terms()?, session(headers));
    let streams_until = headers.contains_key(&TIMEOUT).then_some(terms.deadline);
    let body = read_json_bytes(headers, body, api.dialect_body_limits(), api.clock.as_ref()).await?;
    let is_large = body.len() > READ_HERE_BYTES_MAX;
    let read = move || {
        let hash = pipeline::relay::hash(&body);
        understand(body).map(|relayed| (relayed, hash)).map_err(Into::into)
    };
    let (relayed, hash) = match is_large {
        false => read()?,
        true => {
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|_| Problem::internal("the body could not be read"))??
        }
    };
    Ok(Asked { relayed, hash, terms, streams_until, session })
}

/// Answers a request: an agent does, or a bare model.
async fn respond(
    Head { api, caller, .. }: Head,
    (asked, manner): (Asked, &'static dyn Manner),
) -> Result<Response, Refusal> {
    let pipeline = api.pipeline(asked.terms.deadline).await?;
    let snapshot = pipeline.current().pin();
    let named = allowed::named(&caller.principal, (&snapshot, &asked.relayed.model), manner.own_kinds())?;
    match named {
        Named::Agent(serving) => {
            let door = agent::Door { api, caller, pipeline, serving, manner };
            // Boxed, so that a bare model's request is not moved about in a place large enough for an agent's.
            Box::pin(agent::respond(door, asked)).await
        }
        Named::Route(route) => {
            let door = relay::Door { api, caller, pipeline, snapshot, route, manner };
            relay::respond(door, asked).await
        }
    }
}
