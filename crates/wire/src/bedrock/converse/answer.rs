//! A whole answer of Converse, read and written.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use domain::chat::{Done, Finish};
use domain::conversation::{Answer, Ending, Part};
use domain::token::{TokenCount, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{Block, Message, Reasoning, ReasoningText, Role, ToolUse};
use crate::bedrock::call_id::to_bedrock;
use crate::lenient;
use crate::stream::StreamError;
use crate::written;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(borrow)]
    stop_reason: Cow<'a, str>,
    #[serde(default, deserialize_with = "lenient::object")]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Said<'a>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    content: Vec<Content<'a>>,
}

/// A block of an answer; kinds that are not known say nothing to callers of another dialect.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(default)]
    text: Option<String>,
    #[serde(borrow, default)]
    tool_use: Option<Call<'a>>,
    #[serde(default)]
    reasoning_content: Option<Thought>,
    /// Text with its sources.
    #[serde(default)]
    citations_content: Option<Cited>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    tool_use_id: String,
    name: String,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thought {
    #[serde(default)]
    reasoning_text: Option<ThoughtText>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ThoughtText {
    text: String,
    #[serde(default)]
    signature: Option<String>,
}

#[derive(Deserialize)]
struct Cited {
    #[serde(default)]
    content: Vec<CitedText>,
}

#[derive(Deserialize)]
struct CitedText {
    #[serde(default)]
    text: String,
}

/// Token counts; `input_tokens` is without what the cache read and wrote.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) struct Tokens {
    #[serde(deserialize_with = "lenient::tokens")]
    input_tokens: u32,
    #[serde(deserialize_with = "lenient::tokens")]
    output_tokens: u32,
    #[serde(default, deserialize_with = "lenient::or_default")]
    total_tokens: u32,
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u32>,
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    cache_write_input_tokens: Option<u32>,
    /// What Nova's own format calls it.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing)]
    cache_read_input_token_count: Option<u32>,
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing)]
    cache_write_input_token_count: Option<u32>,
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    cache_details: Vec<CacheDetail>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    ttl: Cow<'static, str>,
    input_tokens: u32,
}

impl Tokens {
    /// What they count, in our terms.
    pub(in crate::bedrock) fn usage(&self) -> Usage {
        let read = self.cache_read_input_tokens.or(self.cache_read_input_token_count);
        let written = self.cache_write_input_tokens.or(self.cache_write_input_token_count);
        let (read, written) = (read.unwrap_or_default(), written.unwrap_or_default());
        let hour = self.cache_details.iter().filter(|detail| detail.ttl == "1h");
        let hour = hour.fold(0_u32, |sum, detail| sum.saturating_add(detail.input_tokens));
        Usage {
            input: TokenCount(self.input_tokens.saturating_add(read).saturating_add(written)),
            output: TokenCount(self.output_tokens),
            cached_input: TokenCount(read),
            cache_write_input: TokenCount(written),
            cache_write_hour_input: TokenCount(hour.min(written)),
            reasoning_output: TokenCount(0),
        }
    }

    /// `usage` in Bedrock's terms; nothing at all when it is not known, as the format has no word for that.
    pub(in crate::bedrock) fn of(usage: Option<Usage>) -> Self {
        let usage = usage.unwrap_or(Usage::NONE);
        let (read, written) = (usage.cached_input.0, usage.cache_write_input.0);
        let hour = usage.cache_write_hour_input.0.min(written);
        let mut cache_details = Vec::new();
        if hour > 0 {
            cache_details.push(CacheDetail { ttl: Cow::Borrowed("1h"), input_tokens: hour });
            if written > hour {
                cache_details.push(CacheDetail { ttl: Cow::Borrowed("5m"), input_tokens: written - hour });
            }
        }
        Self {
            input_tokens: usage.input.0.saturating_sub(read).saturating_sub(written),
            output_tokens: usage.output.0,
            total_tokens: usage.input.0.saturating_add(usage.output.0),
            cache_read_input_tokens: (read > 0).then_some(read),
            cache_write_input_tokens: (written > 0).then_some(written),
            cache_read_input_token_count: None,
            cache_write_input_token_count: None,
            cache_details,
        }
    }
}

/// Why an answer ended; `None` for reasons that are not known, or that say that the model broke down.
pub(in crate::bedrock) fn finish(stop_reason: &str) -> Option<Finish> {
    Some(match stop_reason {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopText,
        "tool_use" => Finish::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        _ => return None,
    })
}

/// What an answer is that ended for another reason.
pub(super) fn gave_up(stop_reason: &str, usage: Option<Usage>) -> StreamError {
    match stop_reason {
        "malformed_tool_use" => StreamError::misspoke("malformed_tool_use", usage),
        "malformed_model_output" => StreamError::misspoke("malformed_model_output", usage),
        _ => StreamError::without_reason(usage),
    }
}

/// [`finish`] in Bedrock's words.
pub(in crate::bedrock) fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopText => "stop_sequence",
        Finish::ToolUse => "tool_use",
        Finish::Length => "max_tokens",
        Finish::ContentFilter => "content_filtered",
    }
}

/// Reads an answer.
///
/// # Errors
/// [`StreamError`] when it is none, or not whole.
pub fn read(body: &[u8]) -> Result<Answer, StreamError> {
    let body = parse(body)?;
    let mut parts = Vec::with_capacity(body.output.message.content.len());
    for content in body.output.message.content {
        parts.extend(content.text.filter(|text| !text.is_empty()).map(Part::Text));
        parts.extend(content.tool_use.map(|call| Part::Call {
            id: call.tool_use_id,
            name: call.name,
            arguments: call.input.get().to_owned(),
        }));
        if let Some(thought) = content.reasoning_content {
            let text = thought.reasoning_text;
            parts.extend(text.map(|thought| Part::Thought { text: thought.text, proof: thought.signature }));
            parts.extend(thought.redacted_content.map(Part::SealedThought));
        }
        let cited = content.citations_content.map(|cited| cited.content).unwrap_or_default();
        let cited: String = cited.into_iter().map(|cited| cited.text).collect();
        if !cited.is_empty() {
            parts.push(Part::Text(cited));
        }
    }
    let usage = body.usage.map(|usage| usage.usage());
    let finish = finish(&body.stop_reason).ok_or_else(|| gave_up(&body.stop_reason, usage))?;
    Ok(Answer {
        id: String::new(),
        model: String::new(),
        parts,
        ending: Ending { finish, stop: None, usage },
    })
}

/// Reads how an answer ended that is passed on.
///
/// # Errors
/// [`StreamError`] when it is none, or not whole.
pub(in crate::bedrock) fn done(body: &[u8]) -> Result<Done, StreamError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Brief<'a> {
        #[serde(borrow)]
        #[expect(dead_code, reason = "it must be there, whatever it says")]
        output: &'a RawValue,
        #[serde(borrow)]
        stop_reason: Cow<'a, str>,
        #[serde(default, deserialize_with = "lenient::object")]
        usage: Option<Tokens>,
    }
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    crate::json::fields(body, crate::request::LIMITS).map_err(|_| StreamError::Malformed)?;
    let brief: Brief<'_> = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
    // Callers of the same dialect know more reasons than we do.
    let finish = finish(&brief.stop_reason).unwrap_or(Finish::Stop);
    Ok(Done { finish, usage: brief.usage.map(|usage| usage.usage()) })
}

fn parse(body: &[u8]) -> Result<Body<'_>, StreamError> {
    match body.trim_ascii() {
        b"" => Err(StreamError::Empty),
        body => serde_json::from_slice(body).map_err(|_| StreamError::Malformed),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    output: WrittenOutput<'a>,
    stop_reason: &'static str,
    usage: Tokens,
    metrics: Metrics,
}

#[derive(Serialize)]
struct WrittenOutput<'a> {
    message: Message<'a>,
}

/// Part of every answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metrics {
    latency_ms: u64,
}

impl Metrics {
    pub(super) fn of(took: Duration) -> Self {
        Self { latency_ms: milliseconds(took) }
    }
}

pub(in crate::bedrock) fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// An answer of ours, which took so long.
#[must_use]
pub fn write(answer: &Answer, took: Duration) -> Bytes {
    // Arguments that are no JSON are said as a text; it must outlive the blocks that name it.
    let said: Vec<Option<Box<RawValue>>> = answer.parts.iter().map(as_text).collect();
    let blocks = answer.parts.iter().zip(&said);
    let content = blocks.filter_map(|(part, said)| block(part, said.as_deref())).collect();
    let written = Written {
        output: WrittenOutput { message: Message { role: Role::Assistant, content } },
        stop_reason: stop_reason(answer.ending.finish),
        usage: Tokens::of(answer.ending.usage),
        metrics: Metrics::of(took),
    };
    written::body(&written)
}

/// The arguments of a call as a JSON text, where they are no JSON themselves.
fn as_text(part: &Part) -> Option<Box<RawValue>> {
    let Part::Call { arguments, .. } = part else { return None };
    let is_json = arguments.trim().is_empty() || serde_json::from_str::<&RawValue>(arguments).is_ok();
    (!is_json).then(|| serde_json::value::to_raw_value(arguments).ok()).flatten()
}

fn block<'a>(part: &'a Part, said: Option<&'a RawValue>) -> Option<Block<'a>> {
    Some(match part {
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => return None,
        Part::Text(text) | Part::Refusal(text) => Block::Text(Cow::Borrowed(text)),
        Part::Call { id, name, arguments } => {
            let text = if arguments.trim().is_empty() { "{}" } else { arguments };
            let input = said.or_else(|| serde_json::from_str(text).ok())?;
            Block::ToolUse(ToolUse { tool_use_id: to_bedrock(id), name: Cow::Borrowed(name), input })
        }
        Part::Thought { text, proof } => {
            let signature = proof.as_deref().map(Cow::Borrowed);
            Block::ReasoningContent(Reasoning::ReasoningText(ReasoningText {
                text: Cow::Borrowed(text),
                signature,
            }))
        }
        Part::SealedThought(sealed) => {
            Block::ReasoningContent(Reasoning::RedactedContent(Cow::Borrowed(sealed)))
        }
        // No model answers with these.
        Part::Image { .. }
        | Part::Document { .. }
        | Part::Audio(_)
        | Part::Result { .. }
        | Part::CachePoint(_) => return None,
    })
}
