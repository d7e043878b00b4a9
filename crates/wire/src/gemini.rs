//! Google's Gemini API: `generateContent`, `streamGenerateContent` and embeddings (ai.google.dev/api and the protocol
//! buffers of `google.ai.generativelanguage.v1beta`, read 2026-11). Callers do not speak it.
//!
//! Reading order: this file (the format), `request` and `turns` (a conversation as its body), [`schema`] (JSON schemas),
//! `answer` (what comes back), `stream` (in pieces), `failure` (what an error means), [`proof`] (thought signatures),
//! [`embedding`], [`counting`].

pub mod counting;
pub mod embedding;
pub mod proof;
pub mod schema;

mod answer;
mod failure;
mod request;
mod stream;
mod turns;

use bytes::Bytes;
use domain::chat::{Delivery, ErrorReply, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::Fault;

use crate::protocol::{Call, OwnDialect, Place, Protocol, Reply};
use crate::reader::Reader;
use crate::stream::{EventReader, StreamError};
use crate::translation::Untranslatable;

/// The format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gemini;

impl Protocol for Gemini {
    fn place(&self, call: Call<'_>) -> Place {
        match call.delivery {
            Delivery::Whole => place(call.model, "generateContent", "application/json"),
            Delivery::Streamed => place(call.model, "streamGenerateContent?alt=sse", "text/event-stream"),
        }
    }

    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
        request::body(conversation, Generation::of(call.model))
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError> {
        answer::whole(body)
    }

    fn reader(&self) -> Box<dyn EventReader> {
        Box::new(Reader::<stream::Pieces>::default())
    }

    fn classify(&self, reply: Reply<'_>) -> Fault {
        failure::classify(reply)
    }

    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
        failure::words(reply, conceal)
    }

    fn own_dialect(&self, _: &Relayed, _: &str) -> Option<&dyn OwnDialect> {
        None
    }
}

/// Where `method` of `model` is; tuned models bring the folder that they are in.
fn place(model: &str, method: &str, accept: &'static str) -> Place {
    let folder = if model.contains('/') { "" } else { "models/" };
    let mut path = format!("/{folder}");
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                path.push(byte.into())
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    Place { path: format!("{path}:{method}"), headers: Vec::new(), accept }
}

/// What a model can be told depends on when it was made; its name says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// Up to Gemini 2.5, and Gemma: thinking in tokens, answers either in JSON or with calls.
    Second,
    /// Since Gemini 3: thinking in words, signatures of calls are demanded.
    Third,
}

impl Generation {
    fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let is_older = ["gemini-1", "gemini-2", "gemma"].iter().any(|prefix| name.starts_with(prefix));
        if is_older { Self::Second } else { Self::Third }
    }
}

#[cfg(test)]
mod tests;
