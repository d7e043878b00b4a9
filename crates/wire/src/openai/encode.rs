//! An answer of ours as chat completions: whole, or frame by frame.

use bytes::Bytes;
use domain::chat::{ErrorReply, Finish};
use domain::token::Usage;
use serde::Serialize;
use serde_json::{Value, json};

/// What all parts of one answer repeat.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// `chatcmpl-…`, unique for each answer.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The model, as the caller named it.
    pub model: String,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<ChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// The end marker of a complete stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

impl Encoder {
    /// The first frame: who speaks.
    #[must_use]
    pub fn role(&self) -> Bytes {
        let delta = Delta { role: Some("assistant"), content: Some("") };
        self.frame(vec![ChunkChoice { index: 0, delta, finish_reason: None }], None)
    }

    /// A frame with text.
    #[must_use]
    pub fn text(&self, text: &str) -> Bytes {
        let delta = Delta { content: Some(text), ..Delta::default() };
        self.frame(vec![ChunkChoice { index: 0, delta, finish_reason: None }], None)
    }

    /// The frame that says why the answer ended.
    #[must_use]
    pub fn finish(&self, finish: Finish) -> Bytes {
        let finish_reason = Some(reason(finish));
        self.frame(vec![ChunkChoice { index: 0, delta: Delta::default(), finish_reason }], None)
    }

    /// The frame that says what the answer used.
    #[must_use]
    pub fn usage(&self, usage: Usage) -> Bytes {
        self.frame(Vec::new(), Some(usage_body(usage)))
    }

    fn frame(&self, choices: Vec<ChunkChoice<'_>>, usage: Option<Value>) -> Bytes {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        };
        let mut frame = b"data: ".to_vec();
        serde_json::to_writer(&mut frame, &chunk).expect("numbers, texts and lists always serialise");
        frame.extend_from_slice(b"\n\n");
        Bytes::from(frame)
    }

    /// The whole answer in one body.
    #[must_use]
    pub fn whole(&self, text: &str, finish: Finish, usage: Option<Usage>) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null,
                "finish_reason": reason(finish),
            }],
            "usage": usage.map(usage_body),
        })
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopText => "stop",
        Finish::ToolUse => "tool_calls",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
    }
}

fn usage_body(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input.0,
        "completion_tokens": usage.output.0,
        "total_tokens": usage.input.0.saturating_add(usage.output.0),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input.0 },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_output.0 },
    })
}

/// The body of an error.
#[must_use]
pub fn error(reply: &ErrorReply) -> Value {
    json!({ "error": {
        "message": reply.message,
        "type": reply.kind,
        "param": reply.parameter,
        "code": reply.code,
    } })
}

/// An error within a stream; no end marker follows it.
#[must_use]
pub fn error_frame(reply: &ErrorReply) -> Bytes {
    Bytes::from(format!("data: {}\n\n", error(reply)))
}

#[cfg(test)]
mod tests {
    use domain::chat::{ChatChunk, Done, UsageFrame};
    use domain::token::TokenCount;

    use super::*;
    use crate::openai::relay::{stream::Portions, whole};
    use crate::openai::stream::{Progress, Reader};

    fn encoder() -> Encoder {
        Encoder { id: "chatcmpl-1".to_owned(), created: 7, model: "agent:general".to_owned() }
    }

    const USAGE: Usage = Usage {
        cached_input: TokenCount(1),
        reasoning_output: TokenCount(1),
        ..Usage::of(TokenCount(3), TokenCount(2))
    };

    #[test]
    fn what_is_written_is_read_back() {
        let encoder = encoder();
        let frames = [
            encoder.role(),
            encoder.text("Yes\n"),
            encoder.text("\"up\" to"),
            encoder.finish(Finish::Length),
            encoder.usage(USAGE),
            Bytes::from_static(DONE),
        ];
        let stream = frames.concat();
        let mut chunks = Vec::new();
        Reader::new().push(&stream, &mut chunks).expect("readable");
        let done = ChatChunk::Done { finish: Finish::Length, usage: Some(USAGE) };
        let delta = |text: &str| ChatChunk::Delta(text.to_owned());
        assert_eq!(chunks, [delta("Yes\n"), delta("\"up\" to"), done]);
        let mut reader = Portions::new(UsageFrame::Wanted);
        assert_eq!(reader.push(&stream), Ok(Progress::Ended));
        let portion = reader.give_out().expect("all");
        assert_eq!(portion.bytes, stream);

        let body = encoder.whole("Yes", Finish::Stop, Some(USAGE)).to_string();
        assert_eq!(whole(body.as_bytes()), Ok(Done { finish: Finish::Stop, usage: Some(USAGE) }));
    }

    #[test]
    fn errors_have_the_four_fields() {
        let reply = ErrorReply {
            status: 400,
            message: "no \"such\" model".to_owned(),
            kind: Some("invalid_request_error".to_owned()),
            parameter: None,
            code: Some("model_not_found".to_owned()),
        };
        let frame = String::from_utf8(error_frame(&reply).to_vec()).expect("text");
        let data =
            frame.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("one frame");
        let want = serde_json::json!({"error": {
            "message": "no \"such\" model", "type": "invalid_request_error", "param": null, "code": "model_not_found"
        }});
        // The order of fields depends on what else is built into the program.
        assert_eq!(serde_json::from_str::<serde_json::Value>(data).expect("JSON"), want);
    }
}
