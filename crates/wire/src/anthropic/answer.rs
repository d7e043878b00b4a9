//! What answers are made of (blocks, usage, reasons for their end), and a whole answer read.

use domain::chat::Finish;
use domain::conversation::{Answer, Ending, Part};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure;
use crate::lenient;
use crate::object::Text;
use crate::stream::StreamError;

/// A message: whole, or as the first event of a stream names it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Message<'a> {
    #[serde(rename = "type", default)]
    pub(super) kind: Text<'a>,
    pub(super) id: Option<Text<'a>>,
    pub(super) model: Option<Text<'a>>,
    #[serde(default)]
    pub(super) content: Vec<Block<'a>>,
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) stop_sequence: Option<Text<'a>>,
    pub(super) usage: Option<&'a RawValue>,
}

/// A block. Which fields it has is told by its kind; kinds of the future may have any.
#[derive(Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Block<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) text: Option<Text<'a>>,
    pub(super) thinking: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
    pub(super) data: Option<Text<'a>>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) input: Option<&'a RawValue>,
}

/// The text of a field, empty when it is not there.
pub(super) fn owned(text: Option<Text<'_>>) -> String {
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}

/// What was counted so far. The events of a stream bring more of it, each number in place of what it was.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Counted {
    #[serde(default, deserialize_with = "lenient::count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient::object")]
    cache_creation: Option<CacheCreation>,
    #[serde(default, deserialize_with = "lenient::object")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct CacheCreation {
    #[serde(default, deserialize_with = "lenient::count")]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct OutputDetails {
    #[serde(default, deserialize_with = "lenient::count")]
    thinking_tokens: Option<u64>,
}

impl Counted {
    /// Takes what `raw` brings; what cannot be read is not counted.
    pub(crate) fn take(&mut self, raw: Option<&RawValue>) {
        let Some(more) = raw.and_then(|raw| serde_json::from_str::<Self>(raw.get()).ok()) else { return };
        self.input_tokens = more.input_tokens.or(self.input_tokens);
        self.output_tokens = more.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens =
            more.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = more.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = more.cache_creation.or(self.cache_creation);
        self.output_tokens_details = more.output_tokens_details.or(self.output_tokens_details);
    }

    /// The whole, if anything was counted. What was read from or written to a cache is counted beside the input there.
    pub(crate) fn usage(self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let count = |tokens: u64| TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX));
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let input = self.input_tokens.unwrap_or(0).saturating_add(read).saturating_add(written);
        let output = self.output_tokens.unwrap_or(0);
        let hour = self
            .cache_creation
            .and_then(|creation| creation.ephemeral_1h_input_tokens)
            .unwrap_or(0)
            .min(written);
        let thinking =
            self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0).min(output);
        Some(Usage {
            input: count(input),
            output: count(output),
            cached_input: count(read),
            cache_write_input: count(written),
            cache_write_hour_input: count(hour),
            reasoning_output: count(thinking),
        })
    }
}

/// Why an answer ended. A reason of the future is an end all the same.
pub(crate) fn finish(reason: &str) -> Finish {
    match reason {
        "tool_use" => Finish::ToolUse,
        "stop_sequence" => Finish::StopText,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// Whether a body is an error in place of an answer.
pub(super) fn is_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(default, borrow)]
        error: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Body<'_>>(body).is_ok_and(|body| body.error.is_some())
}

/// A message that came in one piece.
pub(super) fn message(body: &[u8]) -> Result<Message<'_>, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    if is_error(body) {
        return Err(StreamError::Refused(failure::classify_event(body)));
    }
    let message: Message<'_> = serde_json::from_slice(body).map_err(|_| StreamError::Malformed)?;
    // Without a reason for its end it is no message, or not a whole one.
    if message.kind.0 != "message" || message.stop_reason.is_none() {
        return Err(StreamError::Malformed);
    }
    Ok(message)
}

/// Reads a whole answer. Blocks for which other dialects have no word come only of what only this one can ask for.
pub(super) fn read(body: &[u8]) -> Result<Answer, StreamError> {
    let message = message(body)?;
    let mut counted = Counted::default();
    counted.take(message.usage);
    let parts = message.content.into_iter().filter_map(part).collect();
    let finish = message.stop_reason.map_or(Finish::Stop, |reason| finish(&reason.0));
    let stop = message.stop_sequence.map(|stop| stop.0.into_owned());
    Ok(Answer {
        id: owned(message.id),
        model: owned(message.model),
        parts,
        ending: Ending { finish, stop, usage: counted.usage() },
    })
}

fn part(block: Block<'_>) -> Option<Part> {
    match &*block.kind.0 {
        "text" => Some(Part::Text(owned(block.text))),
        "thinking" => Some(Part::Thought {
            text: owned(block.thinking),
            proof: Some(owned(block.signature)).filter(|proof| !proof.is_empty()),
        }),
        "redacted_thinking" => Some(Part::SealedThought(owned(block.data))),
        "tool_use" => Some(Part::Call {
            id: owned(block.id),
            name: owned(block.name),
            arguments: block.input.map_or("{}", RawValue::get).to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cached_is_part_of_the_input() {
        let mut counted = Counted::default();
        assert_eq!(counted.usage(), None);
        for raw in [
            r#"{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":5,
                "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1}"#,
            r#"{"input_tokens":null,"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}"#,
            r#"{"output_tokens":"many"}"#,
        ] {
            counted.take(Some(&serde_json::from_str::<Box<RawValue>>(raw).expect("JSON")));
        }
        let want = Usage {
            input: TokenCount(45),
            output: TokenCount(9),
            cached_input: TokenCount(5),
            cache_write_input: TokenCount(30),
            cache_write_hour_input: TokenCount(20),
            reasoning_output: TokenCount(4),
        };
        assert_eq!(counted.usage(), Some(want));
    }

    #[test]
    fn only_whole_messages_are_answers() {
        for (body, want) in [
            ("", StreamError::Empty),
            ("{", StreamError::Malformed),
            ("[]", StreamError::Malformed),
            ("{}", StreamError::Malformed),
            (r#"{"type":"message","content":[]}"#, StreamError::Malformed),
            (
                r#"{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":null}"#,
                StreamError::Malformed,
            ),
            (
                r#"{"type":"message","content":[{"type":"text","text":"\ud83d"}],"stop_reason":"end_turn"}"#,
                StreamError::Malformed,
            ),
            (
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
                StreamError::Refused(domain::fault::Fault::provider(domain::fault::Kind::Throttled)),
            ),
        ] {
            assert_eq!(read(body.as_bytes()), Err(want), "{body}");
        }
    }

    #[test]
    fn what_makes_no_sense_in_a_usage_hides_nothing_else() {
        for creation in [
            r#"{"ephemeral_1h_input_tokens":null}"#,
            r#"{"ephemeral_1h_input_tokens":"some"}"#,
            "null",
            "[]",
            r#"{"ephemeral_1h_input_tokens":0.0}"#,
        ] {
            let raw = format!(
                r#"{{"input_tokens":1000.0,"output_tokens":5,"cache_creation_input_tokens":40,"cache_creation":{creation},
                    "output_tokens_details":{{"thinking_tokens":null}},"cache_read_input_tokens":null}}"#
            );
            let raw: Box<RawValue> = serde_json::from_str(&raw).expect("JSON");
            let mut counted = Counted::default();
            counted.take(Some(&raw));
            let want =
                Usage { cache_write_input: TokenCount(40), ..Usage::of(TokenCount(1_040), TokenCount(5)) };
            assert_eq!(counted.usage(), Some(want), "{creation}");
        }
    }
}
