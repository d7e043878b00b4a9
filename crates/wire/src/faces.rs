//! Which face speaks which dialect.

use domain::chat::Dialect;

use crate::anthropic::messages::Messages;
use crate::bedrock::converse::face::ConverseFace;
use crate::bedrock::invoke::face::InvokeFace;
use crate::face::Face;
use crate::openai::chat::ChatFace;
use crate::openai::completions::CompletionsFace;
use crate::openai::responses::ResponsesFace;

/// The face of `dialect`; `None` for those whose requests are no conversations, or which no other dialect can carry.
#[must_use]
pub fn of(dialect: Dialect) -> Option<&'static dyn Face> {
    match dialect {
        Dialect::OpenAiChat => Some(&ChatFace),
        Dialect::OpenAiResponses => Some(&ResponsesFace),
        Dialect::OpenAiCompletions => Some(&CompletionsFace),
        Dialect::AnthropicMessages => Some(&Messages),
        Dialect::BedrockConverse => Some(&ConverseFace),
        Dialect::BedrockInvoke => Some(&InvokeFace),
        _ => None,
    }
}
