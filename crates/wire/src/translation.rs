//! Why a request cannot be read, or not be said in another dialect.

use std::borrow::Cow;

use domain::conversation::{Conversation, Which};

/// A caller's request that cannot be understood, or asks for what no translation can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not a request of its dialect at all.
    #[error("not a request of this kind: {0}")]
    Unreadable(&'static str),
    /// A field makes no sense.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What it should be.
        reason: Cow<'static, str>,
    },
    /// It asks for something that only models of its own dialect can do.
    #[error("`{field}`: {reason}")]
    Unsupported {
        /// Where, as `messages[0].content`.
        field: Cow<'static, str>,
        /// What cannot be done.
        reason: Cow<'static, str>,
    },
}

impl ReadError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Unreadable(_) => None,
            Self::Invalid { field, .. } | Self::Unsupported { field, .. } => Some(field),
        }
    }

    /// `field` makes no sense.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// `field` cannot be carried to another dialect.
    pub fn unsupported(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported { field: field.into(), reason: reason.into() }
    }
}

/// Something that a provider's format cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` cannot be said to this model: {reason}")]
pub struct Untranslatable {
    /// What, in the words of most dialects, as `top_k` or `messages[2]: an image`.
    pub what: Cow<'static, str>,
    /// Why not, or what can be.
    pub reason: Cow<'static, str>,
}

impl Untranslatable {
    /// `what` cannot be carried.
    pub fn new(what: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}

/// `messages`, of which there must be one: instructions and empty texts alone are no question, and providers refuse them.
///
/// # Errors
/// [`Untranslatable`] when there is none.
pub(crate) fn spoken<T>(messages: Vec<T>) -> Result<Vec<T>, Untranslatable> {
    match messages.is_empty() {
        true => Err(Untranslatable::new("messages", "there is nothing in them that can be said")),
        false => Ok(messages),
    }
}

/// Which tool `conversation` asks for. Without tools there is nothing to choose, and providers refuse a choice.
///
/// # Errors
/// [`Untranslatable`] when a call is demanded all the same.
pub(crate) fn choice(conversation: &Conversation) -> Result<&Which, Untranslatable> {
    match &conversation.choice.which {
        which if !conversation.tools.is_empty() => Ok(which),
        Which::Any | Which::This(_) => {
            Err(Untranslatable::new("tool_choice", "it demands a call, and `tools` has none"))
        }
        Which::Unsaid | Which::Auto | Which::Never => Ok(&Which::Unsaid),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::chat::{Delivery, Dialect};

    use crate::protocol::{Call, Protocol};
    use crate::{faces, sampled};

    #[test]
    fn without_tools_there_is_no_choice() {
        let protocols: [(&dyn Protocol, &str); 4] = [
            (&crate::openai::chat::ChatCompletions::default(), "m"),
            (&crate::anthropic::Messages, "claude-sonnet-4-5"),
            (&crate::bedrock::protocol::Bedrock, "amazon.nova-pro-v1:0"),
            (&crate::gemini::Gemini, "gemini-2.5-pro"),
        ];
        for (choice, is_said) in [
            (r#""auto""#, true),
            (r#""none""#, true),
            (r#""required""#, false),
            (r#"{"type":"function","name":"rate"}"#, false),
        ] {
            let body = format!(r#"{{"input":"x","tools":[],"tool_choice":{choice}}}"#);
            let asked = sampled::relayed(Dialect::OpenAiResponses, Bytes::from(body));
            let face = faces::of(Dialect::OpenAiResponses).expect("a face");
            let conversation = face.conversation(&asked).expect("valid");
            for (protocol, model) in protocols {
                let call =
                    Call { model, delivery: Delivery::Whole, overrides: Default::default(), max_tokens: 9 };
                match protocol.request(&conversation, call) {
                    Ok(body) => {
                        let body = String::from_utf8_lossy(&body).to_lowercase();
                        assert!(is_said && !body.contains("tool"), "{choice} {model}: {body}");
                    }
                    Err(error) => {
                        assert!(!is_said && error.what == "tool_choice", "{choice} {model}: {error}");
                    }
                }
            }
        }
    }
}
