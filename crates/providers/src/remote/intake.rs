//! What is made of an accepted call's bytes: portions for a caller, or chunks for ourselves.

use std::collections::VecDeque;

use domain::chat::{ChatChunk, RelayedPortion};
use domain::conversation::{Block, Delta, Event};
use domain::ports::{ModelError, RelayError};
use wire::stream::{EventReader, Portions, Progress, StreamError};

/// Takes the bytes of an answer in.
pub(super) trait Intake: Send + 'static {
    /// What is given out.
    type Item: Send;
    /// How it fails.
    type Error: From<ModelError> + Send;

    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError>;
    fn end(&mut self) -> Result<(), StreamError>;
    fn give_out(&mut self) -> Option<Self::Item>;
}

/// For a caller.
pub(super) struct Passed(pub(super) Box<dyn Portions>);

impl Intake for Passed {
    type Item = RelayedPortion;
    type Error = RelayError;

    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        self.0.push(bytes)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        self.0.end()
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        self.0.give_out()
    }
}

/// For ourselves: texts only, as nobody else's tools are named.
pub(super) struct Chunks {
    reader: Box<dyn EventReader>,
    events: Vec<Event>,
    /// Whether what comes is said to people: thoughts are not.
    is_said: bool,
    ready: VecDeque<ChatChunk>,
}

impl Chunks {
    pub(super) fn new(reader: Box<dyn EventReader>) -> Self {
        Self { reader, events: Vec::new(), is_said: false, ready: VecDeque::new() }
    }

    fn take(&mut self) {
        for event in self.events.drain(..) {
            match event {
                // A model that refuses says so in words, whatever its dialect calls them.
                Event::Opened { block, .. } => self.is_said = matches!(block, Block::Text | Block::Refusal),
                Event::Delta { delta: Delta::Text(text), .. } if self.is_said => {
                    self.ready.push_back(ChatChunk::Delta(text));
                }
                Event::Ended(ending) => {
                    let (finish, usage) = (ending.finish, ending.usage);
                    self.ready.push_back(ChatChunk::Done { finish, usage });
                }
                Event::Begun { .. } | Event::Delta { .. } | Event::Closed { .. } => {}
            }
        }
    }
}

impl Intake for Chunks {
    type Item = ChatChunk;
    type Error = ModelError;

    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        let read = self.reader.push(bytes, &mut self.events);
        self.take();
        read
    }

    fn end(&mut self) -> Result<(), StreamError> {
        let read = self.reader.end(&mut self.events);
        self.take();
        read
    }

    fn give_out(&mut self) -> Option<ChatChunk> {
        self.ready.pop_front()
    }
}
