//! Calls of a streamed answer. Providers may tell several in turns, each piece with its call's `index`; ours are told one
//! after the other, so that pieces of later ones wait until those before them are whole.

use domain::conversation::{Block, Delta, Event};

use super::Unreadable;
use super::answer::{Call, Function};
use crate::blocks::Blocks;

/// Most bytes of arguments that wait.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Most calls of one answer.
const CALLS_MAX: usize = 1_000;

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: Vec<Told>,
    /// How many of them are told to their ends; the next one is open, the others wait.
    n_ended: usize,
    /// The one that the last piece was of.
    last: usize,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Told {
    /// The provider's number; some servers have none.
    index: Option<u64>,
    id: String,
    name: String,
    /// What waits.
    arguments: String,
    shape: Shape,
}

impl Calls {
    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells a piece of a call, as far as it is its turn.
    pub(super) fn add(
        &mut self,
        call: Call,
        blocks: &mut Blocks,
        events: &mut Vec<Event>,
    ) -> Result<(), Unreadable> {
        let Function { name, arguments } = call.function.unwrap_or(Function { name: None, arguments: None });
        let arguments = arguments.unwrap_or_default();
        let known = match (call.index, &call.id) {
            (Some(index), _) => self.all.iter().position(|told| told.index == Some(index)),
            (None, Some(id)) => self.all.iter().position(|told| told.id == *id),
            (None, None) => (!self.all.is_empty()).then_some(self.last),
        };
        let at = match (known, call.id, name) {
            (Some(at), ..) => at,
            (None, Some(id), Some(name)) if self.all.len() < CALLS_MAX => {
                let (arguments, shape) = (String::new(), Shape::default());
                self.all.push(Told { index: call.index, id, name, arguments, shape });
                if self.all.len() == self.n_ended + 1 {
                    self.open(blocks, events);
                }
                self.all.len() - 1
            }
            _ => return Err(Unreadable),
        };
        self.last = at;
        let told = self.all.get_mut(at).ok_or(Unreadable)?;
        told.shape.read(&arguments);
        if at > self.n_ended {
            self.waiting_bytes += arguments.len();
            told.arguments.push_str(&arguments);
            if self.waiting_bytes > WAITING_BYTES_MAX {
                return Err(Unreadable);
            }
        } else if at == self.n_ended {
            blocks.add(told.block(), Delta::Arguments(arguments), events);
        } else if !arguments.trim().is_empty() {
            // It was told to its end.
            return Err(Unreadable);
        }
        // Only another one that waits is a reason to call this one whole: its provider may still go on.
        while self.all.len() > self.n_ended + 1 && self.all.get(self.n_ended).is_some_and(Told::is_whole) {
            self.next(blocks, events);
        }
        Ok(())
    }

    /// No more pieces come: tells all that waits.
    pub(super) fn finish(&mut self, blocks: &mut Blocks, events: &mut Vec<Event>) {
        while self.n_ended < self.all.len() {
            self.next(blocks, events);
        }
    }

    /// The open call is whole, and what waits of the next one is told.
    fn next(&mut self, blocks: &mut Blocks, events: &mut Vec<Event>) {
        blocks.close(events);
        self.n_ended += 1;
        self.open(blocks, events);
    }

    fn open(&mut self, blocks: &mut Blocks, events: &mut Vec<Event>) {
        let Some(told) = self.all.get_mut(self.n_ended) else { return };
        let arguments = std::mem::take(&mut told.arguments);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(arguments.len());
        blocks.open(told.block(), events);
        blocks.add(told.block(), Delta::Arguments(arguments), events);
    }
}

impl Told {
    fn block(&self) -> Block {
        Block::Call { id: self.id.clone(), name: self.name.clone() }
    }

    fn is_whole(&self) -> bool {
        self.shape.is_whole
    }
}

/// How far a JSON object came.
#[derive(Debug, Default)]
struct Shape {
    depth: u32,
    within: Within,
    /// Its last bracket has closed.
    is_whole: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Within {
    #[default]
    Structure,
    Text,
    /// After a backslash.
    Escape,
}

impl Shape {
    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match (self.within, byte) {
                (Within::Escape, _) => self.within = Within::Text,
                (Within::Text, b'\\') => self.within = Within::Escape,
                (Within::Text, b'"') => self.within = Within::Structure,
                (Within::Structure, b'"') => self.within = Within::Text,
                (Within::Structure, b'{' | b'[') => self.depth += 1,
                (Within::Structure, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_whole |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}
