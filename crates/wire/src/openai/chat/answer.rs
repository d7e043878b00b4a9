//! A whole answer: a provider's read, or one written for a caller.

use bytes::Bytes;
use domain::chat::Finish;
use domain::conversation::{Answer, Ending, Part};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::reasoning::{self, Detail};
use super::request::{self, CallBody};
use super::{Unreadable, finish, reason, usage, usage_body};
use crate::face::About;
use crate::written;

#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default, borrow)]
    pub(super) choices: Vec<Choice<'a>>,
    #[serde(default, borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) error: Option<&'a RawValue>,
}

impl Body<'_> {
    /// The whole body is an error.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some_and(|error| error.get() != "null")
    }
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u64,
    // A field of its own each: some servers send both of a pair, one of them empty.
    #[serde(default, borrow)]
    pub(super) message: Option<Message<'a>>,
    #[serde(default, borrow)]
    pub(super) delta: Option<Message<'a>>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

/// A message, or what a frame adds to it.
#[derive(Deserialize, Default)]
pub(super) struct Message<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    /// The same in some servers' words.
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    pub(super) reasoning_details: Option<Vec<Detail>>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
pub(super) struct Call {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<Function>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<TextPart>),
}

#[derive(Deserialize)]
struct TextPart {
    #[serde(default)]
    text: String,
}

impl Message<'_> {
    /// The words of its thoughts, in either field.
    pub(super) fn thoughts(&mut self) -> Option<String> {
        let (first, second) = (self.reasoning_content.take(), self.reasoning.take());
        first.filter(|words| !words.is_empty()).or(second)
    }

    /// Its text: in one piece, or in parts as some servers send it.
    pub(super) fn text(&self) -> Result<String, Unreadable> {
        match self.content.map(|raw| serde_json::from_str(raw.get())) {
            None | Some(Ok(None)) => Ok(String::new()),
            Some(Ok(Some(Content::Text(text)))) => Ok(text),
            Some(Ok(Some(Content::Parts(parts)))) => Ok(parts.into_iter().map(|part| part.text).collect()),
            Some(Err(_)) => Err(Unreadable),
        }
    }
}

/// Reads a whole answer; `None` when it is an error body.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Answer>, Unreadable> {
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
    if body.is_error() {
        return Ok(None);
    }
    let used = body.usage.and_then(usage);
    let choice = body.choices.into_iter().find(|choice| choice.index == 0).ok_or(Unreadable)?;
    let mut message = choice.message.or(choice.delta).unwrap_or_default();
    let text = message.text()?;
    let mut parts = reasoning::read(message.thoughts(), message.reasoning_details.unwrap_or_default());
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts.extend(message.refusal.filter(|text| !text.is_empty()).map(Part::Refusal));
    for call in message.tool_calls.unwrap_or_default() {
        let (Some(id), Some(Function { name: Some(name), arguments })) = (call.id, call.function) else {
            return Err(Unreadable);
        };
        parts.push(Part::Call { id, name, arguments: arguments.unwrap_or_default() });
    }
    let said =
        choice.finish_reason.filter(|reason| !reason.is_empty()).map(|reason| finish(&reason)).transpose()?;
    let ending = Ending { finish: with_calls(said.ok_or(Unreadable)?, &parts), stop: None, usage: used };
    Ok(Some(Answer { id: body.id.unwrap_or_default(), model: body.model.unwrap_or_default(), parts, ending }))
}

/// Some servers say `stop` where tools are to be called.
fn with_calls(finish: Finish, parts: &[Part]) -> Finish {
    match finish {
        Finish::Stop if parts.iter().any(|part| matches!(part, Part::Call { .. })) => Finish::ToolUse,
        finish => finish,
    }
}

#[derive(Serialize)]
struct Written<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [WrittenChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: u32,
    message: WrittenMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Detail>,
}

/// The body of an answer of ours.
pub(super) fn write(about: &About, answer: &Answer) -> Bytes {
    let text = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        _ => None,
    };
    let texts: Vec<String> = answer.parts.iter().filter_map(text).collect();
    let refusal = answer.parts.iter().find_map(|part| match part {
        Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    let tool_calls = request::calls(&answer.parts);
    let is_silent = texts.is_empty() && (refusal.is_some() || !tool_calls.is_empty());
    let (reasoning_content, reasoning_details) = reasoning::write(&answer.parts);
    let message = WrittenMessage {
        role: "assistant",
        content: (!is_silent).then(|| texts.concat()),
        refusal,
        tool_calls,
        reasoning_content,
        reasoning_details,
    };
    let body = Written {
        id: format!("chatcmpl-{}", about.id),
        object: "chat.completion",
        created: about.created,
        model: &about.model,
        choices: [WrittenChoice {
            index: 0,
            message,
            logprobs: None,
            finish_reason: reason(answer.ending.finish),
        }],
        usage: answer.ending.usage.map(usage_body),
    };
    written::body(&body)
}
