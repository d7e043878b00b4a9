//! Streamed answers on their way through: cut into whole frames, each understood, the bytes themselves untouched.
//!
//! Nothing is given out before the first frame that holds anything of the answer, so that until then the call can be
//! made again elsewhere; the frames before it come with it.

use std::ops::Range;

use bytes::Bytes;
use domain::chat::{Done, Finish, RelayedPortion};
use domain::fault::Fault;
use domain::meter::Stated;
use domain::token::Usage;

use crate::frames::Frames;
use crate::stream::{Before, Portions, Progress, StreamError};

/// What a frame says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// What it is.
    pub(crate) kind: Kind,
    /// It holds something of the answer.
    pub(crate) has_answer: bool,
    /// Bytes of what the model says in it.
    pub(crate) said: u32,
    /// Why the answer ended.
    pub(crate) finish: Option<Finish>,
    /// What it states that was used.
    pub(crate) usage: Option<Usage>,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing that counts.
    Comment,
    /// A part of the answer.
    #[default]
    Part,
    /// What the caller did not ask for: understood, and left out.
    Unwanted,
    /// Nothing follows it.
    Last,
}

impl From<Kind> for Meaning {
    fn from(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// What the frames said so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Something of the answer has come.
    pub(crate) has_answer: bool,
    /// Bytes of what the model said since the last portion.
    said: u32,
    /// Why it ended.
    pub(crate) finish: Option<Finish>,
    /// What it used, as far as it was stated.
    pub(crate) stated: Option<Stated>,
    /// Nothing more is read.
    pub(crate) is_ended: bool,
}

impl Seen {
    /// Takes what one more frame says. An answer without a word that says why it ended is one, too.
    pub(crate) fn take(&mut self, meaning: &Meaning) {
        self.has_answer |= meaning.has_answer || meaning.said > 0 || meaning.finish.is_some();
        self.said = self.said.saturating_add(meaning.said);
        self.finish = meaning.finish.or(self.finish);
        self.stated = meaning.usage.map(|usage| Stated::of(usage, self.finish)).or(self.stated);
    }

    /// Lets `bytes` go on.
    pub(crate) fn portion(&mut self, bytes: Bytes) -> RelayedPortion {
        let done =
            Done { finish: self.finish.unwrap_or(Finish::Stop), usage: self.stated.map(Stated::usage) };
        let said = std::mem::take(&mut self.said);
        RelayedPortion { bytes, said, done: self.is_ended.then_some(done) }
    }

    pub(crate) fn before(&self) -> Before {
        if self.has_answer { Before::Text } else { Before::Nothing }
    }
}

/// Understands the frames of one format's event streams.
pub(crate) trait Understand: Send {
    /// The last frame, for answers that are complete although their provider left it out; empty where the answer's own
    /// last frame is the end.
    const END: &'static [u8];

    /// Whether JSON in place of a stream is an error.
    fn is_error(body: &[u8]) -> bool;

    /// What an error means.
    fn classify(body: &[u8]) -> Fault;

    /// What a frame with this data says.
    ///
    /// # Errors
    /// [`StreamError`] when it is no part of an answer.
    fn frame(&mut self, data: &[u8]) -> Result<Meaning, StreamError>;
}

/// Cuts an event stream into portions of whole frames.
#[derive(Debug, Default)]
pub(crate) struct Relay<U> {
    understand: U,
    frames: Frames,
    seen: Seen,
}

impl<U: Understand> Relay<U> {
    pub(crate) fn new(understand: U) -> Self {
        Self { understand, frames: Frames::default(), seen: Seen::default() }
    }

    fn understand(&mut self, range: Range<usize>) -> Result<Kind, StreamError> {
        let frame = self.frames.frame(range);
        if let Some(json) = frame.bare_json() {
            return Err(match U::is_error(json) {
                true => StreamError::Refused(U::classify(json)),
                false => StreamError::Malformed,
            });
        }
        let (data, name) = frame.event();
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(Kind::Comment);
        }
        if name == b"error" {
            return Err(StreamError::Refused(U::classify(data)));
        }
        let meaning = self.understand.frame(data)?;
        self.seen.take(&meaning);
        match meaning.kind {
            Kind::Last if !self.seen.has_answer => Err(StreamError::Empty),
            kind => Ok(kind),
        }
    }
}

impl<U: Understand> Portions for Relay<U> {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        if self.seen.is_ended {
            return Ok(Progress::Ended);
        }
        self.frames.push(bytes)?;
        let mut progress = Progress::Silent;
        while let Some(range) = self.frames.next_frame() {
            let end = range.end;
            match self.understand(range)? {
                Kind::Comment => {}
                Kind::Unwanted => {
                    self.frames.cut_out(end);
                    continue;
                }
                Kind::Part => progress = Progress::before_end(self.seen.finish),
                Kind::Last => {
                    self.seen.is_ended = true;
                    self.frames.pass(end);
                    return Ok(Progress::Ended);
                }
            }
            self.frames.pass(end);
        }
        Ok(progress)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        if self.seen.is_ended {
            return Ok(());
        }
        let rest = self.frames.rest();
        if !rest.is_empty() && self.seen.finish.is_none() {
            // Some providers leave the blank line after their last frame out.
            match self.understand(rest) {
                Ok(Kind::Comment | Kind::Unwanted) => {}
                Ok(Kind::Part) => self.frames.complete(),
                Ok(Kind::Last) => {
                    // The frame itself says that the answer is complete.
                    self.seen.finish.get_or_insert(Finish::Stop);
                    if U::END.is_empty() {
                        self.frames.complete();
                    }
                }
                Err(StreamError::Malformed) if self.seen.has_answer => return Err(StreamError::Cut),
                Err(error) => return Err(error),
            }
        }
        if self.seen.finish.is_none() {
            return Err(StreamError::without_end(self.before()));
        }
        // What a cut left of a frame is no harm when the answer was complete before it.
        self.frames.end_with(U::END);
        self.seen.is_ended = true;
        Ok(())
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if !self.seen.has_answer {
            return None;
        }
        let bytes = self.frames.take()?;
        Some(self.seen.portion(bytes))
    }

    fn before(&self) -> Before {
        self.seen.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.seen.stated
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `relay` passes on, and how the stream ended.
    pub(crate) fn pass(
        mut relay: Box<dyn Portions>,
        portions: &[&[u8]],
    ) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
        let (mut passed, mut done) = (Vec::new(), None);
        let mut take = |portion: Option<RelayedPortion>| {
            let Some(portion) = portion else { return };
            assert_eq!(done, None, "nothing follows the last portion");
            assert!(portion.bytes.ends_with(b"\n\n") || portion.bytes.ends_with(b"\r\n"), "whole frames");
            passed.extend_from_slice(&portion.bytes);
            done = portion.done;
        };
        for portion in portions {
            let pushed = relay.push(portion);
            take(relay.give_out());
            if let Err(error) = pushed {
                return (passed, Err(error));
            }
        }
        let ended = relay.end();
        take(relay.give_out());
        (passed, ended.map(|()| done))
    }

    /// `bytes` in portions that end at `cuts`, counted round and round.
    pub(crate) fn portions(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
        cuts.iter_mut().for_each(|cut| *cut %= bytes.len() + 1);
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    /// That `body`, byte by byte, ends as `want` says: what was passed on is told beside it.
    pub(crate) fn check(relay: Box<dyn Portions>, body: &str, want: Result<String, (StreamError, String)>) {
        let (passed, ended) = pass(relay, &body.as_bytes().chunks(1).collect::<Vec<_>>());
        let passed = String::from_utf8(passed).expect("text");
        match want {
            Ok(want) => assert_eq!((passed, ended.is_ok_and(|done| done.is_some())), (want, true), "{body}"),
            Err((error, want)) => assert_eq!((passed, ended), (want, Err(error)), "{body}"),
        }
    }
}
