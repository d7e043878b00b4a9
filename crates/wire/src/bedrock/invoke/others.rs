//! Answers in the formats of other makers: what they say that they used, and how much they say.

use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::openai::chat;

/// The header fields in which InvokeModel counts, whoever's model answered
/// (docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html, read 2026-11).
const INPUT: &str = "x-amzn-bedrock-input-token-count";
const OUTPUT: &str = "x-amzn-bedrock-output-token-count";

/// What the header fields of an answer say that it used.
pub fn counted<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Usage> {
    let count = |name: &str| header(name)?.trim().parse().ok().map(TokenCount);
    // Vectors have no output.
    Some(Usage::of(count(INPUT)?, count(OUTPUT).unwrap_or_default()))
}

/// What was counted so far. Llama's chunks say it one after the other, the output each time in place of what it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    input: Option<u32>,
    output: Option<u32>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default)]
    prompt_token_count: Option<u32>,
    #[serde(default)]
    generation_token_count: Option<u32>,
    /// As OpenAI's, of its open models, Jamba, Mistral, …
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

impl Counts {
    /// Takes what `body` brings; what cannot be read is not counted.
    pub(super) fn take(&mut self, body: &[u8]) -> Option<Usage> {
        let body: Body<'_> = serde_json::from_slice(body).ok()?;
        self.input = body.prompt_token_count.or(self.input);
        self.output = body.generation_token_count.or(self.output);
        let llama = || Some(Usage::of(TokenCount(self.input?), TokenCount(self.output?)));
        body.usage.and_then(chat::usage).or_else(llama)
    }
}

/// Bytes of the texts in `body`, whatever they are called.
pub(super) fn said(body: &[u8]) -> u32 {
    serde_json::from_slice(body).map_or(0, |Texts(said)| said)
}

struct Texts(u32);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sum;
        impl<'de> Visitor<'de> for Sum {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(u32::try_from(text.len()).unwrap_or(u32::MAX)))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Texts, E> {
                Ok(Texts(0))
            }

            fn visit_unit<E: Error>(self) -> Result<Texts, E> {
                Ok(Texts(0))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Texts, E> {
                Ok(Texts(0))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Texts, E> {
                Ok(Texts(0))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Texts, E> {
                Ok(Texts(0))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Texts, S::Error> {
                let mut said = 0_u32;
                while let Some(Texts(more)) = list.next_element()? {
                    said = said.saturating_add(more);
                }
                Ok(Texts(said))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Texts, M::Error> {
                let mut said = 0_u32;
                while let Some((_, Texts(more))) = fields.next_entry::<IgnoredAny, _>()? {
                    said = said.saturating_add(more);
                }
                Ok(Texts(said))
            }
        }
        deserializer.deserialize_any(Sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_that_they_used_is_read() {
        for (body, want) in [
            (
                r#"{"generation":"Yes.","prompt_token_count":40,"generation_token_count":7,"stop_reason":"stop"}"#,
                Some((40, 7)),
            ),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
                Some((3, 2)),
            ),
            (r#"{"outputs":[{"text":"Yes."}]}"#, None),
            (r#"{"usage":"much"}"#, None),
            ("[]", None),
        ] {
            let usage = Counts::default().take(body.as_bytes());
            assert_eq!(usage.map(|usage| (usage.input.0, usage.output.0)), want, "{body}");
        }
        let mut counts = Counts::default();
        counts.take(br#"{"generation":"Y","prompt_token_count":40,"generation_token_count":1}"#);
        let usage =
            counts.take(br#"{"generation":"es","prompt_token_count":null,"generation_token_count":2}"#);
        assert_eq!(usage, Some(Usage::of(TokenCount(40), TokenCount(2))));
    }

    #[test]
    fn header_fields_count() {
        for (input, output, want) in [
            (Some("40"), Some("7"), Some((40, 7))),
            (Some("40"), None, Some((40, 0))),
            (None, Some("7"), None),
        ] {
            let header = |name: &str| if name == INPUT { input } else { output };
            assert_eq!(counted(header).map(|usage| (usage.input.0, usage.output.0)), want);
        }
    }

    #[test]
    fn texts_are_measured_wherever_they_stand() {
        for (body, want) in [
            (r#"{"outputs":[{"text":"Yes","stop":null}],"n":[1,-2,0.5,true]}"#, 3),
            (r#""\u00fc""#, 2),
            ("{", 0),
        ] {
            assert_eq!(said(body.as_bytes()), want, "{body}");
        }
    }
}
