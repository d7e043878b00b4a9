//! An answer of any model as an Anthropic message: whole, or event by event.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use domain::chat::Finish;
use domain::conversation::{Answer, Block, Delta, Ending, Event, Part};
use domain::token::Usage;
use serde::Serialize;
use serde_json::value::RawValue;

use super::request;
use crate::face::About;
use crate::stream::EventWriter;
use crate::written;

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<BlockBody<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    usage: UsageBody,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockBody<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Cow<'a, RawValue> },
}

#[derive(Serialize)]
struct UsageBody {
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u32,
    ephemeral_1h_input_tokens: u32,
}

#[derive(Serialize)]
struct OutputDetails {
    thinking_tokens: u32,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: BlockBody<'a> },
    ContentBlockDelta { index: u32, delta: DeltaBody<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End<'a>, usage: UsageBody },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaBody<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

fn usage_body(usage: Option<Usage>) -> UsageBody {
    let usage = usage.unwrap_or(Usage::NONE);
    let (written, hour) = (usage.cache_write_input.0, usage.cache_write_hour_input.0);
    UsageBody {
        input_tokens: usage.input.0.saturating_sub(usage.cached_input.0).saturating_sub(written),
        cache_creation_input_tokens: written,
        cache_read_input_tokens: usage.cached_input.0,
        output_tokens: usage.output.0,
        cache_creation: (written > 0).then(|| CacheCreation {
            ephemeral_5m_input_tokens: written.saturating_sub(hour),
            ephemeral_1h_input_tokens: hour,
        }),
        output_tokens_details: (usage.reasoning_output.0 > 0)
            .then_some(OutputDetails { thinking_tokens: usage.reasoning_output.0 }),
    }
}

fn reason(ending: &Ending, declined: Declined) -> &'static str {
    match (ending.finish, declined) {
        (_, Declined::Yes) | (Finish::ContentFilter, _) => "refusal",
        (Finish::ToolUse, _) => "tool_use",
        (Finish::StopText, _) => "stop_sequence",
        // Some providers do not tell a stop text from an end, but name it.
        (Finish::Stop, _) if ending.stop.is_some() => "stop_sequence",
        (Finish::Stop, _) => "end_turn",
        (Finish::Length, _) => "max_tokens",
    }
}

/// Whether the model declined, which other dialects say in a part of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Declined {
    Yes,
    #[default]
    No,
}

fn message_id(about: &About) -> String {
    format!("msg_{}", about.id)
}

/// A whole answer.
pub(super) fn whole(about: &About, answer: &Answer) -> Bytes {
    let declined = match answer.parts.iter().any(|part| matches!(part, Part::Refusal(_))) {
        true => Declined::Yes,
        false => Declined::No,
    };
    let message = Message {
        id: &message_id(about),
        kind: "message",
        role: "assistant",
        model: &about.model,
        content: answer.parts.iter().filter_map(block_body).collect(),
        stop_reason: Some(reason(&answer.ending, declined)),
        stop_sequence: answer.ending.stop.as_deref(),
        usage: usage_body(answer.ending.usage),
    };
    written::body(&message)
}

fn block_body(part: &Part) -> Option<BlockBody<'_>> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Some(BlockBody::Text { text }),
        Part::Thought { text, proof } => {
            Some(BlockBody::Thinking { thinking: text, signature: proof.as_deref().unwrap_or_default() })
        }
        Part::SealedThought(data) => Some(BlockBody::RedactedThinking { data }),
        Part::Call { id, name, arguments } => {
            Some(BlockBody::ToolUse { id, name, input: request::input(arguments) })
        }
        // Not what models say.
        Part::Image { .. }
        | Part::Document { .. }
        | Part::Audio(_)
        | Part::Result { .. }
        | Part::CachePoint(_) => None,
    }
}

/// Writes a streamed answer.
#[derive(Debug)]
pub(super) struct Writer {
    about: About,
    declined: Declined,
    /// Whether the open block holds thoughts, whose text has a name of its own.
    is_thought: bool,
}

impl Writer {
    pub(super) fn new(about: About) -> Self {
        Self { about, declined: Declined::No, is_thought: false }
    }
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        match event {
            Event::Begun { usage, .. } => {
                let message = Message {
                    id: &message_id(&self.about),
                    kind: "message",
                    role: "assistant",
                    model: &self.about.model,
                    content: Vec::new(),
                    stop_reason: None,
                    stop_sequence: None,
                    usage: usage_body(*usage),
                };
                put(frames, "message_start", &Frame::MessageStart { message });
            }
            Event::Opened { index, block } => {
                self.is_thought = *block == Block::Thought;
                let content_block = match block {
                    Block::Text => BlockBody::Text { text: "" },
                    Block::Thought => BlockBody::Thinking { thinking: "", signature: "" },
                    Block::SealedThought(data) => BlockBody::RedactedThinking { data },
                    Block::Call { id, name } => BlockBody::ToolUse { id, name, input: request::input("") },
                    Block::Refusal => {
                        self.declined = Declined::Yes;
                        BlockBody::Text { text: "" }
                    }
                };
                let frame = Frame::ContentBlockStart { index: *index, content_block };
                put(frames, "content_block_start", &frame);
            }
            Event::Delta { index, delta } => {
                let delta = match delta {
                    Delta::Text(text) if self.is_thought => DeltaBody::Thinking { thinking: text },
                    Delta::Text(text) => DeltaBody::Text { text },
                    Delta::Arguments(json) => DeltaBody::InputJson { partial_json: json },
                    Delta::Proof(proof) => DeltaBody::Signature { signature: proof },
                };
                put(frames, "content_block_delta", &Frame::ContentBlockDelta { index: *index, delta });
            }
            Event::Closed { index } => {
                put(frames, "content_block_stop", &Frame::ContentBlockStop { index: *index });
            }
            Event::Ended(ending) => {
                let delta =
                    End { stop_reason: reason(ending, self.declined), stop_sequence: ending.stop.as_deref() };
                put(frames, "message_delta", &Frame::MessageDelta { delta, usage: usage_body(ending.usage) });
                put(frames, "message_stop", &Frame::MessageStop);
            }
        }
    }
}

fn put(frames: &mut BytesMut, name: &str, frame: &Frame<'_>) {
    frames.extend_from_slice(b"event: ");
    frames.extend_from_slice(name.as_bytes());
    frames.extend_from_slice(b"\ndata: ");
    written::append(frame, frames);
    frames.extend_from_slice(b"\n\n");
}
