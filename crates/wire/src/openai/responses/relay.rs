//! A caller's own request passed on byte for byte, with only what must change patched in place.

use bytes::Bytes;
use domain::chat::{Dialect, Done, Finish, Relayed};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;

use crate::lenient;
use crate::openai::chat::{both, with_reasoning};
use crate::openai::failure;
use crate::patch::Patch;
use crate::protocol::Call;
use crate::request::{self, MODEL, Names, RequestError, STREAM};
use crate::stream::StreamError;

pub(super) mod stream;

const MAX_TOKENS: &str = "max_output_tokens";
const TEMPERATURE: &str = "temperature";
/// A prompt that is kept at OpenAI, by its id.
const PROMPT: &str = "prompt";
/// Whether the answer is to be fetched later, which nobody can here.
const BACKGROUND: &str = "background";
const NAMES: Names =
    Names { known: &[MODEL, STREAM, MAX_TOKENS, TEMPERATURE, PROMPT, BACKGROUND], tools: &["tools"] };

/// Reads `body` in one scan, which also checks depth, keys and surrogates.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub fn read(body: Bytes) -> Result<Relayed, RequestError> {
    let relayed = request::read(body, Dialect::OpenAiResponses, NAMES)?;
    let background = relayed.fields.iter().find(|field| field.name == BACKGROUND);
    let value = background.and_then(|field| relayed.body.get(field.value.clone()));
    match value {
        None | Some(b"false" | b"null") => Ok(relayed),
        Some(_) => Err(RequestError::Field {
            field: BACKGROUND,
            expected: "false: answers are not kept here, so that nobody could fetch this one",
        }),
    }
}

/// The body with what `call` says set; every other byte stays as it is.
pub(super) fn patch(relayed: &Relayed, call: Call<'_>) -> Bytes {
    let mut patch = Patch::of(relayed, call.model);
    if let Some(most) = call.overrides.max_tokens {
        let given = patch.field(MAX_TOKENS).and_then(|field| patch.count(field));
        // Also where the caller left it open with a null.
        if given.is_none_or(|given| given > u64::from(most)) {
            patch.set(MAX_TOKENS, most);
        }
    }
    if let Some(temperature) = call.overrides.temperature {
        patch.set(TEMPERATURE, temperature);
    }
    patch.apply()
}

/// A response, as far as it says how it ended.
#[derive(Deserialize)]
pub(super) struct Response {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    incomplete_details: Option<Details>,
    #[serde(default, deserialize_with = "lenient::object")]
    usage: Option<Counted>,
    #[serde(default)]
    output: Vec<Item>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default, deserialize_with = "lenient::count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    total_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::object")]
    input_tokens_details: Option<InputDetails>,
    #[serde(default, deserialize_with = "lenient::object")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    #[serde(default, deserialize_with = "lenient::count")]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    #[serde(default, deserialize_with = "lenient::count")]
    reasoning_tokens: Option<u64>,
}

impl Counted {
    fn usage(&self) -> Option<Usage> {
        let count = |n: u64| TokenCount(u32::try_from(n).unwrap_or(u32::MAX));
        let (input, output) = both((self.input_tokens, self.output_tokens), self.total_tokens)?;
        let cached = self.input_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let reasoning = self.output_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        let output = with_reasoning((input, output), reasoning.unwrap_or(0), self.total_tokens);
        Some(Usage {
            cached_input: count(cached.unwrap_or(0)),
            reasoning_output: count(reasoning.unwrap_or(0)),
            ..Usage::of(count(input), count(output))
        })
    }
}

impl Response {
    /// How it ended; `None` when it has not, or failed.
    pub(super) fn done(&self) -> Option<Done> {
        let has_calls = self.output.iter().any(|item| item.kind == "function_call");
        let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
        let finish = match self.status.as_deref() {
            Some("completed") if has_calls => Finish::ToolUse,
            Some("completed") => Finish::Stop,
            Some("incomplete") if reason == Some("content_filter") => Finish::ContentFilter,
            Some("incomplete") => Finish::Length,
            // A request that goes on in the background was accepted: that is its answer.
            Some("queued" | "in_progress") => Finish::Stop,
            _ => return None,
        };
        Some(Done { finish, usage: self.usage.as_ref().and_then(Counted::usage) })
    }
}

/// Reads how a whole answer ended.
///
/// # Errors
/// [`StreamError`] when it is none, or not whole.
pub(super) fn whole(body: &[u8]) -> Result<Done, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    let response: Response = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
    match response.done() {
        Some(done) => Ok(done),
        None if response.status.is_none() && !failure::is_error(body) => Err(StreamError::Malformed),
        None => Err(StreamError::Refused(failure::classify_event(body))),
    }
}
