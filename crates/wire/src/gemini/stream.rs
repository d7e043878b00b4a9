//! A streamed answer: bytes in, events out, with a verdict on whether the answer was whole. Each frame is a body of its
//! own, there is no end marker: the answer is complete when a reason for its end has come and the body ends.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event};
use domain::token::Usage;

use super::answer::{self, Came, Piece, Said};
use crate::blocks::Blocks;
use crate::sse;
use crate::stream::{Before, EventReader, Progress, StreamError};

/// Most bytes of an answer that came in one piece.
const WHOLE_BYTES_MAX: usize = 16 << 20;

/// Reads a streamed answer. A body that is JSON instead of an event stream (an error, or a list of all pieces, as
/// Gemini sends without `alt=sse`) is read as such.
#[derive(Debug, Default)]
pub struct Reader {
    shape: Shape,
    blocks: Blocks,
    id: String,
    has_begun: bool,
    has_text: bool,
    came: Came,
    n_calls: u32,
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

impl EventReader for Reader {
    fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        if let Shape::Unknown = self.shape {
            match portion.iter().find(|byte| !byte.is_ascii_whitespace()) {
                // No line of an event stream begins so.
                Some(b'{' | b'[') => self.shape = Shape::Whole(Vec::new()),
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
        let mut progress = Progress::Silent;
        for frame in frames {
            if self.frame(&frame, events)? {
                progress = if self.finish.is_some() { Progress::Ending } else { Progress::Answering };
            }
        }
        outcome.map_err(|_| StreamError::Malformed)?;
        Ok(progress)
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        match std::mem::take(&mut self.shape) {
            Shape::Unknown => {}
            Shape::Events(decoder) => {
                if let Some(last) = decoder.finish() {
                    match self.frame(&last, events) {
                        Err(StreamError::Malformed) => return Err(StreamError::Cut),
                        other => drop(other?),
                    }
                }
            }
            Shape::Whole(body) => self.whole(&body, events)?,
        }
        if self.is_ended {
            return Ok(());
        }
        let finish = match answer::ending(self.finish, self.came) {
            Err(StreamError::Empty) if self.has_text => return Err(StreamError::Cut),
            other => other?,
        };
        self.begin(Piece::default(), events);
        self.blocks.close(events);
        // An answer without a word that says why it ended is one, too.
        (self.is_ended, self.has_text) = (true, true);
        events.push(Event::Ended(Ending { finish, stop: None, usage: self.usage }));
        Ok(())
    }

    fn before(&self) -> Before {
        if self.has_text { Before::Text } else { Before::Nothing }
    }
}

impl Reader {
    /// Reads a frame; whether it holds anything.
    fn frame(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<bool, StreamError> {
        let data = frame.data.trim_ascii();
        // Gemini sends no such marker, but who stands in for it may.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(false);
        }
        match answer::piece(data) {
            Ok(piece) => self.take(piece, events),
            // The answer is complete: only its usage may still come.
            Err(StreamError::Malformed) if self.finish.is_some() => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        let broken = |_| if self.has_text { StreamError::Cut } else { StreamError::Malformed };
        let pieces: Vec<&serde_json::value::RawValue> = match body.trim_ascii_start().first() {
            Some(b'[') => serde_json::from_slice(body).map_err(broken)?,
            _ => vec![serde_json::from_slice(body).map_err(broken)?],
        };
        for piece in pieces {
            let piece = answer::piece(piece.get().as_bytes())?;
            self.take(piece, events);
        }
        Ok(())
    }

    /// What one frame says, as events.
    fn take(&mut self, mut piece: Piece, events: &mut Vec<Event>) {
        let mut said = std::mem::take(&mut piece.said);
        if self.finish.is_some() {
            // Nothing belongs to an answer after the reason for its end.
            said.clear();
        }
        self.usage = piece.usage.or(self.usage);
        self.finish = piece.finish.or(self.finish);
        self.begin(piece, events);
        for said in said {
            match said {
                Said::Text(text) => {
                    self.has_text = true;
                    if self.came == Came::Nothing {
                        self.came = Came::Words;
                    }
                    self.blocks.add(Block::Text, Delta::Text(text), events);
                }
                Said::Thought(text) => {
                    self.has_text = true;
                    self.blocks.add(Block::Thought, Delta::Text(text), events);
                }
                Said::Proof(proof) => {
                    self.blocks.add(Block::Thought, Delta::Proof(proof), events);
                    // A thought has one proof: what follows is another's.
                    self.blocks.close(events);
                }
                Said::Call { id, name, arguments } => {
                    (self.has_text, self.came) = (true, Came::Calls);
                    self.n_calls += 1;
                    let id = id.unwrap_or_else(|| answer::call_id(&self.id, self.n_calls));
                    let call = Block::Call { id, name };
                    self.blocks.open(call.clone(), events);
                    self.blocks.add(call, Delta::Arguments(arguments), events);
                    self.blocks.close(events);
                }
            }
        }
    }

    fn begin(&mut self, piece: Piece, events: &mut Vec<Event>) {
        if !self.has_begun {
            self.has_begun = true;
            self.id.clone_from(&piece.id);
            events.push(Event::Begun { id: piece.id, model: piece.model, usage: piece.usage });
        }
    }
}
