//! What the frames of a streamed answer say, with a verdict on whether the answer was whole.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event, Part};
use domain::meter::Stated;

use super::answer::{self, Body, Message};
use super::calls::Calls;
use super::reasoning::Thoughts;
use super::{Unreadable, finish, usage};
use crate::blocks::Blocks;
use crate::openai::failure;
use crate::reader::Understand;
use crate::sse;
use crate::stream::{Before, Progress, StreamError};

/// Knows what the frames of a streamed answer say.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    blocks: Blocks,
    thoughts: Thoughts,
    calls: Calls,
    has_begun: bool,
    has_answer: bool,
    has_calls: bool,
    finish: Option<Finish>,
    stated: Option<Stated>,
}

impl Understand for Chunks {
    fn frame(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        let data = frame.data.trim_ascii();
        if data == b"[DONE]" {
            // The marker itself says that the answer is complete, also where no reason was given.
            let finish = self.finish.or_else(|| self.has_answer.then_some(Finish::Stop));
            self.done(finish.ok_or(StreamError::Empty)?, events);
            return Ok(Progress::Ended);
        }
        if !data.is_empty() {
            let is_error = frame.name == "error";
            let body = match serde_json::from_slice::<Body<'_>>(data) {
                Ok(body) if !is_error && !body.is_error() => body,
                Err(_) if !is_error => return Err(StreamError::Malformed),
                _ => return Err(StreamError::Refused(failure::classify_event(data))),
            };
            self.take(body, events).map_err(|_| StreamError::Malformed)?;
        }
        Ok(Progress::before_end(self.finish))
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        let answer = answer::read(body).map_err(|_| StreamError::Malformed)?;
        let answer = answer.ok_or_else(|| StreamError::Refused(failure::classify_event(body)))?;
        events.push(Event::Begun { id: answer.id, model: answer.model, usage: None });
        self.has_begun = true;
        for part in answer.parts {
            match part {
                Part::Text(text) => self.blocks.add(Block::Text, Delta::Text(text), events),
                Part::Thought { text, proof } => {
                    // Two that follow each other are two.
                    self.blocks.close(events);
                    self.blocks.add(Block::Thought, Delta::Text(text), events);
                    self.blocks.add(Block::Thought, Delta::Proof(proof.unwrap_or_default()), events);
                }
                Part::SealedThought(data) => {
                    self.blocks.open(Block::SealedThought(data), events);
                    self.blocks.close(events);
                }
                Part::Refusal(text) => self.blocks.add(Block::Refusal, Delta::Text(text), events),
                Part::Call { id, name, arguments } => {
                    let block = Block::Call { id, name };
                    self.blocks.open(block.clone(), events);
                    self.blocks.add(block, Delta::Arguments(arguments), events);
                    self.has_calls = true;
                }
                _ => continue,
            }
            self.has_answer = true;
        }
        (self.finish, self.stated) = (Some(answer.ending.finish), answer.ending.usage.map(Stated::Finally));
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        self.done(self.finish.ok_or_else(|| StreamError::without_end(self.before()))?, events);
        Ok(())
    }

    fn before(&self) -> Before {
        if self.has_answer { Before::Text } else { Before::Nothing }
    }

    fn stated(&self) -> Option<Stated> {
        self.stated
    }
}

impl Chunks {
    fn take(&mut self, body: Body<'_>, events: &mut Vec<Event>) -> Result<(), Unreadable> {
        if !std::mem::replace(&mut self.has_begun, true) {
            let (id, model) = (body.id.unwrap_or_default(), body.model.unwrap_or_default());
            events.push(Event::Begun { id, model, usage: None });
        }
        let used = body.usage.and_then(usage);
        self.stated = used.map(|used| Stated::of(used, self.finish)).or(self.stated);
        let Some(choice) = body.choices.into_iter().find(|choice| choice.index == 0) else { return Ok(()) };
        if let Some(message) = choice.delta.or(choice.message) {
            self.add(message, events)?;
        }
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        self.finish = reason.map(|reason| finish(&reason)).transpose()?.or(self.finish);
        self.stated = used.map(|used| Stated::of(used, self.finish)).or(self.stated);
        Ok(())
    }

    fn add(&mut self, mut message: Message<'_>, events: &mut Vec<Event>) -> Result<(), Unreadable> {
        let text = message.text()?;
        let before = events.len();
        let thoughts =
            (message.thoughts().unwrap_or_default(), message.reasoning_details.unwrap_or_default());
        let refusal = message.refusal.unwrap_or_default();
        if !(thoughts.0.is_empty() && thoughts.1.is_empty() && text.is_empty() && refusal.is_empty()) {
            self.calls.finish(&mut self.blocks, events);
        }
        self.thoughts.add(thoughts, &mut self.blocks, events);
        self.blocks.add(Block::Text, Delta::Text(text), events);
        self.blocks.add(Block::Refusal, Delta::Text(refusal), events);
        for call in message.tool_calls.unwrap_or_default() {
            self.calls.add(call, &mut self.blocks, events)?;
        }
        self.has_answer |= events.len() > before;
        Ok(())
    }

    /// The answer ends, as its model says: also one without a word.
    fn done(&mut self, finish: Finish, events: &mut Vec<Event>) {
        if !self.has_begun {
            events.push(Event::Begun { id: String::new(), model: String::new(), usage: None });
        }
        self.calls.finish(&mut self.blocks, events);
        self.blocks.close(events);
        let has_calls = self.has_calls || !self.calls.is_empty();
        let finish = if finish == Finish::Stop && has_calls { Finish::ToolUse } else { finish };
        events.push(Event::Ended(Ending { finish, stop: None, usage: self.stated.map(Stated::usage) }));
    }
}
