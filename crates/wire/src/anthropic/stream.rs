//! What the events of a streamed answer say, with a verdict on whether the answer was whole.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event, Part};
use domain::meter::Stated;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{self, Counted, Message, owned};
use super::failure;
use crate::object::Text;
use crate::reader::Understand;
use crate::sse;
use crate::stream::{Before, Progress, StreamError};

/// An event of a stream. Which fields it has is told by its kind.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Frame<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) message: Option<Message<'a>>,
    pub(super) content_block: Option<answer::Block<'a>>,
    pub(super) delta: Option<Change<'a>>,
    pub(super) usage: Option<&'a RawValue>,
}

/// What an event adds, to a block or to the message.
#[derive(Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Change<'a> {
    #[serde(rename = "type", default)]
    pub(super) kind: Text<'a>,
    pub(super) text: Option<Text<'a>>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
    pub(super) partial_json: Option<Text<'a>>,
    pub(super) stop_reason: Option<Text<'a>>,
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

/// The kinds of blocks and of what is added to them whose fields are known.
const KNOWN_PARTS: [&str; 9] = [
    "",
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "text_delta",
    "thinking_delta",
    "signature_delta",
    "input_json_delta",
];

/// Reads an event's data; `None` for an event of the future.
pub(super) fn frame(data: &[u8]) -> Result<Option<Frame<'_>>, StreamError> {
    let is_known = |kind: &Text<'_>| KNOWN.contains(&&*kind.0);
    match serde_json::from_slice::<Frame<'_>>(data) {
        Ok(frame) if frame.kind.0 == "error" => Err(StreamError::Refused(failure::classify_event(data))),
        Ok(frame) => Ok(Some(frame).filter(|frame| is_known(&frame.kind))),
        Err(_) => match serde_json::from_slice::<Kinds<'_>>(data) {
            Ok(Kinds { kind, .. }) if !is_known(&kind) => Ok(None),
            _ if answer::is_error(data) => Err(StreamError::Refused(failure::classify_event(data))),
            Ok(kinds) => kinds.frame().map(Some).ok_or(StreamError::Malformed),
            Err(_) => Err(StreamError::Malformed),
        },
    }
}

/// The kinds that an event names, whatever else is in it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Kinds<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    content_block: Option<&'a RawValue>,
    delta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct PartKind<'a> {
    #[serde(rename = "type", default)]
    kind: Text<'a>,
}

impl<'a> Kinds<'a> {
    /// The event with what it holds passed over, if that is of the future.
    fn frame(self) -> Option<Frame<'a>> {
        let new = |part: Option<&'a RawValue>| {
            let part: PartKind<'a> = serde_json::from_str(part?.get()).ok()?;
            Some(part.kind).filter(|kind| !KNOWN_PARTS.contains(&&*kind.0))
        };
        let (block, delta) = (new(self.content_block), new(self.delta));
        (block.is_some() || delta.is_some()).then(|| Frame {
            kind: self.kind,
            message: None,
            content_block: block.map(|kind| answer::Block { kind, ..Default::default() }),
            delta: delta.map(|kind| Change { kind, ..Default::default() }),
            usage: None,
        })
    }
}

/// Knows what the events of a streamed answer say.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The number of the open block, or of the next.
    index: u32,
    open: Option<Open>,
    has_begun: bool,
    has_answer: bool,
    finish: Option<Finish>,
    stop: Option<String>,
    counted: Counted,
    stated: Option<Stated>,
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

impl Understand for Events {
    fn frame(&mut self, event: &sse::Event, events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return Ok(Progress::before_end(self.finish));
        }
        if event.name == "error" {
            return Err(StreamError::Refused(failure::classify_event(data)));
        }
        let Some(frame) = frame(data)? else { return Ok(Progress::before_end(self.finish)) };
        match &*frame.kind.0 {
            "message_start" => {
                let message = frame.message.ok_or(StreamError::Malformed)?;
                self.count(message.usage);
                self.begin(owned(message.id), owned(message.model), events);
            }
            "content_block_start" => {
                self.begin(String::new(), String::new(), events);
                self.open(frame.content_block.ok_or(StreamError::Malformed)?, events)?;
            }
            "content_block_delta" => self.add(frame.delta.ok_or(StreamError::Malformed)?, events)?,
            "content_block_stop" => self.close(events),
            "message_delta" => {
                let change = frame.delta.ok_or(StreamError::Malformed)?;
                self.finish = change.stop_reason.map(|reason| answer::finish(&reason.0)).or(self.finish);
                self.count(frame.usage);
                self.stop = change.stop_sequence.map(|stop| stop.0.into_owned()).or_else(|| self.stop.take());
            }
            // The event itself says that the answer is complete, also where no reason was given.
            "message_stop" => {
                let finish = self.finish.or_else(|| self.has_answer.then_some(Finish::Stop));
                self.done(finish.ok_or(StreamError::Empty)?, events);
                return Ok(Progress::Ended);
            }
            _ => {} // a ping
        }
        Ok(Progress::before_end(self.finish))
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
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

impl Events {
    fn count(&mut self, raw: Option<&RawValue>) {
        if raw.is_some() {
            self.counted.take(raw);
            self.stated = self.counted.usage().map(|usage| Stated::of(usage, self.finish)).or(self.stated);
        }
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

    /// The answer ends, as its model says: also one without a word, as Claude gives after some results of tools.
    fn done(&mut self, finish: Finish, events: &mut Vec<Event>) {
        self.begin(String::new(), String::new(), events);
        self.close(events);
        events.push(Event::Ended(Ending { finish, stop: self.stop.take(), usage: self.counted.usage() }));
    }
}
