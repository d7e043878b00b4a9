//! A streamed answer of ConverseStream, read.

use std::borrow::Cow;

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event};
use domain::meter::Stated;
use serde::Deserialize;

use super::answer::{Tokens, finish, gave_up};
use crate::bedrock::failure;
use crate::bedrock::frame::{self, Cutter, Kind};
use crate::blocks::Blocks;
use crate::stream::{Before, EventReader, Progress, StreamError};

/// Reads a stream of frames.
#[derive(Debug, Default)]
pub struct Reader {
    cutter: Cutter,
    events: Events,
}

impl EventReader for Reader {
    fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        self.cutter.push(portion);
        let mut progress = Progress::Silent;
        while self.events.progress != Progress::Ended {
            let Some(frame) = self.cutter.next_frame().map_err(|_| StreamError::Malformed)? else { break };
            let frame = frame::read(frame).map_err(|_| StreamError::Malformed)?;
            match frame.kind {
                Kind::Event(name) => progress = self.events.read(name.as_str(), &frame.payload, events)?,
                Kind::Exception(name) => {
                    return Err(StreamError::Refused(failure::exception(name.as_str(), &frame.payload)));
                }
                Kind::Error { code, message } => {
                    return Err(StreamError::Refused(failure::error(code.as_str(), message.as_str())));
                }
            }
        }
        Ok(if self.events.progress == Progress::Ended { Progress::Ended } else { progress })
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        self.events.end(events)
    }

    fn before(&self) -> Before {
        self.events.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.events.stated
    }
}

/// Understands the events themselves, however they came.
#[derive(Debug)]
pub(in crate::bedrock) struct Events {
    blocks: Blocks,
    /// The number of the open block, as the provider counts.
    open: Option<u32>,
    is_begun: bool,
    has_answer: bool,
    finish: Option<Finish>,
    /// Why there is no answer; what it used comes after it.
    gave_up: Option<StreamError>,
    stated: Option<Stated>,
    pub(in crate::bedrock) progress: Progress,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            blocks: Blocks::default(),
            open: None,
            is_begun: false,
            has_answer: false,
            finish: None,
            gave_up: None,
            stated: None,
            progress: Progress::Silent,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    content_block_index: u32,
    start: Start,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    #[serde(default)]
    tool_use: Option<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    content_block_index: u32,
    delta: Addition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addition {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<Input>,
    #[serde(default)]
    reasoning_content: Option<Thought>,
}

#[derive(Deserialize)]
struct Input {
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thought {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stopped<'a> {
    #[serde(borrow)]
    stop_reason: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "crate::lenient::object")]
    usage: Option<Tokens>,
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, StreamError> {
    serde_json::from_slice(payload).map_err(|_| StreamError::Malformed)
}

impl Events {
    /// Reads one event; those that are not known say nothing.
    pub(in crate::bedrock) fn read(
        &mut self,
        name: &str,
        payload: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Progress, StreamError> {
        match name {
            "messageStart" => self.begin(events),
            "contentBlockStart" => self.start(parse(payload)?, events)?,
            "contentBlockDelta" => self.add(parse(payload)?, events)?,
            "contentBlockStop" => {
                self.open = None;
                self.blocks.close(events);
            }
            "messageStop" => {
                let stopped: Stopped<'_> = parse(payload)?;
                self.begin(events);
                self.blocks.close(events);
                self.finish = finish(&stopped.stop_reason);
                if self.finish.is_none() {
                    self.gave_up = Some(gave_up(&stopped.stop_reason, None));
                    return Ok(Progress::Ending);
                }
            }
            "metadata" => {
                let metadata: Metadata = parse(payload)?;
                let usage = metadata.usage.map(|usage| usage.usage());
                self.stated = usage.map(|usage| Stated::of(usage, self.finish)).or(self.stated);
                if let Some(error) = self.gave_up {
                    return Err(error.having_used(self.stated.map(Stated::usage)));
                }
                if let Some(finish) = self.finish {
                    self.finish(finish, events);
                }
            }
            _ => return Ok(Progress::Silent),
        }
        self.progress = match (self.progress, self.finish) {
            (Progress::Ended, _) => Progress::Ended,
            (_, Some(_)) => Progress::Ending,
            (_, None) => Progress::Answering,
        };
        Ok(self.progress)
    }

    /// The end of the body.
    pub(in crate::bedrock) fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        match (self.progress, self.finish) {
            (Progress::Ended, _) => Ok(()),
            (_, None) if let Some(error) = self.gave_up => Err(error),
            // Only what it used did not come.
            (_, Some(finish)) => {
                self.finish(finish, events);
                Ok(())
            }
            (_, None) if self.has_answer => Err(StreamError::Cut),
            (_, None) if self.is_begun => Err(StreamError::Cut),
            (_, None) => Err(StreamError::Empty),
        }
    }

    pub(in crate::bedrock) fn before(&self) -> Before {
        if self.has_answer || self.finish.is_some() { Before::Text } else { Before::Nothing }
    }

    fn begin(&mut self, events: &mut Vec<Event>) {
        if !self.is_begun {
            self.is_begun = true;
            events.push(Event::Begun { id: String::new(), model: String::new(), usage: None });
        }
    }

    fn start(&mut self, started: Started, events: &mut Vec<Event>) -> Result<(), StreamError> {
        self.begin(events);
        if self.open.is_some_and(|open| open != started.content_block_index) && self.is_in_call() {
            return Err(StreamError::Malformed);
        }
        self.blocks.close(events);
        self.open = Some(started.content_block_index);
        if let Some(call) = started.start.tool_use {
            self.has_answer = true;
            self.blocks.open(Block::Call { id: call.tool_use_id, name: call.name }, events);
        }
        Ok(())
    }

    fn add(&mut self, added: Added, events: &mut Vec<Event>) -> Result<(), StreamError> {
        self.begin(events);
        let index = Some(added.content_block_index);
        if self.open != index {
            // Text has no start, and some models leave the stop out.
            self.blocks.close(events);
            self.open = index;
        }
        let Addition { text, tool_use, reasoning_content } = added.delta;
        if let Some(text) = text {
            self.has_answer |= !text.is_empty();
            self.blocks.add(Block::Text, Delta::Text(text), events);
        }
        if let Some(Input { input }) = tool_use {
            let call = self.blocks.current().filter(|block| matches!(block, Block::Call { .. }));
            let call = call.cloned().ok_or(StreamError::Malformed)?;
            self.blocks.add(call, Delta::Arguments(input), events);
        }
        if let Some(thought) = reasoning_content {
            self.has_answer = true;
            if let Some(text) = thought.text {
                self.blocks.add(Block::Thought, Delta::Text(text), events);
            }
            if let Some(signature) = thought.signature {
                self.blocks.add(Block::Thought, Delta::Proof(signature), events);
            }
            if let Some(sealed) = thought.redacted_content {
                self.blocks.open(Block::SealedThought(sealed), events);
            }
        }
        Ok(())
    }

    fn is_in_call(&self) -> bool {
        matches!(self.blocks.current(), Some(Block::Call { .. }))
    }

    fn finish(&mut self, finish: Finish, events: &mut Vec<Event>) {
        self.blocks.close(events);
        events.push(Event::Ended(Ending { finish, stop: None, usage: self.stated.map(Stated::usage) }));
        self.progress = Progress::Ended;
    }
}
