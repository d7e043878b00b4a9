//! The older completions of a prompt: as a dialect of callers, and their bytes passed on to who speaks it, too.
//!
//! For models that chat the prompt is what the person says; what such a model has no word for is refused by name.

use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Dialect, Done, Relayed, UsageFrame};
use domain::conversation::{Answer, Block, Conversation, Delta, Event, Part, Sampling, Speaker, Turn};
use serde::Serialize;

use super::chat::{ChatCompletions, reason, usage_body};
use super::relay::{self, meaning, stream};
use crate::face::{About, Face};
use crate::object::{Object, Value};
use crate::protocol::{Call, OwnDialect, Place};
use crate::request::RequestError;
use crate::stream::{EventWriter, Portions, StreamError};
use crate::translation::ReadError;
use crate::written;

/// Most tokens of an answer where the caller did not say (platform.openai.com/docs/api-reference/completions).
const MAX_TOKENS: u32 = 16;

/// Reads a body as far as passing it on needs it.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong.
pub fn read(body: Bytes) -> Result<Relayed, RequestError> {
    Ok(Relayed { dialect: Dialect::OpenAiCompletions, ..relay::read(body)? })
}

/// Completions as callers speak them.
#[derive(Debug, Clone, Copy)]
pub struct CompletionsFace;

impl Face for CompletionsFace {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        let body = std::str::from_utf8(&relayed.body).map_err(|_| ReadError::Unreadable("not UTF-8"))?;
        let mut body = Value::new(String::new(), body).object()?;
        let prompt = prompt(&body.demand("prompt")?)?;
        let sampling = sampling(&mut body)?;
        let user = body.text("user")?;
        for (field, usual) in
            [("n", "1"), ("best_of", "1"), ("echo", "false"), ("suffix", "\"\""), ("logit_bias", "{}")]
        {
            body.take_usual(field, &[usual])?;
        }
        for said in ["model", "stream", "stream_options"] {
            let _ = body.take(said);
        }
        // Everything else, `logprobs` among it, is unknown to models that chat.
        body.finish()?;
        let turns = vec![Turn { by: Speaker::User, parts: vec![Part::Text(prompt)] }];
        Ok(Conversation { turns, sampling, user, ..Conversation::default() })
    }

    fn answer(&self, about: &About, answer: &Answer, _relayed: &Relayed) -> Bytes {
        let said = |part: &Part| match part {
            Part::Text(text) | Part::Refusal(text) => Some(text.clone()),
            _ => None,
        };
        let text: String = answer.parts.iter().filter_map(said).collect();
        let choice = Choice {
            text: &text,
            index: 0,
            logprobs: None,
            finish_reason: Some(reason(answer.ending.finish)),
        };
        let usage = answer.ending.usage.map(usage_body);
        let (id, choices) = (id(about), [choice]);
        let body = Body::of(&id, about, (&choices, usage));
        written::body(&body)
    }

    fn writer(&self, about: About, relayed: &Relayed) -> Box<dyn EventWriter> {
        Box::new(Writer { id: id(&about), about, usage_frame: relayed.usage, is_said: false })
    }
}

fn prompt(prompt: &Value<'_>) -> Result<String, ReadError> {
    let wanted = "a text, or a list of one";
    let text = if prompt.is_text() {
        prompt.text()?
    } else {
        let list = prompt.list().map_err(|_| prompt.invalid(wanted))?;
        match list.as_slice() {
            [] => return Err(prompt.invalid(wanted)),
            [only] if only.is_text() => only.text()?,
            [first, ..] if first.is_text() => return Err(prompt.unsupported("one prompt at a time")),
            _ => return Err(prompt.unsupported("tokens are one model's own; send a text")),
        }
    };
    if text.is_empty() { Err(prompt.invalid("a text that is not empty")) } else { Ok(text) }
}

fn sampling(body: &mut Object<'_>) -> Result<Sampling, ReadError> {
    let mut number = |key| body.take(key).map(|value| value.number()).transpose();
    let (temperature, top_p) = (number("temperature")?, number("top_p")?);
    let (frequency_penalty, presence_penalty) = (number("frequency_penalty")?, number("presence_penalty")?);
    let max_tokens = match body.take("max_tokens") {
        None => MAX_TOKENS,
        Some(value) => match value.count()? {
            0 => return Err(value.invalid("at least 1")),
            most => most,
        },
    };
    let stop = match body.take("stop") {
        None => Vec::new(),
        Some(stop) if stop.is_text() => vec![stop.text()?],
        Some(stop) => {
            let list = stop.list().map_err(|_| stop.invalid("a text, or a list of texts"))?;
            list.iter().map(Value::text).collect::<Result<_, _>>()?
        }
    };
    let seed = body.take("seed").map(|value| value.whole()).transpose()?;
    Ok(Sampling {
        max_tokens: Some(max_tokens),
        temperature,
        top_p,
        top_k: None,
        seed,
        stop,
        frequency_penalty,
        presence_penalty,
    })
}

fn id(about: &About) -> String {
    format!("cmpl-{}", about.id)
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

impl<'a> Body<'a> {
    fn of(
        id: &'a str,
        about: &'a About,
        (choices, usage): (&'a [Choice<'a>], Option<serde_json::Value>),
    ) -> Self {
        let object = "text_completion";
        Self { id, object, created: about.created, model: &about.model, choices, usage }
    }
}

/// Writes frames.
struct Writer {
    id: String,
    about: About,
    usage_frame: UsageFrame,
    /// Whether the open block is said to people: thoughts are not.
    is_said: bool,
}

impl Writer {
    fn frame(&self, choices: &[Choice<'_>], usage: Option<serde_json::Value>, frames: &mut BytesMut) {
        frames.extend_from_slice(b"data: ");
        let body = Body::of(&self.id, &self.about, (choices, usage));
        written::append(&body, frames);
        frames.extend_from_slice(b"\n\n");
    }
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        match event {
            Event::Opened { block, .. } => self.is_said = matches!(block, Block::Text | Block::Refusal),
            Event::Delta { delta: Delta::Text(text), .. } if self.is_said => {
                let choice = Choice { text, index: 0, logprobs: None, finish_reason: None };
                self.frame(&[choice], None, frames);
            }
            Event::Ended(ending) => {
                let finish_reason = Some(reason(ending.finish));
                self.frame(&[Choice { text: "", index: 0, logprobs: None, finish_reason }], None, frames);
                if let Some(usage) = ending.usage.filter(|_| self.usage_frame == UsageFrame::Wanted) {
                    self.frame(&[], Some(usage_body(usage)), frames);
                }
                frames.extend_from_slice(b"data: [DONE]\n\n");
            }
            Event::Begun { .. } | Event::Delta { .. } | Event::Closed { .. } => {}
        }
    }
}

/// Callers' own bytes, passed on.
#[derive(Debug, Clone, Copy)]
pub struct Completions;

impl OwnDialect for Completions {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiCompletions
    }

    fn place(&self, call: Call<'_>) -> Place {
        let accept = match call.delivery {
            Delivery::Streamed => "text/event-stream",
            Delivery::Whole => "application/json",
        };
        Place { path: "/completions".to_owned(), headers: Vec::new(), accept }
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        relay::patch(relayed, call, ChatCompletions::default())
    }

    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions> {
        stream::portions(relayed.usage)
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        meaning::whole(body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::chat::Finish;
    use domain::conversation::Ending;
    use domain::model::Overrides;
    use domain::token::{TokenCount, Usage};
    use proptest::prelude::*;

    use super::*;
    use crate::stream::Progress;

    fn relayed(body: &str) -> Relayed {
        read(Bytes::copy_from_slice(body.as_bytes())).expect("relayed")
    }

    fn about() -> About {
        About { id: "1".to_owned(), created: 7, model: "p/m".to_owned(), took: Duration::ZERO }
    }

    #[test]
    fn a_prompt_is_what_the_person_says() {
        let body = r#"{"model":"m","prompt":["Say \"hi\""],"max_tokens":7,"temperature":0.5,"top_p":0.9,"seed":-3,
            "stop":["\n"],"frequency_penalty":1,"presence_penalty":-1,"user":"u","n":1,"best_of":1,"echo":false,
            "suffix":null,"logprobs":null,"stream":true,"stream_options":{"include_usage":true}}"#;
        let conversation = CompletionsFace.conversation(&relayed(body)).expect("a prompt");
        let turns = vec![Turn { by: Speaker::User, parts: vec![Part::Text("Say \"hi\"".to_owned())] }];
        let sampling = Sampling {
            max_tokens: Some(7),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: None,
            seed: Some(-3),
            stop: vec!["\n".to_owned()],
            frequency_penalty: Some(1.0),
            presence_penalty: Some(-1.0),
        };
        let user = Some("u".to_owned());
        assert_eq!(conversation, Conversation { turns, sampling, user, ..Conversation::default() });
        let bare =
            CompletionsFace.conversation(&relayed(r#"{"model":"m","prompt":"Hi"}"#)).expect("a prompt");
        assert_eq!(bare.sampling, Sampling { max_tokens: Some(16), ..Sampling::default() });
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        for (fields, place) in [
            ("", "prompt"),
            (r#""prompt":"""#, "prompt"),
            (r#""prompt":[]"#, "prompt"),
            (r#""prompt":7"#, "prompt"),
            (r#""prompt":["a","b"]"#, "prompt"),
            (r#""prompt":[1,2]"#, "prompt"),
            (r#""prompt":[[1]]"#, "prompt"),
            (r#""prompt":"a","n":2"#, "n"),
            (r#""prompt":"a","best_of":3"#, "best_of"),
            (r#""prompt":"a","echo":true"#, "echo"),
            (r#""prompt":"a","suffix":"z""#, "suffix"),
            (r#""prompt":"a","logprobs":0"#, "logprobs"),
            (r#""prompt":"a","logit_bias":{"1":2}"#, "logit_bias"),
            (r#""prompt":"a","max_tokens":0"#, "max_tokens"),
            (r#""prompt":"a","stop":[7]"#, "stop[0]"),
            (r#""prompt":"a","future":1"#, "future"),
        ] {
            let comma = if fields.is_empty() { "" } else { "," };
            let body = relayed(&format!(r#"{{"model":"m"{comma}{fields}}}"#));
            let error = CompletionsFace.conversation(&body).expect_err(place);
            assert_eq!(error.field(), Some(place), "{error}");
        }
    }

    fn events() -> Vec<Event> {
        let text = |index, text: &str| Event::Delta { index, delta: Delta::Text(text.to_owned()) };
        let usage = Some(Usage::of(TokenCount(3), TokenCount(2)));
        vec![
            Event::Begun { id: String::new(), model: String::new(), usage: None },
            Event::Opened { index: 0, block: Block::Thought },
            text(0, "Hm."),
            Event::Closed { index: 0 },
            Event::Opened { index: 1, block: Block::Text },
            text(1, "Yes"),
            text(1, "\n."),
            Event::Closed { index: 1 },
            Event::Ended(Ending { finish: Finish::Length, stop: None, usage }),
        ]
    }

    #[test]
    fn answers_are_written_whole_and_in_frames_that_pass() {
        for (options, has_usage) in [("", false), (r#","stream_options":{"include_usage":true}"#, true)] {
            let asked = relayed(&format!(r#"{{"model":"m","prompt":"a","stream":true{options}}}"#));
            let mut writer = CompletionsFace.writer(about(), &asked);
            let mut frames = BytesMut::new();
            events().iter().for_each(|event| writer.write(event, &mut frames));
            let text = String::from_utf8(frames.to_vec()).expect("text");
            let first = r#"data: {"id":"cmpl-1","object":"text_completion","created":7,"model":"p/m","choices":[{"text":"Yes","index":0,"logprobs":null,"finish_reason":null}]}"#;
            assert!(text.starts_with(first), "{text}");
            assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("Hm."), "{text}");
            assert_eq!(text.contains("prompt_tokens"), has_usage, "{text}");
            // What we write passes through us.
            let mut portions = Completions.portions(&asked);
            assert_eq!(portions.push(&frames), Ok(Progress::Ended));
            let portion = portions.give_out().expect("all");
            assert_eq!(portion.bytes, frames);
            assert_eq!(portion.done.map(|done| done.finish), Some(Finish::Length));
        }
        let usage = Some(Usage::of(TokenCount(3), TokenCount(2)));
        let parts = vec![Part::Text("Yes\n.".to_owned())];
        let ending = Ending { finish: Finish::Stop, stop: None, usage };
        let asked = relayed(r#"{"model":"m","prompt":"a"}"#);
        let whole = CompletionsFace.answer(
            &about(),
            &Answer { id: String::new(), model: String::new(), parts, ending },
            &asked,
        );
        assert_eq!(Completions.whole(&whole), Ok(Done { finish: Finish::Stop, usage }));
        let body: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
        assert_eq!(body["choices"][0]["text"], "Yes\n.");
        assert_eq!((&body["object"], &body["usage"]["total_tokens"]), (&"text_completion".into(), &5.into()));
    }

    #[test]
    fn bytes_pass_with_the_model_alone_changed() {
        let overrides = Overrides { max_tokens: None, temperature: None };
        let call = Call { model: "n", delivery: Delivery::Whole, overrides, max_tokens: 400 };
        let body = r#"{ "prompt" : [[1, 2]], "model":"m","logprobs":5,"future":1.50} "#;
        let want = r#"{ "prompt" : [[1, 2]], "model":"n","logprobs":5,"future":1.50} "#;
        assert_eq!(Completions.patch(&relayed(body), call), want);
        assert_eq!(Completions.place(call).path, "/completions");
        let cut = r#"{"choices":[{"text":"half","index":0}]}"#;
        assert_eq!(Completions.whole(cut.as_bytes()).map(|done| done.finish), Ok(Finish::Stop));
    }

    #[test]
    fn a_stream_of_texts_is_understood_and_a_cut_is_no_end() {
        let frame = |text: &str, finish: &str| {
            format!(
                "data: {{\"choices\":[{{\"text\":\"{text}\",\"index\":0,\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        let asked = relayed(r#"{"model":"m","prompt":"a","stream":true}"#);
        let mut portions = Completions.portions(&asked);
        assert_eq!(portions.push(frame("", "null").as_bytes()), Ok(Progress::Answering));
        assert_eq!(portions.give_out(), None, "nothing of the answer yet");
        assert_eq!(portions.push(frame("Hi", "null").as_bytes()), Ok(Progress::Answering));
        assert!(portions.give_out().is_some());
        assert_eq!(portions.end(), Err(StreamError::Cut));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Completions.whole(&bytes);
            if let Ok(relayed) = read(Bytes::from(bytes)) {
                let _ = CompletionsFace.conversation(&relayed);
            }
        }
    }
}
