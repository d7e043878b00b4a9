//! Embeddings: `embedContent` for one text, `batchEmbedContents` for more. Gemini does not say what they use.

use bytes::Bytes;
use domain::embedding::{Purpose, Request, Vectors};
use serde::{Deserialize, Serialize};

use super::place;
use crate::embedding::EmbeddingProtocol;
use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;
use crate::written;

/// Most texts of one call (ai.google.dev/api/embeddings, read 2026-11).
const TEXTS_MAX: usize = 100;

/// Models that make other vectors for each purpose
/// (docs.cloud.google.com/gemini-enterprise-agent-platform/models/embeddings/task-types, read 2026-11).
const WITH_PURPOSE: [&str; 3] =
    ["gemini-embedding-001", "text-embedding-005", "text-multilingual-embedding-002"];

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<One<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    model: String,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    embeddings: Vec<Embedding>,
    #[serde(default)]
    usage_metadata: Option<Used>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

/// Later models say it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    prompt_token_count: Option<u32>,
}

/// The format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embeddings;

impl EmbeddingProtocol for Embeddings {
    fn texts_max(&self, _: &str) -> usize {
        TEXTS_MAX
    }

    fn place(&self, model: &str) -> Place {
        // One call for any number: its answer has the same form for one text as for more.
        place(model, "batchEmbedContents", "application/json")
    }

    fn request(&self, request: &Request, model: &str) -> Result<Bytes, Untranslatable> {
        if request.purpose.is_some() && !WITH_PURPOSE.iter().any(|known| model.ends_with(known)) {
            let reason = "this model is not told what its vectors are for";
            return Err(Untranslatable::new("input_type", reason));
        }
        let folder = if model.contains('/') { "" } else { "models/" };
        let one = |text| One {
            model: format!("{folder}{model}"),
            content: Content { parts: [Part { text }] },
            output_dimensionality: request.dimensions,
            task_type: request.purpose.map(task_type),
        };
        let batch = Batch { requests: request.texts.iter().map(|text| one(text.as_str())).collect() };
        Ok(written::body(&batch))
    }

    fn answer(&self, body: &[u8], n_texts: usize) -> Result<Vectors, StreamError> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
        let vectors: Vec<_> = answer.embeddings.into_iter().map(|embedding| embedding.values).collect();
        let usage = answer.usage_metadata.and_then(|used| used.prompt_token_count);
        Vectors::checked(vectors, n_texts, usage).ok_or(StreamError::Malformed)
    }
}

fn task_type(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Document => "RETRIEVAL_DOCUMENT",
        Purpose::Query => "RETRIEVAL_QUERY",
        Purpose::Classification => "CLASSIFICATION",
        Purpose::Clustering => "CLUSTERING",
    }
}

#[cfg(test)]
mod tests {
    use domain::token::{TokenCount, Usage};

    use super::*;

    #[test]
    fn embeddings_go_out_in_one_batch_and_come_back_in_order() {
        let texts = vec!["a".to_owned(), "b".to_owned()];
        let asked = Request { texts, dimensions: Some(2), purpose: None };
        let body = Embeddings.request(&asked, "gemini-embedding-001").expect("can be said");
        let want = r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},"outputDimensionality":2},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},"outputDimensionality":2}]}"#;
        assert_eq!(String::from_utf8_lossy(&body), want);
        let queries = Request { purpose: Some(Purpose::Query), ..asked };
        let body = Embeddings.request(&queries, "gemini-embedding-001").expect("can be said");
        assert_eq!(String::from_utf8_lossy(&body).matches(r#","taskType":"RETRIEVAL_QUERY"}"#).count(), 2);
        let refused = Embeddings.request(&queries, "gemini-embedding-2").expect_err("one purpose");
        assert_eq!(refused.what, "input_type");
        let place = Embeddings.place("gemini-embedding-001");
        assert_eq!(place.path, "/models/gemini-embedding-001:batchEmbedContents");
        let answer = |body: &str| Embeddings.answer(body.as_bytes(), 2);
        let vectors = answer(r#"{"embeddings":[{"values":[0.25,-1]},{"values":[0.013168523,2e-8]}]}"#)
            .expect("vectors");
        assert_eq!(
            (vectors.vectors, vectors.usage),
            (vec![vec![0.25, -1.0], vec![0.013_168_523, 2e-8]], None)
        );
        let used = answer(
            r#"{"embeddings":[{"values":[1]},{"values":[1]}],"usageMetadata":{"promptTokenCount":7}}"#,
        );
        assert_eq!(used.expect("vectors").usage, Some(Usage::of(TokenCount(7), TokenCount(0))));
        for body in [
            "",
            "{}",
            r#"{"embeddings":[]}"#,
            r#"{"embeddings":[{"values":[1]}]}"#,
            r#"{"embeddings":[{"values":[1]},{"values":[1,2]}]}"#,
            r#"{"embeddings":[{"values":[]},{"values":[]}]}"#,
            r#"{"embeddings":[{"values":[1]},{"values":[1e300]}]}"#,
        ] {
            assert_eq!(answer(body), Err(StreamError::Malformed), "{body}");
        }
    }
}
