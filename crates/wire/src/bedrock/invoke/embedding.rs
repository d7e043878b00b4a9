//! Embeddings of Titan (one text for each call) and of Cohere (docs.aws.amazon.com/bedrock/latest/userguide, read 2026-11).

use bytes::Bytes;
use domain::embedding::{Purpose, Request, Vectors};
use serde::Deserialize;
use serde_json::json;

use crate::bedrock::protocol::path;
use crate::embedding::EmbeddingProtocol;
use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// Most texts of one call of Cohere's.
const COHERE_TEXTS_MAX: usize = 96;

/// Embeddings by InvokeModel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embeddings;

/// Whose body a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Titan's first: vectors of one length.
    TitanFirst,
    Titan,
    /// Titan's for texts and images.
    TitanImage,
    Cohere,
}

impl Family {
    fn of(model: &str) -> Option<Self> {
        let has = |part: &str| model.contains(part);
        Some(match () {
            () if has("titan-embed-text-v1") || has("titan-embed-g1") => Self::TitanFirst,
            () if has("titan-embed-image") => Self::TitanImage,
            () if has("titan-embed") => Self::Titan,
            () if has("cohere.embed") => Self::Cohere,
            () => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Titan {
        embedding: Vec<f32>,
        #[serde(default)]
        input_text_token_count: Option<u32>,
    },
    Cohere {
        embeddings: Many,
    },
}

/// By their types where types were asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Many {
    ByType { float: Vec<Vec<f32>> },
    Plain(Vec<Vec<f32>>),
}

/// Cohere demands to be told. Few of OpenAI's callers do; stored texts are what most of them ask about.
fn input_type(purpose: Option<Purpose>) -> &'static str {
    match purpose {
        None | Some(Purpose::Document) => "search_document",
        Some(Purpose::Query) => "search_query",
        Some(Purpose::Classification) => "classification",
        Some(Purpose::Clustering) => "clustering",
    }
}

impl EmbeddingProtocol for Embeddings {
    fn texts_max(&self, model: &str) -> usize {
        if Family::of(model) == Some(Family::Cohere) { COHERE_TEXTS_MAX } else { 1 }
    }

    fn place(&self, model: &str) -> Place {
        Place { path: path::of(model, "invoke"), headers: Vec::new(), accept: "application/json" }
    }

    fn request(&self, request: &Request, model: &str) -> Result<Bytes, Untranslatable> {
        let family = Family::of(model).ok_or_else(|| {
            Untranslatable::new(
                "model",
                "of Bedrock's models only Titan's and Cohere's embeddings are known here",
            )
        })?;
        let text = request.texts.first().map(String::as_str).unwrap_or_default();
        let mut body = match family {
            Family::Cohere => json!({
                "texts": request.texts,
                "input_type": input_type(request.purpose),
                "embedding_types": ["float"],
            }),
            _ if request.purpose.is_some() => {
                let reason = "this model's vectors are the same for every purpose";
                return Err(Untranslatable::new("input_type", reason));
            }
            Family::TitanFirst | Family::Titan | Family::TitanImage => json!({"inputText": text}),
        };
        if let (Some(dimensions), Some(fields)) = (request.dimensions, body.as_object_mut()) {
            let (name, value) = match family {
                Family::TitanFirst => {
                    return Err(Untranslatable::new("dimensions", "this model's vectors have one length"));
                }
                Family::Titan => ("dimensions", json!(dimensions)),
                Family::TitanImage => ("embeddingConfig", json!({"outputEmbeddingLength": dimensions})),
                Family::Cohere => ("output_dimension", json!(dimensions)),
            };
            fields.insert(name.to_owned(), value);
        }
        Ok(Bytes::from(body.to_string()))
    }

    fn answer(&self, body: &[u8], n_texts: usize) -> Result<Vectors, StreamError> {
        let (vectors, tokens) = match serde_json::from_slice(body).map_err(|_| StreamError::Malformed)? {
            Answer::Titan { embedding, input_text_token_count } => (vec![embedding], input_text_token_count),
            // How many tokens were read is said in a header only.
            Answer::Cohere { embeddings: Many::ByType { float } | Many::Plain(float) } => (float, None),
        };
        Vectors::checked(vectors, n_texts, tokens).ok_or(StreamError::Malformed)
    }
}
