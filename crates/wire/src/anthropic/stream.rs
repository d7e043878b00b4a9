//! A streamed answer: bytes in, events out, with a verdict on whether the answer was whole.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event, Part};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{self, Counted, Message, owned};
use super::failure;
use crate::object::Text;
use crate::sse;
use crate::stream::{Before, EventReader, Progress, StreamError};

/// An event of a stream. Which fields it has is told by its kind.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Text<'a>,
    #[serde(default, borrow)]
    pub(super) message: Option<Message<'a>>,
    #[serde(default, borrow)]
    pub(super) content_block: Option<answer::Block<'a>>,
    #[serde(default, borrow)]
    pub(super) delta: Option<Change<'a>>,
    #[serde(default, borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

/// What an event adds, to a block or to the message.
#[derive(Deserialize)]
pub(super) struct Change<'a> {
    #[serde(rename = "type", default, borrow)]
    pub(super) kind: Text<'a>,
    #[serde(default, borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) partial_json: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(default, borrow)]
    stop_sequence: Option<Text<'a>>,
}

/// The events whose meaning is known; those of the future are passed over, as Anthropic's guide to streaming asks.
const KNOWN: [&str; 8] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
];

/// Reads an event's data; `None` for an event of the future.
pub(super) fn frame(data: &[u8]) -> Result<Option<Frame<'_>>, StreamError> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Text<'a>,
    }
    let is_known = |kind: &Text<'_>| KNOWN.contains(&&*kind.0);
    match serde_json::from_slice::<Frame<'_>>(data) {
        Ok(frame) if frame.kind.0 == "error" => Err(StreamError::Refused(failure::classify_event(data))),
        Ok(frame) => Ok(Some(frame).filter(|frame| is_known(&frame.kind))),
        Err(_) => match serde_json::from_slice::<Kind<'_>>(data) {
            Ok(Kind { kind }) if !is_known(&kind) => Ok(None),
            _ if answer::is_error(data) => Err(StreamError::Refused(failure::classify_event(data))),
            _ => Err(StreamError::Malformed),
        },
    }
}

/// Reads a streamed answer.
///
/// A missing last event is forgiven when the reason for the end came. A body that is one JSON object instead of an event
/// stream is read as a whole answer, whatever its content type said.
#[derive(Debug, Default)]
pub(super) struct Reader {
    shape: Shape,
    /// The number of the open block, or of the next.
    index: u32,
    open: Option<Open>,
    has_begun: bool,
    has_answer: bool,
    finish: Option<Finish>,
    stop: Option<String>,
    counted: Counted,
    is_ended: bool,
}

#[derive(Debug, Default)]
enum Shape {
    #[default]
    Unknown,
    Events(sse::Decoder),
    Whole(Vec<u8>),
}

/// The block that is open.
#[derive(Debug)]
enum Open {
    /// One that is told.
    Told,
    /// A call; what it brought with it counts when no piece of its arguments comes.
    Call { input: Option<String> },
    /// One for which there is no word.
    PassedOver,
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
                        // What a cut left of a frame is no harm when the answer was complete before it.
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
    fn read(&mut self, event: &sse::Event, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let data = event.data.trim_ascii();
        if self.is_ended || data.is_empty() {
            return Ok(());
        }
        if event.name == "error" {
            return Err(StreamError::Refused(failure::classify_event(data)));
        }
        let Some(frame) = frame(data)? else { return Ok(()) };
        match &*frame.kind.0 {
            "message_start" => {
                let message = frame.message.ok_or(StreamError::Malformed)?;
                self.counted.take(message.usage);
                self.begin(owned(message.id), owned(message.model), events);
            }
            "content_block_start" => {
                self.begin(String::new(), String::new(), events);
                self.open(frame.content_block.ok_or(StreamError::Malformed)?, events)?;
            }
            "content_block_delta" => self.add(frame.delta.ok_or(StreamError::Malformed)?, events)?,
            "content_block_stop" => self.close(events),
            "message_delta" => {
                self.counted.take(frame.usage);
                let change = frame.delta.ok_or(StreamError::Malformed)?;
                self.finish = change.stop_reason.map(|reason| answer::finish(&reason.0)).or(self.finish);
                self.stop = change.stop_sequence.map(|stop| stop.0.into_owned()).or_else(|| self.stop.take());
            }
            // The event itself says that the answer is complete, also where no reason was given.
            "message_stop" => self.done(self.finish.unwrap_or(Finish::Stop), events)?,
            _ => {} // a ping
        }
        Ok(())
    }

    fn begin(&mut self, id: String, model: String, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            events.push(Event::Begun { id, model, usage: self.counted.usage() });
        }
    }

    fn open(&mut self, block: answer::Block<'_>, events: &mut Vec<Event>) -> Result<(), StreamError> {
        self.close(events);
        let mut deltas = Vec::new();
        let told = match &*block.kind.0 {
            "text" => {
                deltas.push(Delta::Text(owned(block.text)));
                Block::Text
            }
            "thinking" => {
                deltas.extend([Delta::Text(owned(block.thinking)), Delta::Proof(owned(block.signature))]);
                Block::Thought
            }
            "redacted_thinking" => Block::SealedThought(owned(block.data)),
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(StreamError::Malformed);
                };
                Block::Call { id: id.0.into_owned(), name: name.0.into_owned() }
            }
            _ => {
                self.open = Some(Open::PassedOver);
                return Ok(());
            }
        };
        self.has_answer |= matches!(told, Block::Call { .. } | Block::SealedThought(_));
        self.open = Some(match told {
            Block::Call { .. } => Open::Call { input: block.input.map(|input| input.get().to_owned()) },
            _ => Open::Told,
        });
        events.push(Event::Opened { index: self.index, block: told });
        for delta in deltas {
            self.tell(delta, events);
        }
        Ok(())
    }

    fn add(&mut self, change: Change<'_>, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let delta = match (&*change.kind.0, &mut self.open) {
            (_, None) => return Err(StreamError::Malformed),
            (_, Some(Open::PassedOver)) => return Ok(()),
            ("input_json_delta", Some(Open::Call { input })) => {
                let piece = owned(change.partial_json);
                if !piece.is_empty() {
                    *input = None;
                }
                Delta::Arguments(piece)
            }
            ("text_delta", Some(Open::Told)) => Delta::Text(owned(change.text)),
            ("thinking_delta", Some(Open::Told)) => Delta::Text(owned(change.thinking)),
            ("signature_delta", Some(Open::Told)) => Delta::Proof(owned(change.signature)),
            // What a text cites, or what comes after that.
            _ => return Ok(()),
        };
        self.tell(delta, events);
        Ok(())
    }

    fn tell(&mut self, delta: Delta, events: &mut Vec<Event>) {
        let (Delta::Text(text) | Delta::Arguments(text) | Delta::Proof(text)) = &delta;
        if !text.is_empty() {
            self.has_answer = true;
            events.push(Event::Delta { index: self.index, delta });
        }
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        match self.open.take() {
            None | Some(Open::PassedOver) => return,
            Some(Open::Call { input: Some(input) }) if input != "{}" => {
                self.tell(Delta::Arguments(input), events);
            }
            Some(Open::Call { .. } | Open::Told) => {}
        }
        events.push(Event::Closed { index: self.index });
        self.index += 1;
    }

    fn read_whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        let answer = answer::read(body)?;
        events.push(Event::Begun { id: answer.id, model: answer.model, usage: answer.ending.usage });
        self.has_begun = true;
        for part in answer.parts {
            let (block, deltas) = match part {
                Part::Text(text) => (Block::Text, vec![Delta::Text(text)]),
                Part::Thought { text, proof } => {
                    (Block::Thought, vec![Delta::Text(text), Delta::Proof(proof.unwrap_or_default())])
                }
                Part::SealedThought(data) => (Block::SealedThought(data), Vec::new()),
                Part::Call { id, name, arguments } => {
                    (Block::Call { id, name }, vec![Delta::Arguments(arguments)])
                }
                _ => continue,
            };
            self.has_answer |= !matches!(block, Block::Text | Block::Thought);
            self.open = Some(Open::Told);
            events.push(Event::Opened { index: self.index, block });
            for delta in deltas {
                self.tell(delta, events);
            }
            self.close(events);
        }
        (self.finish, self.stop) = (Some(answer.ending.finish), answer.ending.stop);
        self.counted.take(answer::message(body)?.usage);
        Ok(())
    }

    fn done(&mut self, finish: Finish, events: &mut Vec<Event>) -> Result<(), StreamError> {
        // A model that stops by itself before its first word has not answered.
        if !self.has_answer && matches!(finish, Finish::Stop | Finish::StopText | Finish::ToolUse) {
            return Err(StreamError::Empty);
        }
        self.begin(String::new(), String::new(), events);
        self.close(events);
        self.is_ended = true;
        events.push(Event::Ended(Ending { finish, stop: self.stop.take(), usage: self.counted.usage() }));
        Ok(())
    }
}
