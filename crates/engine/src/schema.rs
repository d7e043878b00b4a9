//! Answers that keep to a JSON schema: the schema is bounded, then compiled to a mask over the next token.
//!
//! Small models loop inside a grammar (`3.1111…`), so nothing in it may go on for ever: numbers get a range and a
//! smallest step, texts and lists a longest length, objects no other keys than those named; an object that names none and
//! says that it takes any gets a greatest number and depth of them. What cannot be bounded is refused.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Map, Value, json};

/// Longest schema in bytes.
const BYTES_MAX: usize = 64 << 10;
/// Schemas within schemas.
const DEPTH_MAX: usize = 16;
/// Characters of a text that names no limit.
const TEXT_MAX: u64 = 500;
/// Items of a list that names no limit.
const ITEMS_MAX: u64 = 32;
/// Keys of an object that takes any, and the characters of each.
const KEYS_MAX: u64 = 16;
const KEY: &str = "^.{1,40}$";
/// Lists and objects within an object that takes any keys.
const ANY_DEPTH: usize = 2;
/// Numbers that name no limit lie between this and its negative.
const NUMBER_MAX: i64 = 1_000_000_000_000;
/// Digits behind the point of numbers that name no step.
const STEP: f64 = 0.000_001;

/// A schema cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error("the schema is longer than {BYTES_MAX} bytes or no JSON object")]
    Unreadable,
    #[error("the schema nests deeper than {DEPTH_MAX}, or refers to itself")]
    Deep,
    #[error("the schema has a part that says neither `type`, `enum`, `const` nor what else it may be")]
    Open,
    #[error("the schema uses `{0}` in a way that has no bound")]
    Unbounded(&'static str),
    #[error("the schema cannot be compiled")]
    Unsupported,
}

/// Compiles schemas for one model.
pub(crate) struct Schemas(ParserFactory);

impl Schemas {
    /// Walks the vocabulary once: some hundred milliseconds.
    pub(crate) fn new(model: &LlamaModel) -> Result<Self, SchemaError> {
        let mut factory = ParserFactory::new_simple(&LlamaSampler::llguidance_tok_env(model))
            .map_err(|_| SchemaError::Unsupported)?;
        factory.quiet();
        Ok(Self(factory))
    }

    /// A sampler that lets only tokens through which the schema allows.
    pub(crate) fn sampler(&self, schema: &str) -> Result<LlamaSampler, SchemaError> {
        let matcher = Matcher::new(self.0.create_parser(TopLevelGrammar::from_json_schema(bounded(schema)?)));
        if matcher.is_error() { Err(SchemaError::Unsupported) } else { Ok(matcher.into()) }
    }
}

/// The schema with a bound on everything that may go on.
fn bounded(schema: &str) -> Result<Value, SchemaError> {
    if schema.len() > BYTES_MAX {
        return Err(SchemaError::Unreadable);
    }
    let mut root: Value = serde_json::from_str(schema).map_err(|_| SchemaError::Unreadable)?;
    if !root.is_object() {
        return Err(SchemaError::Unreadable);
    }
    bound(&mut root, 0)?;
    check_references(&root, &root, &mut Vec::new())?;
    if let Some(object) = root.as_object_mut() {
        // No space between the parts: it would be one more thing to loop in.
        object.insert("x-guidance".to_owned(), json!({ "whitespace_flexible": false }));
    }
    Ok(root)
}

fn bound(schema: &mut Value, depth: usize) -> Result<(), SchemaError> {
    if depth > DEPTH_MAX {
        return Err(SchemaError::Deep);
    }
    let schema = schema.as_object_mut().ok_or(SchemaError::Open)?;
    for key in ["$defs", "definitions", "properties"] {
        let parts = schema.get_mut(key).and_then(Value::as_object_mut);
        parts.into_iter().flat_map(Map::values_mut).try_for_each(|part| bound(part, depth + 1))?;
    }
    for key in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        let parts = schema.get_mut(key).and_then(Value::as_array_mut);
        parts.into_iter().flatten().try_for_each(|part| bound(part, depth + 1))?;
    }
    if ["enum", "const", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| schema.contains_key(*key)) {
        return Ok(());
    }
    let kinds: Vec<String> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Err(SchemaError::Open),
    };
    for kind in kinds {
        match kind.as_str() {
            "string" => bound_text(schema)?,
            "number" | "integer" => bound_number(schema, &kind),
            "array" => bound_list(schema, depth)?,
            "object" => bound_object(schema)?,
            "boolean" | "null" => {}
            _ => return Err(SchemaError::Open),
        }
    }
    Ok(())
}

fn bound_text(schema: &mut Map<String, Value>) -> Result<(), SchemaError> {
    if schema.contains_key("pattern") {
        return Err(SchemaError::Unbounded("pattern"));
    }
    if !schema.contains_key("format") {
        schema.entry("maxLength").or_insert(TEXT_MAX.into());
    }
    Ok(())
}

fn bound_number(schema: &mut Map<String, Value>, kind: &str) {
    for (bounds, usual) in
        [(["minimum", "exclusiveMinimum"], -NUMBER_MAX), (["maximum", "exclusiveMaximum"], NUMBER_MAX)]
    {
        if !bounds.iter().any(|bound| schema.contains_key(*bound)) {
            schema.insert(bounds[0].to_owned(), usual.into());
        }
    }
    if kind == "number" {
        schema.entry("multipleOf").or_insert(STEP.into());
    }
}

fn bound_list(schema: &mut Map<String, Value>, depth: usize) -> Result<(), SchemaError> {
    schema.entry("maxItems").or_insert(ITEMS_MAX.into());
    if let Some(items) = schema.get_mut("items") {
        return bound(items, depth + 1);
    }
    if !schema.contains_key("prefixItems") {
        return Err(SchemaError::Unbounded("array"));
    }
    schema.insert("items".to_owned(), false.into());
    Ok(())
}

fn bound_object(schema: &mut Map<String, Value>) -> Result<(), SchemaError> {
    if schema.contains_key("patternProperties") {
        return Err(SchemaError::Unbounded("patternProperties"));
    }
    let has_names = schema.contains_key("properties") || schema.contains_key("required");
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) => {
            schema.insert("additionalProperties".to_owned(), false.into());
            Ok(())
        }
        // Named keys beside unnamed ones could come in no bounded number.
        Some(Value::Bool(true)) if !has_names => {
            schema.extend(any_keys(ANY_DEPTH));
            Ok(())
        }
        Some(_) => Err(SchemaError::Unbounded("additionalProperties")),
    }
}

/// What bounds an object of any keys, with `depth` lists and objects within one another.
fn any_keys(depth: usize) -> Map<String, Value> {
    let bounds = json!({
        "patternProperties": { KEY: any(depth) }, "additionalProperties": false, "maxProperties": KEYS_MAX,
    });
    bounds.as_object().cloned().unwrap_or_default()
}

/// The schema of any value.
fn any(depth: usize) -> Value {
    let mut kinds = vec![
        json!({ "type": "string", "maxLength": TEXT_MAX }),
        json!({ "type": "number", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX, "multipleOf": STEP }),
        json!({ "type": "boolean" }),
        json!({ "type": "null" }),
    ];
    if let Some(depth) = depth.checked_sub(1) {
        kinds.push(json!({ "type": "array", "items": any(depth), "maxItems": ITEMS_MAX }));
        let mut object = any_keys(depth);
        object.insert("type".to_owned(), "object".into());
        kinds.push(object.into());
    }
    json!({ "anyOf": kinds })
}

/// Follows every reference; one within itself would go on for ever.
fn check_references<'s>(root: &'s Value, at: &'s Value, path: &mut Vec<&'s str>) -> Result<(), SchemaError> {
    if path.len() > DEPTH_MAX {
        return Err(SchemaError::Deep);
    }
    match at {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                let target = name.strip_prefix('#').and_then(|place| root.pointer(place));
                let target = target.ok_or(SchemaError::Unsupported)?;
                if path.contains(&name) {
                    return Err(SchemaError::Deep);
                }
                path.push(name);
                check_references(root, target, path)?;
                path.pop();
            }
            object
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "$defs" | "definitions" | "enum" | "const"))
                .try_for_each(|(_, part)| check_references(root, part, path))
        }
        Value::Array(parts) => parts.iter().try_for_each(|part| check_references(root, part, path)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_may_go_on_is_bounded() {
        let schema = json!({"type": "object", "required": ["fee"], "properties": {
            "fee": {"type": "number"}, "days": {"type": "integer", "minimum": 0, "maximum": 30},
            "name": {"type": ["string", "null"]}, "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}},
            "kind": {"enum": ["a", "b"]}}});
        let got = bounded(&schema.to_string()).unwrap();
        let at = |place: &str| got.pointer(place).cloned().unwrap_or_default();
        assert_eq!(at("/additionalProperties"), json!(false));
        assert_eq!(at("/properties/fee/minimum"), json!(-NUMBER_MAX));
        assert_eq!(at("/properties/fee/multipleOf"), json!(STEP));
        assert_eq!(at("/properties/days"), json!({"type": "integer", "minimum": 0, "maximum": 30}));
        assert_eq!(at("/properties/name/maxLength"), json!(TEXT_MAX));
        assert_eq!(at("/properties/tags/maxItems"), json!(ITEMS_MAX));
        assert_eq!(at("/properties/tags/items/maxLength"), json!(9));
    }

    #[test]
    fn an_object_of_any_keys_is_bounded_in_their_number_and_depth() {
        let got = bounded(r#"{"type":"object","additionalProperties":true}"#).unwrap();
        let within = "/patternProperties/^.{1,40}$/anyOf";
        let inner = got.pointer(&format!("{within}/5")).unwrap();
        for object in [&got, inner, inner.pointer(&format!("{within}/5")).unwrap()] {
            assert_eq!(object["type"], "object");
            assert_eq!(
                (&object["additionalProperties"], &object["maxProperties"]),
                (&json!(false), &json!(KEYS_MAX))
            );
        }
        let last = inner.pointer(&format!("{within}/5{within}")).unwrap();
        assert_eq!(last.as_array().map(Vec::len), Some(4), "{last}");
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        let deep = (0..40).fold(json!({"type": "null"}), |inner, _| json!({"type": "array", "items": inner}));
        for (schema, want) in [
            (json!([]), SchemaError::Unreadable),
            (json!({}), SchemaError::Open),
            (json!({"type": "object", "properties": {"any": {}}}), SchemaError::Open),
            (
                json!({"type": "object", "additionalProperties": {"type": "null"}}),
                SchemaError::Unbounded("additionalProperties"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": true}),
                SchemaError::Unbounded("additionalProperties"),
            ),
            (json!({"type": "string", "pattern": "a*"}), SchemaError::Unbounded("pattern")),
            (json!({"type": "array"}), SchemaError::Unbounded("array")),
            (deep, SchemaError::Deep),
            (
                json!({"$ref": "#/$defs/list", "$defs": {"list": {"type": "object", "properties": {"next": {"$ref": "#/$defs/list"}}}}}),
                SchemaError::Deep,
            ),
            (json!({"$ref": "https://example.com/schema"}), SchemaError::Unsupported),
        ] {
            assert_eq!(bounded(&schema.to_string()), Err(want), "{schema}");
        }
        assert_eq!(bounded("{"), Err(SchemaError::Unreadable));
    }
}
