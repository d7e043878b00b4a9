//! What a frame of a stream or a whole answer says, without taking its text out.

use domain::chat::{Done, Finish};
use domain::token::Usage;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::openai::chat::{self, Unreadable};
use crate::openai::failure;
use crate::openai::stream::StreamError;

/// One frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// Whether a choice holds anything beside its role.
    pub(super) has_answer: bool,
    /// Whether it names no choice at all: a usage frame.
    pub(super) has_no_choices: bool,
    /// Why an answer ended.
    pub(super) finish: Option<Finish>,
    /// What it used.
    pub(super) usage: Option<Usage>,
}

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
    #[serde(default, alias = "delta")]
    message: Option<Content>,
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

/// Whether a message or delta holds anything: text, a refusal, a tool call, reasoning, whatever comes after those.
struct Content(bool);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Content;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Content, M::Error> {
                let mut has_any = false;
                while let Some(key) = map.next_key::<Key>()? {
                    let value: &RawValue = map.next_value()?;
                    if matches!(key, Key::Other) {
                        has_any |= says_something(value.get()).map_err(serde::de::Error::custom)?;
                    }
                }
                Ok(Content(has_any))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Whether a value of a message is there and not empty.
fn says_something(raw: &str) -> Result<bool, serde_json::Error> {
    if raw.starts_with('"') && raw.contains("\\u") {
        // Half a surrogate pair is no text.
        serde_json::from_str::<String>(raw)?;
    }
    Ok(!matches!(raw, "null" | "\"\"" | "[]" | "{}"))
}

/// Reads a frame; `None` when it is an error body.
pub(super) fn frame(data: &[u8]) -> Result<Option<Meaning>, Unreadable> {
    let body: Body<'_> = serde_json::from_slice(data).map_err(|_| Unreadable)?;
    if body.error.is_some_and(|error| error.get() != "null") {
        return Ok(None);
    }
    let mut meaning = Meaning {
        has_no_choices: body.choices.is_empty(),
        usage: body.usage.and_then(chat::usage),
        ..Meaning::default()
    };
    for choice in body.choices {
        meaning.has_answer |= choice.message.is_some_and(|Content(has_any)| has_any);
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
pub fn whole(body: &[u8]) -> Result<Done, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    let Ok(meaning) = frame(body) else { return Err(StreamError::Malformed) };
    let meaning = meaning.ok_or_else(|| StreamError::Refused(failure::classify_event(body)))?;
    // Servers that forget the reason still send all of the text.
    let finish = meaning.finish.or_else(|| meaning.has_answer.then_some(Finish::Stop));
    let finish = finish.ok_or(StreamError::Empty)?;
    Ok(Done { finish, usage: meaning.usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_beside_the_role_is_an_answer() {
        for (delta, want) in [
            (r#"{"role":"assistant","content":"","refusal":null}"#, false),
            ("{}", false),
            ("null", false),
            (r#"{"content":"a"}"#, true),
            (r#"{"tool_calls":[{"index":0}]}"#, true),
            (r#"{"reasoning_content":"Hm"}"#, true),
            (r#"{"tool_calls":[],"audio":{}}"#, false),
        ] {
            let data = format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
            let meaning = frame(data.as_bytes()).expect("readable").expect("no error");
            assert_eq!(meaning.has_answer, want, "{delta}");
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
