//! A streamed answer on its way through: cut into whole frames, each understood, the bytes themselves untouched.

use std::borrow::Cow;
use std::ops::Range;

use bytes::BytesMut;
use domain::chat::{Done, Finish, RelayedPortion, UsageFrame};
use domain::token::Usage;
use memchr::memchr2;

use super::meaning;
use crate::openai::failure;
use crate::stream::{Before, Portions, Progress, StreamError};

/// Most bytes of a frame, and of what is held back before the first word.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// The end marker, for answers that are complete although their provider left it out.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Cuts a stream into portions of whole frames, the bytes themselves untouched.
///
/// Frames before the first one that holds anything of the answer come with it.
#[derive(Debug)]
pub struct WholeFrames {
    usage_frame: UsageFrame,
    /// What has come and is not given out; whole frames up to `n_whole`.
    pending: BytesMut,
    n_whole: usize,
    /// Where the unfinished line begins.
    line_start: usize,
    has_answer: bool,
    /// Bytes of the answer since the last portion that was given out.
    said: u32,
    is_ended: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Nothing that counts.
    Comment,
    /// A part of the answer.
    Answer,
    /// What the answer used, and nothing else.
    Usage,
    /// The end marker.
    End,
}

impl WholeFrames {
    /// At the start of a stream whose caller wants `usage_frame`.
    #[must_use]
    pub fn new(usage_frame: UsageFrame) -> Self {
        Self {
            usage_frame,
            pending: BytesMut::new(),
            n_whole: 0,
            line_start: 0,
            has_answer: false,
            said: 0,
            is_ended: false,
            finish: None,
            usage: None,
        }
    }
}

impl Portions for WholeFrames {
    fn before(&self) -> Before {
        if self.has_answer { Before::Text } else { Before::Nothing }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        if self.is_ended {
            return Ok(Progress::Ended);
        }
        if self.pending.len() + bytes.len() > FRAME_BYTES_MAX {
            return Err(StreamError::Malformed);
        }
        self.pending.extend_from_slice(bytes);
        let mut progress = Progress::Silent;
        while let Some(end) = self.frame_end() {
            match self.understand(self.n_whole..end)? {
                Frame::Comment => self.n_whole = end,
                Frame::Usage if self.usage_frame == UsageFrame::Unwanted => self.cut_out(end),
                Frame::Answer | Frame::Usage => {
                    self.n_whole = end;
                    progress = if self.finish.is_some() { Progress::Ending } else { Progress::Answering };
                }
                Frame::End if !self.has_answer => return Err(StreamError::Empty),
                Frame::End => {
                    self.is_ended = true;
                    self.n_whole = end;
                    return Ok(Progress::Ended);
                }
            }
        }
        Ok(progress)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        if self.is_ended {
            return Ok(());
        }
        let whole = self.pending.len();
        if self.n_whole < whole && self.finish.is_none() {
            // Some providers leave the blank line after their last frame out.
            match self.understand(self.n_whole..whole) {
                Ok(Frame::Comment) => {}
                Ok(Frame::Answer | Frame::Usage) => {
                    self.pending.extend_from_slice(b"\n\n");
                    self.n_whole = self.pending.len();
                }
                // The marker itself says that the answer is complete.
                Ok(Frame::End) if self.has_answer => self.finish = Some(Finish::Stop),
                Ok(Frame::End) => return Err(StreamError::Empty),
                Err(StreamError::Malformed) if self.before() == Before::Text => return Err(StreamError::Cut),
                Err(error) => return Err(error),
            }
        }
        match self.finish {
            None if self.has_answer => return Err(StreamError::Cut),
            None => return Err(StreamError::Empty),
            Some(_) => {}
        }
        // What a cut left of a frame is no harm when the answer was complete before it.
        self.pending.truncate(self.n_whole);
        self.pending.extend_from_slice(DONE);
        self.n_whole = self.pending.len();
        self.is_ended = true;
        Ok(())
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if !self.has_answer || self.n_whole == 0 {
            return None;
        }
        let bytes = self.pending.split_to(self.n_whole).freeze();
        self.line_start = self.line_start.saturating_sub(self.n_whole);
        self.n_whole = 0;
        let done = Done { finish: self.finish.unwrap_or(Finish::Stop), usage: self.usage };
        let said = std::mem::take(&mut self.said);
        Some(RelayedPortion { bytes, said, done: self.is_ended.then_some(done) })
    }
}

impl WholeFrames {
    /// Takes the frame up to `end` out of what is passed on.
    fn cut_out(&mut self, end: usize) {
        let rest = self.pending.split_off(end);
        self.pending.truncate(self.n_whole);
        self.pending.extend_from_slice(&rest);
        self.line_start = self.n_whole;
    }

    /// The end of the first frame that is not looked at yet, after its blank line.
    fn frame_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.pending.get(self.line_start..)?;
            let length = memchr2(b'\n', b'\r', rest)?;
            let line_end = match rest.get(length..) {
                Some([b'\r', b'\n', ..]) => length + 2,
                // What follows tells whether a line feed belongs to it.
                Some([b'\r']) => return None,
                _ => length + 1,
            };
            let is_first_line = self.line_start == self.n_whole;
            self.line_start += line_end;
            // A blank line before a frame's first line belongs to that frame.
            if length == 0 && !is_first_line {
                return Some(self.line_start);
            }
        }
    }

    fn understand(&mut self, range: Range<usize>) -> Result<Frame, StreamError> {
        let frame = self.pending.get(range).unwrap_or_default();
        let start = frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame).trim_ascii_start();
        // No line of an event stream begins with a brace: this is JSON in place of a stream.
        if start.starts_with(b"{") {
            return Err(match meaning::frame(start) {
                Ok(None) => StreamError::Refused(failure::classify_event(start)),
                _ => StreamError::Malformed,
            });
        }
        let (data, is_error) = data(start);
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(Frame::Comment);
        }
        if data == b"[DONE]" {
            return Ok(Frame::End);
        }
        let meaning = match meaning::frame(data) {
            Ok(Some(meaning)) if !is_error => meaning,
            Err(_) if !is_error => return Err(StreamError::Malformed),
            _ => return Err(StreamError::Refused(failure::classify_event(data))),
        };
        // An answer without a word that says why it ended is one, too.
        self.has_answer |= meaning.said > 0 || meaning.finish.is_some();
        self.said = self.said.saturating_add(meaning.said);
        self.finish = meaning.finish.or(self.finish);
        self.usage = meaning.usage.or(self.usage);
        let is_usage = meaning.has_no_choices && meaning.usage.is_some();
        Ok(if is_usage { Frame::Usage } else { Frame::Answer })
    }
}

/// The first bytes of a stream may be this mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The data lines of a frame, joined; whether its type is `error`.
fn data(frame: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut data: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut is_error = false;
    let mut rest = frame;
    while !rest.is_empty() {
        let line;
        (line, rest) = match memchr2(b'\n', b'\r', rest) {
            Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default()),
            None => (rest, &[][..]),
        };
        if let Some(value) = line.strip_prefix(b"data:") {
            match data.is_empty() {
                true => data = Cow::Borrowed(value),
                false => data.to_mut().extend([b"\n", value].concat()),
            }
        } else if let Some(value) = line.strip_prefix(b"event:") {
            is_error = value.trim_ascii() == b"error";
        }
    }
    (data, is_error)
}

#[cfg(test)]
mod tests {
    use domain::fault::{Fault, Kind};
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = include_bytes!("../../../golden/openai/stream.sse");

    /// What is passed on, and how the stream ended.
    fn pass(usage_frame: UsageFrame, portions: &[&[u8]]) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
        let mut reader = WholeFrames::new(usage_frame);
        let (mut passed, mut done) = (Vec::new(), None);
        let mut take = |portion: Option<RelayedPortion>| {
            let Some(portion) = portion else { return };
            assert_eq!(done, None, "nothing follows the last portion");
            assert!(portion.bytes.ends_with(b"\n\n") || portion.bytes.ends_with(b"\r\n"), "whole frames");
            passed.extend_from_slice(&portion.bytes);
            done = portion.done;
        };
        for portion in portions {
            let pushed = reader.push(portion);
            take(reader.give_out());
            if let Err(error) = pushed {
                return (passed, Err(error));
            }
        }
        let ended = reader.end();
        take(reader.give_out());
        (passed, ended.map(|()| done))
    }

    fn frame(text: &str, finish: &str) -> String {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    }

    #[test]
    fn a_recorded_stream_passes_byte_for_byte() {
        let (passed, done) = pass(UsageFrame::Wanted, &[ANSWER]);
        assert_eq!(passed, ANSWER);
        let done = done.expect("whole").expect("done");
        assert_eq!((done.finish, done.usage.map(|usage| usage.output.0)), (Finish::Stop, Some(8)));
    }

    #[test]
    fn a_usage_frame_that_nobody_asked_for_is_read_and_left_out() {
        let (passed, done) = pass(UsageFrame::Unwanted, &[ANSWER]);
        let text = String::from_utf8(ANSWER.to_vec()).expect("text");
        let frames: Vec<&str> = text.split_inclusive("\n\n").collect();
        let want: String = frames.iter().filter(|frame| !frame.contains("\"choices\":[]")).copied().collect();
        assert_eq!(String::from_utf8(passed).expect("text"), want);
        assert!(done.expect("whole").expect("done").usage.is_some());
    }

    #[test]
    fn endings_are_told_apart() {
        let (role, hi, stop) = (frame("", "null"), frame("hi", "null"), frame("", "\"stop\""));
        let done = "data: [DONE]\n\n";
        let transient = Kind::Transient;
        for (body, want) in [
            (format!("{role}{hi}{stop}{done}"), Ok(format!("{role}{hi}{stop}{done}"))),
            (format!("{role}{hi}{stop}"), Ok(format!("{role}{hi}{stop}{done}"))), // no end marker
            (format!("{hi}{done}"), Ok(format!("{hi}{done}"))),                   // no reason
            (format!("{hi}data: [DONE]"), Ok(format!("{hi}{done}"))),
            (format!("{hi}{}", stop.trim_end()), Ok(format!("{hi}{stop}{done}"))),
            (format!("{hi}{stop}data: {{\"cho"), Ok(format!("{hi}{stop}{done}"))),
            (
                format!(": ping\n\n{hi}{stop}: pong\n\n{done}"),
                Ok(format!(": ping\n\n{hi}{stop}: pong\n\n{done}")),
            ),
            (format!("{stop}{done}"), Ok(format!("{stop}{done}"))), // nothing to say is an answer, too
            (
                format!("{hi}{stop}{done}").replace('\n', "\r\n"),
                Ok(format!("{hi}{stop}{done}").replace('\n', "\r\n")),
            ),
            (format!("\u{feff}{hi}{stop}{done}"), Ok(format!("\u{feff}{hi}{stop}{done}"))),
            (format!("{hi}{stop}{done}{hi}"), Ok(format!("{hi}{stop}{done}"))),
            (String::new(), Err((StreamError::Empty, String::new()))),
            (format!("{role}{done}"), Err((StreamError::Empty, String::new()))),
            (role.clone(), Err((StreamError::Empty, String::new()))),
            (done.to_owned(), Err((StreamError::Empty, String::new()))),
            (format!("{role}{hi}"), Err((StreamError::Cut, format!("{role}{hi}")))),
            (format!("{hi}data: {{\"cho"), Err((StreamError::Cut, hi.clone()))),
            ("data: {oops}\n\n".to_owned(), Err((StreamError::Malformed, String::new()))),
            ("{\"choices\":[]}".to_owned(), Err((StreamError::Malformed, String::new()))),
            ("<html>".to_owned(), Err((StreamError::Empty, String::new()))),
            (
                "data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n".to_owned(),
                Err((StreamError::Refused(Fault::provider(Kind::Throttled)), String::new())),
            ),
            (
                "event: error\ndata: boom\n\n".to_owned(),
                Err((StreamError::Refused(Fault::provider(transient)), String::new())),
            ),
            (
                "{\"error\":{\"code\":401}}".to_owned(),
                Err((StreamError::Refused(Fault::provider(Kind::RouteFatal)), String::new())),
            ),
        ] {
            // Byte by byte, so that what comes before a failure is given out.
            let portions: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
            let (passed, ended) = pass(UsageFrame::Wanted, &portions);
            let passed = String::from_utf8(passed).expect("text");
            match want {
                Ok(want) => {
                    assert_eq!((passed, ended.is_ok_and(|done| done.is_some())), (want, true), "{body}");
                }
                Err((error, want)) => assert_eq!((passed, ended), (want, Err(error)), "{body}"),
            }
        }
    }

    #[test]
    fn nothing_is_given_out_before_a_word() {
        let mut reader = WholeFrames::new(UsageFrame::Wanted);
        for text in [": ping\n\n".to_owned(), frame("", "null"), "data: {\"choices\":[]}\n\n".to_owned()] {
            reader.push(text.as_bytes()).expect("readable");
            assert_eq!(reader.give_out(), None);
            assert_eq!(reader.before(), Before::Nothing);
        }
        assert_eq!(reader.push(frame("hi", "null").as_bytes()), Ok(Progress::Answering));
        assert!(reader.give_out().expect("all of it").bytes.starts_with(b": ping"));
        assert_eq!(reader.before(), Before::Text);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut reader = WholeFrames::new(UsageFrame::Wanted);
        let line = vec![b'x'; FRAME_BYTES_MAX];
        assert!(reader.push(&line).is_ok());
        assert_eq!(reader.push(b"x"), Err(StreamError::Malformed));
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..4000, 0..40), wanted: bool) {
            let usage_frame = if wanted { UsageFrame::Wanted } else { UsageFrame::Unwanted };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(ANSWER.len())).collect();
            cuts.extend([0, ANSWER.len()]);
            cuts.sort_unstable();
            let portions: Vec<&[u8]> = cuts.windows(2).map(|pair| &ANSWER[pair[0]..pair[1]]).collect();
            prop_assert_eq!(pass(usage_frame, &portions), pass(usage_frame, &[ANSWER]));
        }

        #[test]
        fn a_cut_anywhere_is_never_a_clean_end(cut in 0_usize..4000) {
            let finish = ANSWER.windows(6).position(|window| window == b"\"stop\"").expect("in the file");
            prop_assert!(pass(UsageFrame::Wanted, &[&ANSWER[..cut.min(finish)]]).1.is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(portions: Vec<Vec<u8>>) {
            let portions: Vec<&[u8]> = portions.iter().map(Vec::as_slice).collect();
            let _ = pass(UsageFrame::Wanted, &portions);
        }
    }
}
