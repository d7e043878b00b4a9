//! Google's Gemini: `generateContent` and `streamGenerateContent?alt=sse`.

use serde_json::{Map, Value, json};

use super::{Asked, Form, Said, event, said_as};
use crate::upstream::Received;

pub(super) struct Gemini;

impl Form for Gemini {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let contents = body.get("contents").and_then(Value::as_array);
        let parts = contents.into_iter().flatten().filter_map(|content| content.get("parts")?.as_array());
        let texts = parts.flatten().filter_map(|part| part.get("text")?.as_str());
        Asked {
            model: name.split(':').next().unwrap_or_default().to_owned(),
            is_streamed: path.contains(":streamGenerateContent"),
            with_usage: true,
            n_prompt_words: texts.map(|text| text.split_whitespace().count()).sum(),
            ..Asked::as_openai_says(body)
        }
    }

    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        match said_as(data, |said| piece(said, asked)) {
            Some(piece) => event(&piece),
            // There is no end marker.
            None if data == "[DONE]" => Vec::new(),
            None => event(&self.error(500, data)),
        }
    }

    fn error(&self, status: u16, body: &str) -> String {
        match serde_json::from_str::<Value>(body) {
            Ok(found) if found.get("error").is_some() => error(status, &found).to_string(),
            _ => body.to_owned(),
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        said_as(body, |said| piece(said, asked)).unwrap_or_else(|| self.error(500, body))
    }
}

/// OpenAI's error as Google says the same.
fn error(status: u16, body: &Value) -> Value {
    let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let name = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    json!({ "error": { "code": status, "message": said, "status": name } })
}

fn piece(said: &Said, asked: &Asked) -> Value {
    let mut candidate = Map::new();
    candidate.insert("index".to_owned(), json!(0));
    if let Some(text) = &said.text {
        candidate.insert("content".to_owned(), json!({ "role": "model", "parts": [{ "text": text }] }));
    }
    if let Some(finish) = &said.finish {
        let reason = match finish.as_str() {
            "length" => "MAX_TOKENS",
            "content_filter" => "SAFETY",
            _ => "STOP",
        };
        candidate.insert("finishReason".to_owned(), json!(reason));
    }
    let mut piece = Map::new();
    piece.insert("modelVersion".to_owned(), json!(asked.model));
    piece.insert("responseId".to_owned(), json!("mock"));
    if said.text.is_some() || said.finish.is_some() {
        piece.insert("candidates".to_owned(), json!([candidate]));
    }
    if let Some(usage) = &said.usage {
        let count = |name| usage.get(name);
        let used = json!({
            "promptTokenCount": count("prompt_tokens"),
            "candidatesTokenCount": count("completion_tokens"),
            "totalTokenCount": count("total_tokens"),
        });
        piece.insert("usageMetadata".to_owned(), used);
    }
    Value::Object(piece)
}
