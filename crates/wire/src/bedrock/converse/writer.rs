//! A streamed answer of ConverseStream, written.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::conversation::{Block, Delta, Event};
use serde::Serialize;

use super::answer::{Metrics, Tokens, stop_reason};
use crate::bedrock::call_id::to_bedrock;
use crate::bedrock::frame;
use crate::stream::{EventWriter, Took};
use crate::written;

/// Writes frames as AWS does: text has no start, every block has a stop, and the usage comes last.
#[derive(Debug, Default)]
pub struct Writer {
    events: Events,
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        self.events.each(event, &mut |name, payload| frame::event(name, payload, frames));
    }

    fn took(&mut self, took: Took) {
        self.events.took = took.whole;
    }
}

/// Writes the events themselves, however they go.
#[derive(Debug, Default)]
pub(in crate::bedrock) struct Events {
    /// What is added to a block of thoughts is said otherwise than what is added to text.
    open: Open,
    /// Told before the end.
    pub(in crate::bedrock) took: Duration,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thought,
    #[default]
    Other,
}

#[derive(Serialize)]
struct Role {
    role: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started<'a> {
    start: Start<'a>,
    content_block_index: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Start<'a> {
    #[serde(rename_all = "camelCase")]
    ToolUse { tool_use_id: &'a str, name: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Added<'a> {
    delta: Addition<'a>,
    content_block_index: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Addition<'a> {
    Text(&'a str),
    ToolUse { input: &'a str },
    ReasoningContent(Thought<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Thought<'a> {
    Text(&'a str),
    Signature(&'a str),
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Closed {
    content_block_index: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    stop_reason: &'static str,
}

#[derive(Serialize)]
struct Metadata {
    usage: Tokens,
    metrics: Metrics,
}

impl Events {
    /// Calls `put` with the name and the payload of each event that `event` makes.
    pub(in crate::bedrock) fn each(&mut self, event: &Event, put: &mut dyn FnMut(&'static str, Bytes)) {
        match event {
            Event::Begun { .. } => put("messageStart", written::body(&Role { role: "assistant" })),
            Event::Opened { index, block } => {
                self.open = if *block == Block::Thought { Open::Thought } else { Open::Other };
                start(*index, block, put);
            }
            Event::Delta { index, delta } => {
                let delta = match delta {
                    Delta::Text(text) if self.open == Open::Thought => {
                        Addition::ReasoningContent(Thought::Text(text))
                    }
                    Delta::Text(text) => Addition::Text(text),
                    Delta::Arguments(input) => Addition::ToolUse { input },
                    Delta::Proof(proof) => Addition::ReasoningContent(Thought::Signature(proof)),
                };
                put("contentBlockDelta", written::body(&Added { delta, content_block_index: *index }));
            }
            Event::Closed { index } => {
                put("contentBlockStop", written::body(&Closed { content_block_index: *index }))
            }
            Event::Ended(ending) => {
                put("messageStop", written::body(&Stopped { stop_reason: stop_reason(ending.finish) }));
                let (usage, metrics) = (Tokens::of(ending.usage), Metrics::of(self.took));
                put("metadata", written::body(&Metadata { usage, metrics }));
            }
        }
    }
}

/// Says that a block begins, where that is said at all.
fn start(index: u32, block: &Block, put: &mut dyn FnMut(&'static str, Bytes)) {
    match block {
        Block::Call { id, name } => {
            let start = Start::ToolUse { tool_use_id: &to_bedrock(id), name };
            put("contentBlockStart", written::body(&Started { start, content_block_index: index }));
        }
        Block::SealedThought(sealed) => {
            let delta = Addition::ReasoningContent(Thought::RedactedContent(sealed));
            put("contentBlockDelta", written::body(&Added { delta, content_block_index: index }));
        }
        Block::Text | Block::Thought | Block::Refusal => {}
    }
}
