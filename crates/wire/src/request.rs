//! A caller's own request, as far as passing it on needs it: found in one scan, every byte kept.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, FieldSpan, Relayed, Tools, UsageFrame};

use crate::json::{self, Field, JsonError};
use crate::patch::slice;

/// How deep relayed JSON may nest and how many keys it may hold: tool schemas are large.
pub const LIMITS: json::Limits = json::Limits { depth_max: 64, keys_max: 100_000 };

/// Who shall answer.
pub(crate) const MODEL: &str = "model";
/// Whether the answer comes in pieces.
pub(crate) const STREAM: &str = "stream";

/// A body that cannot be relayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON that is accepted.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A field is missing or of the wrong type.
    #[error("`{field}` must be {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// The fields of a dialect that passing on has to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// Those that may have to change.
    pub(crate) known: &'static [&'static str],
    /// Those that let a model, or its provider, do more than answer.
    pub(crate) tools: &'static [&'static str],
}

impl Names {
    /// Where the known ones of `found` stand, and whether any tool is among them.
    pub(crate) fn of(&self, found: &[Field<'_>]) -> (Vec<FieldSpan>, Tools) {
        let (mut spans, mut tools) = (Vec::with_capacity(found.len().min(self.known.len())), Tools::None);
        for Field { key, value } in found {
            if let Some(name) = self.known.iter().find(|known| **known == *key) {
                spans.push(FieldSpan { name, value: value.clone() });
            } else if self.tools.contains(&&**key) {
                tools = Tools::Named;
            }
        }
        (spans, tools)
    }
}

/// Reads `body` in one scan, which also checks depth, keys and surrogates; its model is named in it, and whether it
/// streams where `names` know that field.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub(crate) fn read(body: Bytes, dialect: Dialect, names: Names) -> Result<Relayed, RequestError> {
    let (fields, tools) = names.of(&json::fields(&body, LIMITS)?);
    let value = |name| fields.iter().find(|field| field.name == name).map(|field| slice(&body, &field.value));
    let model = value(MODEL).and_then(|raw| serde_json::from_slice::<String>(raw).ok());
    let model = model.filter(|model| !model.is_empty());
    let model = model.ok_or(RequestError::Field { field: MODEL, expected: "the name of a model" })?;
    let delivery = match value(STREAM) {
        None | Some(b"null" | b"false") => Delivery::Whole,
        Some(b"true") => Delivery::Streamed,
        Some(_) => return Err(RequestError::Field { field: STREAM, expected: "true or false" }),
    };
    let (usage, headers) = (UsageFrame::Wanted, Vec::new());
    Ok(Relayed { dialect, model, fields, delivery, usage, tools, body: body.clone(), headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names { known: &[MODEL, STREAM], tools: &["tools", "mcp_servers"] };

    fn asked(body: &str) -> Result<Relayed, RequestError> {
        read(Bytes::copy_from_slice(body.as_bytes()), Dialect::OpenAiChat, NAMES)
    }

    #[test]
    fn what_cannot_be_relayed_is_named() {
        for (body, want) in [
            ("", "ends too early"),
            ("[]", "an object"),
            ("null", "an object"),
            ("{}", "`model`"),
            (r#"{"model":7}"#, "`model`"),
            (r#"{"model":""}"#, "`model`"),
            (r#"{"model":"x","stream":"yes"}"#, "`stream`"),
            (r#"{"model":"x","model":"y"}"#, "second time"),
            (r#"{"model":"x","a":"\ud800"}"#, "surrogate"),
        ] {
            let error = asked(body).expect_err(body);
            assert!(error.to_string().contains(want), "{body}: {error}");
        }
        let deep = format!(r#"{{"model":"x","a":{}}}"#, "[".repeat(1_000_000));
        let error = asked(&deep).expect_err("too deep");
        assert!(error.to_string().contains("deep"), "{error}");
    }

    #[test]
    fn tools_are_seen_at_the_top_only() {
        for (body, want) in [
            (r#"{"model":"m","messages":[{"tools":1}]}"#, Tools::None),
            (r#"{"model":"m","tools":[]}"#, Tools::Named),
            (r#"{"model":"m","mcp\u005fservers":[]}"#, Tools::Named),
        ] {
            assert_eq!(asked(body).expect(body).tools, want, "{body}");
        }
    }
}
