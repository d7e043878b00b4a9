//! A streamed answer on its way through: cut into whole frames, each understood, the bytes themselves untouched.

use domain::chat::{Done, Finish, RelayedPortion};

use crate::anthropic::answer::{self, Counted};
use crate::anthropic::failure;
use crate::anthropic::stream::{Frame, frame};
use crate::frames::{self, Frames};
use crate::object::Text;
use crate::stream::{Before, Portions, Progress, StreamError};

/// The last event, for answers that are complete although their provider left it out.
const STOP: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Cuts a stream into portions of whole frames.
///
/// Nothing is given out before the first frame that holds anything of the answer, so that until then the call can be
/// made again elsewhere; the frames before it come with it.
#[derive(Debug, Default)]
pub(in crate::anthropic) struct Relay {
    frames: Frames,
    understood: Understood,
    is_ended: bool,
}

/// What the frames said so far.
#[derive(Debug, Default)]
struct Understood {
    has_answer: bool,
    /// Bytes of what the model said since the last portion.
    said: u32,
    finish: Option<Finish>,
    counted: Counted,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Nothing that counts.
    Comment,
    /// A part of the answer.
    Answer,
    /// The last event.
    End,
}

impl Portions for Relay {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        if self.is_ended {
            return Ok(Progress::Ended);
        }
        self.frames.push(bytes)?;
        let mut progress = Progress::Silent;
        while let Some(range) = self.frames.next_frame() {
            let end = range.end;
            match understand(&self.frames.frame(range), &mut self.understood)? {
                Meaning::Comment => {}
                Meaning::Answer => {
                    progress =
                        if self.understood.finish.is_some() { Progress::Ending } else { Progress::Answering };
                }
                Meaning::End if !self.understood.has_answer => return Err(StreamError::Empty),
                Meaning::End => {
                    self.is_ended = true;
                    progress = Progress::Ended;
                }
            }
            self.frames.pass(end);
            if self.is_ended {
                break;
            }
        }
        Ok(progress)
    }

    fn end(&mut self) -> Result<(), StreamError> {
        if self.is_ended {
            return Ok(());
        }
        let rest = self.frames.rest();
        if !rest.is_empty() && self.understood.finish.is_none() {
            // The blank line after the last frame may be missing.
            match understand(&self.frames.frame(rest), &mut self.understood) {
                Ok(Meaning::Comment) => {}
                Ok(Meaning::Answer) => self.frames.complete(),
                // The event itself says that the answer is complete.
                Ok(Meaning::End) if self.understood.has_answer => self.understood.finish = Some(Finish::Stop),
                Ok(Meaning::End) => return Err(StreamError::Empty),
                Err(StreamError::Malformed) if self.understood.has_answer => return Err(StreamError::Cut),
                Err(error) => return Err(error),
            }
        }
        match self.understood.finish {
            None if self.understood.has_answer => return Err(StreamError::Cut),
            None => return Err(StreamError::Empty),
            Some(_) => {}
        }
        // What a cut left of a frame is no harm when the answer was complete before it.
        self.frames.end_with(STOP);
        self.is_ended = true;
        Ok(())
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        if !self.understood.has_answer {
            return None;
        }
        let bytes = self.frames.take()?;
        let done = Done {
            finish: self.understood.finish.unwrap_or(Finish::Stop),
            usage: self.understood.counted.usage(),
        };
        let said = std::mem::take(&mut self.understood.said);
        Some(RelayedPortion { bytes, said, done: self.is_ended.then_some(done) })
    }

    fn before(&self) -> Before {
        if self.understood.has_answer { Before::Text } else { Before::Nothing }
    }
}

fn understand(frame: &frames::Frame<'_>, understood: &mut Understood) -> Result<Meaning, StreamError> {
    if let Some(json) = frame.bare_json() {
        return Err(match answer::is_error(json) {
            true => StreamError::Refused(failure::classify_event(json)),
            false => StreamError::Malformed,
        });
    }
    let (data, name) = frame.event();
    let data = data.trim_ascii();
    if name == b"error" {
        return Err(StreamError::Refused(failure::classify_event(data)));
    }
    if data.is_empty() {
        return Ok(Meaning::Comment);
    }
    // What is not known yet is passed on.
    let Some(frame) = self::frame(data)? else { return Ok(Meaning::Comment) };
    understood.take(&frame);
    Ok(match &*frame.kind.0 {
        "ping" => Meaning::Comment,
        "message_stop" => Meaning::End,
        _ => Meaning::Answer,
    })
}

impl Understood {
    fn take(&mut self, frame: &Frame<'_>) {
        let length = |text: &Option<Text<'_>>| text.as_ref().map_or(0, |text| text.0.len());
        let mut said = 0;
        if let Some(message) = &frame.message {
            self.counted.take(message.usage);
        }
        self.counted.take(frame.usage);
        if let Some(block) = &frame.content_block {
            said += length(&block.text) + length(&block.thinking) + length(&block.name);
            // A call begins before its first argument, and what is not known yet is something, too.
            self.has_answer |= !matches!(&*block.kind.0, "text" | "thinking");
        }
        if let Some(change) = &frame.delta {
            said += length(&change.text) + length(&change.thinking) + length(&change.partial_json);
            // An answer without a word that says why it ended is one, too.
            let reason = change.stop_reason.as_ref();
            self.finish = reason.map(|reason| answer::finish(&reason.0)).or(self.finish);
            let is_known =
                matches!(&*change.kind.0, "" | "text_delta" | "input_json_delta" | "thinking_delta");
            self.has_answer |= reason.is_some() || !is_known;
        }
        self.has_answer |= said > 0;
        self.said = self.said.saturating_add(u32::try_from(said).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use domain::fault::{Fault, Kind};
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = include_bytes!("../../../golden/anthropic/stream.sse");

    /// What is passed on, and how the stream ended.
    fn pass(portions: &[&[u8]]) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
        let mut relay = Relay::default();
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

    fn event(kind: &str, rest: &str) -> String {
        format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n")
    }

    #[test]
    fn a_recorded_stream_passes_byte_for_byte() {
        let (passed, done) = pass(&[ANSWER]);
        assert_eq!(passed, ANSWER);
        let done = done.expect("whole").expect("done");
        let usage = done.usage.expect("counted");
        assert_eq!((done.finish, usage.input.0, usage.output.0), (Finish::ToolUse, 472, 89));
    }

    #[test]
    fn endings_are_told_apart() {
        let start = event("message_start", r#","message":{"type":"message","usage":{"input_tokens":3}}"#);
        let ping = event("ping", "");
        let open = event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#);
        let hi = event("content_block_delta", r#","index":0,"delta":{"type":"text_delta","text":"hi"}"#);
        let end =
            event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}"#);
        let stop = event("message_stop", "");
        let new = event("message_of_the_future", r#","delta":7,"message":"x""#);
        let overloaded = event("error", r#","error":{"type":"overloaded_error","message":"Overloaded"}"#);
        let whole = format!("{start}{ping}{open}{hi}{end}{stop}");
        let begun = format!("{start}{ping}{open}{hi}");
        let refused = StreamError::Refused(Fault::provider(Kind::Transient));
        for (body, want) in [
            (whole.clone(), Ok(whole.clone())),
            (whole.replace('\n', "\r\n"), Ok(whole.replace('\n', "\r\n"))),
            (format!("{begun}{end}"), Ok(format!("{begun}{end}{stop}"))), // no last event
            (format!("{begun}{stop}"), Ok(format!("{begun}{stop}"))),     // no reason
            (format!("{begun}{}", end.trim_end()), Ok(format!("{begun}{end}{stop}"))),
            (format!("{begun}{end}event: mess"), Ok(format!("{begun}{end}{stop}"))),
            (
                format!(": hm\n\n{start}{new}{hi}{end}{stop}"),
                Ok(format!(": hm\n\n{start}{new}{hi}{end}{stop}")),
            ),
            (format!("{start}{end}{stop}"), Ok(format!("{start}{end}{stop}"))), // nothing to say is an answer, too
            (format!("{whole}{hi}"), Ok(whole)),
            (String::new(), Err((StreamError::Empty, String::new()))),
            (start.clone(), Err((StreamError::Empty, String::new()))),
            (format!("{start}{stop}"), Err((StreamError::Empty, String::new()))),
            (begun.clone(), Err((StreamError::Cut, begun.clone()))),
            (format!("{begun}data: {{\"ty"), Err((StreamError::Cut, begun.clone()))),
            (format!("{start}{overloaded}"), Err((refused, String::new()))),
            (format!("{begun}{overloaded}"), Err((refused, begun.clone()))),
            ("event: error\ndata: boom\n\n".to_owned(), Err((refused, String::new()))),
            ("data: {oops}\n\n".to_owned(), Err((StreamError::Malformed, String::new()))),
            ("data: []\n\n".to_owned(), Err((StreamError::Malformed, String::new()))),
            (format!("{start}{}", hi.replace("hi", "\\ud83d")), Err((StreamError::Malformed, String::new()))),
            ("{\"type\":\"message\"}".to_owned(), Err((StreamError::Malformed, String::new()))),
            ("<html>".to_owned(), Err((StreamError::Empty, String::new()))),
            (
                r#"{"type":"error","error":{"type":"authentication_error"}}"#.to_owned(),
                Err((StreamError::Refused(Fault::provider(Kind::RouteFatal)), String::new())),
            ),
        ] {
            // Byte by byte, so that what comes before a failure is given out.
            let portions: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
            let (passed, ended) = pass(&portions);
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
        let mut relay = Relay::default();
        for (kind, rest) in [
            ("message_start", r#","message":{"type":"message","content":[]}"#),
            ("ping", ""),
            (
                "content_block_start",
                r#","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}"#,
            ),
            ("content_block_delta", r#","index":0,"delta":{"type":"text_delta","text":""}"#),
        ] {
            relay.push(event(kind, rest).as_bytes()).expect("readable");
            assert_eq!((relay.give_out(), relay.before()), (None, Before::Nothing), "{kind}");
        }
        let call = r#","index":0,"content_block":{"type":"tool_use","id":"a","name":"b","input":{}}"#;
        assert_eq!(relay.push(event("content_block_start", call).as_bytes()), Ok(Progress::Answering));
        let portion = relay.give_out().expect("all of it");
        assert!(portion.bytes.starts_with(b"event: message_start"));
        assert_eq!(portion.said, 1, "the name of the tool");
        assert_eq!(relay.before(), Before::Text);
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(cuts in proptest::collection::vec(0..ANSWER.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, ANSWER.len()]);
            cuts.sort_unstable();
            let portions: Vec<&[u8]> = cuts.windows(2).map(|pair| &ANSWER[pair[0]..pair[1]]).collect();
            prop_assert_eq!(pass(&portions), pass(&[ANSWER]));
        }

        #[test]
        fn a_cut_anywhere_is_never_a_clean_end(cut in 0..ANSWER.len()) {
            let reason = b"\"stop_reason\":\"";
            let end = ANSWER.windows(reason.len()).position(|window| window == reason).expect("in the file");
            prop_assert!(pass(&[&ANSWER[..cut.min(end)]]).1.is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(portions: Vec<Vec<u8>>) {
            let portions: Vec<&[u8]> = portions.iter().map(Vec::as_slice).collect();
            let _ = pass(&portions);
        }
    }
}
