//! Frames on their way through, each understood and checked, the bytes themselves untouched; and limits set in place.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Dialect, FieldSpan, Relayed, RelayedPortion, UsageFrame};
use domain::meter::Stated;
use domain::model::Overrides;
use serde_json::value::RawValue;

use super::failure;
use super::frame::{self, Cutter, FRAME_BYTES_MAX, Kind};
use crate::json::{self, JsonError};
use crate::patch::{Edit, slice};
use crate::relay::{self, Meaning, Seen};
use crate::request::{LIMITS, Names};
use crate::stream::{self, Before, Progress, StreamError};

/// How much is said by texts of JSON: their length as they are written.
pub(super) fn said<'a>(texts: impl IntoIterator<Item = Option<&'a RawValue>>) -> u32 {
    let length = |raw: &RawValue| u32::try_from(raw.get().len().saturating_sub(2)).unwrap_or(u32::MAX);
    texts.into_iter().flatten().map(length).fold(0, u32::saturating_add)
}

/// Understands the events of one kind of stream.
pub(super) trait Understand: Send {
    /// What the event of this name says; a comment when nobody here knows it.
    ///
    /// # Errors
    /// [`StreamError`] when it is no part of an answer.
    fn event(&mut self, name: &str, payload: &[u8]) -> Result<Meaning, StreamError>;
}

/// Cuts a stream into portions of whole frames.
#[derive(Debug)]
pub(super) struct Portions<U> {
    understand: U,
    cutter: Cutter,
    /// Whole frames that are not given out.
    whole: Whole,
    seen: Seen,
}

impl<U: Understand> Portions<U> {
    pub(super) fn new(understand: U) -> Self {
        Self { understand, cutter: Cutter::default(), whole: Whole::None, seen: Seen::default() }
    }

    /// Nothing goes out before something of the answer is there, nor its end before it is certain: no error could
    /// follow it.
    fn is_held(&self) -> bool {
        !self.seen.has_answer || (self.seen.finish.is_some() && !self.seen.is_ended)
    }

    fn understand(&mut self, frame: &Bytes) -> Result<Meaning, StreamError> {
        let frame = frame::read(frame.clone()).map_err(|_| StreamError::Malformed)?;
        match frame.kind {
            Kind::Event(name) => self.understand.event(name.as_str(), &frame.payload),
            Kind::Exception(name) => {
                Err(StreamError::Refused(failure::exception(name.as_str(), &frame.payload)))
            }
            Kind::Error { code, message } => {
                Err(StreamError::Refused(failure::error(code.as_str(), message.as_str())))
            }
        }
    }
}

impl<U: Understand> stream::Portions for Portions<U> {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        if self.seen.is_ended {
            return Ok(Progress::Ended);
        }
        self.cutter.push(bytes);
        let mut progress = Progress::Silent;
        while let Some(frame) = self.cutter.next_frame().map_err(|_| StreamError::Malformed)? {
            let meaning = self.understand(&frame)?;
            self.seen.take(&Meaning { finish: self.seen.finish.or(meaning.finish), ..meaning });
            self.whole.add(frame);
            if self.is_held() && self.whole.len() > FRAME_BYTES_MAX {
                return Err(StreamError::Malformed);
            }
            progress = match self.seen.finish {
                Some(_) if meaning.kind == relay::Kind::Last => {
                    self.seen.is_ended = true;
                    return Ok(Progress::Ended);
                }
                // What nobody knows is no sign that an answer is on its way.
                None if meaning.kind == relay::Kind::Comment => progress,
                finish => Progress::before_end(finish),
            };
        }
        Ok(progress)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        match (self.seen.is_ended, self.seen.finish) {
            (true, _) => {}
            // What a cut left of a frame is no harm when the answer was complete before it.
            (false, Some(_)) => self.seen.is_ended = true,
            (false, None) if self.cutter.is_within_frame() => return Err(StreamError::Cut),
            (false, None) => return Err(StreamError::without_end(self.seen.before())),
        }
        Ok(())
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if self.is_held() {
            return None;
        }
        let bytes = self.whole.take()?;
        Some(self.seen.portion(bytes))
    }

    fn before(&self) -> Before {
        self.seen.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.seen.stated
    }
}

/// Frames one after the other; a single one is not copied.
#[derive(Debug)]
enum Whole {
    None,
    One(Bytes),
    More(BytesMut),
}

impl Whole {
    fn add(&mut self, frame: Bytes) {
        match self {
            Self::None => *self = Self::One(frame),
            Self::One(first) => {
                let mut more = BytesMut::with_capacity(first.len() + frame.len());
                more.extend_from_slice(first);
                more.extend_from_slice(&frame);
                *self = Self::More(more);
            }
            Self::More(more) => more.extend_from_slice(&frame),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(frame) => frame.len(),
            Self::More(frames) => frames.len(),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::One(frame) => Some(frame),
            Self::More(frames) => Some(frames.freeze()),
        }
    }
}

/// What a body's limits are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// The object that holds them; `None` when they stand at the top.
    pub(super) within: Option<&'static str>,
    /// Most tokens: all names that are understood, the usual one first.
    pub(super) max_tokens: &'static [&'static str],
    /// The temperature.
    pub(super) temperature: &'static str,
    /// What becomes of a limit that the caller did not set.
    pub(super) missing: Missing,
}

/// What becomes of a limit that the caller did not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is added.
    Added,
    /// It is left out: what it would be called is not known.
    Left,
}

/// Reads a caller's `body` in one scan, which also checks depth, keys and surrogates; its limits stand in the objects
/// named `within`. Which model and how its answer comes is said in the path.
///
/// # Errors
/// [`JsonError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub(super) fn read(
    body: Bytes,
    (model, delivery): (String, Delivery),
    dialect: Dialect,
    (names, within): (&Names, &[&str]),
) -> Result<Relayed, JsonError> {
    let (fields, tools) = names.of(&json::fields(&body, LIMITS)?);
    check_limits(&body, &fields, within)?;
    let (usage, headers) = (UsageFrame::Wanted, Vec::new());
    Ok(Relayed { dialect, model, body, fields, delivery, usage, tools, headers })
}

/// Whether the objects named `within` say each limit once: of two, nobody knows which one a provider takes, nor which one
/// to lower.
///
/// # Errors
/// [`JsonError`] with the place in `body`.
fn check_limits(body: &[u8], fields: &[FieldSpan], within: &[&str]) -> Result<(), JsonError> {
    for field in fields.iter().filter(|field| within.contains(&field.name)) {
        let object = slice(body, &field.value);
        if object.starts_with(b"{") {
            let placed = |error: JsonError| JsonError { offset: field.value.start + error.offset, ..error };
            json::fields(object, LIMITS).map_err(placed)?;
        }
    }
    Ok(())
}

/// The edits that force `overrides` on `body`, whose object of limits is at `object`: the number of tokens is an upper
/// bound, the temperature is set.
pub(super) fn limited(
    body: &Bytes,
    object: Option<Range<usize>>,
    limit: Limit,
    overrides: Overrides,
) -> Vec<Edit> {
    if overrides.max_tokens.is_none() && overrides.temperature.is_none() {
        return Vec::new();
    }
    let is_there = |range: &Range<usize>| slice(body, range).starts_with(b"{");
    let (start, raw) = match (limit.within, object.filter(is_there)) {
        (None, _) => (0, &body[..]),
        (Some(_), Some(range)) => (range.start, slice(body, &range)),
        (Some(_), None) => (0, &b""[..]),
    };
    let fields = json::fields(raw, LIMITS).unwrap_or_default();
    let field = |name: &str| fields.iter().find(|field| field.key == name);
    let place = |range: &Range<usize>| start + range.start..start + range.end;
    let mut edits = Vec::with_capacity(2);
    let mut added = Vec::with_capacity(2);
    if let Some(most) = overrides.max_tokens {
        let given = limit.max_tokens.iter().find_map(|name| field(name));
        let value = given.map(|field| serde_json::from_slice::<u64>(slice(raw, &field.value)).ok());
        match (given, value.flatten()) {
            (Some(_), Some(value)) if value <= u64::from(most) => {}
            (Some(field), _) => edits.push(Edit::new(place(&field.value), most.to_string())),
            (None, _) => added.push(format!("\"{}\":{most}", limit.max_tokens.first().unwrap_or(&""))),
        }
    }
    if let Some(temperature) = overrides.temperature {
        match field(limit.temperature) {
            Some(field) => edits.push(Edit::new(place(&field.value), temperature.to_string())),
            None => added.push(format!("\"{}\":{temperature}", limit.temperature)),
        }
    }
    if added.is_empty() || limit.missing == Missing::Left {
        return edits;
    }
    let added = added.join(",");
    match (raw.is_empty(), limit.within) {
        (false, _) => {
            let comma = if fields.is_empty() { "" } else { "," };
            let end = start + raw.trim_ascii_end().len().saturating_sub(1);
            edits.push(Edit::new(end..end, format!("{comma}{added}")));
        }
        (true, within) => edits.push(whole_object(body, within.unwrap_or_default(), &added)),
    }
    edits
}

/// Adds the object `name` to `body`, or puts it in the place of a `null`.
fn whole_object(body: &Bytes, name: &str, added: &str) -> Edit {
    let fields = json::fields(body, LIMITS).unwrap_or_default();
    match fields.iter().find(|field| field.key == name) {
        Some(field) => Edit::new(field.value.clone(), format!("{{{added}}}")),
        None => {
            let comma = if fields.is_empty() { "" } else { "," };
            Edit::at_the_end(body, format!("{comma}\"{name}\":{{{added}}}"))
        }
    }
}
