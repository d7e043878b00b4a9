//! A caller's own request to be passed on byte for byte, with only what must change patched in place.
//!
//! Reading order: this file (the request), `meaning` (what a frame or a whole body says), [`stream`] (a streamed
//! answer in whole frames).

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, FieldSpan, Relayed, Tools, UsageFrame};

use super::chat::{self, ChatCompletions, LimitField};
use crate::json::{self, Field, JsonError};
use crate::patch::{Edit, apply, slice};
use crate::protocol::{Call, OwnDialect, Place};
use crate::stream::{Portions, StreamError};

pub(super) mod meaning;
pub mod stream;

/// How deep relayed JSON may nest and how many keys it may hold: tool schemas are large.
pub const LIMITS: json::Limits = json::Limits { depth_max: 64, keys_max: 100_000 };

/// Fields whose meaning Mainstay knows.
pub(super) const MODEL: &str = "model";
const STREAM: &str = "stream";
const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";
const MAX_TOKENS: &str = "max_tokens";
const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";
const TEMPERATURE: &str = "temperature";
/// Names whoever asks, at the caller's.
pub const USER: &str = "user";
/// Fields that let a model, or its provider, do more than answer.
const TOOLS: [&str; 4] = ["tools", "functions", "web_search_options", "mcp_servers"];
const N_ANSWERS: &str = "n";
const KNOWN: [&str; 8] =
    [MODEL, STREAM, STREAM_OPTIONS, MAX_TOKENS, MAX_COMPLETION_TOKENS, TEMPERATURE, N_ANSWERS, USER];

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

/// `body` with `model` as its model, where it names none: the path does that at Azure.
///
/// # Errors
/// [`RequestError`] when it is no object.
pub fn with_model(body: Bytes, model: &str) -> Result<Bytes, RequestError> {
    let found = json::fields(&body, LIMITS)?;
    if found.iter().any(|field| field.key == MODEL) {
        return Ok(body);
    }
    let comma = if found.is_empty() { "" } else { "," };
    let added = format!("{comma}\"{MODEL}\":{}", serde_json::Value::from(model));
    Ok(apply(&body, vec![Edit::at_the_end(&body, added)]))
}

/// Reads `body` in one scan, which also checks depth, keys and surrogates.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub fn read(body: Bytes) -> Result<Relayed, RequestError> {
    let found = json::fields(&body, LIMITS)?;
    let fields: Vec<FieldSpan> = found.iter().filter_map(known).collect();
    let value = |name| fields.iter().find(|field| field.name == name).map(|field| slice(&body, &field.value));
    let model = value(MODEL).and_then(|raw| serde_json::from_slice::<String>(raw).ok());
    let model = model.filter(|model| !model.is_empty());
    let model = model.ok_or(RequestError::Field { field: MODEL, expected: "the name of a model" })?;
    let delivery = match value(STREAM) {
        None | Some(b"null" | b"false") => Delivery::Whole,
        Some(b"true") => Delivery::Streamed,
        Some(_) => return Err(RequestError::Field { field: STREAM, expected: "true or false" }),
    };
    let usage = match value(STREAM_OPTIONS) {
        None | Some(b"null") => UsageFrame::Unwanted,
        Some(options) => usage_frame(options)?,
    };
    let names_tools = found.iter().any(|field| TOOLS.contains(&&*field.key));
    let tools = if names_tools { Tools::Named } else { Tools::None };
    Ok(Relayed {
        dialect: Dialect::OpenAiChat,
        model,
        fields,
        delivery,
        usage,
        tools,
        body: body.clone(),
        headers: Vec::new(),
    })
}

fn known(field: &Field<'_>) -> Option<FieldSpan> {
    let name = KNOWN.into_iter().find(|known| *known == field.key)?;
    Some(FieldSpan { name, value: field.value.clone() })
}

fn usage_frame(options: &[u8]) -> Result<UsageFrame, RequestError> {
    let wrong = RequestError::Field { field: STREAM_OPTIONS, expected: "an object" };
    let fields = json::fields(options, LIMITS).map_err(|_| wrong)?;
    let include = fields.iter().find(|field| field.key == INCLUDE_USAGE);
    Ok(match include.map(|field| slice(options, &field.value)) {
        Some(b"true") => UsageFrame::Wanted,
        _ => UsageFrame::Unwanted,
    })
}

impl OwnDialect for ChatCompletions {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn place(&self, call: Call<'_>) -> Place {
        chat::place(call.delivery)
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        patch(relayed, (call, self.limit_field))
    }

    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions> {
        Box::new(stream::WholeFrames::new(relayed.usage))
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        meaning::whole(body)
    }
}

/// The body with what `call` says set; every other byte stays as it is. A stream is always asked for its usage.
#[must_use]
pub(super) fn patch(relayed: &Relayed, (call, limit_field): (Call<'_>, LimitField)) -> Bytes {
    let mut edits = Vec::with_capacity(4);
    let mut added = String::new();
    let field = |name| relayed.fields.iter().find(|field| field.name == name);
    let model = serde_json::Value::from(call.model).to_string();
    if let Some(field) = field(MODEL) {
        edits.push(Edit { range: field.value.clone(), text: Cow::Owned(model) });
    }
    if relayed.delivery == Delivery::Streamed && relayed.usage == UsageFrame::Unwanted {
        match field(STREAM_OPTIONS) {
            Some(field) => edits.push(with_usage(&relayed.body, &field.value)),
            None => added.push_str(r#","stream_options":{"include_usage":true}"#),
        }
    }
    if let Some(most) = call.overrides.max_tokens {
        let limits = [field(MAX_TOKENS), field(MAX_COMPLETION_TOKENS)];
        let given = |raw: &[u8]| serde_json::from_slice::<u64>(raw).ok();
        let mut is_limited = false;
        for field in limits.into_iter().flatten() {
            let value = given(slice(&relayed.body, &field.value));
            is_limited |= value.is_some();
            if value.is_some_and(|value| value > u64::from(most)) {
                edits.push(Edit { range: field.value.clone(), text: Cow::Owned(most.to_string()) });
            }
        }
        let name = match limit_field {
            LimitField::MaxTokens => MAX_TOKENS,
            LimitField::MaxCompletionTokens => MAX_COMPLETION_TOKENS,
        };
        match field(name) {
            _ if is_limited => {}
            Some(field) => {
                edits.push(Edit { range: field.value.clone(), text: Cow::Owned(most.to_string()) });
            }
            None => added.push_str(&format!(",\"{name}\":{most}")),
        }
    }
    if let Some(temperature) = call.overrides.temperature {
        match field(TEMPERATURE) {
            Some(field) => {
                edits.push(Edit { range: field.value.clone(), text: Cow::Owned(temperature.to_string()) });
            }
            None => added.push_str(&format!(",\"{TEMPERATURE}\":{temperature}")),
        }
    }
    if !added.is_empty() {
        // The object is not empty: it holds the model.
        edits.push(Edit::at_the_end(&relayed.body, added));
    }
    apply(&relayed.body, edits)
}

/// `stream_options` with the usage asked for.
fn with_usage(body: &[u8], options: &Range<usize>) -> Edit {
    let raw = slice(body, options);
    let fields = json::fields(raw, LIMITS).unwrap_or_default();
    let at = |offset: usize| options.start + offset;
    match fields.iter().find(|field| field.key == INCLUDE_USAGE) {
        Some(field) => {
            let range = at(field.value.start)..at(field.value.end);
            Edit { range, text: Cow::Borrowed("true") }
        }
        None if fields.is_empty() => {
            Edit { range: options.clone(), text: Cow::Borrowed(r#"{"include_usage":true}"#) }
        }
        None => Edit { range: at(1)..at(1), text: Cow::Borrowed(r#""include_usage":true,"#) },
    }
}

#[cfg(test)]
mod tests {
    use domain::model::Overrides;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PLAIN: Call<'_> = Call {
        model: "m",
        delivery: Delivery::Whole,
        overrides: Overrides { max_tokens: None, temperature: None },
        max_tokens: 400,
    };
    const TAMED: Call<'_> =
        Call { overrides: Overrides { max_tokens: Some(300), temperature: Some(0.5) }, ..PLAIN };

    fn patched(body: &str, call: Call<'_>) -> String {
        let asked = read(Bytes::copy_from_slice(body.as_bytes())).expect(body);
        String::from_utf8(super::patch(&asked, (call, LimitField::MaxTokens)).to_vec()).expect("text")
    }

    #[test]
    fn only_what_must_change_changes() {
        for (body, want) in [
            (r#"{"model":"a/b"}"#, r#"{"model":"m"}"#),
            (r#"{"mod\u0065l" : "a\/b" , "x":1.50}"#, r#"{"mod\u0065l" : "m" , "x":1.50}"#),
            (
                " {\n \"messages\": [ {\"role\":\"user\",\"content\":\"\\u00e9 model\"} ],\"model\":\"x\",\t\"stream\":false,\"future\":{\"model\":\"x\"}}\n",
                " {\n \"messages\": [ {\"role\":\"user\",\"content\":\"\\u00e9 model\"} ],\"model\":\"m\",\t\"stream\":false,\"future\":{\"model\":\"x\"}}\n",
            ),
            (
                r#"{"model":"x","stream":true} "#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}} "#,
            ),
            (
                r#"{"stream":true,"stream_options":null,"model":"x"}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ },"model":"x"}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"x":[1]},"model":"x"}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true,"x":[1]},"model":"m"}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"x":1, "include_usage" : false},"model":"x"}"#,
                r#"{"stream":true,"stream_options":{"x":1, "include_usage" : true},"model":"m"}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"x"}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#,
            ),
        ] {
            assert_eq!(patched(body, PLAIN), want);
        }
    }

    #[test]
    fn tools_are_seen_wherever_they_are_named() {
        for (body, want) in [
            (r#"{"model":"m","messages":[{"tools":1}]}"#, Tools::None),
            (r#"{"model":"m","tools":[]}"#, Tools::Named),
            (r#"{"functions":[{"name":"f"}],"model":"m"}"#, Tools::Named),
            (r#"{"model":"m","web_search\u005foptions":{}}"#, Tools::Named),
        ] {
            let asked = read(Bytes::from_static(body.as_bytes())).expect("valid");
            assert_eq!(asked.tools, want, "{body}");
        }
    }

    #[test]
    fn a_model_is_added_where_there_is_none() {
        for (body, want) in [
            (r#"{"model":"m","a":1}"#, Ok(r#"{"model":"m","a":1}"#)),
            ("{}", Ok(r#"{"model":"o/\"g\""}"#)),
            (" { \"a\" : 1.50 } \n", Ok(" { \"a\" : 1.50 ,\"model\":\"o/\\\"g\\\"\"} \n")),
            ("[]", Err(())),
        ] {
            let found = with_model(Bytes::from_static(body.as_bytes()), "o/\"g\"");
            assert_eq!(found.as_deref().map_err(drop), want.map(str::as_bytes), "{body}");
        }
    }

    #[test]
    fn a_body_that_needs_no_change_is_not_even_copied() {
        let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
        let asked = read(body.clone()).expect("valid");
        assert_eq!(super::patch(&asked, (PLAIN, LimitField::MaxTokens)).as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_tier_forces_its_parameters() {
        for (body, want) in [
            (r#"{"model":"x"}"#, r#"{"model":"m","max_tokens":300,"temperature":0.5}"#),
            (
                r#"{"max_tokens":301,"model":"x","temperature":1.9}"#,
                r#"{"max_tokens":300,"model":"m","temperature":0.5}"#,
            ),
            (
                r#"{"max_tokens":7,"model":"x","temperature":null}"#,
                r#"{"max_tokens":7,"model":"m","temperature":0.5}"#,
            ),
            (
                r#"{"max_completion_tokens":900,"model":"x"}"#,
                r#"{"max_completion_tokens":300,"model":"m","temperature":0.5}"#,
            ),
            (r#"{"max_tokens":null,"model":"x"}"#, r#"{"max_tokens":300,"model":"m","temperature":0.5}"#),
        ] {
            assert_eq!(patched(body, TAMED), want);
        }
        let newer =
            ChatCompletions { limit_field: LimitField::MaxCompletionTokens, ..ChatCompletions::default() };
        let asked = read(Bytes::from_static(br#"{"model":"x"}"#)).expect("valid");
        assert_eq!(
            newer.patch(&asked, TAMED),
            r#"{"model":"m","max_completion_tokens":300,"temperature":0.5}"#
        );
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
            (r#"{"model":"x","stream_options":7}"#, "`stream_options`"),
            (r#"{"model":"x","model":"y"}"#, "second time"),
            (r#"{"model":"x","model":"y"}"#, "second time"),
            (r#"{"model":"x","a":"\ud800"}"#, "surrogate"),
        ] {
            let error = read(Bytes::copy_from_slice(body.as_bytes())).expect_err(body);
            assert!(error.to_string().contains(want), "{body}: {error}");
        }
        let deep = format!(r#"{{"model":"x","a":{}}}"#, "[".repeat(1_000_000));
        let error = read(Bytes::from(deep)).expect_err("too deep");
        assert!(error.to_string().contains("deep"), "{error}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,8}", inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_other_field_keeps_its_bytes(
            before in prop::collection::btree_map("[a-f]{1,6}\\PC{0,3}", values(), 0..5),
            after in prop::collection::btree_map("[g-k]{1,6}\\PC{0,3}", values(), 0..5),
            model in ".+",
            streamed: bool,
        ) {
            let part = |fields: &std::collections::BTreeMap<String, Value>| {
                fields.iter().map(|(key, value)| format!("{} :  {value}", json!(key))).collect::<Vec<_>>().join(",\n")
            };
            let (before, after) = (part(&before), part(&after));
            let comma = |text: &str| if text.is_empty() { "" } else { "," };
            let body = |model: &str, end: &str| format!(
                "{{{before}{}\"model\": {model} , \"stream\":{streamed}{}{after}{end}}}", comma(&before), comma(&after),
            );
            let end = if streamed { r#","stream_options":{"include_usage":true}"# } else { "" };
            prop_assert_eq!(patched(&body(&json!(model).to_string(), ""), PLAIN), body("\"m\"", end));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(asked) = read(Bytes::from(bytes)) {
                let _ = super::patch(&asked, (TAMED, LimitField::MaxTokens));
            }
        }
    }
}
