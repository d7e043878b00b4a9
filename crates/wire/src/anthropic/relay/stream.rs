//! What the frames of a streamed answer say that is passed on.

use domain::fault::Fault;

use crate::anthropic::answer::{self, Counted};
use crate::anthropic::failure;
use crate::anthropic::stream::frame;
use crate::object::Text;
use crate::relay::{Kind, Meaning, Understand};
use crate::stream::StreamError;

/// Understands the events of messages.
#[derive(Debug, Default)]
pub(in crate::anthropic) struct Events {
    counted: Counted,
}

impl Understand for Events {
    const END: &'static [u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    fn is_error(body: &[u8]) -> bool {
        answer::is_error(body)
    }

    fn classify(body: &[u8]) -> Fault {
        failure::classify_event(body)
    }

    fn frame(&mut self, data: &[u8]) -> Result<Meaning, StreamError> {
        // What is not known yet is passed on.
        let Some(frame) = frame(data)? else { return Ok(Kind::Comment.into()) };
        let mut meaning = Meaning::from(match &*frame.kind.0 {
            "ping" => Kind::Comment,
            "message_stop" => Kind::Last,
            _ => Kind::Part,
        });
        let length = |text: &Option<Text<'_>>| text.as_ref().map_or(0, |text| text.0.len());
        let mut said = 0;
        if let Some(usage) = frame.message.and_then(|message| message.usage).or(frame.usage) {
            self.counted.take(Some(usage));
            meaning.usage = self.counted.usage();
        }
        if let Some(block) = &frame.content_block {
            said += length(&block.text) + length(&block.thinking) + length(&block.name);
            // A call begins before its first argument, and what is not known yet is something, too.
            meaning.has_answer |= !matches!(&*block.kind.0, "text" | "thinking");
        }
        if let Some(change) = &frame.delta {
            said += length(&change.text) + length(&change.thinking) + length(&change.partial_json);
            meaning.finish = change.stop_reason.as_ref().map(|reason| answer::finish(&reason.0));
            let is_known =
                matches!(&*change.kind.0, "" | "text_delta" | "input_json_delta" | "thinking_delta");
            meaning.has_answer |= !is_known;
        }
        let said = u32::try_from(said).unwrap_or(u32::MAX);
        Ok(Meaning { said, ..meaning })
    }
}

#[cfg(test)]
mod tests {
    use domain::chat::{Done, Finish};
    use domain::fault::{Fault, Kind};
    use proptest::prelude::*;

    use super::*;
    use crate::relay::{Relay, tests};
    use crate::stream::{Before, Portions, Progress};

    const ANSWER: &[u8] = include_bytes!("../../../golden/anthropic/stream.sse");

    fn relay() -> Box<dyn Portions> {
        Box::new(Relay::<Events>::default())
    }

    fn pass(portions: &[&[u8]]) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
        tests::pass(relay(), portions)
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
            tests::check(relay(), &body, want);
        }
    }

    #[test]
    fn nothing_is_given_out_before_a_word() {
        let mut relay = relay();
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

    #[test]
    fn what_is_stated_is_known_before_the_answer_is() {
        use domain::meter::Stated;
        let start = event("message_start", r#","message":{"usage":{"input_tokens":7,"output_tokens":1}}"#);
        let delta =
            event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}"#);
        let mut relay = relay();
        let of = |output| {
            domain::token::Usage::of(domain::token::TokenCount(7), domain::token::TokenCount(output))
        };
        for (frame, want) in [
            (start, Some(Stated::SoFar(of(1)))),
            (
                event("content_block_delta", r#","delta":{"type":"text_delta","text":"hi"}"#),
                Some(Stated::SoFar(of(1))),
            ),
            (delta, Some(Stated::Finally(of(4)))),
        ] {
            relay.push(frame.as_bytes()).expect(&frame);
            assert_eq!(relay.stated(), want, "{frame}");
        }
        let error = event("error", r#","error":{"type":"overloaded_error"}"#);
        assert!(relay.push(error.as_bytes()).is_err() && relay.stated() == Some(Stated::Finally(of(4))));
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(cuts in proptest::collection::vec(0..ANSWER.len(), 0..40)) {
            prop_assert_eq!(pass(&tests::portions(ANSWER, cuts)), pass(&[ANSWER]));
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
