//! Whose format callers and providers speak.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Relayed};
use domain::secret::Secret;
use http::header::{AUTHORIZATION, HeaderName};
use outbound::SecretForm;
use testkit::Upstream;
use wire::bedrock::frame::{self, Cutter, Kind};
use wire::openai::chat::ChatCompletions;
use wire::protocol::Protocol;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    OpenAi,
    Anthropic,
    /// Converse.
    Bedrock,
    /// InvokeModel with the body of Claude, which only callers choose.
    Invoke,
    /// Which no caller speaks.
    Gemini,
}

/// Who speaks which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caller: Vendor,
    pub(super) provider: Vendor,
}

impl Pair {
    /// Whether the caller does not get the provider's own bytes.
    pub(super) fn is_translated(self) -> bool {
        self.caller != self.provider && (self.caller, self.provider) != (Vendor::Invoke, Vendor::Bedrock)
    }
}

impl Vendor {
    pub(super) fn protocol(self) -> Arc<dyn Protocol> {
        match self {
            Self::OpenAi => Arc::new(ChatCompletions::default()),
            Self::Anthropic => Arc::new(wire::anthropic::Messages),
            Self::Bedrock | Self::Invoke => Arc::new(wire::bedrock::protocol::Bedrock),
            Self::Gemini => Arc::new(wire::gemini::Gemini),
        }
    }

    pub(super) fn secret(self, key: &str) -> (HeaderName, SecretForm) {
        let key = Secret::new(key.to_owned());
        match self {
            Self::OpenAi | Self::Bedrock | Self::Invoke => (AUTHORIZATION, SecretForm::Bearer(key)),
            Self::Anthropic => (HeaderName::from_static("x-api-key"), SecretForm::Plain(key)),
            Self::Gemini => (HeaderName::from_static("x-goog-api-key"), SecretForm::Plain(key)),
        }
    }

    pub(super) fn base_url(self, upstream: &Upstream) -> String {
        let url = upstream.base_url();
        match self {
            Self::OpenAi => url,
            _ => url.trim_end_matches("/v1").to_owned(),
        }
    }

    /// A request.
    pub(super) fn asked(self, delivery: Delivery) -> Relayed {
        let is_streamed = delivery == Delivery::Streamed;
        let message = r#"{"role":"user","content":[{"text":"Hi"}]}"#;
        let body = match self {
            Self::Bedrock => format!(r#"{{"messages":[{message}],"inferenceConfig":{{"maxTokens":99}}}}"#),
            Self::Invoke => r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":99,"messages":[{"role":"user","content":"Hi"}]}"#.to_owned(),
            _ => format!(
                r#"{{"model":"x","max_tokens":99,"messages":[{{"role":"user","content":"Hi"}}],"stream":{is_streamed}}}"#
            ),
        };
        let body = Bytes::from(body);
        let in_path = ("x".to_owned(), delivery);
        match self {
            Self::OpenAi | Self::Gemini => wire::openai::relay::read(body).expect("valid"),
            Self::Anthropic => {
                wire::anthropic::relay::read(body, Dialect::AnthropicMessages, Vec::new()).expect("valid")
            }
            Self::Bedrock => wire::bedrock::converse::relay::read(body, in_path).expect("valid"),
            Self::Invoke => wire::bedrock::invoke::read(body, in_path, Vec::new()).expect("valid"),
        }
    }

    /// An answer as text: the names and payloads of all frames, which must be whole.
    pub(super) fn shown(self, answer: &[u8], delivery: Delivery) -> String {
        if delivery == Delivery::Whole || !matches!(self, Self::Bedrock | Self::Invoke) {
            return String::from_utf8_lossy(answer).into_owned();
        }
        let mut cutter = Cutter::default();
        cutter.push(answer);
        let mut text = String::new();
        while let Some(bytes) = cutter.next_frame().expect("frames only") {
            let frame = frame::read(bytes).expect("a frame whose checksums hold");
            let Kind::Event(name) = frame.kind else { panic!("{frame:?} is not for callers") };
            let payload = String::from_utf8_lossy(&frame.payload).into_owned();
            let inner = payload.split("\"bytes\":\"").nth(1).and_then(|rest| rest.split('"').next());
            let inner = inner.map(|inner| STANDARD.decode(inner).expect("base64"));
            let inner = inner.map(|inner| String::from_utf8_lossy(&inner).into_owned());
            text.push_str(&format!("{}: {}\n", name.as_str(), inner.unwrap_or(payload)));
        }
        assert!(!cutter.is_within_frame(), "a part of a frame was passed on");
        text
    }

    /// What marks the end of a stream.
    pub(super) fn end_marker(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Gemini => "data: [DONE]",
            Self::Anthropic => "event: message_stop",
            Self::Bedrock => "messageStop:",
            Self::Invoke => "message_stop",
        }
    }

    /// The words of an answer.
    pub(super) fn words(self, answer: &str) -> String {
        let field = if self == Self::OpenAi { "\"content\":\"" } else { "\"text\":\"" };
        // Where lines end with CRLF, other spaces stand in the JSON, too.
        let answer = answer.replace("\"text\": \"", field);
        answer.split(field).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }
}
