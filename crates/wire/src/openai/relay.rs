//! A caller's own request to be passed on byte for byte, with only what must change patched in place.
//!
//! Reading order: this file (the request), `meaning` (what a frame or a whole body says), `stream` (a streamed
//! answer in whole frames), `thoughts` (which some providers refuse).

use std::ops::Range;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Relayed, UsageFrame};

use super::chat::{self, ChatCompletions, LimitField, Thoughts};
use crate::json;
use crate::patch::{Edit, Patch, apply, slice};
use crate::protocol::{Call, OwnDialect, Place, Protocol};
use crate::request::{self, LIMITS, MODEL, Names, RequestError, STREAM};
use crate::stream::{EventReader, Portions, StreamError};

pub(super) mod meaning;
pub(super) mod stream;
mod thoughts;

const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";
const MAX_TOKENS: &str = "max_tokens";
const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";
const TEMPERATURE: &str = "temperature";
/// Names whoever asks, at the caller's.
pub const USER: &str = "user";
const MESSAGES: &str = "messages";
const N_ANSWERS: &str = "n";
/// Only of the older completions: answers that are made and not shown, and what may be several prompts.
const BEST_OF: &str = "best_of";
const PROMPT: &str = "prompt";
const NAMES: Names = Names {
    known: &[
        MODEL,
        STREAM,
        STREAM_OPTIONS,
        MESSAGES,
        MAX_TOKENS,
        MAX_COMPLETION_TOKENS,
        TEMPERATURE,
        N_ANSWERS,
        USER,
        BEST_OF,
        PROMPT,
    ],
    tools: &["tools", "functions", "web_search_options", "mcp_servers"],
};

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
    let relayed = request::read(body, Dialect::OpenAiChat, NAMES)?;
    let options = relayed.fields.iter().find(|field| field.name == STREAM_OPTIONS);
    let usage = match options.map(|field| slice(&relayed.body, &field.value)) {
        None | Some(b"null") => UsageFrame::Unwanted,
        Some(options) => usage_frame(options)?,
    };
    Ok(Relayed { usage, ..relayed })
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
        patch(relayed, call, *self)
    }

    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions> {
        stream::portions(relayed.usage)
    }

    fn unstreamed(&self) -> Option<Box<dyn EventReader>> {
        Some(Protocol::reader(self))
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        meaning::whole(body)
    }
}

/// The body with what `call` says set; every other byte stays as it is. A stream is always asked for its usage.
#[must_use]
pub(super) fn patch(relayed: &Relayed, call: Call<'_>, provider: ChatCompletions) -> Bytes {
    let mut patch = Patch::of(relayed, call.model);
    if relayed.delivery == Delivery::Streamed && relayed.usage == UsageFrame::Unwanted {
        match patch.field(STREAM_OPTIONS) {
            Some(field) => patch.edit(with_usage(&relayed.body, &field.value)),
            None => patch.set(STREAM_OPTIONS, r#"{"include_usage":true}"#),
        }
    }
    if let Some(most) = call.overrides.max_tokens {
        let mut is_limited = false;
        for name in [MAX_TOKENS, MAX_COMPLETION_TOKENS] {
            let given = patch.field(name).and_then(|field| patch.count(field));
            is_limited |= given.is_some();
            if given.is_some_and(|given| given > u64::from(most)) {
                patch.set(name, most);
            }
        }
        match provider.limit_field {
            _ if is_limited => {}
            LimitField::MaxTokens => patch.set(MAX_TOKENS, most),
            LimitField::MaxCompletionTokens => patch.set(MAX_COMPLETION_TOKENS, most),
        }
    }
    if let Some(temperature) = call.overrides.temperature {
        patch.set(TEMPERATURE, temperature);
    }
    if provider.thoughts == Thoughts::Refused
        && let Some(field) = patch.field(MESSAGES)
        && let Some(messages) = thoughts::without(slice(&relayed.body, &field.value))
    {
        patch.set(MESSAGES, messages);
    }
    patch.apply()
}

/// `stream_options` with the usage asked for.
fn with_usage(body: &[u8], options: &Range<usize>) -> Edit {
    let raw = slice(body, options);
    let fields = json::fields(raw, LIMITS).unwrap_or_default();
    let at = |offset: usize| options.start + offset;
    match fields.iter().find(|field| field.key == INCLUDE_USAGE) {
        Some(field) => Edit::new(at(field.value.start)..at(field.value.end), "true"),
        None if fields.is_empty() => Edit::new(options.clone(), r#"{"include_usage":true}"#),
        None => Edit::new(at(1)..at(1), r#""include_usage":true,"#),
    }
}

#[cfg(test)]
mod tests {
    use domain::chat::Tools;
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
        String::from_utf8(super::patch(&asked, call, ChatCompletions::default()).to_vec()).expect("text")
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
            (r#"{"model":"m","mcp_servers":[]}"#, Tools::Named),
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
        assert_eq!(super::patch(&asked, PLAIN, ChatCompletions::default()).as_ptr(), body.as_ptr());
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
    fn an_answer_sent_back_loses_its_thoughts_where_they_are_refused() {
        let said = |thoughts: &str| {
            format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":"a"{thoughts}}}],"z":1.50}}"#)
        };
        let body = said(r#","reasoning_content":"Hm.","reasoning_details":[{"type":"reasoning.text"}]"#);
        let asked = read(Bytes::from(body.clone())).expect("valid");
        for (thoughts, want) in [(Thoughts::Taken, &body), (Thoughts::Refused, &said(""))] {
            let provider = ChatCompletions { thoughts, ..ChatCompletions::default() };
            assert_eq!(provider.patch(&asked, PLAIN), want.as_str());
        }
    }

    #[test]
    fn options_are_an_object() {
        let error = read(Bytes::from_static(br#"{"model":"x","stream_options":7}"#)).expect_err("a number");
        assert!(error.to_string().contains("`stream_options`"), "{error}");
    }

    fn values() -> BoxedStrategy<Value> {
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
        .boxed()
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
                let _ = super::patch(&asked, TAMED, ChatCompletions::default());
            }
        }
    }
}
