//! A caller's own request passed on byte for byte, with only what must change patched in place.
//!
//! Reading order: this file (the request), [`stream`] (a streamed answer in whole frames).

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, FieldSpan, Relayed, Tools, UsageFrame};

use super::messages::{VERSION, VERSION_HEADER};
use super::model;
use crate::json;
use crate::openai::relay::RequestError;
use crate::patch::{Edit, apply, slice};
use crate::protocol::Call;

pub(super) mod stream;

/// How deep relayed JSON may nest and how many keys it may hold: tool schemas are large.
pub const LIMITS: json::Limits = json::Limits { depth_max: 64, keys_max: 100_000 };

const MODEL: &str = "model";
const STREAM: &str = "stream";
const MAX_TOKENS: &str = "max_tokens";
const TEMPERATURE: &str = "temperature";
const KNOWN: [&str; 4] = [MODEL, STREAM, MAX_TOKENS, TEMPERATURE];
/// Fields that let a model, or its provider, do more than answer.
const TOOLS: [&str; 3] = ["tools", "mcp_servers", "container"];

/// Reads `body` in one scan, which also checks depth, keys and surrogates. `headers` are those of the caller's that the
/// dialect lets through.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub fn read(
    body: Bytes,
    dialect: Dialect,
    headers: Vec<(&'static str, Box<str>)>,
) -> Result<Relayed, RequestError> {
    let found = json::fields(&body, LIMITS)?;
    let known = |field: &json::Field<'_>| {
        let name = KNOWN.into_iter().find(|known| *known == field.key)?;
        Some(FieldSpan { name, value: field.value.clone() })
    };
    let fields: Vec<FieldSpan> = found.iter().filter_map(known).collect();
    let value = |name| fields.iter().find(|field| field.name == name).map(|field| slice(&body, &field.value));
    let model = value(MODEL).and_then(|raw| serde_json::from_slice::<String>(raw).ok());
    let model = model.filter(|model| !model.is_empty());
    let model = model.ok_or(RequestError::Field { field: MODEL, expected: "the name of a model" })?;
    let delivery = match value(STREAM) {
        _ if dialect == Dialect::AnthropicCountTokens => Delivery::Whole,
        None | Some(b"null" | b"false") => Delivery::Whole,
        Some(b"true") => Delivery::Streamed,
        Some(_) => return Err(RequestError::Field { field: STREAM, expected: "true or false" }),
    };
    let names_tools = found.iter().any(|field| TOOLS.contains(&&*field.key));
    let tools = if names_tools { Tools::Named } else { Tools::None };
    Ok(Relayed {
        dialect,
        model,
        fields,
        delivery,
        usage: UsageFrame::Wanted,
        tools,
        body: body.clone(),
        headers,
    })
}

/// The body with what `call` says set; every other byte stays as it is.
pub(super) fn patch(relayed: &Relayed, call: Call<'_>) -> Bytes {
    let mut edits = Vec::with_capacity(3);
    let mut added = String::new();
    let field = |name| relayed.fields.iter().find(|field| field.name == name);
    if let Some(field) = field(MODEL) {
        edits.push(Edit::new(field.value.clone(), serde_json::Value::from(call.model).to_string()));
    }
    // Counting generates nothing.
    let is_counted = relayed.dialect == Dialect::AnthropicCountTokens;
    if let Some(most) = call.overrides.max_tokens.filter(|_| !is_counted) {
        match field(MAX_TOKENS) {
            Some(field) => {
                let asked = serde_json::from_slice::<u64>(slice(&relayed.body, &field.value));
                // What is no number is for the provider to refuse.
                if asked.is_ok_and(|asked| asked > u64::from(most)) {
                    edits.push(Edit::new(field.value.clone(), most.to_string()));
                }
            }
            None => added.push_str(&format!(",\"{MAX_TOKENS}\":{most}")),
        }
    }
    if let Some(temperature) =
        call.overrides.temperature.filter(|_| !is_counted && has_temperature(relayed, call.model))
    {
        match field(TEMPERATURE) {
            Some(field) => edits.push(Edit::new(field.value.clone(), temperature.to_string())),
            None => added.push_str(&format!(",\"{TEMPERATURE}\":{temperature}")),
        }
    }
    if !added.is_empty() {
        // The object is not empty: it holds the model.
        edits.push(Edit::at_the_end(&relayed.body, added));
    }
    apply(&relayed.body, edits)
}

/// Newer models have none, and the version of the format of 2026-10-21 has none for any.
fn has_temperature(relayed: &Relayed, model: &str) -> bool {
    let is_newer = |(name, value): &(&str, Box<str>)| *name == VERSION_HEADER && **value != *VERSION;
    model::version(model) < model::UNSAMPLED && !relayed.headers.iter().any(is_newer)
}

#[cfg(test)]
mod tests {
    use domain::model::Overrides;

    use super::*;

    fn asked(body: &str) -> Result<Relayed, RequestError> {
        read(Bytes::copy_from_slice(body.as_bytes()), Dialect::AnthropicMessages, Vec::new())
    }

    fn patched(body: &str, overrides: Overrides) -> String {
        let relayed = asked(body).expect(body);
        let call = Call { model: "claude-3-5", delivery: relayed.delivery, overrides, max_tokens: 9 };
        String::from_utf8(patch(&relayed, call).to_vec()).expect("text")
    }

    #[test]
    fn only_what_must_change_changes() {
        let tamed = Overrides { max_tokens: Some(300), temperature: Some(0.5) };
        for (body, overrides, want) in [
            (
                " { \"mod\\u0065l\" : \"x\" , \"future\":{\"model\":\"x\",\"n\":1.50}, \"stream\":true } ",
                Overrides::default(),
                " { \"mod\\u0065l\" : \"claude-3-5\" , \"future\":{\"model\":\"x\",\"n\":1.50}, \"stream\":true } ",
            ),
            (
                r#"{"model":"x","max_tokens":7}"#,
                tamed,
                r#"{"model":"claude-3-5","max_tokens":7,"temperature":0.5}"#,
            ),
            (
                r#"{"max_tokens":301,"temperature":1,"model":"x"}"#,
                tamed,
                r#"{"max_tokens":300,"temperature":0.5,"model":"claude-3-5"}"#,
            ),
            (r#"{"model":"x"}"#, tamed, r#"{"model":"claude-3-5","max_tokens":300,"temperature":0.5}"#),
            (
                r#"{"model":"x","max_tokens":"many"}"#,
                Overrides { max_tokens: Some(3), temperature: None },
                r#"{"model":"claude-3-5","max_tokens":"many"}"#,
            ),
        ] {
            assert_eq!(patched(body, overrides), want);
        }
        let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
        let relayed = read(body.clone(), Dialect::AnthropicCountTokens, Vec::new()).expect("valid");
        let call = Call { model: "m", delivery: Delivery::Whole, overrides: tamed, max_tokens: 9 };
        assert_eq!(patch(&relayed, call).as_ptr(), body.as_ptr(), "not even copied");
    }

    #[test]
    fn a_temperature_is_forced_only_where_there_is_one() {
        let body = Bytes::from_static(br#"{"model":"x"}"#);
        let overrides = Overrides { max_tokens: None, temperature: Some(0.0) };
        for (model, version, want) in [
            ("claude-opus-4-6", "2023-06-01", r#"{"model":"claude-opus-4-6","temperature":0}"#),
            ("claude-opus-4-6", "2026-10-21", r#"{"model":"claude-opus-4-6"}"#),
            ("claude-opus-4-7", "2023-06-01", r#"{"model":"claude-opus-4-7"}"#),
        ] {
            let headers = vec![(VERSION_HEADER, version.into())];
            let relayed = read(body.clone(), Dialect::AnthropicMessages, headers).expect("valid");
            let call = Call { model, delivery: Delivery::Whole, overrides, max_tokens: 9 };
            assert_eq!(patch(&relayed, call), want);
        }
    }

    #[test]
    fn what_cannot_be_relayed_is_named() {
        for (body, want) in [
            ("", "ends too early"),
            ("[]", "an object"),
            ("{}", "`model`"),
            (r#"{"model":7}"#, "`model`"),
            (r#"{"model":"x","stream":"yes"}"#, "`stream`"),
            (r#"{"model":"x","model":"y"}"#, "second time"),
            (r#"{"model":"x","a":"\ud800"}"#, "surrogate"),
        ] {
            let error = asked(body).expect_err(body);
            assert!(error.to_string().contains(want), "{body}: {error}");
        }
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
