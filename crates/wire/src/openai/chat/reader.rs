//! A streamed answer: bytes in, events out, with a verdict on whether the answer was whole.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event, Part};
use domain::token::Usage;

use super::answer::{self, Body, Function, Message};
use super::{Unreadable, finish, usage};
use crate::blocks::Blocks;
use crate::openai::failure;
use crate::sse;
use crate::stream::{Before, EventReader, Progress, StreamError};

/// Reads a streamed answer.
///
/// A missing end marker is forgiven when a finish reason came. A body that is one JSON object instead of an
/// event stream is read as a whole answer, whatever its content type said.
#[derive(Debug, Default)]
pub(super) struct Reader {
    shape: Shape,
    blocks: Blocks,
    /// The provider's number of the call that is open.
    call_index: Option<u64>,
    has_begun: bool,
    has_answer: bool,
    has_calls: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_ended: bool,
}

#[derive(Debug, Default)]
enum Shape {
    #[default]
    Unknown,
    Events(sse::Decoder),
    Whole(Vec<u8>),
}

/// Most bytes of an answer that came in one piece.
const WHOLE_BYTES_MAX: usize = 16 << 20;

impl EventReader for Reader {
    fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        if let Shape::Unknown = self.shape {
            match portion.iter().find(|byte| !byte.is_ascii_whitespace()) {
                // No line of an event stream begins with a brace.
                Some(b'{') => self.shape = Shape::Whole(Vec::new()),
                Some(_) => self.shape = Shape::Events(sse::Decoder::new(sse::Limits::default())),
                None => return Ok(Progress::Silent),
            }
        }
        let decoder = match &mut self.shape {
            Shape::Events(decoder) => decoder,
            Shape::Whole(body) if body.len() + portion.len() <= WHOLE_BYTES_MAX => {
                body.extend_from_slice(portion);
                return Ok(Progress::Answering);
            }
            Shape::Whole(_) | Shape::Unknown => return Err(StreamError::Malformed),
        };
        let mut frames = Vec::new();
        let outcome = decoder.push(portion, &mut frames);
        let is_silent = frames.is_empty();
        for frame in frames {
            self.read(&frame, events)?;
        }
        outcome.map_err(|_| StreamError::Malformed)?;
        Ok(match self.finish {
            _ if self.is_ended => Progress::Ended,
            _ if is_silent => Progress::Silent,
            Some(_) => Progress::Ending,
            None => Progress::Answering,
        })
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        match std::mem::take(&mut self.shape) {
            Shape::Unknown => {}
            Shape::Events(decoder) => {
                if let Some(last) = decoder.finish().filter(|_| !self.is_ended) {
                    match self.read(&last, events) {
                        // What a cut left of a frame is unreadable because of the cut, which is no harm
                        // when the answer was complete before it.
                        Err(StreamError::Malformed) if self.finish.is_some() => {}
                        Err(StreamError::Malformed) => return Err(StreamError::Cut),
                        other => other?,
                    }
                }
            }
            Shape::Whole(body) => self.read_whole(&body, events)?,
        }
        match self.finish {
            _ if self.is_ended => Ok(()),
            Some(finish) => self.done(finish, events),
            None if self.has_answer => Err(StreamError::Cut),
            None => Err(StreamError::Empty),
        }
    }

    fn before(&self) -> Before {
        if self.has_answer { Before::Text } else { Before::Nothing }
    }
}

impl Reader {
    fn read(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let data = frame.data.trim_ascii();
        if self.is_ended || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            // The marker itself says that the answer is complete, also where no reason was given.
            return self.done(self.finish.unwrap_or(Finish::Stop), events);
        }
        let is_error = frame.name == "error";
        let body = match serde_json::from_slice::<Body<'_>>(data) {
            Ok(body) if !is_error && !body.is_error() => body,
            Err(_) if !is_error => return Err(StreamError::Malformed),
            _ => return Err(StreamError::Refused(failure::classify_event(data))),
        };
        self.take(body, events).map_err(|_| StreamError::Malformed)
    }

    fn take(&mut self, body: Body<'_>, events: &mut Vec<Event>) -> Result<(), Unreadable> {
        if !std::mem::replace(&mut self.has_begun, true) {
            let (id, model) = (body.id.unwrap_or_default(), body.model.unwrap_or_default());
            events.push(Event::Begun { id, model, usage: None });
        }
        self.usage = body.usage.and_then(usage).or(self.usage);
        let Some(choice) = body.choices.into_iter().find(|choice| choice.index == 0) else { return Ok(()) };
        if let Some(message) = choice.message {
            self.add(message, events)?;
        }
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        self.finish = reason.map(|reason| finish(&reason)).transpose()?.or(self.finish);
        Ok(())
    }

    fn add(&mut self, message: Message<'_>, events: &mut Vec<Event>) -> Result<(), Unreadable> {
        let text = message.text()?;
        let before = events.len();
        let thought = message.reasoning_content.unwrap_or_default();
        self.blocks.add(Block::Thought, Delta::Text(thought), events);
        self.blocks.add(Block::Text, Delta::Text(text), events);
        self.blocks.add(Block::Refusal, Delta::Text(message.refusal.unwrap_or_default()), events);
        for call in message.tool_calls.unwrap_or_default() {
            let Function { name, arguments } =
                call.function.unwrap_or(Function { name: None, arguments: None });
            let is_new = match (&call.id, call.index) {
                // Some servers number no calls, and others repeat the id in each frame.
                (_, Some(index)) => self.call_index != Some(index),
                (Some(id), None) => {
                    !matches!(self.blocks.current(), Some(Block::Call { id: open, .. }) if open == id)
                }
                (None, None) => false,
            };
            if is_new {
                let (Some(id), Some(name)) = (call.id, name) else { return Err(Unreadable) };
                self.blocks.open(Block::Call { id, name }, events);
                self.call_index = call.index;
                self.has_calls = true;
            }
            let Some(open @ Block::Call { .. }) = self.blocks.current().cloned() else {
                return Err(Unreadable);
            };
            self.blocks.add(open, Delta::Arguments(arguments.unwrap_or_default()), events);
        }
        self.has_answer |= events.len() > before;
        Ok(())
    }

    fn read_whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        let answer = answer::read(body).map_err(|_| StreamError::Malformed)?;
        let answer = answer.ok_or_else(|| StreamError::Refused(failure::classify_event(body)))?;
        events.push(Event::Begun { id: answer.id, model: answer.model, usage: None });
        self.has_begun = true;
        for part in answer.parts {
            match part {
                Part::Text(text) => self.blocks.add(Block::Text, Delta::Text(text), events),
                Part::Thought { text, .. } => self.blocks.add(Block::Thought, Delta::Text(text), events),
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
        (self.finish, self.usage) = (Some(answer.ending.finish), answer.ending.usage);
        Ok(())
    }

    fn done(&mut self, finish: Finish, events: &mut Vec<Event>) -> Result<(), StreamError> {
        if !self.has_answer && matches!(finish, Finish::Stop | Finish::StopText | Finish::ToolUse) {
            return Err(StreamError::Empty);
        }
        if !self.has_begun {
            events.push(Event::Begun { id: String::new(), model: String::new(), usage: None });
        }
        self.is_ended = true;
        self.blocks.close(events);
        let finish = if finish == Finish::Stop && self.has_calls { Finish::ToolUse } else { finish };
        events.push(Event::Ended(Ending { finish, stop: None, usage: self.usage }));
        Ok(())
    }
}
