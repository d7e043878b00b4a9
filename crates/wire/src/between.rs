//! A provider's stream for a caller of another dialect: events in between, frames of the caller's out.

use bytes::BytesMut;
use domain::chat::{Done, RelayedPortion};
use domain::conversation::{Delta, Event};

use crate::stream::{Before, EventReader, EventWriter, Portions, Progress, StreamError, Took};

/// Reads with one dialect and writes with another.
pub struct Between {
    reader: Box<dyn EventReader>,
    writer: Box<dyn EventWriter>,
    events: Vec<Event>,
    frames: BytesMut,
    /// Bytes of what was said since the last portion.
    said: u32,
    done: Option<Done>,
    took: Took,
}

impl Between {
    /// `reader`'s events through `writer`.
    #[must_use]
    pub fn new(reader: Box<dyn EventReader>, writer: Box<dyn EventWriter>) -> Self {
        let (events, frames) = (Vec::new(), BytesMut::new());
        Self { reader, writer, events, frames, said: 0, done: None, took: Took::default() }
    }

    /// How long the answer has taken with the portion that is pushed next.
    pub fn took(&mut self, took: Took) {
        self.took = took;
    }

    fn write(&mut self) {
        for event in self.events.drain(..) {
            if let Event::Ended(ending) = &event {
                self.done = Some(ending.done());
                self.writer.took(self.took);
            }
            if let Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } = &event {
                self.said = self.said.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
            self.writer.write(&event, &mut self.frames);
        }
    }
}

impl Portions for Between {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        let read = self.reader.push(bytes, &mut self.events);
        self.write();
        read
    }

    fn end(&mut self) -> Result<(), StreamError> {
        let read = self.reader.end(&mut self.events);
        self.write();
        read
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if self.frames.is_empty() || self.before() == Before::Nothing {
            return None;
        }
        let said = std::mem::take(&mut self.said);
        Some(RelayedPortion { bytes: self.frames.split().freeze(), said, done: self.done })
    }

    fn before(&self) -> Before {
        self.reader.before()
    }
}
