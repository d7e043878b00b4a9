//! A streamed answer: bytes in, [`ChatChunk`]s out, with a verdict on whether the answer was whole.

use domain::chat::{ChatChunk, Finish};
use domain::token::Usage;

use super::{chat, failure};
use crate::sse;
pub use crate::stream::{Before, Progress, StreamError};

/// Reads a streamed answer.
///
/// A missing end marker is forgiven when a finish reason came. A body that is one JSON object instead of an
/// event stream is read as a whole answer, whatever its content type said.
#[derive(Debug, Default)]
pub struct Reader {
    shape: Shape,
    finish: Option<Finish>,
    usage: Option<Usage>,
    has_text: bool,
    is_ended: bool,
}

#[derive(Debug, Default)]
enum Shape {
    #[default]
    Unknown,
    Events(sse::Decoder),
    Whole(Vec<u8>),
}

/// Most bytes of an answer that came in one piece.
const WHOLE_BYTES_MAX: usize = 16 << 20;

impl Reader {
    /// A reader at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether text has come, for [`StreamError::fault`].
    #[must_use]
    pub fn before(&self) -> Before {
        if self.has_text { Before::Text } else { Before::Nothing }
    }

    /// Reads the next portion and appends what it says to `chunks`.
    ///
    /// # Errors
    /// [`StreamError`]; chunks before that point are in `chunks`. Nothing may be pushed after it.
    pub fn push(&mut self, portion: &[u8], chunks: &mut Vec<ChatChunk>) -> Result<Progress, StreamError> {
        if let Shape::Unknown = self.shape {
            match portion.iter().find(|byte| !byte.is_ascii_whitespace()) {
                // No line of an event stream begins with a brace.
                Some(b'{') => self.shape = Shape::Whole(Vec::new()),
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
        let mut events = Vec::new();
        let outcome = decoder.push(portion, &mut events);
        let is_silent = events.is_empty();
        for event in events {
            self.read(&event, chunks)?;
        }
        outcome.map_err(|_| StreamError::Malformed)?;
        Ok(match self.finish {
            _ if self.is_ended => Progress::Ended,
            _ if is_silent => Progress::Silent,
            Some(_) => Progress::Ending,
            None => Progress::Answering,
        })
    }

    /// Reads the end of the body, which makes the answer whole or not.
    ///
    /// # Errors
    /// [`StreamError`] when the answer is not whole.
    pub fn end(&mut self, chunks: &mut Vec<ChatChunk>) -> Result<(), StreamError> {
        match std::mem::take(&mut self.shape) {
            Shape::Unknown => {}
            Shape::Events(decoder) => {
                if let Some(last) = decoder.finish().filter(|_| !self.is_ended) {
                    match self.read(&last, chunks) {
                        // What a cut left of a frame is unreadable because of the cut, which is no harm
                        // when the answer was complete before it.
                        Err(StreamError::Malformed) if self.finish.is_some() => {}
                        Err(StreamError::Malformed) => return Err(StreamError::Cut),
                        other => other?,
                    }
                }
            }
            Shape::Whole(body) => self.read_whole(&body, chunks)?,
        }
        match self.finish {
            _ if self.is_ended => Ok(()),
            Some(finish) => self.done(finish, chunks),
            None if self.has_text => Err(StreamError::Cut),
            None => Err(StreamError::Empty),
        }
    }

    fn read(&mut self, event: &sse::Event, chunks: &mut Vec<ChatChunk>) -> Result<(), StreamError> {
        let data = event.data.trim_ascii();
        if self.is_ended || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            // The marker itself says that the answer is complete, also where no reason was given.
            return self.done(self.finish.unwrap_or(Finish::Stop), chunks);
        }
        let frame = match chat::frame(data) {
            Ok(Some(frame)) if event.name != "error" => frame,
            Err(chat::Unreadable) if event.name != "error" => return Err(StreamError::Malformed),
            _ => return Err(StreamError::Refused(failure::classify_event(data))),
        };
        if !frame.text.is_empty() {
            self.has_text = true;
            chunks.push(ChatChunk::Delta(frame.text));
        }
        self.finish = frame.finish.or(self.finish);
        self.usage = frame.usage.or(self.usage);
        Ok(())
    }

    fn read_whole(&mut self, body: &[u8], chunks: &mut Vec<ChatChunk>) -> Result<(), StreamError> {
        if let Ok(None) = chat::frame(body) {
            return Err(StreamError::Refused(failure::classify_event(body)));
        }
        let answer = chat::answer(body).map_err(|_| StreamError::Malformed)?;
        if !answer.text.is_empty() {
            self.has_text = true;
            chunks.push(ChatChunk::Delta(answer.text));
        }
        (self.finish, self.usage) = (Some(answer.finish), answer.usage);
        Ok(())
    }

    fn done(&mut self, finish: Finish, chunks: &mut Vec<ChatChunk>) -> Result<(), StreamError> {
        // A model that stops by itself before its first word has not answered.
        if !self.has_text && finish == Finish::Stop {
            return Err(StreamError::Empty);
        }
        self.is_ended = true;
        chunks.push(ChatChunk::Done { finish, usage: self.usage });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::fault::{Fault, Kind};
    use domain::token::TokenCount;
    use proptest::prelude::*;

    use super::*;

    fn read(portions: &[&[u8]]) -> (Vec<ChatChunk>, Result<(), (StreamError, Fault)>) {
        let mut reader = Reader::new();
        let mut chunks = Vec::new();
        let mut outcome = Ok(());
        for portion in portions {
            outcome = outcome.and_then(|()| reader.push(portion, &mut chunks).map(|_| ()));
        }
        let outcome = outcome.and_then(|()| reader.end(&mut chunks));
        (chunks, outcome.map_err(|error| (error, error.fault(reader.before()))))
    }

    fn text(chunks: &[ChatChunk]) -> String {
        let deltas = chunks.iter().filter_map(|chunk| match chunk {
            ChatChunk::Delta(text) => Some(text.as_str()),
            ChatChunk::Done { .. } => None,
        });
        deltas.collect()
    }

    fn frame(text: &str, finish: &str) -> String {
        format!(
            r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#
        ) + "\n\n"
    }

    const ANSWER: &[u8] = include_bytes!("../../golden/openai/stream.sse");
    const WHOLE: &[u8] = include_bytes!("../../golden/openai/answer.json");

    #[test]
    fn a_recorded_stream_is_read() {
        let usage = Usage { cached_input: TokenCount(16), ..Usage::of(TokenCount(19), TokenCount(8)) };
        for body in [ANSWER, WHOLE] {
            let (chunks, outcome) = read(&[body]);
            assert_eq!(outcome, Ok(()));
            assert_eq!(text(&chunks), "Yes, up to $250,000.");
            assert_eq!(chunks.last(), Some(&ChatChunk::Done { finish: Finish::Stop, usage: Some(usage) }));
        }
    }

    #[test]
    fn only_a_whole_answer_ends_well() {
        let hi = frame("Hi", "null");
        let stop = frame("", "\"stop\"");
        let done = "data: [DONE]\n\n";
        let transient = Kind::Transient;
        for (body, want) in [
            (format!("{hi}{stop}{done}"), Ok("Hi")),
            (format!("{hi}{stop}"), Ok("Hi")),             // no end marker
            (format!("{hi}{done}"), Ok("Hi")),             // no reason
            (format!("{hi}{stop}data: [DONE]"), Ok("Hi")), // no blank line
            (format!("{hi}{stop}{done}data: junk\n\n"), Ok("Hi")),
            (format!("{hi}{stop}data: {{\"usa"), Ok("Hi")), // only the usage was cut
            (frame("", "\"length\""), Ok("")),
            (frame("", "\"content_filter\""), Ok("")),
            (String::new(), Err((StreamError::Empty, transient))),
            (": ping\n\n".repeat(9), Err((StreamError::Empty, transient))),
            ("<html>".to_owned(), Err((StreamError::Empty, transient))),
            (done.to_owned(), Err((StreamError::Empty, transient))),
            (stop.clone(), Err((StreamError::Empty, transient))),
            (hi.clone(), Err((StreamError::Cut, Kind::Truncated))),
            (format!("{hi}data: {{\"cho"), Err((StreamError::Cut, Kind::Truncated))),
            ("data: {\"cho".to_owned(), Err((StreamError::Cut, transient))),
            ("data: {oops}\n\n".to_owned(), Err((StreamError::Malformed, transient))),
            (format!("{hi}data: {{oops}}\n\n{stop}{done}"), Err((StreamError::Malformed, Kind::Truncated))),
            (frame("\\ud83d", "null"), Err((StreamError::Malformed, transient))),
            ("{\"choices\":".to_owned(), Err((StreamError::Malformed, transient))),
            (
                "data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n".to_owned(),
                Err((StreamError::Refused(Fault::provider(Kind::Throttled)), Kind::Throttled)),
            ),
            (
                "event: error\ndata: boom\n\n".to_owned(),
                Err((StreamError::Refused(Fault::provider(transient)), transient)),
            ),
            (
                "{\"error\":{\"code\":401}}".to_owned(),
                Err((StreamError::Refused(Fault::provider(Kind::RouteFatal)), Kind::RouteFatal)),
            ),
            (
                format!("{hi}data: {{\"error\":{{\"type\":\"server_error\"}}}}\n\n"),
                Err((StreamError::Refused(Fault::provider(transient)), Kind::Truncated)),
            ),
            (
                format!("{hi}data: {{\"error\":{{\"code\":\"content_filter\"}}}}\n\n"),
                Err((StreamError::Refused(Fault::provider(Kind::Content)), Kind::Content)),
            ),
        ] {
            let (chunks, outcome) = read(&[body.as_bytes()]);
            let done = chunks.iter().filter(|chunk| matches!(chunk, ChatChunk::Done { .. })).count();
            match want {
                Ok(want) => assert_eq!((text(&chunks).as_str(), outcome, done), (want, Ok(()), 1), "{body}"),
                Err((error, kind)) => {
                    let (found, fault) = outcome.expect_err(&body);
                    assert_eq!((found, fault.kind, done), (error, kind, 0), "{body}");
                }
            }
        }
    }

    #[test]
    fn progress_tells_silence_from_an_answer() {
        let mut reader = Reader::new();
        let mut chunks = Vec::new();
        let mut push = |text: &str| reader.push(text.as_bytes(), &mut chunks);
        assert_eq!(push("\n"), Ok(Progress::Silent));
        assert_eq!(push(": ping\n\n"), Ok(Progress::Silent));
        assert_eq!(push(&frame("Hi", "null")), Ok(Progress::Answering));
        assert_eq!(push(": ping\n\n"), Ok(Progress::Silent));
        assert_eq!(push(&frame("", "\"stop\"")), Ok(Progress::Ending));
        assert_eq!(push("data: [DONE]\n\n"), Ok(Progress::Ended));
        assert_eq!(push("data: more\n\n"), Ok(Progress::Ended));
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..2000, 0..40), whole: bool) {
            let body = if whole { WHOLE } else { ANSWER };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let portions: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let (chunks, outcome) = read(&portions);
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(chunks, read(&[body]).0);
        }

        #[test]
        fn a_cut_anywhere_is_never_a_clean_end(cut in 0_usize..2000) {
            let finish = ANSWER.windows(6).position(|window| window == b"\"stop\"").expect("in the file");
            let cut = cut.min(finish);
            let (_, outcome) = read(&[&ANSWER[..cut]]);
            prop_assert!(outcome.is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&[&bytes]);
        }
    }
}
