//! What a frame of a stream or a whole answer says, without taking its text out.

use domain::chat::{Done, Finish};
use memchr::memchr;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::openai::chat::{self, Unreadable};
use crate::openai::failure;
use crate::relay::{Kind, Meaning};
use crate::stream::StreamError;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    message: Option<Content>,
    /// Some servers send both, one of them empty.
    #[serde(default)]
    delta: Option<Content>,
    /// What completions of a prompt have in place of a message.
    #[serde(default, borrow)]
    text: Option<&'a RawValue>,
    #[serde(default, borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Role,
    #[serde(other)]
    Other,
}

/// Bytes of all that a message or delta holds: text, a refusal, a tool call, reasoning, whatever comes after those.
struct Content(u32);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Content;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Content, M::Error> {
                let mut said = 0_u32;
                while let Some(key) = map.next_key::<Key>()? {
                    let value: &RawValue = map.next_value()?;
                    if matches!(key, Key::Other) {
                        let size = size(value.get()).map_err(serde::de::Error::custom)?;
                        said = said.saturating_add(size);
                    }
                }
                Ok(Content(said))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Bytes of a value of a message, without its quotes; 0 when it is not there or empty.
fn size(raw: &str) -> Result<u32, serde_json::Error> {
    let has_escape = || memchr(b'\\', raw.as_bytes()).is_some() && raw.contains("\\u");
    if raw.starts_with('"') && has_escape() {
        // Half a surrogate pair is no text.
        serde_json::from_str::<String>(raw)?;
    }
    Ok(match raw {
        "null" | "\"\"" | "[]" | "{}" => 0,
        // Whatever is there counts, be it a number of one digit.
        _ => u32::try_from(raw.len()).unwrap_or(u32::MAX).saturating_sub(2).max(1),
    })
}

/// Reads a frame; `None` when it is an error body. One that says what was used and nothing else is [`Kind::Unwanted`].
/// What is said are the bytes of what the choices hold beside their roles, as JSON without its quotes.
pub(super) fn frame(data: &[u8]) -> Result<Option<Meaning>, Unreadable> {
    // Looked at once as a whole: a slice's strings are each checked.
    let text = std::str::from_utf8(data).map_err(|_| Unreadable)?;
    let body: Body<'_> = serde_json::from_str(text).map_err(|_| Unreadable)?;
    if body.error.is_some_and(|error| error.get() != "null") {
        return Ok(None);
    }
    let usage = body.usage.and_then(chat::usage);
    let is_usage = body.choices.is_empty() && usage.is_some();
    let kind = if is_usage { Kind::Unwanted } else { Kind::Part };
    let mut meaning = Meaning { kind, usage, ..Meaning::default() };
    for choice in body.choices {
        let said = |content: Option<Content>| content.map_or(0, |Content(said)| said);
        meaning.said = meaning.said.saturating_add(said(choice.message).max(said(choice.delta)));
        let text = choice.text.map_or(Ok(0), |raw| size(raw.get())).map_err(|_| Unreadable)?;
        meaning.said = meaning.said.saturating_add(text);
        let reason = choice.finish_reason.map(|raw| serde_json::from_str::<String>(raw.get()));
        let reason = reason.transpose().map_err(|_| Unreadable)?.filter(|reason| !reason.is_empty());
        meaning.finish = reason.map(|reason| chat::finish(&reason)).transpose()?.or(meaning.finish);
    }
    Ok(Some(meaning))
}

/// Reads an answer that came in one piece.
///
/// # Errors
/// [`StreamError`] when it is an error body, unreadable, or holds no choice that is complete.
pub(in crate::openai) fn whole(body: &[u8]) -> Result<Done, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    let Ok(meaning) = frame(body) else { return Err(StreamError::Malformed) };
    let meaning = meaning.ok_or_else(|| StreamError::Refused(failure::classify_event(body)))?;
    // Servers that forget the reason still send all of the text.
    let finish = meaning.finish.or_else(|| (meaning.said > 0).then_some(Finish::Stop));
    let finish = finish.ok_or(StreamError::Empty)?;
    Ok(Done { finish, usage: meaning.usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_beside_the_role_is_an_answer() {
        for (delta, want) in [
            (r#"{"role":"assistant","content":"","refusal":null}"#, 0),
            ("{}", 0),
            ("null", 0),
            (r#"{"content":"a"}"#, 1),
            (r#"{"content":"four"}"#, 4),
            (r#"{"tool_calls":[{"index":0}]}"#, 11),
            (r#"{"content":"a","reasoning_content":"Hm"}"#, 3),
            (r#"{"x":7}"#, 1),
            (r#"{"tool_calls":[],"audio":{}}"#, 0),
        ] {
            let data = format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
            let meaning = frame(data.as_bytes()).expect("readable").expect("no error");
            assert_eq!(meaning.said, want, "{delta}");
        }
    }

    #[test]
    fn a_choice_may_have_both_fields_of_a_pair() {
        for (choice, want) in [
            (r#"{"delta":{"content":"four"},"message":null}"#, 4),
            (r#"{"message":{"content":"four"},"delta":null}"#, 4),
            (r#"{"message":{"content":"four"},"delta":{"content":"four"}}"#, 4),
            (r#"{"delta":{"reasoning":"a","reasoning_content":"a"}}"#, 2),
        ] {
            let meaning = frame(format!(r#"{{"choices":[{choice}]}}"#).as_bytes());
            assert_eq!(meaning.expect("readable").expect("no error").said, want, "{choice}");
        }
    }

    #[test]
    fn whole_answers_are_understood() {
        let answer = include_bytes!("../../../golden/openai/answer.json");
        let done = whole(answer).expect("an answer");
        assert_eq!((done.finish, done.usage.map(|usage| usage.output.0)), (Finish::Stop, Some(8)));
        for (body, want) in [
            ("", StreamError::Empty),
            (" ", StreamError::Empty),
            ("{", StreamError::Malformed),
            ("[]", StreamError::Empty),
            ("{}", StreamError::Empty),
            (r#"{"choices":[]}"#, StreamError::Empty),
            (r#"{"choices":[{"message":{"role":"assistant"}}]}"#, StreamError::Empty),
            (r#"{"choices":[{"message":{"content":"x"},"finish_reason":"abort"}]}"#, StreamError::Malformed),
            (
                r#"{"choices":[{"message":{"content":"\ud83d"},"finish_reason":"stop"}]}"#,
                StreamError::Malformed,
            ),
            (
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                StreamError::Refused(domain::fault::Fault::provider(domain::fault::Kind::Throttled)),
            ),
        ] {
            assert_eq!(whole(body.as_bytes()), Err(want), "{body}");
        }
        let calls =
            r#"{"choices":[{"message":{"content":null,"tool_calls":[{}]},"finish_reason":"tool_calls"}]}"#;
        assert!(whole(calls.as_bytes()).is_ok());
    }
}
