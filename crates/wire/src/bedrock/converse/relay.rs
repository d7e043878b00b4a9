//! A caller's own Converse request to be passed on byte for byte, and the answer to it.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Finish, Relayed};
use domain::model::Overrides;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer;
use crate::bedrock::protocol::path;
use crate::bedrock::relay::{self, Limit, Missing, Portions, Understand, limited, said};
use crate::json::{self, JsonError};
use crate::patch::apply;
use crate::protocol::{Call, OwnDialect, Place};
use crate::relay::{Kind, Meaning};
use crate::request::{LIMITS, Names};
use crate::stream::{self, StreamError};

const INFERENCE: &str = "inferenceConfig";
const NAMES: Names = Names { known: &[INFERENCE], tools: &["toolConfig"] };

/// Where the limits of a request stand.
const LIMIT: Limit = Limit {
    within: Some(INFERENCE),
    max_tokens: &["maxTokens"],
    temperature: "temperature",
    missing: Missing::Added,
};

/// Reads the `body` of a request for the model that the path says.
///
/// # Errors
/// [`JsonError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub fn read(body: Bytes, asked: (String, Delivery)) -> Result<Relayed, JsonError> {
    relay::read(body, asked, Dialect::BedrockConverse, (&NAMES, &[INFERENCE]))
}

/// The body with what `overrides` say set; every other byte stays as it is.
#[must_use]
pub fn patch(relayed: &Relayed, overrides: Overrides) -> Bytes {
    let field = relayed.fields.iter().find(|field| field.name == INFERENCE);
    let edits = limited(&relayed.body, field.map(|field| field.value.clone()), LIMIT, overrides);
    apply(&relayed.body, edits)
}

/// Converse for callers who speak it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Converse;

impl OwnDialect for Converse {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockConverse
    }

    fn place(&self, call: Call<'_>) -> Place {
        path::converse(call)
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        patch(relayed, call.overrides)
    }

    fn portions(&self, _relayed: &Relayed) -> Box<dyn stream::Portions> {
        Box::new(Portions::new(Frames))
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        answer::done(body)
    }
}

/// What the frames of ConverseStream say.
#[derive(Debug)]
pub(in crate::bedrock) struct Frames;

impl Understand for Frames {
    fn event(&mut self, name: &str, payload: &[u8]) -> Result<Meaning, StreamError> {
        json::check(payload, LIMITS).map_err(|_| StreamError::Malformed)?;
        event(name, payload)
    }
}

/// What an event of ConverseStream says, whose payload is JSON; a comment when it is not known.
pub(in crate::bedrock) fn event(name: &str, payload: &[u8]) -> Result<Meaning, StreamError> {
    #[derive(Deserialize)]
    struct Added<'a> {
        #[serde(borrow)]
        delta: Delta<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Delta<'a> {
        #[serde(borrow, default)]
        text: Option<&'a RawValue>,
        #[serde(borrow, default)]
        tool_use: Option<Input<'a>>,
    }
    #[derive(Deserialize)]
    struct Input<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stopped<'a> {
        #[serde(borrow)]
        stop_reason: std::borrow::Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default, deserialize_with = "crate::lenient::object")]
        usage: Option<answer::Tokens>,
    }
    let unreadable = |_| StreamError::Malformed;
    Ok(match name {
        "messageStart" | "contentBlockStop" => Meaning::default(),
        "contentBlockStart" => Meaning { has_answer: true, ..Meaning::default() },
        "contentBlockDelta" => {
            let added: Added<'_> = serde_json::from_slice(payload).map_err(unreadable)?;
            let input = added.delta.tool_use.map(|call| call.input);
            Meaning { has_answer: true, said: said([added.delta.text, input]), ..Meaning::default() }
        }
        "messageStop" => {
            let stopped: Stopped<'_> = serde_json::from_slice(payload).map_err(unreadable)?;
            // Callers of the same dialect know more reasons than we do.
            let finish = answer::finish(&stopped.stop_reason).unwrap_or(Finish::Stop);
            Meaning { finish: Some(finish), ..Meaning::default() }
        }
        "metadata" => {
            let metadata: Metadata = serde_json::from_slice(payload).map_err(unreadable)?;
            let usage = metadata.usage.map(|usage| usage.usage());
            Meaning { usage, kind: Kind::Last, ..Meaning::default() }
        }
        _ => Kind::Comment.into(),
    })
}
