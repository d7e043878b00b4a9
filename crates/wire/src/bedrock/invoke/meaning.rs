//! What answers in the makers' own formats say, without taking their text out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::chat::{Done, Finish};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::others::{self, Counts};
use crate::anthropic::answer::{Counted, finish};
use crate::anthropic::messages::Messages;
use crate::bedrock::converse::answer;
use crate::bedrock::converse::relay::event;
use crate::bedrock::failure;
use crate::bedrock::model::Maker;
use crate::bedrock::relay::{Understand, said};
use crate::json;
use crate::protocol::OwnDialect as _;
use crate::relay::{Kind, Meaning};
use crate::request::LIMITS;
use crate::stream::StreamError;

/// What Bedrock adds to the last chunk of every stream.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    #[serde(default)]
    input_token_count: u32,
    #[serde(default)]
    output_token_count: u32,
    #[serde(default)]
    cache_read_input_token_count: u32,
    #[serde(default)]
    cache_write_input_token_count: u32,
}

impl Metrics {
    fn usage(&self) -> Usage {
        let (read, written) = (self.cache_read_input_token_count, self.cache_write_input_token_count);
        let input = self.input_token_count.saturating_add(read).saturating_add(written);
        Usage {
            cached_input: TokenCount(read),
            cache_write_input: TokenCount(written),
            ..Usage::of(TokenCount(input), TokenCount(self.output_token_count))
        }
    }
}

/// A frame's payload.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: Cow<'a, str>,
}

/// What is in a chunk's bytes.
pub(super) fn bytes(payload: &[u8]) -> Result<Vec<u8>, StreamError> {
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| StreamError::Malformed)?;
    let bytes = STANDARD.decode(&*chunk.bytes).map_err(|_| StreamError::Malformed)?;
    json::check(&bytes, LIMITS).map_err(|_| StreamError::Malformed)?;
    Ok(bytes)
}

/// Understands the frames of a streamed answer.
#[derive(Debug)]
pub(super) struct Chunks {
    maker: Maker,
    /// What Claude's events have counted.
    counted: Counted,
    /// What others' chunks have.
    counts: Counts,
}

impl Chunks {
    /// To a request with the body of `maker`.
    pub(super) fn new(maker: Maker) -> Self {
        Self { maker, counted: Counted::default(), counts: Counts::default() }
    }
}

impl Understand for Chunks {
    fn event(&mut self, name: &str, payload: &[u8]) -> Result<Meaning, StreamError> {
        if name != "chunk" {
            return Ok(Kind::Comment.into());
        }
        let bytes = bytes(payload)?;
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(&bytes).map_err(|_| StreamError::Malformed)?;
        let metrics = fields.get(METRICS).and_then(|raw| serde_json::from_str::<Metrics>(raw.get()).ok());
        let mut meaning = match self.maker {
            Maker::Claude => claude(&bytes, &mut self.counted)?,
            Maker::Nova => nova(&fields)?,
            Maker::Titan => titan(&bytes)?,
            // Whatever it is, it is a part of the answer.
            Maker::Gpt | Maker::Other => Meaning {
                has_answer: true,
                said: others::said(&bytes),
                usage: self.counts.take(&bytes),
                finish: metrics.is_some().then_some(Finish::Stop),
                ..Meaning::default()
            },
        };
        if let Some(metrics) = metrics {
            // They know nothing of how long a cache was asked to keep what was written, which has a price of its own.
            let counted = self.counted.usage().filter(|usage| usage.input > TokenCount(0));
            meaning.usage = counted.or_else(|| Some(metrics.usage()));
            meaning.kind = Kind::Last;
        }
        Ok(meaning)
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    message: Option<Begun<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// The message as the first event has it.
#[derive(Deserialize)]
struct Begun<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

/// An event of Anthropic's stream.
fn claude(bytes: &[u8], counted: &mut Counted) -> Result<Meaning, StreamError> {
    let event: Event<'_> = serde_json::from_slice(bytes).map_err(|_| StreamError::Malformed)?;
    let is = |kind: &str| event.kind == kind;
    if is("error") {
        return Err(StreamError::Refused(failure::exception("modelStreamErrorException", bytes)));
    }
    let raw = event.message.and_then(|message| message.usage).or(event.usage);
    counted.take(raw);
    let mut meaning = Meaning {
        usage: raw.and_then(|_| counted.usage()),
        has_answer: is("content_block_start") || is("content_block_delta"),
        kind: if is("message_stop") { Kind::Last } else { Kind::Part },
        ..Meaning::default()
    };
    // It is the end, whether or not the reason came before it.
    meaning.finish = is("message_stop").then_some(Finish::Stop);
    if let Some(delta) = event.delta {
        meaning.said = said([delta.text, delta.partial_json]);
        meaning.finish = delta.stop_reason.map(|reason| finish(&reason));
    }
    Ok(meaning)
}

/// An event of ConverseStream, within an object that names it.
fn nova(fields: &BTreeMap<Cow<'_, str>, &RawValue>) -> Result<Meaning, StreamError> {
    let mut meaning = Meaning::default();
    for (name, payload) in fields.iter().filter(|(name, _)| *name != METRICS) {
        let more = event(name, payload.get().as_bytes())?;
        meaning.has_answer |= more.has_answer;
        meaning.said = meaning.said.saturating_add(more.said);
        meaning.finish = more.finish.or(meaning.finish);
        meaning.usage = more.usage.or(meaning.usage);
        if more.kind == Kind::Last {
            meaning.kind = Kind::Last;
        }
    }
    Ok(meaning)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow, default)]
    output_text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    completion_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    input_text_token_count: Option<u32>,
    #[serde(default)]
    total_output_text_token_count: Option<u32>,
}

fn titan(bytes: &[u8]) -> Result<Meaning, StreamError> {
    let piece: Piece<'_> = serde_json::from_slice(bytes).map_err(|_| StreamError::Malformed)?;
    let counts = (piece.input_text_token_count, piece.total_output_text_token_count);
    Ok(Meaning {
        has_answer: piece.output_text.is_some_and(|text| text.get() != "\"\""),
        said: said([piece.output_text]),
        finish: piece.completion_reason.map(|reason| titan_finish(&reason)),
        usage: match counts {
            (Some(input), Some(output)) => Some(Usage::of(TokenCount(input), TokenCount(output))),
            _ => None,
        },
        kind: Kind::Part,
    })
}

/// Why an answer of Titan ended.
fn titan_finish(reason: &str) -> Finish {
    match reason {
        "LENGTH" => Finish::Length,
        "STOP_CRITERIA_MET" => Finish::StopText,
        "CONTENT_FILTERED" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    results: Option<Vec<Completion<'a>>>,
    #[serde(default)]
    input_text_token_count: Option<u32>,
    /// No answer has one; AWS's errors consist of it.
    #[serde(borrow, default, alias = "Message")]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completion<'a> {
    #[serde(default)]
    token_count: u32,
    #[serde(borrow, default)]
    completion_reason: Cow<'a, str>,
}

/// Reads how a whole answer ended, whoever made it.
pub(super) fn whole(body: &[u8]) -> Result<Done, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    json::fields(body, LIMITS).map_err(|_| StreamError::Malformed)?;
    let whole: Whole<'_> = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
    let input = TokenCount(whole.input_text_token_count.unwrap_or_default());
    Ok(match whole {
        Whole { results: Some(results), .. } => {
            let output = results.iter().fold(0_u32, |sum, result| sum.saturating_add(result.token_count));
            let last = results.last().ok_or(StreamError::Empty)?;
            let usage = Some(Usage::of(input, TokenCount(output)));
            Done { finish: titan_finish(&last.completion_reason), usage }
        }
        Whole { output: Some(_), .. } => answer::done(body)?,
        Whole { content: Some(_), .. } => Messages.whole(body)?,
        Whole { message: Some(_), .. } => return Err(StreamError::Malformed),
        // Vectors.
        Whole { input_text_token_count: Some(_), .. } => {
            Done { finish: Finish::Stop, usage: Some(Usage::of(input, TokenCount(0))) }
        }
        Whole { .. } => Done { finish: Finish::Stop, usage: Counts::default().take(body) },
    })
}
