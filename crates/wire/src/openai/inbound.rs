//! A caller's chat completions request as a domain one, for models and agents that do not take its bytes.

use std::borrow::Cow;
use std::sync::Arc;

use domain::chat::{ChatRequest, Message, Parameters, Role};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request that cannot be put to a model that reads plain text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// Not a chat completions request.
    #[error("not a chat completions request: send a JSON object with `messages`")]
    Unreadable,
    /// A field makes no sense.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What it should be.
        reason: &'static str,
    },
    /// It asks for something that only some models can do.
    #[error("`{field}`: {reason}")]
    Unsupported {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What cannot be done.
        reason: &'static str,
    },
}

impl InboundError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Unreadable => None,
            Self::Invalid { field, .. } | Self::Unsupported { field, .. } => Some(field),
        }
    }
}

/// A request, with what the caller left out left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// The conversation, in its order.
    pub messages: Vec<Message>,
    /// At most this many tokens.
    pub max_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// For reproducible sampling.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// A JSON schema that the answer keeps to.
    pub schema: Option<Arc<str>>,
}

impl Inbound {
    /// The request, with our defaults for what the caller left out.
    #[must_use]
    pub fn request(self) -> ChatRequest {
        let usual = Parameters::default();
        let parameters = Parameters {
            max_tokens: self.max_tokens.unwrap_or(usual.max_tokens),
            temperature: self.temperature.unwrap_or(usual.temperature),
            top_p: self.top_p,
            seed: self.seed,
            stop: self.stop,
        };
        ChatRequest { messages: self.messages, parameters, schema: self.schema }
    }
}

/// The schema of any JSON object, which a `response_format` of type `json_object` asks for.
pub const ANY_OBJECT: &str = r#"{"type":"object","additionalProperties":true}"#;

#[derive(Deserialize)]
struct Body {
    messages: Option<Vec<MessageBody>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<Stop>,
    n: Option<u32>,
    response_format: Option<ResponseFormat>,
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: Option<String>,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct MessageBody {
    role: Option<String>,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// Reads a request as text.
///
/// # Errors
/// [`InboundError`].
pub fn read(body: &[u8]) -> Result<Inbound, InboundError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let body: Body =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| unreadable(error.path()))?;
    let refuse = |field, reason| Err(InboundError::Unsupported { field: Cow::Borrowed(field), reason });
    let messages = body.messages.unwrap_or_default();
    if messages.is_empty() {
        return Err(invalid("messages", "at least one message"));
    }
    if body.n.is_some_and(|n| n != 1) {
        return refuse("n", "one answer at a time");
    }
    if body.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return refuse("temperature", "0 to 2");
    }
    if body.top_p.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return refuse("top_p", "0 to 1");
    }
    let max_tokens = body.max_completion_tokens.or(body.max_tokens);
    if max_tokens == Some(0) {
        return refuse("max_tokens", "at least 1");
    }
    Ok(Inbound {
        messages: messages.into_iter().enumerate().map(message).collect::<Result<_, _>>()?,
        max_tokens,
        temperature: body.temperature,
        top_p: body.top_p,
        seed: body.seed.map(i64::unsigned_abs),
        stop: match body.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Many(texts)) => texts,
        },
        schema: body.response_format.map_or(Ok(None), schema)?,
    })
}

fn invalid(field: impl Into<Cow<'static, str>>, reason: &'static str) -> InboundError {
    InboundError::Invalid { field: field.into(), reason }
}

/// What should stand at `path`, where something of another type does.
fn unreadable(path: &serde_path_to_error::Path) -> InboundError {
    use serde_path_to_error::Segment;
    let mut names = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    });
    let reason = match (names.next_back(), path.iter().next_back()) {
        (Some("messages"), Some(Segment::Seq { .. })) => "an object with `role` and `content`",
        (Some("messages"), _) => "a list of messages",
        (Some("role" | "type"), _) => "a text",
        (Some("content"), _) => "a text, or a list of parts with `type` and `text`",
        (Some("max_tokens" | "max_completion_tokens" | "n"), _) => "a whole number, not too large",
        (Some("seed"), _) => "a whole number",
        (Some("temperature" | "top_p"), _) => "a number",
        (Some("stop"), _) => "a text, or a list of texts",
        (Some("response_format" | "json_schema"), _) => "an object",
        (Some(_), _) => "something else",
        (None, _) => return InboundError::Unreadable,
    };
    invalid(path.to_string(), reason)
}

/// The schema that an answer in `format` keeps to.
fn schema(format: ResponseFormat) -> Result<Option<Arc<str>>, InboundError> {
    match format.kind.as_deref() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Arc::from(ANY_OBJECT))),
        Some("json_schema") => match format.json_schema.and_then(|format| format.schema) {
            Some(schema) => Ok(Some(Arc::from(schema.get()))),
            None => Err(invalid("response_format.json_schema.schema", "a JSON schema")),
        },
        _ => Err(invalid("response_format.type", "text, json_object or json_schema")),
    }
}

fn message((index, body): (usize, MessageBody)) -> Result<Message, InboundError> {
    let field = |name| Cow::Owned(format!("messages[{index}].{name}"));
    let role = match body.role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        None => return Err(invalid(field("role"), "system, developer, user or assistant")),
        Some(_) => {
            let reason = "only system, developer, user and assistant messages are read here";
            return Err(InboundError::Unsupported { field: field("role"), reason });
        }
    };
    let text = match body.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            if parts.iter().any(|part| part.kind.as_deref() != Some("text")) {
                let reason = "only text is read here";
                return Err(InboundError::Unsupported { field: field("content"), reason });
            }
            parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
        }
    };
    Ok(Message { role, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_goes_out_and_comes_in_as_it_is() {
        use super::super::chat::{self, Call, LimitField};
        use domain::chat::Delivery;
        let schema: Option<Arc<str>> = Some(Arc::from(r#"{"type":"object","properties":{"b":{},"a":{}}}"#));
        let call = Call { model: "x", delivery: Delivery::Whole, limit_field: LimitField::MaxTokens };
        let messages = vec![Message::new(Role::User, "?")];
        let asked = ChatRequest { messages, schema: schema.clone(), ..ChatRequest::default() };
        let body = chat::request(call, &asked);
        assert_eq!(read(&body).map(|inbound| inbound.request().schema), Ok(schema));
        let body = chat::request(call, &ChatRequest::default());
        assert!(!String::from_utf8_lossy(&body).contains("response_format"));
        let object =
            br#"{"messages":[{"role":"user","content":"?"}],"response_format":{"type":"json_object"}}"#;
        assert_eq!(read(object).map(|inbound| inbound.schema), Ok(Some(Arc::from(ANY_OBJECT))));
        let text = br#"{"messages":[{"role":"user","content":"?"}],"response_format":{"type":"text"}}"#;
        assert_eq!(read(text).map(|inbound| inbound.schema), Ok(None));
    }

    #[test]
    fn a_request_becomes_messages_and_parameters() {
        let body = br#"{"model":"x","messages":[{"role":"developer","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
            "max_completion_tokens":7,"max_tokens":9,"temperature":0.5,"top_p":0.9,"seed":3,"stop":"END","future":[]}"#;
        let inbound = read(body).expect("valid");
        let want = vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "a\nb")];
        assert_eq!(inbound.messages, want);
        let request = inbound.request();
        assert_eq!(
            request.parameters,
            Parameters {
                max_tokens: 7,
                temperature: 0.5,
                top_p: Some(0.9),
                seed: Some(3),
                stop: vec!["END".to_owned()]
            }
        );
        let bare = read(br#"{"messages":[{"role":"user","content":"Hi"}]}"#).expect("valid").request();
        assert_eq!(bare.parameters, Parameters::default());
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (body, want) in [
            ("{}", "messages"),
            (r#"{"messages":[]}"#, "at least one"),
            (r#"{"messages":[{"role":"user"}],"n":2}"#, "`n`"),
            (r#"{"messages":[{"role":"user"}],"temperature":3}"#, "`temperature`"),
            (r#"{"messages":[{"role":"user"}],"top_p":-1}"#, "`top_p`"),
            (r#"{"messages":[{"role":"user"}],"max_tokens":0}"#, "`max_tokens`"),
            (r#"{"messages":[{"role":"tool","content":"x"}]}"#, "`messages[0].role`: only"),
            (r#"{"messages":[{"role":"user"}],"response_format":{}}"#, "`response_format.type`"),
            (r#"{"messages":[{"role":"user"}],"response_format":{"type":"xml"}}"#, "`response_format.type`"),
            (
                r#"{"messages":[{"role":"user"}],"response_format":{"type":"json_schema"}}"#,
                "`response_format.json_schema.schema`",
            ),
            (r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "only text"),
        ] {
            let error = read(body.as_bytes()).expect_err(body);
            assert!(error.to_string().contains(want), "{body}: {error}");
        }
    }

    #[test]
    fn what_has_the_wrong_type_is_named_in_our_words() {
        for (body, place, reason) in [
            (r#"{"messages":{}}"#, "messages", "a list of messages"),
            (r#"{"messages":["Hi"]}"#, "messages[0]", "an object with"),
            (r#"{"messages":[{"role":"user"},{"content":"x"}]}"#, "messages[1].role", "system, developer"),
            (r#"{"messages":[{"role":{}}]}"#, "messages[0].role", "a text"),
            (r#"{"messages":[{"role":"user","content":{}}]}"#, "messages[0].content", "a text, or a list"),
            (r#"{"messages":[{"role":"user","content":[1]}]}"#, "messages[0].content", "a text, or a list"),
            (r#"{"messages":[{"role":"user"}],"temperature":"hot"}"#, "temperature", "a number"),
            (r#"{"messages":[{"role":"user"}],"temperature":1e999}"#, "temperature", "a number"),
            (r#"{"messages":[{"role":"user"}],"max_tokens":-1}"#, "max_tokens", "a whole number"),
            (r#"{"messages":[{"role":"user"}],"stop":7}"#, "stop", "a text, or a list of texts"),
            (r#"{"messages":[{"role":"user"}],"response_format":"json"}"#, "response_format", "an object"),
        ] {
            let error = read(body.as_bytes()).expect_err(body);
            assert_eq!(error.field(), Some(place), "{body}: {error}");
            let told = error.to_string();
            assert!(told.starts_with(&format!("`{place}`: {reason}")), "{body}: {told}");
            for words in ["line 1", "column", "untagged", "expected a", "invalid type"] {
                assert!(!told.contains(words), "{told}");
            }
        }
        assert_eq!(read(b"[]").map(drop), Err(InboundError::Unreadable));
    }
}
