//! InvokeModel and InvokeModelWithResponseStream: answers in the format of a model's own maker.

use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Converse, Frames, exception, frames, frames_of, is_streamed, said, text};
use crate::upstream::reply::form::{Asked, Form, messages};
use crate::upstream::reply::raw::with_bad_byte;
use crate::upstream::{FrameFault, Received};

/// Answers as one maker's models do.
pub(in crate::upstream::reply::form) struct Invoke {
    maker: Maker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    Anthropic,
    Titan,
    Nova,
}

/// The form of the model that the path names.
pub(in crate::upstream::reply::form) fn of(path: &str) -> &'static dyn Form {
    match () {
        () if path.contains("titan-embed") => &super::super::embeddings::Titan,
        () if path.contains("cohere.embed") => &super::super::embeddings::Cohere,
        () if path.contains("titan") => &Invoke { maker: Maker::Titan },
        () if path.contains("nova") => &Invoke { maker: Maker::Nova },
        () => &Invoke { maker: Maker::Anthropic },
    }
}

impl Invoke {
    /// The parts that say the same as `data`; `None` for a broken frame.
    fn parts(&self, data: &str, asked: &Asked) -> Option<Vec<Value>> {
        match self.maker {
            Maker::Anthropic => messages::frames(&data.replace(super::HALF, super::STAND_IN), asked),
            Maker::Nova => match frames_of(data, asked) {
                Frames::Events(events) => {
                    Some(events.into_iter().map(|(name, part)| json!({ name: part })).collect())
                }
                Frames::Error(message) => Some(vec![json!({ "error": { "message": message } })]),
                Frames::Broken => None,
            },
            Maker::Titan => titan(data, asked),
        }
    }

    /// Whether `part` is the last, which says what all of them used.
    fn is_last(&self, part: &Value) -> bool {
        match self.maker {
            Maker::Anthropic => part.get("type") == Some(&json!("message_stop")),
            Maker::Nova => part.get("metadata").is_some(),
            Maker::Titan => part.get("completionReason").is_some_and(|reason| !reason.is_null()),
        }
    }

    fn chunk(&self, mut part: Value, asked: &Asked) -> Vec<u8> {
        if let Some(error) = part.pointer("/error/message") {
            return frames::exception(error.as_str().unwrap_or_default());
        }
        if self.is_last(&part)
            && let Some(fields) = part.as_object_mut()
        {
            let metrics = json!({
                "inputTokenCount": asked.n_prompt_words,
                "outputTokenCount": asked.told.n_words.load(Ordering::Relaxed),
                "invocationLatency": 7,
                "firstByteLatency": 3,
            });
            fields.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
        }
        chunk(&text(&part))
    }
}

impl Form for Invoke {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        let form: &dyn Form = if self.maker == Maker::Anthropic { &messages::Messages } else { &Converse };
        Asked { is_streamed: is_streamed(request), ..form.asked(request, body) }
    }

    fn event_stream(&self) -> &'static str {
        frames::CONTENT_TYPE
    }

    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        match self.parts(data, asked) {
            Some(parts) => parts.into_iter().flat_map(|part| self.chunk(part, asked)).collect(),
            None => chunk(data),
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        let Some(found) = said(body) else { return self.error(500, body) };
        match self.maker {
            Maker::Anthropic => {
                text(&json_of(&messages::Messages.whole(&body.replace(super::HALF, super::STAND_IN), asked)))
            }
            Maker::Nova => Converse.whole(body, asked),
            Maker::Titan => {
                let said = found.text.unwrap_or_default();
                let n_words = said.split_whitespace().count();
                let reason = found.finish.as_deref().map(titan_reason);
                let result = json!({ "tokenCount": n_words, "outputText": said, "completionReason": reason });
                text(&json!({ "inputTextTokenCount": asked.n_prompt_words, "results": [result] }))
            }
        }
    }

    fn error(&self, status: u16, body: &str) -> String {
        Converse.error(status, body)
    }

    fn error_fields(&self, status: u16, _: &str) -> String {
        format!("x-amzn-errortype: {}\r\n", exception(status))
    }

    fn comment(&self) -> Vec<u8> {
        Converse.comment()
    }

    fn clutter(&self) -> Vec<u8> {
        Converse.clutter()
    }

    fn frame_with_returns(&self, data: &str, asked: &Asked) -> Vec<u8> {
        let parts = self.parts(data, asked).unwrap_or_default();
        let pretty = |part: &Value| format!("{part:#}").replace('\n', "\r\n");
        parts.iter().flat_map(|part| chunk(&pretty(part))).collect()
    }

    fn spoiled(&self, fault: FrameFault, data: &str, asked: &Asked) -> Vec<u8> {
        let part = self.parts(data, asked).and_then(|parts| parts.into_iter().next()).unwrap_or_default();
        frames::spoiled(fault, "chunk", &bytes(&text(&part)))
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn bytes(part: &str) -> String {
    let part = with_bad_byte(part);
    json!({ "bytes": STANDARD.encode(part), "p": "abcdef" }).to_string()
}

fn chunk(part: &str) -> Vec<u8> {
    frames::event("chunk", &bytes(part))
}

fn titan(data: &str, asked: &Asked) -> Option<Vec<Value>> {
    let Some(said) = said(data) else {
        return match serde_json::from_str::<Value>(data) {
            Ok(body) if body.get("error").is_some() => Some(vec![body]),
            _ if data == "[DONE]" => Some(Vec::new()),
            _ => None,
        };
    };
    let text = said.text.unwrap_or_default();
    if text.is_empty() && said.finish.is_none() {
        return Some(Vec::new());
    }
    let n_words = asked.told.n_words.fetch_add(usize::from(!text.is_empty()), Ordering::Relaxed);
    let is_last = said.finish.is_some();
    Some(vec![json!({
        "outputText": text,
        "index": 0,
        "completionReason": said.finish.as_deref().map(titan_reason),
        "totalOutputTextTokenCount": is_last.then_some(n_words),
        "inputTextTokenCount": is_last.then_some(asked.n_prompt_words),
    })])
}

fn titan_reason(finish: &str) -> &'static str {
    match finish {
        "length" => "LENGTH",
        "content_filter" => "CONTENT_FILTERED",
        _ => "FINISH",
    }
}
