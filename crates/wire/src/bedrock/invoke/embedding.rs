//! Titan's embeddings: one text for each call.

use bytes::Bytes;
use domain::embedding::{Request, Vectors};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde_json::json;

use crate::bedrock::protocol::path;
use crate::embedding::EmbeddingProtocol;
use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// Titan's embeddings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embeddings;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    embedding: Vec<f32>,
    #[serde(default)]
    input_text_token_count: Option<u32>,
}

impl EmbeddingProtocol for Embeddings {
    fn texts_max(&self) -> usize {
        1
    }

    fn place(&self, model: &str) -> Place {
        Place { path: path::of(model, "invoke"), headers: Vec::new(), accept: "application/json" }
    }

    fn request(&self, request: &Request, model: &str) -> Result<Bytes, Untranslatable> {
        if !model.contains("titan-embed") {
            return Err(Untranslatable::new(
                "model",
                "of Bedrock's models only Titan's embeddings are known here",
            ));
        }
        let text = request.texts.first().map(String::as_str).unwrap_or_default();
        let body = match request.dimensions {
            Some(dimensions) => json!({"inputText": text, "dimensions": dimensions}),
            None => json!({"inputText": text}),
        };
        Ok(Bytes::from(body.to_string()))
    }

    fn answer(&self, body: &[u8], n_texts: usize) -> Result<Vectors, StreamError> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
        if n_texts != 1 || answer.embedding.is_empty() {
            return Err(StreamError::Malformed);
        }
        let usage = answer.input_text_token_count.map(|input| Usage::of(TokenCount(input), TokenCount(0)));
        Ok(Vectors { vectors: vec![answer.embedding], usage })
    }
}
