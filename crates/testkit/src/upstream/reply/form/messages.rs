//! Anthropic's messages, and how many tokens one has.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Asked, Form, Said};
use crate::upstream::Received;

pub(super) struct Messages;
pub(super) struct CountTokens;

impl Form for Messages {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let messages = body.get("messages").and_then(Value::as_array);
        let contents = messages.into_iter().flatten().filter_map(|message| message.get("content"));
        let n_prompt_words = contents.chain(body.get("system")).map(n_words).sum();
        Asked { n_prompt_words, with_usage: false, ..Asked::as_openai_says(body) }
    }

    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        let Some(frames) = frames(data, asked) else { return super::event(data) };
        let event =
            |frame: &Value| format!("event: {}\ndata: {frame}\n\n", frame["type"].as_str().unwrap_or("?"));
        frames.iter().map(event).collect::<String>().into_bytes()
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        let Some(said) = Said::of(body) else { return self.error(500, body) };
        let n_words = said.usage.as_ref().and_then(|usage| usage.get("completion_tokens")?.as_u64());
        let blocks = json!([{ "type": "text", "text": said.text.unwrap_or_default() }]);
        let message = message(asked, (&blocks, said.finish.as_deref().map(reason)), n_words.unwrap_or(0));
        message.to_string()
    }

    fn error(&self, status: u16, body: &str) -> String {
        match serde_json::from_str::<Value>(body) {
            Ok(found) if found.get("error").is_some() => error(status, &found).to_string(),
            _ => body.to_owned(),
        }
    }
}

impl Form for CountTokens {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        Asked { is_streamed: false, ..Messages.asked(request, body) }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        match Said::of(body) {
            Some(_) => json!({ "input_tokens": asked.n_prompt_words }).to_string(),
            None => Messages.error(500, body),
        }
    }

    fn error(&self, status: u16, body: &str) -> String {
        Messages.error(status, body)
    }
}

/// The events that say the same as `data`; `None` for a broken frame.
pub(super) fn frames(data: &str, asked: &Asked) -> Option<Vec<Value>> {
    Some(match (Said::of(data), data) {
        (Some(said), _) => said_frames(&said, asked),
        (None, "[DONE]") => vec![json!({ "type": "message_stop" })],
        (None, data) => match serde_json::from_str::<Value>(data) {
            Ok(body) if body.get("error").is_some() => vec![error(500, &body)],
            _ => return None,
        },
    })
}

/// The words of a text, or of the texts in a list of blocks.
fn n_words(content: &Value) -> usize {
    match content {
        Value::String(text) => text.split_whitespace().count(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block.get("text")).map(n_words).sum(),
        _ => 0,
    }
}

fn message(asked: &Asked, (content, stop_reason): (&Value, Option<&str>), n_words: u64) -> Value {
    json!({
        "id": "msg_mock", "type": "message", "role": "assistant", "model": asked.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": { "input_tokens": asked.n_prompt_words, "output_tokens": n_words },
    })
}

fn said_frames(said: &Said, asked: &Asked) -> Vec<Value> {
    let mut frames = Vec::new();
    if !asked.told.has_begun.swap(true, Ordering::Relaxed) {
        frames.push(json!({ "type": "message_start", "message": message(asked, (&json!([]), None), 1) }));
        frames.push(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
    }
    match said.text.as_deref() {
        Some("") => frames.push(json!({ "type": "ping" })),
        Some(text) => {
            asked.told.n_words.fetch_add(1, Ordering::Relaxed);
            frames.push(json!({
                "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text },
            }));
        }
        None => {}
    }
    if let Some(finish) = &said.finish {
        frames.push(json!({ "type": "content_block_stop", "index": 0 }));
        frames.push(json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason(finish), "stop_sequence": null },
            "usage": { "output_tokens": asked.told.n_words.load(Ordering::Relaxed) },
        }));
    }
    frames
}

fn reason(finish: &str) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "content_filter" => "refusal",
        "tool_calls" => "tool_use",
        _ => "end_turn",
    }
}

/// OpenAI's error as Anthropic says the same.
fn error(status: u16, body: &Value) -> Value {
    let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let (kind, message) = match body.pointer("/error/code").and_then(Value::as_str) {
        Some("context_length_exceeded") => (kind, format!("prompt is too long: {said}")),
        Some("content_filter") => (kind, format!("Output blocked by content filtering policy: {said}")),
        Some("insufficient_quota") => ("billing_error", format!("Your credit balance is too low: {said}")),
        _ => (kind, said.to_owned()),
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_mock" })
}
