//! Thoughts in chat completions. OpenAI has no field for them; `reasoning_content` (DeepSeek's and most servers') holds
//! their words, and `reasoning_details` (OpenRouter's, openrouter.ai/docs, read 2026-11) also their proof, which some
//! providers want back when tools are called.

use domain::conversation::Part;
use serde::{Deserialize, Serialize};

/// An entry of `reasoning_details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Detail {
    pub(super) fn text(text: Option<String>, signature: Option<String>) -> Self {
        Self { kind: "reasoning.text".to_owned(), text, signature, data: None }
    }

    pub(super) fn sealed(data: &str) -> Self {
        let data = Some(data.to_owned());
        Self { kind: "reasoning.encrypted".to_owned(), text: None, signature: None, data }
    }
}

/// The thoughts of a message: of its details when there are any, else of its plain words.
pub(super) fn read(content: Option<String>, details: Vec<Detail>) -> Vec<Part> {
    if details.is_empty() {
        let plain = content.filter(|text| !text.is_empty());
        return plain.map(|text| Part::Thought { text, proof: None }).into_iter().collect();
    }
    details
        .into_iter()
        .filter_map(|detail| match detail {
            Detail { data: Some(data), .. } => Some(Part::SealedThought(data)),
            Detail { text: None, signature: None, .. } => None,
            Detail { text, signature, .. } => {
                Some(Part::Thought { text: text.unwrap_or_default(), proof: signature })
            }
        })
        .collect()
}

/// The fields of a message that holds `parts`: words, details.
pub(super) fn write(parts: &[Part]) -> (Option<String>, Vec<Detail>) {
    let mut words = String::new();
    let mut details = Vec::new();
    for part in parts {
        match part {
            Part::Thought { text, proof } => {
                words.push_str(text);
                details.push(Detail::text(Some(text.clone()), proof.clone()));
            }
            Part::SealedThought(data) => details.push(Detail::sealed(data)),
            _ => {}
        }
    }
    let has_proof = details.iter().any(|detail| detail.signature.is_some() || detail.data.is_some());
    let words = Some(words).filter(|words| !words.is_empty());
    (words, if has_proof { details } else { Vec::new() })
}
