//! Titan's text models take one text and give one.

use bytes::{Bytes, BytesMut};
use domain::chat::Finish;
use domain::conversation::{Answer, Conversation, Delta, Event, Part, Sampling, Speaker, Turn};
use domain::token::Usage;
use serde_json::json;

use super::face::{Invocation, chunk};
use crate::object::Value;
use crate::stream::{EventWriter, Took};
use crate::translation::ReadError;

/// Reads a request.
pub(super) fn conversation(body: &[u8]) -> Result<Conversation, ReadError> {
    let text = std::str::from_utf8(body).map_err(|_| ReadError::Unreadable("not UTF-8"))?;
    let mut body = Value::new(String::new(), text.trim()).object()?;
    let said = body.demand_text("inputText")?;
    let mut sampling = Sampling::default();
    if let Some(config) = body.take("textGenerationConfig") {
        let mut config = config.object()?;
        sampling.max_tokens = config.take("maxTokenCount").map(|value| value.count()).transpose()?;
        sampling.temperature = config.take("temperature").map(|value| value.number()).transpose()?;
        sampling.top_p = config.take("topP").map(|value| value.number()).transpose()?;
        if let Some(list) = config.take("stopSequences") {
            sampling.stop = list.list()?.iter().map(Value::text).collect::<Result<_, _>>()?;
        }
        config.finish()?;
    }
    body.finish()?;
    let turns = vec![Turn { by: Speaker::User, parts: vec![Part::Text(said)] }];
    Ok(Conversation { turns, sampling, ..Conversation::default() })
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        // Titan calls no tools.
        Finish::Stop | Finish::ToolUse => "FINISH",
        Finish::StopText => "STOP_CRITERIA_MET",
        Finish::Length => "LENGTH",
        Finish::ContentFilter => "CONTENT_FILTERED",
    }
}

/// A whole answer.
pub(super) fn answer(answer: &Answer) -> Bytes {
    let usage = answer.ending.usage.unwrap_or(Usage::NONE);
    let texts = answer.parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    let result = json!({
        "tokenCount": usage.output.0,
        "outputText": texts.collect::<String>(),
        "completionReason": reason(answer.ending.finish),
    });
    Bytes::from(json!({"inputTextTokenCount": usage.input.0, "results": [result]}).to_string())
}

/// Writes chunks of text.
#[derive(Debug, Default)]
pub(super) struct Writer {
    is_text: bool,
    took: Took,
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        use domain::conversation::Block;
        match event {
            Event::Opened { block, .. } => self.is_text = matches!(block, Block::Text | Block::Refusal),
            Event::Delta { delta: Delta::Text(text), .. } if self.is_text => {
                chunk(piece(text, None, None).as_bytes(), None, frames);
            }
            Event::Ended(ending) => {
                let usage = ending.usage.unwrap_or(Usage::NONE);
                let last = piece("", Some(reason(ending.finish)), Some(usage));
                let usage = ending.usage;
                chunk(last.as_bytes(), Some(Invocation { usage, took: self.took }), frames);
            }
            _ => {}
        }
    }

    fn took(&mut self, took: Took) {
        self.took = took;
    }
}

fn piece(text: &str, reason: Option<&str>, usage: Option<Usage>) -> String {
    let piece = json!({
        "outputText": text,
        "index": 0,
        "completionReason": reason,
        "totalOutputTextTokenCount": usage.map(|usage| usage.output.0),
        "inputTextTokenCount": usage.map(|usage| usage.input.0),
    });
    piece.to_string()
}
