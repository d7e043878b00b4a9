//! What is made of an accepted call's bytes: portions for a caller, or chunks for ourselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatChunk, Relayed, RelayedPortion, Saying};
use domain::conversation::{Block, Delta, Event};
use domain::id::ModelId;
use domain::meter::Stated;
use domain::ports::{Clock, Ids};
use domain::time::Moment;
use wire::between::Between;
use wire::faces;
use wire::protocol::Protocol;
use wire::stream::{EventReader, Portions, Progress, StreamError, Took};

use super::about;

/// Takes the bytes of an answer in.
pub(super) trait Intake: Send + 'static {
    /// What is given out.
    type Item: Send;

    /// Takes `bytes`, which came now.
    fn push(&mut self, bytes: &[u8], now: Moment) -> Result<Progress, StreamError>;
    fn end(&mut self) -> Result<(), StreamError>;
    fn give_out(&mut self) -> Option<Self::Item>;
    /// What was stated so far of what the call uses.
    fn stated(&self) -> Option<Stated>;
}

/// For a caller of the provider's own dialect: its bytes as they are.
pub(super) struct Passed {
    portions: Box<dyn Portions>,
    /// Until anything but white space has come.
    unstreamed: Option<Unstreamed>,
}

/// Tells an answer that came in one piece again as the stream that was asked for.
pub(super) struct Unstreamed {
    pub(super) protocol: Arc<dyn Protocol>,
    pub(super) model: ModelId,
    pub(super) relayed: Arc<Relayed>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
}

impl Unstreamed {
    /// `None` where not all of it could be told again: several answers at once, say.
    fn portions(&self) -> Option<Box<dyn Portions>> {
        let Self { protocol, model, relayed, clock, ids } = self;
        let reader = protocol.own_dialect(relayed, model.name_at_provider())?.unstreamed()?;
        let face = faces::of(relayed.dialect)?;
        face.conversation(relayed).ok()?;
        let about = about(&relayed.model, &**clock, &**ids);
        Some(Box::new(Between::new(reader, face.writer(about, relayed))))
    }
}

impl Passed {
    pub(super) fn new(portions: Box<dyn Portions>, unstreamed: Unstreamed) -> Self {
        Self { portions, unstreamed: Some(unstreamed) }
    }
}

impl Intake for Passed {
    type Item = RelayedPortion;

    fn push(&mut self, bytes: &[u8], _now: Moment) -> Result<Progress, StreamError> {
        if let Some(first) = bytes.trim_ascii_start().first()
            && let Some(unstreamed) = self.unstreamed.take()
            // No stream begins so.
            && *first == b'{'
            && let Some(portions) = unstreamed.portions()
        {
            self.portions = portions;
        }
        self.portions.push(bytes)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        self.portions.end()
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        self.portions.give_out()
    }

    fn stated(&self) -> Option<Stated> {
        self.portions.stated()
    }
}

/// For a caller of another dialect, which may say how long the answer took.
pub(super) struct Retold {
    between: Between,
    asked: Moment,
    first: Option<Duration>,
}

impl Retold {
    pub(super) fn new(between: Between, asked: Moment) -> Self {
        Self { between, asked, first: None }
    }
}

impl Intake for Retold {
    type Item = RelayedPortion;

    fn push(&mut self, bytes: &[u8], now: Moment) -> Result<Progress, StreamError> {
        let whole = now.since(self.asked);
        let first = *self.first.get_or_insert(whole);
        self.between.took(Took { first, whole });
        self.between.push(bytes)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        self.between.end()
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        self.between.give_out()
    }

    fn stated(&self) -> Option<Stated> {
        self.between.stated()
    }
}

/// For whoever must understand an answer: what `made` makes of its events, each with the block that it is part of.
pub(super) struct Understood<T> {
    reader: Box<dyn EventReader>,
    events: Vec<Event>,
    block: Block,
    ready: VecDeque<T>,
    made: fn(&Block, Event) -> Option<T>,
}

/// All that is said, for a caller whose answer another model may have to go on with.
pub(super) fn heard(reader: Box<dyn EventReader>) -> Understood<Saying> {
    Understood::new(reader, |block, event| match event {
        Event::Delta { delta, .. } => Some(Saying::Said { block: block.clone(), delta }),
        Event::Ended(ending) => Some(Saying::Ended(ending)),
        Event::Begun { .. } | Event::Opened { .. } | Event::Closed { .. } => None,
    })
}

/// For ourselves: texts only, as nobody else's tools are named. Thoughts are not said to people; a model that refuses
/// says so in words, whatever its dialect calls them.
pub(super) fn chunks(reader: Box<dyn EventReader>) -> Understood<ChatChunk> {
    Understood::new(reader, |block, event| match event {
        Event::Delta { delta: Delta::Text(text), .. } if matches!(block, Block::Text | Block::Refusal) => {
            Some(ChatChunk::Delta(text))
        }
        Event::Ended(ending) => Some(ChatChunk::Done { finish: ending.finish, usage: ending.usage }),
        Event::Begun { .. } | Event::Opened { .. } | Event::Delta { .. } | Event::Closed { .. } => None,
    })
}

impl<T> Understood<T> {
    fn new(reader: Box<dyn EventReader>, made: fn(&Block, Event) -> Option<T>) -> Self {
        let (events, ready) = (Vec::new(), VecDeque::new());
        Self { reader, events, block: Block::Thought, ready, made }
    }

    fn take(&mut self) {
        for event in self.events.drain(..) {
            if let Event::Opened { block, .. } = &event {
                self.block = block.clone();
            }
            self.ready.extend((self.made)(&self.block, event));
        }
    }
}

impl<T: Send + 'static> Intake for Understood<T> {
    type Item = T;

    fn push(&mut self, bytes: &[u8], _now: Moment) -> Result<Progress, StreamError> {
        let read = self.reader.push(bytes, &mut self.events);
        self.take();
        read
    }

    fn end(&mut self) -> Result<(), StreamError> {
        let read = self.reader.end(&mut self.events);
        self.take();
        read
    }

    fn give_out(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    fn stated(&self) -> Option<Stated> {
        self.reader.stated()
    }
}
