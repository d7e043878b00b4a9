//! JSON schemas as Gemini takes them: it reads all of JSON schema, but keeps to a part of it only
//! (`response_json_schema` in its protocol buffers, read 2026-11).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::object::Fields;

/// How closely an answer must keep to a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In every point: what Gemini does not enforce is refused.
    Exactly,
    /// Where Gemini does.
    AsFarAsItGoes,
}

/// A schema that Gemini cannot keep to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not enforce a keyword of it.
    #[error("this model does not enforce `{keyword}` of a schema; leave it out, or do not ask for `strict`")]
    Keyword {
        /// Which.
        keyword: String,
    },
    /// It is none.
    #[error("the schema is no JSON object")]
    NoSchema,
}

/// What Gemini enforces, and what only tells readers something.
const KNOWN: [&str; 26] = [
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
    "$schema",
    "$comment",
    "default",
    "examples",
    "deprecated",
];

/// The same schema, its keys in their order, with `const` said as an `enum` of one, which Gemini knows.
///
/// # Errors
/// [`Refused`].
pub fn accepted(schema: &str, keeping: Keeping) -> Result<Box<RawValue>, Refused> {
    let raw: &RawValue = serde_json::from_str(schema).map_err(|_| Refused::NoSchema)?;
    let raw = raw.get();
    if !raw.starts_with('{') {
        return Err(Refused::NoSchema);
    }
    let mut text = String::with_capacity(schema.len());
    write_schema(raw, keeping, &mut text)?;
    RawValue::from_string(text).map_err(|_| Refused::NoSchema)
}

/// A schema, or the `true` or `false` that stands for one.
fn write_schema(raw: &str, keeping: Keeping, text: &mut String) -> Result<(), Refused> {
    let Ok(Fields(mut fields)) = serde_json::from_str(raw) else {
        text.push_str(raw);
        return Ok(());
    };
    let is_enum = |value: &str| matches!(value.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'));
    if fields.iter().any(|(key, value)| key == "const" && is_enum(value)) {
        // Of both, as some write them, it says less, and its name is taken.
        fields.retain(|(key, _)| key != "enum");
    }
    write_fields(&fields, text, |key, value, text| {
        match key {
            "const" if is_enum(value) => {
                text.push_str(r#""enum":["#);
                text.push_str(value);
                text.push(']');
                return Ok(());
            }
            key if keeping == Keeping::Exactly && !KNOWN.contains(&key) => {
                return Err(Refused::Keyword { keyword: key.chars().take(60).collect() });
            }
            _ => write_key(key, text),
        }
        match key {
            "properties" | "$defs" | "definitions" | "patternProperties" => write_named(value, keeping, text),
            "items" | "prefixItems" | "anyOf" | "oneOf" | "allOf" | "additionalProperties" | "not" => {
                write_schemas(value, keeping, text)
            }
            _ => {
                text.push_str(value);
                Ok(())
            }
        }
    })
}

/// Schemas by the names of what they are for.
fn write_named(raw: &str, keeping: Keeping, text: &mut String) -> Result<(), Refused> {
    let Ok(Fields(fields)) = serde_json::from_str(raw) else {
        text.push_str(raw);
        return Ok(());
    };
    write_fields(&fields, text, |key, value, text| {
        write_key(key, text);
        write_schema(value, keeping, text)
    })
}

/// A schema, or a list of them.
fn write_schemas(raw: &str, keeping: Keeping, text: &mut String) -> Result<(), Refused> {
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return write_schema(raw, keeping, text);
    };
    text.push('[');
    for (index, schema) in list.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_schema(schema.get(), keeping, text)?;
    }
    text.push(']');
    Ok(())
}

fn write_fields(
    fields: &[(Cow<'_, str>, &str)],
    text: &mut String,
    mut write: impl FnMut(&str, &str, &mut String) -> Result<(), Refused>,
) -> Result<(), Refused> {
    text.push('{');
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(key, value, text)?;
    }
    text.push('}');
    Ok(())
}

fn write_key(key: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(key).to_string());
    text.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, keeping: Keeping) -> Result<String, String> {
        accepted(schema, keeping).map(|raw| raw.get().to_owned()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn the_order_of_keys_stays_and_const_becomes_an_enum() {
        for (schema, want) in [
            (
                r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"const":"x"}},"required":["z","a"],"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"enum":["x"]}},"required":["z","a"],"additionalProperties":false}"#,
            ),
            (
                r#"{"anyOf":[{"const":1.50},{"type":"null"}]}"#,
                r#"{"anyOf":[{"enum":[1.50]},{"type":"null"}]}"#,
            ),
            (
                r##"{"$defs":{"const":{"items":{"$ref":"#/$defs/const"}}}, "items" : [true, {}]}"##,
                r##"{"$defs":{"const":{"items":{"$ref":"#/$defs/const"}}},"items":[true,{}]}"##,
            ),
            (r#"{"const":"a","enum":["a"],"type":"string"}"#, r#"{"enum":["a"],"type":"string"}"#),
            (r#"{"enum":["a","b"],"const":"a"}"#, r#"{"enum":["a"]}"#),
            // A property may be called as a keyword is.
            (
                r#"{"properties":{"pattern":{"type":"string"}}}"#,
                r#"{"properties":{"pattern":{"type":"string"}}}"#,
            ),
        ] {
            for keeping in [Keeping::Exactly, Keeping::AsFarAsItGoes] {
                assert_eq!(check(schema, keeping).as_deref(), Ok(want));
            }
        }
    }

    #[test]
    fn what_is_not_enforced_is_refused_where_it_must_be() {
        for (schema, keyword) in [
            (r#"{"properties":{"a":{"type":"string","pattern":"^x"}}}"#, "`pattern`"),
            (r#"{"items":{"allOf":[{}]}}"#, "`allOf`"),
            (r#"{"anyOf":[{"not":{}}]}"#, "`not`"),
            (r#"{"$defs":{"A":{"const":true}}}"#, "`const`"),
            (r#"{"a\"b":1}"#, "`a\"b`"),
        ] {
            let refused = check(schema, Keeping::Exactly).expect_err(schema);
            assert!(refused.contains(keyword), "{schema}: {refused}");
            assert_eq!(check(schema, Keeping::AsFarAsItGoes).as_deref(), Ok(schema));
        }
        for schema in ["", "[]", "true", "7", "{"] {
            assert!(check(schema, Keeping::AsFarAsItGoes).is_err(), "{schema}");
        }
    }
}
