//! Embeddings: as a dialect of callers, and their bytes passed on to who speaks it, too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Finish, Relayed};
use domain::embedding::{Purpose, Request, Vectors};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::failure;
use super::relay::{self, stream};
use crate::object::Value;
use crate::patch::Patch;
use crate::protocol::{Call, OwnDialect, Place};
use crate::request::{MODEL, RequestError};
use crate::stream::{Portions, StreamError};
use crate::translation::ReadError;
use crate::written;

/// Most texts of one request (platform.openai.com/docs/api-reference/embeddings, read 2026-11).
pub const TEXTS_MAX: usize = 2_048;

/// How a caller wants its vectors written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As lists of numbers.
    #[default]
    Float,
    /// As base64 of 32-bit floats, lowest byte first; the same numbers to the last bit.
    Base64,
}

/// Reads a body as far as passing it on needs it.
///
/// # Errors
/// [`RequestError`] for the first thing that is wrong.
pub fn read(body: Bytes) -> Result<Relayed, RequestError> {
    let mut relayed = relay::read(body)?;
    relayed.fields.retain(|field| field.name == MODEL);
    Ok(Relayed { dialect: Dialect::OpenAiEmbeddings, delivery: Delivery::Whole, ..relayed })
}

/// The texts of a request, for a provider of another dialect.
///
/// # Errors
/// [`ReadError`], also for what no other dialect can carry: tokens, which are one model's own, and fields that are not
/// known.
pub fn request(relayed: &Relayed) -> Result<(Request, Encoding), ReadError> {
    let body = std::str::from_utf8(&relayed.body).map_err(|_| ReadError::Unreadable("not UTF-8"))?;
    let mut body = Value::new(String::new(), body).object()?;
    let input = body.demand("input")?;
    let texts = texts(&input)?;
    let dimensions = body.take("dimensions").map(|value| match value.count()? {
        0 => Err(value.invalid("a number above 0")),
        dimensions => Ok(dimensions),
    });
    let dimensions = dimensions.transpose()?;
    let encoding = match body.take("encoding_format") {
        None => Encoding::Float,
        Some(format) => match format.text()?.as_str() {
            "float" => Encoding::Float,
            "base64" => Encoding::Base64,
            _ => return Err(format.invalid("`float` or `base64`")),
        },
    };
    let purpose = body.take("input_type").map(|value| purpose(&value)).transpose()?;
    // Who asks changes no vector.
    let (_, _) = (body.take("model"), body.take("user"));
    body.finish()?;
    Ok((Request { texts, dimensions, purpose }, encoding))
}

/// OpenAI has no such field. The name and the words are Cohere's, where most callers know them from.
fn purpose(value: &Value<'_>) -> Result<Purpose, ReadError> {
    Ok(match value.text()?.as_str() {
        "search_document" => Purpose::Document,
        "search_query" => Purpose::Query,
        "classification" => Purpose::Classification,
        "clustering" => Purpose::Clustering,
        _ => {
            let wanted = "`search_document`, `search_query`, `classification` or `clustering`";
            return Err(value.invalid(wanted));
        }
    })
}

fn texts(input: &Value<'_>) -> Result<Vec<String>, ReadError> {
    const WANTED: &str = "a text, or a list of texts";
    let text = |value: &Value<'_>| match value.text()? {
        text if text.is_empty() => Err(value.invalid("a text that is not empty")),
        text => Ok(text),
    };
    if input.is_text() {
        return Ok(vec![text(input)?]);
    }
    let list = input.list().map_err(|_| input.invalid(WANTED))?;
    if list.is_empty() || list.len() > TEXTS_MAX {
        return Err(input.invalid("1 to 2,048 texts"));
    }
    let is_tokens = |value: &Value<'_>| value.count().is_ok() || value.list().is_ok();
    if list.iter().any(is_tokens) {
        return Err(input.unsupported("tokens are one model's own; send texts"));
    }
    list.iter()
        .map(|value| if value.is_text() { text(value) } else { Err(value.invalid("a text")) })
        .collect()
}

#[derive(serde::Serialize)]
struct Body<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
    model: &'a str,
    usage: Option<UsageBody>,
}

#[derive(serde::Serialize)]
struct Entry<'a> {
    object: &'static str,
    index: usize,
    embedding: Written<'a>,
}

#[derive(serde::Serialize)]
struct UsageBody {
    prompt_tokens: u32,
    total_tokens: u32,
}

struct Written<'a>(&'a [f32], Encoding);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(vector, encoding) = self;
        match encoding {
            Encoding::Float => {
                let mut list = serializer.serialize_seq(Some(vector.len()))?;
                vector.iter().try_for_each(|number| list.serialize_element(number))?;
                list.end()
            }
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
        }
    }
}

/// The answer of `model`. Where nobody knows what it used, `usage` is null: a zero would be a lie.
#[must_use]
pub fn answer(model: &str, vectors: &Vectors, encoding: Encoding) -> Bytes {
    let usage = vectors.usage.map(|Usage { input: TokenCount(tokens), .. }| UsageBody {
        prompt_tokens: tokens,
        total_tokens: tokens,
    });
    let written = vectors.vectors.iter().map(|vector| Written(vector, encoding));
    let entry = |(index, embedding)| Entry { object: "embedding", index, embedding };
    let data = written.enumerate().map(entry).collect();
    let body = Body { object: "list", data, model, usage };
    written::body(&body)
}

/// Callers' own bytes, passed on.
#[derive(Debug, Clone, Copy)]
pub struct Embeddings;

impl OwnDialect for Embeddings {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiEmbeddings
    }

    fn place(&self, _: Call<'_>) -> Place {
        Place { path: "/embeddings".to_owned(), headers: Vec::new(), accept: "application/json" }
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        Patch::of(relayed, call.model).apply()
    }

    /// Embeddings never stream.
    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions> {
        stream::portions(relayed.usage)
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(default, borrow)]
            data: Vec<&'a RawValue>,
            #[serde(default, deserialize_with = "crate::lenient::object")]
            usage: Option<Used>,
            #[serde(default, borrow)]
            error: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Used {
            #[serde(default, deserialize_with = "crate::lenient::count")]
            prompt_tokens: Option<u64>,
        }
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(if body.trim_ascii().is_empty() {
                StreamError::Empty
            } else {
                StreamError::Malformed
            });
        }
        let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
        if answer.error.is_some_and(|error| error.get() != "null") {
            return Err(StreamError::Refused(failure::classify_event(body)));
        }
        if answer.data.is_empty() {
            return Err(StreamError::Empty);
        }
        let tokens = answer.usage.and_then(|used| used.prompt_tokens);
        let tokens = tokens.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let usage = tokens.map(|tokens| Usage::of(TokenCount(tokens), TokenCount(0)));
        Ok(Done { finish: Finish::Stop, usage })
    }
}

#[cfg(test)]
mod tests {
    use domain::fault::{Fault, Kind};
    use domain::model::Overrides;
    use proptest::prelude::*;

    use super::*;

    fn asked(body: &str) -> Result<(Request, Encoding), ReadError> {
        request(&read(Bytes::copy_from_slice(body.as_bytes())).expect("relayed"))
    }

    #[test]
    fn texts_are_read() {
        for (body, texts, dimensions, encoding) in [
            (r#"{"model":"m","input":"a"}"#, vec!["a"], None, Encoding::Float),
            (
                r#"{"input":["a","b\n"],"model":"m","dimensions":256,"encoding_format":"base64","user":"u"}"#,
                vec!["a", "b\n"],
                Some(256),
                Encoding::Base64,
            ),
            (
                r#"{"input":"a","model":"m","encoding_format":"float","dimensions":null}"#,
                vec!["a"],
                None,
                Encoding::Float,
            ),
        ] {
            let texts = texts.into_iter().map(str::to_owned).collect();
            let want = Request { texts, dimensions, purpose: None };
            assert_eq!(asked(body), Ok((want, encoding)), "{body}");
        }
        for (said, want) in [
            ("null", None),
            ("\"search_document\"", Some(Purpose::Document)),
            ("\"search_query\"", Some(Purpose::Query)),
            ("\"classification\"", Some(Purpose::Classification)),
            ("\"clustering\"", Some(Purpose::Clustering)),
        ] {
            let (read, _) =
                asked(&format!(r#"{{"model":"m","input":"a","input_type":{said}}}"#)).expect("readable");
            assert_eq!(read.purpose, want, "{said}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        let many = format!("[{}\"a\"]", "\"a\",".repeat(TEXTS_MAX));
        for (fields, place, reason) in [
            ("", "input", "required"),
            (r#""input":null"#, "input", "required"),
            (r#""input":"""#, "input", "not empty"),
            (r#""input":7"#, "input", "a text, or a list of texts"),
            (r#""input":[]"#, "input", "1 to 2,048"),
            (&format!("\"input\":{many}"), "input", "1 to 2,048"),
            (r#""input":["a",""]"#, "input[1]", "not empty"),
            (r#""input":["a",{}]"#, "input[1]", "a text"),
            (r#""input":[1,2]"#, "input", "tokens"),
            (r#""input":[[1,2],[3]]"#, "input", "tokens"),
            (r#""input":"a","dimensions":0"#, "dimensions", "above 0"),
            (r#""input":"a","dimensions":"x""#, "dimensions", "whole number"),
            (r#""input":"a","encoding_format":"int8""#, "encoding_format", "`float` or `base64`"),
            (r#""input":"a","input_type":"query""#, "input_type", "`search_query`"),
            (r#""input":"a","input_type":7"#, "input_type", "a text"),
            (r#""input":"a","truncate":"END""#, "truncate", "own dialect"),
        ] {
            let comma = if fields.is_empty() { "" } else { "," };
            let error = asked(&format!(r#"{{"model":"m"{comma}{fields}}}"#)).expect_err(place);
            assert_eq!(error.field(), Some(place), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn bytes_pass_with_the_model_alone_changed() {
        let overrides = Overrides { max_tokens: Some(7), temperature: Some(1.0) };
        let call = Call { model: "n", delivery: Delivery::Whole, overrides, max_tokens: 400 };
        for (body, want) in [
            (
                r#"{ "input" : [[1, 2]],"stream":true, "model":"m","future":1.50,"temperature":2} "#,
                r#"{ "input" : [[1, 2]],"stream":true, "model":"n","future":1.50,"temperature":2} "#,
            ),
            (r#"{"model":"n","input":"a"}"#, r#"{"model":"n","input":"a"}"#),
        ] {
            let relayed = read(Bytes::from_static(body.as_bytes())).expect("relayed");
            assert_eq!((relayed.dialect, relayed.delivery), (Dialect::OpenAiEmbeddings, Delivery::Whole));
            assert_eq!(Embeddings.patch(&relayed, call), want);
        }
        assert_eq!(Embeddings.place(call).path, "/embeddings");
    }

    #[test]
    fn whole_answers_are_understood() {
        let done = |tokens: Option<u32>| {
            let usage = tokens.map(|tokens| Usage::of(TokenCount(tokens), TokenCount(0)));
            Ok(Done { finish: Finish::Stop, usage })
        };
        for (body, want) in [
            (r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#, done(Some(7))),
            (r#"{"data":[{"embedding":"AACAPw=="}]}"#, done(None)),
            ("", Err(StreamError::Empty)),
            (r#"{"data":[]}"#, Err(StreamError::Empty)),
            ("[[1]]", Err(StreamError::Malformed)),
            (r#"{"data":[{"embed"#, Err(StreamError::Malformed)),
            (
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                Err(StreamError::Refused(Fault::provider(Kind::Throttled))),
            ),
        ] {
            assert_eq!(Embeddings.whole(body.as_bytes()), want, "{body}");
        }
    }

    /// The vectors in an answer, as a client reads them.
    fn received(body: &[u8]) -> Vec<Vec<f32>> {
        let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let entries = body["data"].as_array().expect("a list");
        let vector = |(index, entry): (usize, &serde_json::Value)| {
            assert_eq!(entry["index"], index);
            match &entry["embedding"] {
                serde_json::Value::String(text) => {
                    let bytes = STANDARD.decode(text).expect("base64");
                    let number = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("four"));
                    bytes.chunks_exact(4).map(number).collect()
                }
                numbers => serde_json::from_value(numbers.clone()).expect("numbers"),
            }
        };
        entries.iter().enumerate().map(vector).collect()
    }

    #[test]
    fn unknown_usage_is_no_zero() {
        let vectors = Vectors { vectors: vec![vec![0.25]], usage: None };
        let body = answer("p/m", &vectors, Encoding::Float);
        let want = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25]}],"model":"p/m","usage":null}"#;
        assert_eq!(body, want);
        let used = Vectors { usage: Some(Usage::of(TokenCount(3), TokenCount(0))), ..vectors };
        let body = answer("p/m", &used, Encoding::Base64);
        assert!(body.ends_with(
            br#""embedding":"AACAPg=="}],"model":"p/m","usage":{"prompt_tokens":3,"total_tokens":3}}"#
        ));
    }

    proptest! {
        #[test]
        fn base64_and_floats_are_the_same_numbers(vectors in prop::collection::vec(prop::collection::vec(-1e9_f32..1e9, 3), 1..4)) {
            let made = Vectors { vectors: vectors.clone(), usage: None };
            let floats = received(&answer("m", &made, Encoding::Float));
            let base64 = received(&answer("m", &made, Encoding::Base64));
            prop_assert_eq!(&floats, &base64);
            prop_assert_eq!(floats, vectors);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Embeddings.whole(&bytes);
            if let Ok(relayed) = read(Bytes::from(bytes)) {
                let _ = request(&relayed);
            }
        }
    }
}
