//! A caller's own request passed on byte for byte, with only what must change patched in place.
//!
//! Reading order: this file (the request), `stream` (a streamed answer in whole frames).

use bytes::Bytes;
use domain::chat::{Dialect, Relayed};

use super::messages::{VERSION, VERSION_HEADER};
use super::model;
use crate::patch::Patch;
use crate::protocol::Call;
use crate::request::{self, MODEL, Names, RequestError, STREAM};

pub(super) mod stream;

const MAX_TOKENS: &str = "max_tokens";
const TEMPERATURE: &str = "temperature";
const NAMES: Names =
    Names { known: &[MODEL, STREAM, MAX_TOKENS, TEMPERATURE], tools: &["tools", "mcp_servers", "container"] };
/// Counting generates nothing.
const COUNTED: Names = Names { known: &[MODEL], ..NAMES };

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
    let names = if dialect == Dialect::AnthropicCountTokens { COUNTED } else { NAMES };
    Ok(Relayed { headers, ..request::read(body, dialect, names)? })
}

/// The body with what `call` says set; every other byte stays as it is.
pub(super) fn patch(relayed: &Relayed, call: Call<'_>) -> Bytes {
    let mut patch = Patch::of(relayed, call.model);
    if relayed.dialect == Dialect::AnthropicCountTokens {
        return patch.apply();
    }
    if let Some(most) = call.overrides.max_tokens {
        let given = patch.field(MAX_TOKENS).map(|field| patch.count(field));
        // What is no number is for the provider to refuse.
        if given.is_none_or(|given| given.is_some_and(|given| given > u64::from(most))) {
            patch.set(MAX_TOKENS, most);
        }
    }
    if let Some(temperature) = call.overrides.temperature.filter(|_| has_temperature(relayed, call.model)) {
        patch.set(TEMPERATURE, temperature);
    }
    patch.apply()
}

/// Newer models have none, and the version of the format of 2026-10-21 has none for any.
fn has_temperature(relayed: &Relayed, model: &str) -> bool {
    let is_newer = |(name, value): &(&str, Box<str>)| *name == VERSION_HEADER && **value != *VERSION;
    model::version(model) < model::UNSAMPLED && !relayed.headers.iter().any(is_newer)
}

#[cfg(test)]
mod tests {
    use domain::chat::Delivery;
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
}
