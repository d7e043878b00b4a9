//! The provider's own words, for a caller who speaks its dialect.

use domain::chat::ErrorReply;
use serde::Deserialize;

use super::Code;
use crate::words::{FIELD_MAX, MESSAGE_MAX, clean};

/// What the provider itself said, bounded, without what `conceal` takes out and without anything that looks like a
/// key; `None` when it said nothing.
#[must_use]
pub fn words(status: u16, body: &[u8], conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
    let clean = |text: &str, chars_max| clean(&conceal(text), chars_max);
    let field = |code| match code {
        Code::Text(text) => Some(clean(&text, FIELD_MAX)),
        Code::Number(number) => Some(number.to_string()),
        Code::Other(_) => None,
    };
    let Some(error) = worded(body) else {
        return plain(body).map(|text| ErrorReply {
            status,
            message: clean(text, MESSAGE_MAX),
            kind: None,
            parameter: None,
            code: None,
        });
    };
    Some(ErrorReply {
        status,
        message: clean(&error.message, MESSAGE_MAX),
        kind: field(error.kind),
        parameter: field(error.param),
        code: field(error.code),
    })
}

#[derive(Deserialize)]
struct Words {
    // Some servers say `{"detail": …}` without an `error` around it.
    #[serde(alias = "detail")]
    message: String,
    #[serde(default, rename = "type")]
    kind: Code,
    #[serde(default)]
    param: Code,
    #[serde(default)]
    code: Code,
}

fn worded(body: &[u8]) -> Option<Words> {
    #[derive(Deserialize)]
    struct Wrapped {
        error: Words,
    }
    let wrapped = serde_json::from_slice::<Wrapped>(body).map(|wrapped| wrapped.error);
    wrapped.or_else(|_| serde_json::from_slice(body)).ok()
}

/// A body that is a plain sentence: no JSON, no page.
fn plain(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '['])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_pass_without_keys() {
        let body = br#"{"error":{"message":"Bad `max_tokens`\nfor key sk-live-123, or 0123456789abcdef0123456789abcdef01234567.",
            "type":"invalid_request_error","param":"max_tokens","code":null,"secret":"x"}}"#;
        let reply = words(400, &body.map(|byte| if byte == b'\n' { b' ' } else { byte }), &str::to_owned)
            .expect("words");
        assert_eq!(reply.message, "Bad `max_tokens` for key ***, or ***");
        assert_eq!(
            (reply.kind.as_deref(), reply.parameter.as_deref(), reply.code),
            (Some("invalid_request_error"), Some("max_tokens"), None)
        );
        let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "ab ".repeat(1_000));
        assert_eq!(
            words(400, long.as_bytes(), &str::to_owned).expect("words").message.chars().count(),
            MESSAGE_MAX
        );
        for body in ["", "<html>", "{}", r#"{"error":"no"}"#, r#"{"error":{"message":7}}"#] {
            assert_eq!(words(400, body.as_bytes(), &str::to_owned), None, "{body}");
        }
    }

    #[test]
    fn words_come_in_several_forms_and_never_with_the_secret() {
        let conceal = |text: &str| text.replace("changeme", "***");
        for (body, want) in [
            (r#"{"error":{"message":"no changeme","code":"changeme","param":"changeme"}}"#, "no ***"),
            (r#"{"detail":"no changeme"}"#, "no ***"),
            (r#"{"message":"no changeme"}"#, "no ***"),
            (" no changeme\n", "no ***"),
        ] {
            let reply = words(422, body.as_bytes(), &conceal).expect(body);
            assert_eq!(reply.message, want);
            assert!(!format!("{reply:?}").contains("changeme"), "{reply:?}");
        }
        let key_at_the_cut = format!("{}changeme", "a ".repeat(MESSAGE_MAX / 2 - 3));
        let reply = words(400, key_at_the_cut.as_bytes(), &conceal).expect("words");
        assert!(reply.message.ends_with("a ***"), "{}", reply.message);
    }
}
