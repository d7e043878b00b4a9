//! `countTokens`: how many tokens a `generateContent` request has (ai.google.dev/api/tokens, read 2026-11). It is free.

use bytes::Bytes;
use domain::conversation::Conversation;
use serde::Deserialize;

use super::{Generation, place, request};
use crate::counting::CountProtocol;
use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// The format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts;

impl CountProtocol for Counts {
    fn place(&self, model: &str) -> Place {
        place(model, "countTokens", "application/json")
    }

    fn request(&self, conversation: &Conversation, model: &str) -> Result<Bytes, Untranslatable> {
        let whole = request::body(conversation, Generation::of(model))?;
        let whole = String::from_utf8_lossy(&whole);
        let folder = if model.contains('/') { "" } else { "models/" };
        let name = serde_json::Value::from(format!("{folder}{model}"));
        // The request itself says once more which model it is for.
        let fields = whole.strip_prefix('{').unwrap_or_default();
        Ok(Bytes::from(format!("{{\"generateContentRequest\":{{\"model\":{name},{fields}}}")))
    }

    fn answer(&self, body: &[u8]) -> Result<u64, StreamError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            total_tokens: u64,
        }
        let body: Body = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
        Ok(body.total_tokens)
    }
}
