//! Reads a provider's event stream, or the JSON that came in its place, for formats that know what the frames say.

use domain::conversation::Event;
use domain::meter::Stated;

use crate::sse;
use crate::stream::{Before, EventReader, Progress, StreamError};

/// Most bytes of an answer that came in one piece.
const WHOLE_BYTES_MAX: usize = 16 << 20;

/// Knows what the frames of one format say.
pub(crate) trait Understand: Default + Send {
    /// With what a body begins that is no event stream.
    const WHOLE: &'static [u8] = b"{";

    /// Reads a frame; [`Progress::Silent`] when there is nothing in it. None follows one that [`Understand::end`]ed it.
    ///
    /// # Errors
    /// [`StreamError`] when it is no part of an answer.
    fn frame(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<Progress, StreamError>;

    /// Reads a body that is no event stream.
    ///
    /// # Errors
    /// [`StreamError`] when it is no answer.
    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError>;

    /// The body has ended, and no frame said that the answer is complete.
    ///
    /// # Errors
    /// [`StreamError`] when it is not.
    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError>;

    /// Whether anything of the answer has come.
    fn before(&self) -> Before;

    /// What was stated so far of what the call uses.
    fn stated(&self) -> Option<Stated>;
}

/// Reads a streamed answer.
///
/// A missing last frame is forgiven when the reason for the end came. A body that is JSON instead of an event stream is
/// read as a whole answer, whatever its content type said.
#[derive(Debug, Default)]
pub(crate) struct Reader<U> {
    shape: Shape,
    understand: U,
    /// What the last frame that said anything meant.
    reached: Option<Progress>,
}

#[derive(Debug, Default)]
enum Shape {
    #[default]
    Unknown,
    Events(sse::Decoder),
    Whole(Vec<u8>),
}

impl<U: Understand> Reader<U> {
    fn frame(&mut self, frame: &sse::Event, events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        let progress = self.understand.frame(frame, events)?;
        if progress != Progress::Silent {
            self.reached = Some(progress);
        }
        Ok(progress)
    }
}

impl<U: Understand> EventReader for Reader<U> {
    fn push(&mut self, mut portion: &[u8], events: &mut Vec<Event>) -> Result<Progress, StreamError> {
        if self.reached == Some(Progress::Ended) {
            return Ok(Progress::Ended);
        }
        if let Shape::Unknown = self.shape {
            // White space before it belongs to neither, however it is cut.
            portion = portion.trim_ascii_start();
            match portion.first() {
                // No line of an event stream begins so.
                Some(first) if U::WHOLE.contains(first) => self.shape = Shape::Whole(Vec::new()),
                Some(_) => self.shape = Shape::Events(sse::Decoder::new(sse::Limits::default())),
                None => return Ok(Progress::Silent),
            }
        }
        let decoder = match &mut self.shape {
            Shape::Events(decoder) => decoder,
            Shape::Whole(body) if body.len() + portion.len() <= WHOLE_BYTES_MAX => {
                body.extend_from_slice(portion);
                return Ok(Progress::Answering);
            }
            Shape::Whole(_) | Shape::Unknown => return Err(StreamError::Malformed),
        };
        let mut frames = Vec::new();
        let outcome = decoder.push(portion, &mut frames);
        let mut progress = Progress::Silent;
        for frame in frames {
            match self.frame(&frame, events)? {
                Progress::Silent => {}
                Progress::Ended => return Ok(Progress::Ended),
                other => progress = other,
            }
        }
        outcome.map_err(|_| StreamError::Malformed)?;
        Ok(progress)
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        match std::mem::take(&mut self.shape) {
            _ if self.reached == Some(Progress::Ended) => return Ok(()),
            Shape::Unknown => {}
            Shape::Events(decoder) => {
                if let Some(last) = decoder.finish() {
                    let is_complete = self.reached == Some(Progress::Ending);
                    match self.frame(&last, events) {
                        Ok(Progress::Ended) => return Ok(()),
                        // What a cut left of a frame is no harm when the answer was complete before it.
                        Err(StreamError::Malformed) if is_complete => {}
                        Err(StreamError::Malformed) => return Err(StreamError::Cut),
                        other => drop(other?),
                    }
                }
            }
            Shape::Whole(body) => self.understand.whole(&body, events)?,
        }
        self.understand.end(events)?;
        self.reached = Some(Progress::Ended);
        Ok(())
    }

    fn before(&self) -> Before {
        self.understand.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.understand.stated()
    }
}

#[cfg(test)]
mod tests {
    use crate::anthropic::messages::Messages;
    use crate::gemini::Gemini;
    use crate::openai::chat::{ChatCompletions, Endpoint, LimitField, Thoughts};
    use crate::protocol::Protocol;
    use crate::stream::StreamError;
    use crate::told;

    /// Found by fuzzing: a tab in a portion of its own was dropped, one before a line made it a field that nobody knows.
    #[test]
    fn white_space_before_a_body_is_no_part_of_it_however_it_is_cut() {
        let openai = ChatCompletions {
            limit_field: LimitField::MaxTokens,
            responses: Endpoint::Missing,
            thoughts: Thoughts::Taken,
        };
        let protocols: [(&dyn Protocol, &str); 3] = [
            (&openai, r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#),
            (&Messages, r#"{"type":"error","error":{"type":"overloaded_error","message":"no"}}"#),
            (&Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#),
        ];
        for (protocol, frame) in protocols {
            let plain = format!("data: {frame}\n\n");
            let want = told::read(protocol.reader(), &[plain.as_bytes()]);
            assert!(!matches!(want.1, Err((StreamError::Cut, _))), "{frame}");
            let body = format!("\t \r\n{plain}");
            let singly: Vec<_> = body.as_bytes().chunks(1).collect();
            for portions in [&[body.as_bytes()][..], &singly] {
                assert_eq!(told::read(protocol.reader(), portions), want, "{frame}");
            }
        }
    }
}
