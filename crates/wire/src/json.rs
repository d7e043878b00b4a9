//! A scan of untrusted JSON before anything parses it: one pass over the bytes, no recursion, bounded memory.

mod names;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

pub use names::{Look, Named, names, unescaped};

/// What a body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most arrays and objects inside one another.
    pub depth_max: usize,
    /// Most object keys in all.
    pub keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 64, keys_max: 10_000 }
    }
}

/// The bytes are not JSON that may be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct JsonError {
    /// Where, in bytes from the start.
    pub offset: usize,
    /// Why.
    pub reason: Reason,
}

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// More nesting than allowed.
    TooDeep,
    /// More keys than allowed.
    TooManyKeys,
    /// Half a surrogate pair in a `\u` escape, which is no character.
    LoneSurrogate,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// The same key twice at the top; readers disagree on which one counts.
    DuplicateKey(String),
    /// The bytes end before the value does.
    Incomplete,
    /// Something else stands there.
    Expected(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::TooManyKeys => f.write_str("too many keys"),
            Self::LoneSurrogate => f.write_str("half a surrogate pair"),
            Self::InvalidUtf8 => f.write_str("not UTF-8"),
            Self::DuplicateKey(key) => write!(f, "key `{key:.64}` for the second time"),
            Self::Incomplete => f.write_str("ends too early"),
            Self::Expected(what) => write!(f, "expected {what}"),
        }
    }
}

/// Whether `bytes` are exactly one JSON value (RFC 8259) within `limits`, with no key twice at the top.
///
/// Costs one look at each byte (two with the UTF-8 check); never recurses and never panics.
///
/// # Errors
/// [`JsonError`] at the first offence.
pub fn check(bytes: &[u8], limits: Limits) -> Result<(), JsonError> {
    scan::Scan::new(text(bytes)?, limits).run().map(drop)
}

/// A field at the top of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, in the form that its escapes stand for.
    pub key: Cow<'a, str>,
    /// The bytes of its value.
    pub value: Range<usize>,
}

/// The fields at the top of `bytes`, in their order, after [`check`] of all of it in the same pass.
///
/// # Errors
/// [`JsonError`] at the first offence; a value that is not an object is one.
pub fn fields(bytes: &[u8], limits: Limits) -> Result<Vec<Field<'_>>, JsonError> {
    let text = text(bytes)?;
    let fields = scan::Scan::new(text, limits).run()?;
    match text.trim_start().starts_with('{') {
        true => Ok(fields),
        false => Err(JsonError { offset: 0, reason: Reason::Expected("an object") }),
    }
}

fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes)
        .map_err(|error| JsonError { offset: error.valid_up_to(), reason: Reason::InvalidUtf8 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> Option<Reason> {
        check(text.as_bytes(), Limits { depth_max: 4, keys_max: 6 }).err().map(|error| error.reason)
    }

    #[test]
    fn json_passes() {
        for text in [
            "null",
            " true ",
            "-0.5e+10",
            "0",
            r#""""#,
            "[]",
            "{}",
            "[1, 2]",
            r#"{"a": [{"b": {}}], "c": "\n\u00e9"}"#,
            r#"{"a":{"x":1},"b":{"x":1}}"#, // the same key in different objects
            r#""\ud83d\ude00""#,
            "\t\r\n [ ] \n",
        ] {
            assert_eq!(reason(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,",
            "\"a",
            "\"\\",
            "\"\\u12",
            "tru",
            "-",
        ] {
            assert_eq!(reason(text), Some(Reason::Incomplete), "{text}");
        }
        for text in [
            "[1,]",
            "{,}",
            "{1:2}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
            "1 2",
            "nul!",
            "01",
            "1.",
            "1.x",
            "1e",
            "1ex",
            "+1",
            "\"\\x\"",
            "\"\\uzzzz\"",
            "\"\n\"",
            "]",
            "[}",
            "'a'",
            "NaN",
            "{\"a\":1,}",
            "\u{feff}{}",
        ] {
            let found = reason(text);
            let ends_early = ["1.", "1e"].contains(&text) && found == Some(Reason::Incomplete);
            assert!(matches!(found, Some(Reason::Expected(_))) || ends_early, "{text}: {found:?}");
        }
    }

    #[test]
    fn limits_and_traps_are_found_where_they_are() {
        for (text, offset, want) in [
            ("[[[[[", 4, Reason::TooDeep),
            (r#"{"a":{"a":{"a":{"a":{}}}}}"#, 20, Reason::TooDeep),
            (r#"[{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}]"#, 38, Reason::TooManyKeys),
            (r#"{"a":1,"a":2}"#, 7, Reason::DuplicateKey("a".to_owned())),
            (r#"{"a":1,"\u0061":2}"#, 7, Reason::DuplicateKey("a".to_owned())), // the same key in disguise
            (r#"["\ud83d"]"#, 2, Reason::LoneSurrogate),
            (r#"["\ud83dx"]"#, 2, Reason::LoneSurrogate),
            (r#"["\ud83d\n"]"#, 2, Reason::LoneSurrogate),
            (r#"["\ud83d\u0041"]"#, 2, Reason::LoneSurrogate),
            (r#"["\ude00\ud83d"]"#, 2, Reason::LoneSurrogate),
            (r#"{"\ud83d":1}"#, 2, Reason::LoneSurrogate),
        ] {
            let found = check(text.as_bytes(), Limits { depth_max: 4, keys_max: 6 });
            assert_eq!(found, Err(JsonError { offset, reason: want }), "{text}");
        }
        let found = check(b"[\"\xff\"]", Limits::default());
        assert_eq!(found, Err(JsonError { offset: 2, reason: Reason::InvalidUtf8 }));
    }

    #[test]
    fn a_million_brackets_or_keys_are_refused_without_a_crash() {
        for text in ["[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
            let found = check(text.as_bytes(), Limits::default()).expect_err("too deep");
            assert_eq!(found.reason, Reason::TooDeep);
        }
        let mut keys = String::from("{");
        for n in 0..1_000_000 {
            keys.push_str(&format!("\"k{n}\":0,"));
        }
        let found = check(keys.as_bytes(), Limits::default()).expect_err("too many keys");
        assert_eq!(found.reason, Reason::TooManyKeys);
        assert!(found.offset < 200_000, "stops at the limit");
    }

    #[test]
    fn fields_stand_where_they_are_said_to() {
        let text = r#" { "a" : [1, {"x": 2}] ,"\u0062": "t\"x" , "c":-1.5e3,"d":{} } "#;
        let found = fields(text.as_bytes(), Limits::default()).expect("an object");
        let found: Vec<_> = found.iter().map(|field| (&*field.key, &text[field.value.clone()])).collect();
        assert_eq!(found, [("a", r#"[1, {"x": 2}]"#), ("b", r#""t\"x""#), ("c", "-1.5e3"), ("d", "{}")]);
        assert_eq!(fields(b"{}", Limits::default()), Ok(vec![]));
        for text in ["[]", "null", "7", r#"[{"a":1}]"#] {
            assert!(fields(text.as_bytes(), Limits::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_read_well() {
        let found = check(b"{\"a\":1,\"a\":2}", Limits::default()).expect_err("twice");
        assert_eq!(found.to_string(), "key `a` for the second time at byte 7");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = check(&bytes, Limits::default());
        }

        /// Text made of JSON's own pieces: most of it is almost JSON.
        #[test]
        fn it_agrees_with_the_parser(
            pieces in proptest::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "1", "-", "0", ".5", "e1", "true", "null", " ", "\"\\n\"", "\"\\u00e9\"", "\"\\ud83d\"",
            ]), 0..12),
        ) {
            let text = pieces.concat();
            let parsed = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            match check(text.as_bytes(), Limits::default()) {
                Ok(()) => prop_assert!(parsed, "{text} passed but is no JSON"),
                Err(JsonError { reason: Reason::DuplicateKey(_), .. }) => {}
                Err(_) => prop_assert!(!parsed, "{text} is JSON but was refused"),
            }
        }
    }
}
