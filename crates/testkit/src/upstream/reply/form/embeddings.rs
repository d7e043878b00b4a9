//! Embeddings, of OpenAI, Gemini, Titan and Cohere: vectors that depend on their text alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Asked, Form, Said};
use crate::upstream::Received;

pub(super) struct OpenAi;
pub(super) struct Gemini;
/// On Bedrock: one text for each call.
pub(super) struct Titan;
/// On Bedrock: many.
pub(super) struct Cohere;

/// The vector of `text`: its bytes' sums, so that each text has its own.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let number = |at: usize| {
        let sum = text.bytes().fold(at, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        u16::try_from(sum % 2_001).map_or(0.0, |sum| (f32::from(sum) - 1_000.0) / 1_000.0)
    };
    (1..=dimensions).map(number).collect()
}

fn vectors(asked: &Asked) -> impl Iterator<Item = Vec<f32>> {
    asked.texts.iter().map(|text| vector(text, asked.dimensions))
}

fn length(body: &Value, field: &str) -> usize {
    body.get(field).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(4)
}

impl Form for OpenAi {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let texts = match body.get("input") {
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(input) => vec![one(input)],
            None => Vec::new(),
        };
        Asked {
            texts,
            dimensions: length(body, "dimensions"),
            in_base64: body.get("encoding_format") == Some(&json!("base64")),
            ..Asked::as_openai_says(body)
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        if Said::of(body).is_none() {
            return body.to_owned();
        }
        let written = |vector: Vec<f32>| match asked.in_base64 {
            true => json!(
                STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
            ),
            false => json!(vector),
        };
        let entry =
            |(index, vector)| json!({ "object": "embedding", "index": index, "embedding": written(vector) });
        let data: Vec<Value> = vectors(asked).enumerate().map(entry).collect();
        let tokens: usize = asked.texts.iter().map(|text| text.split_whitespace().count()).sum();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        json!({ "object": "list", "data": data, "model": asked.model, "usage": usage }).to_string()
    }
}

impl Form for Gemini {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let requests = body.get("requests").and_then(Value::as_array);
        let text = |request: &Value| {
            request.pointer("/content/parts/0/text").and_then(Value::as_str).map(str::to_owned)
        };
        let first = body.pointer("/requests/0").cloned().unwrap_or_default();
        Asked {
            texts: requests.into_iter().flatten().filter_map(text).collect(),
            dimensions: length(&first, "outputDimensionality"),
            ..Asked::as_openai_says(body)
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        if Said::of(body).is_none() {
            return body.to_owned();
        }
        let entries: Vec<Value> = vectors(asked).map(|vector| json!({ "values": vector })).collect();
        json!({ "embeddings": entries }).to_string()
    }
}

impl Form for Titan {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let text = body.get("inputText").and_then(Value::as_str).unwrap_or_default();
        Asked {
            texts: vec![text.to_owned()],
            dimensions: length(body, "dimensions"),
            ..Asked::as_openai_says(body)
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        let Some((text, vector)) =
            asked.texts.first().zip(vectors(asked).next()).filter(|_| Said::of(body).is_some())
        else {
            return body.to_owned();
        };
        json!({ "embedding": vector, "inputTextTokenCount": text.split_whitespace().count() }).to_string()
    }
}

impl Form for Cohere {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let texts = body.get("texts").and_then(Value::as_array).into_iter().flatten();
        Asked {
            texts: texts.filter_map(|text| text.as_str().map(str::to_owned)).collect(),
            dimensions: length(body, "output_dimension"),
            ..Asked::as_openai_says(body)
        }
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        if Said::of(body).is_none() {
            return body.to_owned();
        }
        let all: Vec<Vec<f32>> = vectors(asked).collect();
        json!({ "id": "mock", "response_type": "embeddings_by_type", "embeddings": { "float": all }, "texts": asked.texts })
            .to_string()
    }
}
