//! A streamed answer of ours as frames of chat completions.

use bytes::BytesMut;
use domain::chat::UsageFrame;
use domain::conversation::{Block, Delta, Ending, Event};
use serde::Serialize;
use serde_json::Value;

use super::reasoning::Detail;
use super::{reason, usage_body};
use crate::face::About;
use crate::stream::EventWriter;
use crate::written;

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Said<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[Detail; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

#[derive(Serialize)]
struct Call<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The end marker of a complete stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Writes frames.
pub(super) struct Writer {
    id: String,
    about: About,
    usage_frame: UsageFrame,
    /// What the open block is.
    block: Option<Block>,
    n_calls: u32,
    /// The thoughts of which something was told and that are complete.
    n_thoughts: u64,
    has_thought: bool,
    has_spoken: bool,
}

impl Writer {
    pub(super) fn new(about: About, usage_frame: UsageFrame) -> Self {
        let id = format!("chatcmpl-{}", about.id);
        let (n_calls, n_thoughts) = (0, 0);
        Self {
            id,
            about,
            usage_frame,
            block: None,
            n_calls,
            n_thoughts,
            has_thought: false,
            has_spoken: false,
        }
    }

    fn frame(&self, (choices, usage): (&[Choice<'_>], Option<Value>), frames: &mut BytesMut) {
        let (id, model) = (self.id.as_str(), self.about.model.as_str());
        let object = "chat.completion.chunk";
        let chunk = Chunk { id, object, created: self.about.created, model, choices, usage };
        frames.extend_from_slice(b"data: ");
        written::append(&chunk, frames);
        frames.extend_from_slice(b"\n\n");
    }

    fn say(&mut self, delta: Said<'_>, frames: &mut BytesMut) {
        if !std::mem::replace(&mut self.has_spoken, true) {
            let delta = Said { role: Some("assistant"), content: Some(""), ..Said::default() };
            self.frame((&[Choice { index: 0, delta, finish_reason: None }], None), frames);
        }
        self.frame((&[Choice { index: 0, delta, finish_reason: None }], None), frames);
    }

    fn call(&mut self, call: Call<'_>, frames: &mut BytesMut) {
        self.say(Said { tool_calls: Some([call]), ..Said::default() }, frames);
    }

    /// Adds `detail` to the thought under way; its `words` stand in the plain field, too.
    fn think(&mut self, (words, detail): (Option<&str>, Detail), frames: &mut BytesMut) {
        self.has_thought = true;
        let reasoning_details = Some([detail.at(self.n_thoughts)]);
        self.say(Said { reasoning_content: words, reasoning_details, ..Said::default() }, frames);
    }

    fn end(&mut self, ending: &Ending, frames: &mut BytesMut) {
        let finish_reason = Some(reason(ending.finish));
        let role = (!self.has_spoken).then_some("assistant");
        let delta = Said { role, ..Said::default() };
        self.frame((&[Choice { index: 0, delta, finish_reason }], None), frames);
        if let Some(usage) = ending.usage.filter(|_| self.usage_frame == UsageFrame::Wanted) {
            self.frame((&[], Some(usage_body(usage))), frames);
        }
        frames.extend_from_slice(DONE);
    }
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        match event {
            Event::Begun { .. } => {}
            Event::Opened { block, .. } => {
                match block {
                    Block::Call { id, name } => {
                        let function = Function { name: Some(name), arguments: "" };
                        let call =
                            Call { index: self.n_calls, id: Some(id), kind: Some("function"), function };
                        self.call(call, frames);
                    }
                    Block::SealedThought(data) => self.think((None, Detail::sealed(data)), frames),
                    Block::Text | Block::Thought | Block::Refusal => {}
                }
                self.block = Some(block.clone());
            }
            Event::Delta { delta: Delta::Text(text), .. } if self.block == Some(Block::Thought) => {
                self.think((Some(text), Detail::text(Some(text.clone()), None)), frames);
            }
            Event::Delta { delta: Delta::Text(text), .. } => {
                let delta = match self.block {
                    Some(Block::Refusal) => Said { refusal: Some(text), ..Said::default() },
                    _ => Said { content: Some(text), ..Said::default() },
                };
                self.say(delta, frames);
            }
            Event::Delta { delta: Delta::Arguments(arguments), .. } => {
                let function = Function { name: None, arguments };
                self.call(Call { index: self.n_calls, id: None, kind: None, function }, frames);
            }
            Event::Delta { delta: Delta::Proof(proof), .. } => {
                self.think((None, Detail::text(None, Some(proof.clone()))), frames);
            }
            Event::Closed { .. } => match self.block.take() {
                Some(Block::Call { .. }) => self.n_calls += 1,
                // OpenAI's SDK takes no number that leaves one out.
                _ => self.n_thoughts += u64::from(std::mem::take(&mut self.has_thought)),
            },
            Event::Ended(ending) => self.end(ending, frames),
        }
    }
}
