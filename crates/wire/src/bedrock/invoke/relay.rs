//! A caller's own body for InvokeModel to be passed on byte for byte, and the answer to it.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Relayed};

use super::{body_of, meaning, others};
use crate::bedrock::model::Maker;
use crate::bedrock::protocol::path;
use crate::bedrock::relay::{Limit, Missing, Portions, limited};
use crate::patch::apply;
use crate::protocol::{Call, OwnDialect, Place};
use crate::stream::{self, StreamError};

/// Where the limits stand in bodies of a maker.
fn limit(maker: Maker) -> Limit {
    match maker {
        Maker::Claude => Limit {
            within: None,
            max_tokens: &["max_tokens"],
            temperature: "temperature",
            missing: Missing::Added,
        },
        Maker::Titan => Limit {
            within: Some("textGenerationConfig"),
            max_tokens: &["maxTokenCount"],
            temperature: "temperature",
            missing: Missing::Added,
        },
        Maker::Nova => Limit {
            within: Some("inferenceConfig"),
            max_tokens: &["maxTokens", "max_new_tokens"],
            temperature: "temperature",
            missing: Missing::Added,
        },
        // Llama's, Mistral's and others' names; which one a model would take is not known.
        Maker::Gpt | Maker::Other => Limit {
            within: None,
            max_tokens: &["max_tokens", "max_gen_len", "max_completion_tokens"],
            temperature: "temperature",
            missing: Missing::Left,
        },
    }
}

/// InvokeModel for callers who speak it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invoke;

impl OwnDialect for Invoke {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockInvoke
    }

    fn place(&self, call: Call<'_>) -> Place {
        let (operation, accept) = match call.delivery {
            Delivery::Whole => ("invoke", "application/json"),
            Delivery::Streamed => ("invoke-with-response-stream", path::FRAMES),
        };
        Place { path: path::of(call.model, operation), headers: Vec::new(), accept }
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        // Embeddings have no limits.
        if call.model.contains("embed") {
            return relayed.body.clone();
        }
        let limit = limit(body_of(relayed));
        let within = |field: &&domain::chat::FieldSpan| Some(field.name) == limit.within;
        let object = relayed.fields.iter().find(within).map(|field| field.value.clone());
        apply(&relayed.body, limited(&relayed.body, object, limit, call.overrides))
    }

    fn portions(&self, relayed: &Relayed) -> Box<dyn stream::Portions> {
        Box::new(Portions::new(meaning::Chunks::new(body_of(relayed))))
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        meaning::whole(body)
    }

    fn said(&self, body: &[u8]) -> Option<u32> {
        Some(others::said(body))
    }
}
