//! What the frames of a streamed answer say, with a verdict on whether the answer was whole. Each frame is a body of its
//! own, there is no end marker: the answer is complete when a reason for its end has come and the body ends.

use domain::chat::Finish;
use domain::conversation::{Block, Delta, Ending, Event};
use domain::meter::Stated;

use super::answer::{self, Came, Piece, Said};
use crate::blocks::Blocks;
use crate::reader::Understand;
use crate::sse;
use crate::stream::{Before, Progress, StreamError};

/// Knows what the frames of a streamed answer say, and the list of all pieces that Gemini sends without `alt=sse`.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    blocks: Blocks,
    id: String,
    has_begun: bool,
    has_text: bool,
    came: Came,
    n_calls: u32,
    finish: Option<Finish>,
    stated: Option<Stated>,
}

impl Understand for Pieces {
    const WHOLE: &'static [u8] = b"{[";

    fn frame(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        let data = frame.data.trim_ascii();
        // Gemini sends no such marker, but who stands in for it may.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(Progress::Silent);
        }
        match answer::piece(data) {
            Ok(piece) => self.take(piece, events),
            // The answer is complete: only its usage may still come.
            Err(StreamError::Malformed | StreamError::GaveUp { .. }) if self.finish.is_some() => {
                return Ok(Progress::Silent);
            }
            Err(error) => return Err(error.having_used(self.stated.map(Stated::usage))),
        }
        Ok(Progress::before_end(self.finish))
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        let broken = |_| if self.has_text { StreamError::Cut } else { StreamError::Malformed };
        let pieces: Vec<&serde_json::value::RawValue> = match body.trim_ascii_start().first() {
            Some(b'[') => serde_json::from_slice(body).map_err(broken)?,
            _ => vec![serde_json::from_slice(body).map_err(broken)?],
        };
        for piece in pieces {
            let piece = answer::piece(piece.get().as_bytes());
            let piece = piece.map_err(|error| error.having_used(self.stated.map(Stated::usage)))?;
            self.take(piece, events);
        }
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let finish = match answer::ending(self.finish, self.came) {
            Err(StreamError::Empty) if self.has_text => return Err(StreamError::Cut),
            other => other?,
        };
        self.begin(Piece::default(), events);
        self.blocks.close(events);
        // An answer without a word that says why it ended is one, too.
        self.has_text = true;
        events.push(Event::Ended(Ending { finish, stop: None, usage: self.stated.map(Stated::usage) }));
        Ok(())
    }

    fn before(&self) -> Before {
        if self.has_text { Before::Text } else { Before::Nothing }
    }

    fn stated(&self) -> Option<Stated> {
        self.stated
    }
}

impl Pieces {
    /// What one frame says, as events.
    fn take(&mut self, mut piece: Piece, events: &mut Vec<Event>) {
        let mut said = std::mem::take(&mut piece.said);
        if self.finish.is_some() {
            // Nothing belongs to an answer after the reason for its end.
            said.clear();
        }
        self.finish = piece.finish.or(self.finish);
        self.stated = piece.usage.map(|usage| Stated::of(usage, self.finish)).or(self.stated);
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
