//! What the frames of a streamed answer say that is passed on. The answer is complete with the event that holds all of it.

use domain::fault::Fault;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Response;
use crate::object::Text;
use crate::openai::failure;
use crate::relay::{Kind, Meaning, Understand};
use crate::stream::StreamError;

/// Understands the events of responses.
#[derive(Debug, Default)]
pub(in crate::openai::responses) struct Events;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    delta: Option<Text<'a>>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
}

impl Understand for Events {
    const END: &'static [u8] = b"";

    fn is_error(body: &[u8]) -> bool {
        failure::is_error(body)
    }

    fn classify(body: &[u8]) -> Fault {
        failure::classify_event(body)
    }

    fn frame(&mut self, data: &[u8]) -> Result<Meaning, StreamError> {
        if data == b"[DONE]" {
            return Ok(Kind::Comment.into());
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_| StreamError::Malformed)?;
        let kind = &*event.kind.0;
        if matches!(kind, "error" | "response.failed") {
            // A response that failed holds the reason.
            let told = event.response.map_or(data, |response| response.get().as_bytes());
            return Err(StreamError::Refused(failure::classify_event(told)));
        }
        let said = u32::try_from(event.delta.map_or(0, |delta| delta.0.len())).unwrap_or(u32::MAX);
        // Until something is said, the answer could still be another model's.
        let has_answer = kind.ends_with(".done") && !kind.starts_with("response.reasoning");
        if !matches!(kind, "response.completed" | "response.incomplete") {
            return Ok(Meaning { said, has_answer, ..Meaning::default() });
        }
        let response = event.response.and_then(|raw| serde_json::from_str::<Response>(raw.get()).ok());
        let done = response.and_then(|response| response.done()).ok_or(StreamError::Malformed)?;
        Ok(Meaning { kind: Kind::Last, said, has_answer, finish: Some(done.finish), usage: done.usage })
    }
}
