//! What the frames of a streamed answer say that is passed on.

use domain::chat::UsageFrame;
use domain::fault::Fault;

use super::meaning;
use crate::openai::failure;
use crate::relay::{Kind, Meaning, Relay, Understand};
use crate::stream::{Portions, StreamError};

/// Passes on a stream whose caller wants `usage_frame`.
pub(in crate::openai) fn portions(usage_frame: UsageFrame) -> Box<dyn Portions> {
    Box::new(Relay::new(Chunks { usage_frame }))
}

/// Understands the chunks of chat completions, and of completions.
struct Chunks {
    usage_frame: UsageFrame,
}

impl Understand for Chunks {
    const END: &'static [u8] = b"data: [DONE]\n\n";

    fn is_error(body: &[u8]) -> bool {
        matches!(meaning::frame(body), Ok(None))
    }

    fn classify(body: &[u8]) -> Fault {
        failure::classify_event(body)
    }

    fn frame(&mut self, data: &[u8]) -> Result<Meaning, StreamError> {
        if data == b"[DONE]" {
            return Ok(Kind::Last.into());
        }
        let meaning = meaning::frame(data).map_err(|_| StreamError::Malformed)?;
        let mut meaning = meaning.ok_or_else(|| StreamError::Refused(failure::classify_event(data)))?;
        if self.usage_frame == UsageFrame::Wanted {
            meaning.kind = Kind::Part;
        }
        Ok(meaning)
    }
}

#[cfg(test)]
mod tests {
    use domain::chat::{Done, Finish};
    use domain::fault::{Fault, Kind};
    use proptest::prelude::*;

    use super::*;
    use crate::relay::tests as relay;
    use crate::stream::{Before, Progress};

    const ANSWER: &[u8] = include_bytes!("../../../golden/openai/stream.sse");

    fn pass(usage_frame: UsageFrame, portions: &[&[u8]]) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
        relay::pass(super::portions(usage_frame), portions)
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
            relay::check(super::portions(UsageFrame::Wanted), &body, want);
        }
    }

    #[test]
    fn nothing_is_given_out_before_a_word() {
        let mut reader = super::portions(UsageFrame::Wanted);
        for text in [": ping\n\n".to_owned(), frame("", "null"), "data: {\"choices\":[]}\n\n".to_owned()] {
            reader.push(text.as_bytes()).expect("readable");
            assert_eq!(reader.give_out(), None);
            assert_eq!(reader.before(), Before::Nothing);
        }
        assert_eq!(reader.push(frame("hi", "null").as_bytes()), Ok(Progress::Answering));
        assert!(reader.give_out().expect("all of it").bytes.starts_with(b": ping"));
        assert_eq!(reader.before(), Before::Text);
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..4000, 0..40), wanted: bool) {
            let usage_frame = if wanted { UsageFrame::Wanted } else { UsageFrame::Unwanted };
            let portions = relay::portions(ANSWER, cuts);
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
