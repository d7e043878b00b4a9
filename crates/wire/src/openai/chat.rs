//! Chat completions: as a provider's format and as a dialect of callers.
//!
//! Reading order: this file (both sides), `inbound` and `request` (a request, read and written), `answer` (a whole
//! one, read and written), `reader` and `writer` (a stream), `reasoning` (thoughts, which OpenAI has no field for), `names`
//! (not too long), `calls` (of a stream, one after the other).

mod answer;
mod calls;
mod inbound;
mod names;
mod reader;
mod reasoning;
mod request;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, ErrorReply, Finish, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::Fault;
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::completions::Completions;
use super::embeddings::Embeddings;
use super::failure;
use super::responses::Responses;
use crate::face::{About, Face};
use crate::lenient;
use crate::protocol::{Call, OwnDialect, Place, Protocol, Reply};
use crate::reader::Reader;
use crate::stream::{EventReader, EventWriter, StreamError};
use crate::translation::{ReadError, Untranslatable};

/// The name of the token limit: the older one is understood by nearly all compatible servers,
/// the newer one by OpenAI's reasoning models, which refuse the older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitField {
    /// `max_tokens`.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// Bytes that are no chat completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a readable chat completion")]
pub struct Unreadable;

/// Chat completions as providers speak them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatCompletions {
    /// The field that carries the token limit.
    pub limit_field: LimitField,
    /// Whether the provider takes responses, too.
    pub responses: Endpoint,
    /// Whether it knows the fields in which thoughts come back.
    pub thoughts: Thoughts,
}

/// What a provider makes of `reasoning_content` and `reasoning_details` in the messages of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Thoughts {
    /// It takes them, or passes over them.
    #[default]
    Taken,
    /// It refuses the request: OpenAI itself, Azure, and gateways before them.
    Refused,
}

/// Whether a provider has an endpoint beside chat completions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// It has.
    There,
    /// It has not: what is asked there is translated.
    #[default]
    Missing,
}

impl Protocol for ChatCompletions {
    fn place(&self, call: Call<'_>) -> Place {
        place(call.delivery)
    }

    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
        request::write(conversation, call, *self)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError> {
        match answer::read(body) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(StreamError::Refused(failure::classify_event(body))),
            Err(Unreadable) => Err(StreamError::Malformed),
        }
    }

    fn reader(&self) -> Box<dyn EventReader> {
        Box::new(Reader::<reader::Chunks>::default())
    }

    fn classify(&self, reply: Reply<'_>) -> Fault {
        failure::classify(reply)
    }

    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
        failure::words(reply.status, reply.body, conceal)
    }

    fn own_dialect(&self, relayed: &Relayed, _model: &str) -> Option<&dyn OwnDialect> {
        match relayed.dialect {
            Dialect::OpenAiChat => Some(self),
            Dialect::OpenAiResponses if self.responses == Endpoint::There => Some(&Responses),
            Dialect::OpenAiCompletions => Some(&Completions),
            Dialect::OpenAiEmbeddings => Some(&Embeddings),
            _ => None,
        }
    }
}

/// Where calls go.
pub(super) fn place(delivery: Delivery) -> Place {
    let accept = match delivery {
        Delivery::Streamed => "text/event-stream",
        Delivery::Whole => "application/json",
    };
    Place { path: "/chat/completions".to_owned(), headers: Vec::new(), accept }
}

/// Chat completions as callers speak them.
#[derive(Debug, Clone, Copy)]
pub struct ChatFace;

impl Face for ChatFace {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        inbound::read(&relayed.body)
    }

    fn answer(&self, about: &About, answer: &Answer, _relayed: &Relayed) -> Bytes {
        answer::write(about, answer)
    }

    fn writer(&self, about: About, relayed: &Relayed) -> Box<dyn EventWriter> {
        Box::new(writer::Writer::new(about, relayed.usage))
    }
}

#[derive(Deserialize)]
struct UsageBody {
    #[serde(default, deserialize_with = "lenient::count")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    total_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::object")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default, deserialize_with = "lenient::object")]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached part.
    #[serde(default, deserialize_with = "lenient::count")]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "lenient::count")]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default, deserialize_with = "lenient::count")]
    reasoning_tokens: Option<u64>,
}

pub(super) fn finish(reason: &str) -> Result<Finish, Unreadable> {
    match reason {
        "length" | "max_tokens" => Ok(Finish::Length),
        "content_filter" => Ok(Finish::ContentFilter),
        "tool_calls" | "function_call" => Ok(Finish::ToolUse),
        // A server that gave up says so here; its text is not a whole answer.
        "error" | "abort" | "cancelled" => Err(Unreadable),
        _ => Ok(Finish::Stop),
    }
}

/// Usage that cannot be read is usage not stated; the answer itself is still good.
pub(crate) fn usage(raw: &RawValue) -> Option<Usage> {
    let body: UsageBody = serde_json::from_str(raw.get()).ok()?;
    let count = |n: u64| TokenCount(u32::try_from(n).unwrap_or(u32::MAX));
    let cached = body.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let reasoning = body.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
    let (input, output) = both((body.prompt_tokens, body.completion_tokens), body.total_tokens)?;
    let output = with_reasoning((input, output), reasoning, body.total_tokens);
    Some(Usage {
        cached_input: count(cached.or(body.prompt_cache_hit_tokens).unwrap_or(0)),
        reasoning_output: count(reasoning),
        ..Usage::of(count(input), count(output))
    })
}

/// What was read and what was generated; one of them that is not there is what the other leaves of the total. Without that, what
/// was used is not stated.
pub(super) fn both((input, output): (Option<u64>, Option<u64>), total: Option<u64>) -> Option<(u64, u64)> {
    let rest = |known: u64| total?.checked_sub(known);
    match (input, output) {
        (Some(input), Some(output)) => Some((input, output)),
        (Some(input), None) => Some((input, rest(input)?)),
        (None, Some(output)) => Some((rest(output)?, output)),
        (None, None) => None,
    }
}

/// What was generated, `reasoning` included, of which OpenAI counts it as a part and xAI beside it (10,120 read, 1,499 said and
/// 2,809 thought are 14,428 in all), and Gemini's OpenAI endpoint in the total alone: that says how much it is. Without one, a part is
/// never more than its whole.
pub(super) fn with_reasoning((input, output): (u64, u64), reasoning: u64, total: Option<u64>) -> u64 {
    let beside = if reasoning > output { output.saturating_add(reasoning) } else { output };
    output.max(total.map_or(beside, |total| total.saturating_sub(input)))
}

pub(super) fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopText => "stop",
        Finish::ToolUse => "tool_calls",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
    }
}

pub(super) fn usage_body(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input.0,
        "completion_tokens": usage.output.0,
        "total_tokens": usage.input.0.saturating_add(usage.output.0),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input.0 },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_output.0 },
    })
}
