//! What all streams of answers have in common: how far they are, how they fail, and who reads and writes them.

use std::time::Duration;

use bytes::BytesMut;
use domain::chat::{Finish, RelayedPortion};
use domain::conversation::Event;
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::meter::Stated;
use domain::token::Usage;

/// Why a streamed answer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A frame that is no part of an answer, or one too long to read.
    #[error("the stream holds an unreadable frame")]
    Malformed,
    /// It ended before it said that the answer is complete.
    #[error("the stream was cut")]
    Cut,
    /// It ended properly, but without any text.
    #[error("the stream holds no answer")]
    Empty,
    /// The provider reported an error within the stream.
    #[error("the stream holds an error")]
    Refused(Fault),
    /// The provider ended it without an answer, and said why.
    #[error("the provider ended the answer: {reason}")]
    GaveUp {
        /// What that means.
        fault: Fault,
        /// Its own name for it.
        reason: &'static str,
        /// What it says that the call used all the same.
        usage: Option<Usage>,
    },
}

impl StreamError {
    /// Why an answer failed that never said why it ended.
    #[must_use]
    pub fn without_end(before: Before) -> Self {
        match before {
            Before::Text => Self::Cut,
            Before::Nothing => Self::Empty,
        }
    }

    /// A model that could not write its answer down, as a call of a tool: another attempt may do, and the provider is none
    /// the worse for it.
    pub(crate) fn misspoke(reason: &'static str, usage: Option<Usage>) -> Self {
        let fault = Fault { origin: Origin::Provider, kind: Kind::Unavailable, retry: Retry::Here };
        Self::GaveUp { fault, reason, usage }
    }

    /// An end for a reason that is not known, or says no more than that the model failed.
    pub(crate) fn without_reason(usage: Option<Usage>) -> Self {
        let fault = Fault::provider(Kind::Transient);
        Self::GaveUp { fault, reason: "for no reason that is known", usage }
    }

    /// The same, with what was said before of what the call used.
    pub(crate) fn having_used(self, before: Option<Usage>) -> Self {
        match self {
            Self::GaveUp { fault, reason, usage } => Self::GaveUp { fault, reason, usage: usage.or(before) },
            other => other,
        }
    }

    /// What the provider says that the failed call used.
    #[must_use]
    pub fn usage(self) -> Option<Usage> {
        match self {
            Self::GaveUp { usage, .. } => usage,
            Self::Malformed | Self::Cut | Self::Empty | Self::Refused(_) => None,
        }
    }

    /// The class of the failure, given whether text had come before it.
    #[must_use]
    pub fn fault(self, before: Before) -> Fault {
        match (self, before) {
            // A refusal for its content stays one, so that nobody takes the answer for a broken one.
            (Self::Refused(fault), Before::Text) if fault.kind == Kind::Content => fault,
            // Nor does it say anything of the provider's health, however far it came.
            (Self::GaveUp { fault, .. }, _) if fault.kind != Kind::Transient => fault,
            (_, Before::Text) => Fault::provider(Kind::Truncated),
            (Self::Refused(fault) | Self::GaveUp { fault, .. }, Before::Nothing) => fault,
            (Self::Malformed | Self::Cut | Self::Empty, Before::Nothing) => Fault::provider(Kind::Transient),
        }
    }
}

/// What had come of an answer when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// No text.
    Nothing,
    /// Some text.
    Text,
}

/// What a portion of the stream meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No event: comments, or a part of one.
    Silent,
    /// Events, but the answer has not ended.
    Answering,
    /// The reason for the end has come; usage or the end marker may still follow.
    Ending,
    /// The answer is complete and nothing follows.
    Ended,
}

impl Progress {
    /// Of an answer that goes on, or has said why it ended.
    pub(crate) fn before_end(finish: Option<Finish>) -> Self {
        if finish.is_some() { Self::Ending } else { Self::Answering }
    }
}

/// Reads a provider's stream in its own format. How the bytes are cut into portions makes no difference.
pub trait EventReader: Send {
    /// Reads the next portion and appends what it says to `events`. With [`Progress::Ended`] the last of them is
    /// [`Event::Ended`].
    ///
    /// # Errors
    /// [`StreamError`]; events before that point are in `events`. Nothing may be pushed after it.
    fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError>;

    /// Reads the end of the body, which makes the answer whole ([`Event::Ended`] is among `events`, if it was not
    /// before) or not.
    ///
    /// # Errors
    /// [`StreamError`] when the answer is not whole.
    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError>;

    /// Whether anything of the answer has come, for [`StreamError::fault`].
    fn before(&self) -> Before;

    /// What was stated so far of what the call uses, also after an error.
    fn stated(&self) -> Option<Stated>;
}

/// How long a streamed answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// Until its first part came.
    pub first: Duration,
    /// Until its end.
    pub whole: Duration,
}

/// Writes a stream in a caller's format.
pub trait EventWriter: Send {
    /// Appends the frames that `event` makes, in whole frames, to `frames`. After [`Event::Ended`] the stream is
    /// complete, end marker included.
    fn write(&mut self, event: &Event, frames: &mut BytesMut);

    /// Told before [`Event::Ended`], for the formats whose last frame says it.
    fn took(&mut self, _took: Took) {}
}

/// Makes portions for a caller out of what a provider sends: its own frames, or frames made of its events.
///
/// Nothing is given out before something of the answer is there, so that until then the call can be made again
/// elsewhere.
pub trait Portions: Send {
    /// Reads the next portion of the body: how far the answer is. [`Portions::give_out`] has what may be passed on.
    ///
    /// # Errors
    /// [`StreamError`]; what came before it can still be given out, and nothing may be pushed after it.
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError>;

    /// The body has ended, or broken off; the last portion can be given out when the answer was complete all the same.
    ///
    /// # Errors
    /// [`StreamError`] when it was not.
    fn end(&mut self) -> Result<(), StreamError>;

    /// What may be passed on now, in whole frames.
    fn give_out(&mut self) -> Option<RelayedPortion>;

    /// Whether a part of the answer has come, for [`StreamError::fault`].
    fn before(&self) -> Before;

    /// What was stated so far of what the call uses, given out or not, also after an error.
    fn stated(&self) -> Option<Stated>;
}
