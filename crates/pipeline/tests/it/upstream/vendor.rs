//! Whose format callers and providers speak.

use std::sync::Arc;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Relayed};
use domain::secret::Secret;
use http::header::{AUTHORIZATION, HeaderName};
use outbound::SecretForm;
use testkit::Upstream;
use wire::openai::chat::ChatCompletions;
use wire::protocol::Protocol;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    OpenAi,
    Anthropic,
}

/// Who speaks which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caller: Vendor,
    pub(super) provider: Vendor,
}

impl Vendor {
    pub(super) fn protocol(self) -> Arc<dyn Protocol> {
        match self {
            Self::OpenAi => Arc::new(ChatCompletions::default()),
            Self::Anthropic => Arc::new(wire::anthropic::Messages),
        }
    }

    pub(super) fn secret(self, key: &str) -> (HeaderName, SecretForm) {
        let key = Secret::new(key.to_owned());
        match self {
            Self::OpenAi => (AUTHORIZATION, SecretForm::Bearer(key)),
            Self::Anthropic => (HeaderName::from_static("x-api-key"), SecretForm::Plain(key)),
        }
    }

    pub(super) fn base_url(self, upstream: &Upstream) -> String {
        let url = upstream.base_url();
        match self {
            Self::OpenAi => url,
            Self::Anthropic => url.trim_end_matches("/v1").to_owned(),
        }
    }

    /// A request.
    pub(super) fn asked(self, delivery: Delivery) -> Relayed {
        let is_streamed = delivery == Delivery::Streamed;
        let body = format!(
            r#"{{"model":"x","max_tokens":99,"messages":[{{"role":"user","content":"Hi"}}],"stream":{is_streamed}}}"#
        );
        let body = Bytes::from(body);
        match self {
            Self::OpenAi => wire::openai::relay::read(body),
            Self::Anthropic => wire::anthropic::relay::read(body, Dialect::AnthropicMessages, Vec::new()),
        }
        .expect("valid")
    }

    /// What marks the end of a stream.
    pub(super) fn end_marker(self) -> &'static str {
        match self {
            Self::OpenAi => "data: [DONE]",
            Self::Anthropic => "event: message_stop",
        }
    }

    /// The words of an answer.
    pub(super) fn words(self, answer: &str) -> String {
        let field = match self {
            Self::OpenAi => "\"content\":\"",
            Self::Anthropic => "\"text\":\"",
        };
        answer.split(field).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }
}
