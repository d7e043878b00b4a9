//! A streamed answer on its way through: cut into whole frames, each understood, the bytes themselves untouched.

use domain::chat::{Done, RelayedPortion};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Response;
use crate::frames::{Frame, Frames};
use crate::object::Text;
use crate::openai::failure;
use crate::stream::{Before, Portions, Progress, StreamError};

/// Cuts a stream into portions of whole frames. Nothing is given out before the first frame that holds anything of the
/// answer; the frames before it come with it. The answer is complete with the event that holds all of it.
#[derive(Debug, Default)]
pub(in crate::openai::responses) struct Relay {
    frames: Frames,
    has_answer: bool,
    /// Bytes of what the model said since the last portion.
    said: u32,
    done: Option<Done>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    delta: Option<Text<'a>>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
}

impl Relay {
    fn understand(&mut self, frame: std::ops::Range<usize>) -> Result<Progress, StreamError> {
        let frame: Frame<'_> = self.frames.frame(frame);
        if let Some(json) = frame.bare_json() {
            return Err(match failure::is_error(json) {
                true => StreamError::Refused(failure::classify_event(json)),
                false => StreamError::Malformed,
            });
        }
        let (data, name) = frame.event();
        let data = data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(Progress::Silent);
        }
        if name == b"error" {
            return Err(StreamError::Refused(failure::classify_event(data)));
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_| StreamError::Malformed)?;
        let kind = &*event.kind.0;
        if matches!(kind, "error" | "response.failed") {
            // A response that failed holds the reason.
            let told = event.response.map_or(data, |response| response.get().as_bytes());
            return Err(StreamError::Refused(failure::classify_event(told)));
        }
        let length = event.delta.map_or(0, |delta| delta.0.len());
        // Until something is said, the answer could still be another model's.
        let is_word = length > 0 || (kind.ends_with(".done") && !kind.starts_with("response.reasoning"));
        let is_end = matches!(kind, "response.completed" | "response.incomplete");
        self.said = self.said.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        self.has_answer |= is_word || is_end;
        if !is_end {
            return Ok(Progress::Answering);
        }
        let response = event.response.and_then(|raw| serde_json::from_str::<Response>(raw.get()).ok());
        self.done = Some(response.and_then(|response| response.done()).ok_or(StreamError::Malformed)?);
        Ok(Progress::Ended)
    }
}

impl Portions for Relay {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        if self.done.is_some() {
            return Ok(Progress::Ended);
        }
        self.frames.push(bytes)?;
        let mut progress = Progress::Silent;
        while let Some(range) = self.frames.next_frame() {
            let end = range.end;
            match self.understand(range)? {
                Progress::Silent => {}
                other => progress = other,
            }
            self.frames.pass(end);
            if self.done.is_some() {
                break;
            }
        }
        Ok(progress)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        if self.done.is_some() {
            return Ok(());
        }
        let rest = self.frames.rest();
        if !rest.is_empty() {
            // The blank line after the last frame may be missing.
            match self.understand(rest) {
                Ok(Progress::Ended) => {
                    self.frames.complete();
                    return Ok(());
                }
                Ok(_) | Err(StreamError::Malformed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(if self.has_answer { StreamError::Cut } else { StreamError::Empty })
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if !self.has_answer {
            return None;
        }
        let bytes = self.frames.take()?;
        Some(RelayedPortion { bytes, said: std::mem::take(&mut self.said), done: self.done })
    }

    fn before(&self) -> Before {
        if self.has_answer { Before::Text } else { Before::Nothing }
    }
}
