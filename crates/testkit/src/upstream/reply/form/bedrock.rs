//! AWS's Bedrock: Converse and ConverseStream.
//!
//! Reading order: this file, [`frames`] (the bytes of an event stream), [`invoke`] (bodies of the makers of the models).

mod frames;
pub(super) mod invoke;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Asked, Form, HALF, STAND_IN, Said};
use crate::upstream::{FrameFault, Received};

pub(super) struct Converse;

impl Form for Converse {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        let messages = body.get("messages").and_then(Value::as_array);
        let blocks = messages.into_iter().flatten().filter_map(|message| message.get("content")?.as_array());
        let texts = blocks.flatten().filter_map(|block| block.get("text")?.as_str());
        Asked {
            is_streamed: is_streamed(request),
            with_usage: true,
            n_prompt_words: texts.map(|text| text.split_whitespace().count()).sum(),
            ..Asked::as_openai_says(body)
        }
    }

    fn event_stream(&self) -> &'static str {
        frames::CONTENT_TYPE
    }

    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        match frames_of(data, asked) {
            Frames::Events(events) => {
                events.iter().flat_map(|(name, payload)| frames::event(name, &text(payload))).collect()
            }
            Frames::Error(message) => frames::exception(&message),
            Frames::Broken => frames::event("contentBlockDelta", data),
        }
    }

    fn whole(&self, body: &str, _: &Asked) -> String {
        let Some(said) = said(body) else { return self.error(500, body) };
        let content = json!([{ "text": said.text.unwrap_or_default() }]);
        let whole = json!({
            "output": { "message": { "role": "assistant", "content": content } },
            "stopReason": said.finish.as_deref().map(reason),
            "usage": said.usage.as_ref().map(tokens),
            "metrics": { "latencyMs": 7 },
        });
        text(&whole)
    }

    fn error(&self, status: u16, body: &str) -> String {
        match serde_json::from_str::<Value>(body) {
            Ok(found) if found.get("error").is_some() => {
                json!({ "message": words(status, &found) }).to_string()
            }
            _ => body.to_owned(),
        }
    }

    fn error_fields(&self, status: u16, _: &str) -> String {
        format!("x-amzn-errortype: {}:http://internal.amazon.com/\r\n", exception(status))
    }

    fn comment(&self) -> Vec<u8> {
        frames::event("somethingNew", "{}")
    }

    fn clutter(&self) -> Vec<u8> {
        [self.comment(), frames::with_huge_header("somethingNew", "{}")].concat()
    }

    fn frame_with_returns(&self, data: &str, asked: &Asked) -> Vec<u8> {
        let Frames::Events(events) = frames_of(data, asked) else { return Vec::new() };
        let pretty = |payload: &Value| format!("{payload:#}").replace('\n', "\r\n");
        events.iter().flat_map(|(name, payload)| frames::event(name, &pretty(payload))).collect()
    }

    fn spoiled(&self, fault: FrameFault, _: &str, _: &Asked) -> Vec<u8> {
        let payload = json!({ "contentBlockIndex": 0, "delta": { "text": "" } }).to_string();
        frames::spoiled(fault, "contentBlockDelta", &payload)
    }
}

/// What a frame of chat completions becomes.
enum Frames {
    Events(Vec<(&'static str, Value)>),
    /// An exception with these words.
    Error(String),
    /// Nobody can read it, here neither.
    Broken,
}

fn is_streamed(request: &Received) -> bool {
    request.line.ends_with("-stream")
}

/// Half a surrogate pair is said by what stands for it.
fn said(data: &str) -> Option<Said> {
    Said::of(&data.replace(HALF, STAND_IN))
}

fn text(payload: &Value) -> String {
    payload.to_string().replace(STAND_IN, HALF)
}

fn frames_of(data: &str, asked: &Asked) -> Frames {
    let Some(said) = said(data) else {
        return match serde_json::from_str::<Value>(data) {
            Ok(body) if body.get("error").is_some() => Frames::Error(words(500, &body)),
            _ if data == "[DONE]" => Frames::Events(vec![("metadata", metadata(asked))]),
            _ => Frames::Broken,
        };
    };
    let mut events = Vec::new();
    if !asked.told.has_begun.swap(true, Ordering::Relaxed) {
        events.push(("messageStart", json!({ "role": "assistant" })));
    }
    if let Some(word) = said.text.filter(|word| !word.is_empty()) {
        events.push(("contentBlockDelta", json!({ "contentBlockIndex": 0, "delta": { "text": word } })));
    }
    if let Some(finish) = &said.finish {
        events.push(("contentBlockStop", json!({ "contentBlockIndex": 0 })));
        events.push(("messageStop", json!({ "stopReason": reason(finish) })));
    }
    if said.usage.is_some() {
        *asked.told.usage.lock() = said.usage;
    }
    Frames::Events(events)
}

/// The last event: what the answer used, if that is told.
fn metadata(asked: &Asked) -> Value {
    match &*asked.told.usage.lock() {
        Some(usage) => json!({ "usage": tokens(usage), "metrics": { "latencyMs": 7 } }),
        None => json!({ "metrics": { "latencyMs": 7 } }),
    }
}

fn tokens(usage: &Value) -> Value {
    let count = |name| usage.get(name);
    json!({
        "inputTokens": count("prompt_tokens"),
        "outputTokens": count("completion_tokens"),
        "totalTokens": count("total_tokens"),
    })
}

fn reason(finish: &str) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "content_filter" => "content_filtered",
        "tool_calls" => "tool_use",
        _ => "end_turn",
    }
}

/// The words of OpenAI's error, and before them AWS's own where only they tell what is wrong.
fn words(status: u16, body: &Value) -> String {
    let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    match body.pointer("/error/code").and_then(Value::as_str) {
        Some("context_length_exceeded") if status == 400 => {
            format!("Input is too long for requested model. {said}")
        }
        Some("content_filter") if status == 400 => {
            format!("The request was blocked by our content filter. {said}")
        }
        _ => said.to_owned(),
    }
}

fn exception(status: u16) -> &'static str {
    match status {
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        400..=499 => "ValidationException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}
