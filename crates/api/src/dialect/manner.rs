//! How the replies of a dialect look, beside the answers themselves.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use domain::token::Usage;
use http::HeaderMap;

use crate::dialect::refusal::Refusal;
use crate::limits::{self, Words};
use crate::stream::event_stream;

/// A dialect's manner.
pub(crate) trait Manner: Send + Sync {
    /// An error reply to the request `request_id`.
    fn error(&self, refusal: &Refusal, request_id: &str) -> Response;

    /// What ends a stream that has begun and is not complete; no end marker follows it.
    fn broken(&self, refusal: &Refusal) -> Bytes;

    /// The kinds of providers that speak it, whose models a bare id means first.
    fn own_kinds(&self) -> &'static [&'static str];

    /// The header in which its SDKs look for the id of a request, beside `x-request-id`.
    fn request_id_header(&self) -> Option<&'static str> {
        None
    }

    /// Tells what an answer in one piece used, where the dialect has headers for that.
    fn tell_usage(&self, _headers: &mut HeaderMap, _usage: Usage) {}

    /// How it tells limits.
    fn limits(&self) -> &'static Words {
        &limits::OPENAI
    }

    /// Tells in a stream what a header tells elsewhere; `None` where streams have no comments.
    fn comment(&self, text: &str) -> Option<Bytes> {
        Some(Bytes::from(format!(": {text}\n\n")))
    }

    /// A sign of life that changes nothing; `None` where every frame means something.
    fn sign(&self) -> Option<Bytes> {
        self.comment("keep-alive")
    }

    /// The response around a stream.
    fn stream(&self, body: Body) -> Response {
        event_stream(body)
    }
}
