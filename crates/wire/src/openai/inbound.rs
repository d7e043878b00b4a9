//! A caller's chat completions request as a domain one, for models and agents that do not take its bytes.

use std::sync::Arc;

use domain::chat::{ChatRequest, Message, Parameters, Role};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request that cannot be put to a model that reads plain text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// Not a chat completions request.
    #[error("not a chat completions request: {0}")]
    Unreadable(String),
    /// A field makes no sense.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Where.
        field: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// It asks for something that only some models can do.
    #[error("`{field}`: {reason}")]
    Unsupported {
        /// Where.
        field: &'static str,
        /// What cannot be done.
        reason: &'static str,
    },
}

impl InboundError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(_) => None,
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

#[derive(Deserialize)]
struct Body {
    messages: Vec<MessageBody>,
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
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct MessageBody {
    role: String,
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
    kind: String,
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
    let body: Body =
        serde_json::from_slice(body).map_err(|error| InboundError::Unreadable(error.to_string()))?;
    let refuse = |field, reason| Err(InboundError::Unsupported { field, reason });
    if body.messages.is_empty() {
        return Err(InboundError::Invalid { field: "messages", reason: "at least one message" });
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
        messages: body.messages.into_iter().map(message).collect::<Result<_, _>>()?,
        max_tokens,
        temperature: body.temperature,
        top_p: body.top_p,
        seed: body.seed.map(i64::unsigned_abs),
        stop: match body.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Many(texts)) => texts,
        },
        schema: body
            .response_format
            .and_then(|format| format.json_schema?.schema)
            .map(|schema| Arc::from(schema.get())),
    })
}

fn message(body: MessageBody) -> Result<Message, InboundError> {
    let refuse = |reason| InboundError::Unsupported { field: "messages", reason };
    let role = match body.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(refuse("only system, developer, user and assistant messages are read here")),
    };
    let text = match body.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            if parts.iter().any(|part| part.kind != "text") {
                return Err(refuse("only text is read here"));
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
        assert_eq!(read(object).map(|inbound| inbound.schema), Ok(None));
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
            (r#"{"messages":[{"role":"tool","content":"x"}]}"#, "`messages`"),
            (r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "only text"),
        ] {
            let error = read(body.as_bytes()).expect_err(body);
            assert!(error.to_string().contains(want), "{body}: {error}");
        }
    }
}
