//! Blocks for streams that have none: opens and closes them as what comes changes.

use domain::conversation::{Block, Delta, Event};

/// Keeps one block open at a time.
#[derive(Debug, Default)]
pub struct Blocks {
    open: Option<Block>,
    /// The number of the open block, or of the next.
    index: u32,
}

impl Blocks {
    /// Adds `delta` to the open block if it is a `block`, else to a new one. An empty delta opens nothing.
    pub fn add(&mut self, block: Block, delta: Delta, events: &mut Vec<Event>) {
        let (Delta::Text(text) | Delta::Arguments(text) | Delta::Proof(text)) = &delta;
        if text.is_empty() {
            return;
        }
        if self.open.as_ref() != Some(&block) {
            self.open(block, events);
        }
        events.push(Event::Delta { index: self.index, delta });
    }

    /// Begins a new block, also when one of its kind is open.
    pub fn open(&mut self, block: Block, events: &mut Vec<Event>) {
        self.close(events);
        events.push(Event::Opened { index: self.index, block: block.clone() });
        self.open = Some(block);
    }

    /// The block that is open.
    #[must_use]
    pub fn current(&self) -> Option<&Block> {
        self.open.as_ref()
    }

    /// Closes the open block, if there is one.
    pub fn close(&mut self, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            events.push(Event::Closed { index: self.index });
            self.index += 1;
        }
    }

    /// How many blocks there were, the open one included.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.index + u32::from(self.open.is_some())
    }
}
