//! A chat request as bytes, and a whole answer or one streamed frame from bytes.

use bytes::Bytes;
use domain::chat::{ChatAnswer, ChatRequest, Delivery, Finish};
use domain::token::{TokenCount, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What of a call is not in its [`ChatRequest`].
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The model by the name its provider knows.
    pub model: &'a str,
    /// How the answer comes.
    pub delivery: Delivery,
    /// The field that carries the token limit.
    pub limit_field: LimitField,
}

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

/// One frame of a streamed answer. Any part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Text that follows what came before.
    pub text: String,
    /// Why the answer ended.
    pub finish: Option<Finish>,
    /// What it used.
    pub usage: Option<Usage>,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    model: &'a str,
    messages: Vec<MessageBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body of the request.
#[must_use]
pub fn request(call: Call<'_>, request: &ChatRequest) -> Bytes {
    let parameters = &request.parameters;
    let limit = |field| (call.limit_field == field).then_some(parameters.max_tokens);
    let streamed = call.delivery == Delivery::Streamed;
    let body = RequestBody {
        model: call.model,
        messages: request
            .messages
            .iter()
            .map(|message| MessageBody { role: message.role.name(), content: &message.text })
            .collect(),
        max_tokens: limit(LimitField::MaxTokens),
        max_completion_tokens: limit(LimitField::MaxCompletionTokens),
        temperature: parameters.temperature,
        top_p: parameters.top_p,
        seed: parameters.seed,
        stop: &parameters.stop,
        stream: streamed,
        stream_options: streamed.then_some(StreamOptions { include_usage: true }),
        response_format: request.schema.as_deref().and_then(response_format),
    };
    Bytes::from(serde_json::to_vec(&body).expect("numbers, texts and lists always serialise"))
}

/// The wish for an answer that keeps to `schema`; text that is no JSON is no wish.
fn response_format(schema: &str) -> Option<ResponseFormat<'_>> {
    let schema = serde_json::from_str(schema).ok()?;
    Some(ResponseFormat { kind: "json_schema", json_schema: JsonSchema { name: "answer", schema } })
}

#[derive(Deserialize)]
struct CompletionBody<'a> {
    #[serde(default, borrow)]
    choices: Vec<ChoiceBody<'a>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChoiceBody<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default, borrow, alias = "delta")]
    message: Option<ContentBody<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ContentBody<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct UsageBody {
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached part.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// Reads an answer that came in one piece.
///
/// # Errors
/// [`Unreadable`] when it is not a completion with a first choice, or is an error body.
pub fn answer(body: &[u8]) -> Result<ChatAnswer, Unreadable> {
    let frame = frame(body)?.ok_or(Unreadable)?;
    Ok(ChatAnswer { text: frame.text, finish: frame.finish.ok_or(Unreadable)?, usage: frame.usage })
}

/// Reads one frame of a streamed answer; `None` when it is an error body (see [`super::failure`]).
///
/// # Errors
/// [`Unreadable`] when it is neither.
pub fn frame(data: &[u8]) -> Result<Option<Frame>, Unreadable> {
    let body: CompletionBody<'_> = serde_json::from_slice(data).map_err(|_| Unreadable)?;
    if body.error.is_some_and(|error| error.get() != "null") {
        return Ok(None);
    }
    let usage = body.usage.and_then(usage);
    let Some(choice) = body.choices.into_iter().find(|choice| choice.index == 0) else {
        return Ok(Some(Frame { usage, ..Frame::default() }));
    };
    let text = choice.message.map(text).transpose()?.unwrap_or_default();
    let finish =
        choice.finish_reason.as_deref().filter(|reason| !reason.is_empty()).map(finish).transpose()?;
    Ok(Some(Frame { text, finish, usage }))
}

fn text(content: ContentBody<'_>) -> Result<String, Unreadable> {
    let text = match content.content.map(|raw| serde_json::from_str(raw.get())) {
        None => String::new(),
        Some(Ok(Some(Content::Text(text)))) => text,
        Some(Ok(Some(Content::Parts(parts)))) => parts.into_iter().map(|part| part.text).collect(),
        Some(Ok(None)) => String::new(),
        Some(Err(_)) => return Err(Unreadable),
    };
    // A model that refuses says so in its own field, with no content.
    Ok(if text.is_empty() { content.refusal.unwrap_or_default() } else { text })
}

pub(super) fn finish(reason: &str) -> Result<Finish, Unreadable> {
    match reason {
        "length" | "max_tokens" => Ok(Finish::Length),
        "content_filter" => Ok(Finish::ContentFilter),
        // A server that gave up says so here; its text is not a whole answer.
        "error" | "abort" | "cancelled" => Err(Unreadable),
        _ => Ok(Finish::Stop),
    }
}

/// Usage that cannot be read is usage not stated; the answer itself is still good.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let body: UsageBody = serde_json::from_str(raw.get()).ok()?;
    let count = |n: u64| TokenCount(u32::try_from(n).unwrap_or(u32::MAX));
    let cached = body.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let reasoning = body.completion_tokens_details.and_then(|details| details.reasoning_tokens);
    Some(Usage {
        cached_input: count(cached.or(body.prompt_cache_hit_tokens).unwrap_or(0)),
        reasoning_output: count(reasoning.unwrap_or(0)),
        ..Usage::of(count(body.prompt_tokens), count(body.completion_tokens))
    })
}

#[cfg(test)]
mod tests {
    use domain::chat::{Message, Parameters, Role};

    use super::*;

    fn question() -> ChatRequest {
        ChatRequest {
            messages: vec![
                Message::new(Role::System, "Answer from the passages."),
                Message::new(Role::User, "Is my \"deposit\" insured?\nHow far?"),
            ],
            ..ChatRequest::default()
        }
    }

    const STREAMED: Call<'_> =
        Call { model: "gpt-4o-mini", delivery: Delivery::Streamed, limit_field: LimitField::MaxTokens };

    #[test]
    fn requests_are_as_the_golden_files_say() {
        let mut full = question();
        full.parameters = Parameters {
            max_tokens: 300,
            temperature: 0.5,
            top_p: Some(0.9),
            seed: Some(7),
            stop: vec!["\n\n".to_owned()],
        };
        let whole =
            Call { delivery: Delivery::Whole, limit_field: LimitField::MaxCompletionTokens, ..STREAMED };
        for (call, body, golden) in [
            (STREAMED, question(), include_str!("../../golden/openai/request-streamed.json")),
            (whole, full, include_str!("../../golden/openai/request-whole.json")),
        ] {
            assert_eq!(String::from_utf8_lossy(&request(call, &body)), golden.trim_end());
        }
    }

    #[test]
    fn whole_answers_are_read() {
        let usage = |input, output, cached| {
            Some(Usage {
                cached_input: TokenCount(cached),
                ..Usage::of(TokenCount(input), TokenCount(output))
            })
        };
        for (golden, text, finish, used) in [
            (
                &include_bytes!("../../golden/openai/answer.json")[..],
                "Yes, up to $250,000.",
                Finish::Stop,
                usage(19, 8, 16),
            ),
            (
                include_bytes!("../../golden/openai/answer-parts.json"),
                "Yes, up to $250,000.",
                Finish::Length,
                usage(19, 8, 4),
            ),
            (
                include_bytes!("../../golden/openai/answer-refusal.json"),
                "I can't help with that.",
                Finish::Stop,
                None,
            ),
            (include_bytes!("../../golden/openai/answer-filtered.json"), "", Finish::ContentFilter, None),
        ] {
            assert_eq!(answer(golden), Ok(ChatAnswer { text: text.to_owned(), finish, usage: used }));
        }
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"error":{"message":"no"}}"#,
            r#"{"choices":[{"message":{"content":"half"},"finish_reason":null}]}"#, // not said to be whole
            r#"{"choices":[{"message":{"content":7},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"message":{"content":"half"},"finish_reason":"abort"}]}"#,
            r#"{"choices":[{"message":{"content":"\ud83d"},"finish_reason":"stop"}]}"#,
        ] {
            assert_eq!(answer(text.as_bytes()), Err(Unreadable), "{text}");
        }
    }

    #[test]
    fn odd_usage_does_not_cost_the_answer() {
        for (usage, want) in [
            ("null", None),
            ("{}", None),
            (r#"{"prompt_tokens":-1,"completion_tokens":1}"#, None),
            (
                r#"{"prompt_tokens":1,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                Some(Usage { reasoning_output: TokenCount(7), ..Usage::of(TokenCount(1), TokenCount(9)) }),
            ),
            (
                r#"{"prompt_tokens":99999999999,"completion_tokens":1}"#,
                Some(Usage { input: TokenCount(u32::MAX), output: TokenCount(1), ..Usage::default() }),
            ),
        ] {
            let data = format!(r#"{{"choices":[],"usage":{usage}}}"#);
            assert_eq!(
                frame(data.as_bytes()),
                Ok(Some(Frame { usage: want, ..Frame::default() })),
                "{usage}"
            );
        }
    }
}
