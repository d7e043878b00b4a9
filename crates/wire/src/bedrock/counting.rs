//! CountTokens: how many tokens a Converse request has (read 2026-11). It is free.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use domain::conversation::Conversation;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::converse::outbound;
use super::protocol::path;
use crate::counting::CountProtocol;
use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// What of a Converse request is counted; limits are not taken.
const COUNTED: [&str; 4] = ["messages", "system", "toolConfig", "additionalModelRequestFields"];

/// The format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts;

impl CountProtocol for Counts {
    fn place(&self, model: &str) -> Place {
        Place { path: path::of(model, "count-tokens"), headers: Vec::new(), accept: "application/json" }
    }

    fn request(&self, conversation: &Conversation, model: &str) -> Result<Bytes, Untranslatable> {
        let body = outbound::request(conversation, model)?;
        let mut fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(&body).expect("an object, as it was written here");
        fields.retain(|name, _| COUNTED.contains(&&**name));
        Ok(Bytes::from(json!({ "input": { "converse": fields } }).to_string()))
    }

    fn answer(&self, body: &[u8]) -> Result<u64, StreamError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            input_tokens: u64,
        }
        let body: Body = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
        Ok(body.input_tokens)
    }
}
