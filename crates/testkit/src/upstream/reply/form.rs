//! The formats in which the upstream answers. All faults are written once, as chat completions; a form turns those into
//! its own bytes. What it does not understand (an error, a broken frame) goes out as it is.

mod bedrock;
mod completions;
mod counts;
mod embeddings;
mod gemini;
mod messages;

use std::sync::atomic::{AtomicBool, AtomicUsize};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::upstream::{FrameFault, Received};

/// What of the request shapes the reply.
pub(in crate::upstream) struct Asked {
    pub(super) model: String,
    pub(super) is_streamed: bool,
    pub(super) with_usage: bool,
    pub(super) n_prompt_words: usize,
    /// Of embeddings: the texts, how long their vectors shall be, and whether in base64.
    pub(super) texts: Vec<String>,
    pub(super) dimensions: usize,
    pub(super) in_base64: bool,
    /// How far the stream is.
    told: Told,
}

/// How far a stream is: its first frames come before the first that needs them, and its last ones say what it used.
#[derive(Debug, Default)]
struct Told {
    has_begun: AtomicBool,
    n_words: AtomicUsize,
    usage: Mutex<Option<Value>>,
}

/// A format.
pub(super) trait Form: Send + Sync {
    /// What of `request`, whose body is `body`, shapes the reply.
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        let _ = request;
        Asked::as_openai_says(body)
    }

    /// The content type of a stream.
    fn event_stream(&self) -> &'static str {
        "text/event-stream"
    }

    /// A frame of a stream: the data of an event of chat completions.
    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        let _ = asked;
        event(data)
    }

    /// A whole answer: the body of a chat completion.
    fn whole(&self, body: &str, asked: &Asked) -> String {
        let _ = asked;
        body.to_owned()
    }

    /// The body of an error with a status: that of an error of chat completions.
    fn error(&self, status: u16, body: &str) -> String {
        let _ = status;
        body.to_owned()
    }

    /// Header fields of that error, each with its line end.
    fn error_fields(&self, status: u16, body: &str) -> String {
        let _ = (status, body);
        String::new()
    }

    /// What says nothing, but that the stream lives.
    fn comment(&self) -> Vec<u8> {
        b": still here\n\n".to_vec()
    }

    /// What a reader does not need, of every kind.
    fn clutter(&self) -> Vec<u8> {
        b": a comment\n\nid: 7\nretry: 10\nevent: ping\ndata:\n\n".to_vec()
    }

    /// A frame whose lines end with CRLF.
    fn frame_with_returns(&self, data: &str, asked: &Asked) -> Vec<u8> {
        let frame = self.frame(data, asked);
        String::from_utf8_lossy(&frame).replace('\n', "\r\n").into_bytes()
    }

    /// A frame with `fault`, in formats whose frames can have it.
    fn spoiled(&self, fault: FrameFault, data: &str, asked: &Asked) -> Vec<u8> {
        let _ = fault;
        self.frame(data, asked)
    }
}

/// The format of what stands at the path of `request`.
pub(super) fn of(request: &Received) -> &'static dyn Form {
    let path = request.line.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    match path {
        _ if path.ends_with("/converse") || path.ends_with("/converse-stream") => &bedrock::Converse,
        _ if path.ends_with("/count-tokens") => &counts::Bedrock,
        _ if path.ends_with(":countTokens") => &counts::Gemini,
        _ if path.contains("/invoke") => bedrock::invoke::of(path),
        _ if path.ends_with("Content") => &gemini::Gemini,
        _ if path.ends_with(":batchEmbedContents") => &embeddings::Gemini,
        _ if path.ends_with("/chat/completions") => &ChatCompletions,
        _ if path.ends_with("/completions") => &completions::Completions,
        _ if path.ends_with("/messages") => &messages::Messages,
        _ if path.ends_with("/count_tokens") => &messages::CountTokens,
        _ if path.ends_with("/embeddings") => &embeddings::OpenAi,
        _ => &ChatCompletions,
    }
}

struct ChatCompletions;

impl Form for ChatCompletions {}

impl Asked {
    pub(super) fn of(form: &dyn Form, request: &Received) -> Self {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        form.asked(request, &body)
    }

    fn as_openai_says(body: &Value) -> Self {
        let messages = body.get("messages").and_then(Value::as_array);
        let texts = messages.into_iter().flatten().filter_map(|message| message.get("content")?.as_str());
        Self {
            model: body.get("model").and_then(Value::as_str).unwrap_or("mock").to_owned(),
            is_streamed: body.get("stream") == Some(&json!(true)),
            with_usage: body.pointer("/stream_options/include_usage") == Some(&json!(true)),
            n_prompt_words: texts.map(|text| text.split_whitespace().count()).sum(),
            texts: Vec::new(),
            dimensions: 4,
            in_base64: false,
            told: Told::default(),
        }
    }
}

/// A server-sent event.
fn event(data: &str) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// Half a surrogate pair, which no JSON library reads or writes, and what stands for it while one does.
const HALF: &str = "\\ud83d";
const STAND_IN: &str = "HALF-A-PAIR";

/// `data` as `convert` says it; as it is when that is `None`.
fn said_as(data: &str, convert: impl Fn(&Said) -> Value) -> Option<String> {
    let said = Said::of(&data.replace(HALF, STAND_IN))?;
    Some(convert(&said).to_string().replace(STAND_IN, HALF))
}

/// What a chunk or a body of chat completions says.
struct Said {
    text: Option<String>,
    finish: Option<String>,
    usage: Option<Value>,
}

impl Said {
    /// `None` for what is none: an error, a marker, a broken frame.
    fn of(data: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(data).ok()?;
        body.get("choices")?;
        let choice = body.pointer("/choices/0");
        let text =
            choice.and_then(|choice| choice.get("delta").or_else(|| choice.get("message"))?.get("content"));
        Some(Self {
            text: text.and_then(Value::as_str).map(str::to_owned),
            finish: choice.and_then(|choice| choice.get("finish_reason")?.as_str()).map(str::to_owned),
            usage: body.get("usage").filter(|usage| usage.is_object()).cloned(),
        })
    }
}
