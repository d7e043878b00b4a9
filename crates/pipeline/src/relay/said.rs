//! What an answer says, in any dialect: the texts in its JSON, joined over the frames of a stream; calls of tools; how it ended.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Names under which dialects say what the model wrote, in whole answers and in pieces of them.
const TEXTS: [&str; 12] = [
    "text",
    "content",
    "delta",
    "refusal",
    "thinking",
    "reasoning",
    "reasoning_content",
    "outputText",
    "completion",
    "generation",
    "partial_json",
    "arguments",
];
/// Names under which dialects say why an answer ended, and what they say of one that the model ended by itself.
const ENDS: [&str; 4] = ["finish_reason", "stop_reason", "stopReason", "completionReason"];
const SOUND_ENDS: [&str; 8] =
    ["stop", "end_turn", "stop_sequence", "endoftext", "complete", "finish", "finished", "stop_criteria_met"];
/// Names of what calls a tool.
const CALLS: [&str; 4] = ["tool_calls", "function_call", "toolUse", "tool_use"];
/// Frames within frames.
const DEPTH_MAX: usize = 3;

/// What an answer says.
#[derive(Default)]
pub(super) struct Answer {
    /// Its texts in their order, in one piece.
    pub(super) texts: String,
    /// Whether it calls a tool, whatever it says of its end.
    pub(super) calls_tools: bool,
    ends: Ends,
}

impl Answer {
    pub(super) fn read(parts: &[&[u8]]) -> Self {
        let mut answer = Self::default();
        each(&parts.concat(), 0, &mut |value| {
            gather(value, &mut answer.texts);
            answer.calls_tools |= has_call(value);
            answer.ends.look(value);
        });
        answer
    }

    /// Whether all of it ended by itself, with something said: each of several answers, and no refusal. An answer that says nothing
    /// of ends, as vectors do, is sound.
    pub(super) fn is_sound(&self) -> bool {
        let Ends { n_named, n_sound, n_other, is_refused } = self.ends;
        let is_ended = n_named == 0 || n_sound > 0 && !self.texts.trim().is_empty();
        !is_refused && n_other == 0 && is_ended
    }
}

/// Every JSON object in `bytes`, whatever stands between them: lines of an event stream, the frames of AWS's.
fn each(bytes: &[u8], depth: usize, told: &mut dyn FnMut(&Value)) {
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'{')) {
        at += next;
        let rest = bytes.get(at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else {
            at += 1;
            continue;
        };
        at += values.byte_offset().max(1);
        let within = value.get("bytes").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        match within {
            Some(within) if depth < DEPTH_MAX => each(&within, depth + 1, told),
            _ => told(&value),
        }
    }
}

/// What an answer says of its ends.
#[derive(Default)]
struct Ends {
    /// Fields that are there, also those that say nothing, as on the way.
    n_named: usize,
    n_sound: usize,
    n_other: usize,
    is_refused: bool,
}

impl Ends {
    fn look(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.look(value)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.field(name, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn field(&mut self, name: &str, value: &Value) {
        let text = value.as_str().filter(|text| !text.is_empty());
        let is_refusal = text.is_some() && name == "refusal" || name == "type" && text == Some("refusal");
        self.is_refused |= is_refusal;
        if !ENDS.contains(&name) {
            return self.look(value);
        }
        self.n_named += 1;
        match text {
            Some(end) if SOUND_ENDS.iter().any(|sound| end.eq_ignore_ascii_case(sound)) => self.n_sound += 1,
            Some(_) => self.n_other += 1,
            None => {}
        }
    }
}

fn gather(value: &Value, texts: &mut String) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if TEXTS.contains(&name.as_str()) { say(value, texts) } else { gather(value, texts) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn say(value: &Value, texts: &mut String) {
    match value {
        Value::String(text) => texts.push_str(text),
        Value::Array(values) => values.iter().for_each(|value| say(value, texts)),
        _ => gather(value, texts),
    }
}

fn has_call(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_call),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let is_kind = name == "type"
                && value.as_str().is_some_and(|kind| CALLS.contains(&kind) || kind == "function_call");
            let is_there =
                CALLS.contains(&name.as_str()) && value.as_array().is_none_or(|calls| !calls.is_empty());
            is_kind || is_there && !value.is_null() || has_call(value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_found_in_every_form() {
        let frame = format!(
            "\u{1}junk{{\"bytes\":\"{}\"}}\u{2}",
            STANDARD.encode(r#"{"delta":{"text":"a@b.example"}}"#)
        );
        for (body, want) in [
            (
                r#"{"id":"x-123456","created":1795251960,"choices":[{"message":{"content":"Hi you"}}]}"#,
                "Hi you",
            ),
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"Call 555\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"-0100\"}}]}\n\ndata: [DONE]\n\n",
                "Call 555-0100",
            ),
            (
                "event: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
                "Hi",
            ),
            (r#"{"output":{"message":{"content":[{"text":"one"},{"text":"two"}]}}}"#, "onetwo"),
            (frame.as_str(), "a@b.example"),
            ("{ {not json", ""),
        ] {
            assert_eq!(Answer::read(&[body.as_bytes()]).texts, want, "{body}");
        }
    }

    #[test]
    fn only_what_ended_by_itself_is_sound() {
        for (body, want) in [
            (r#"{"choices":[{"message":{"content":"x","refusal":null},"finish_reason":"stop"}]}"#, true),
            (r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#, false),
            (r#"{"output":[{"content":[{"type":"refusal","refusal":"No."}]}],"status":"completed"}"#, false),
            (r#"{"output":[{"content":[{"type":"output_text","text":"x"}]}],"status":"completed"}"#, true),
            (
                r#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"},{"message":{"content":"x"},"finish_reason":"stop"}]}"#,
                false,
            ),
            (r#"{"choices":[{"message":{"content":"x"},"finish_reason":null}]}"#, false),
            (r#"{"choices":[{"message":{"content":"x"},"finish_reason":"weird"}]}"#, false),
            (r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#, false),
            (
                r#"{"content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","stop_sequence":null}"#,
                true,
            ),
            (r#"{"content":[{"type":"text","text":"x"}],"stop_reason":"pause_turn"}"#, false),
            (r#"{"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"end_turn"}"#, true),
            (r#"{"results":[{"outputText":"x","completionReason":"FINISH"}]}"#, true),
            (r#"{"object":"list","data":[{"embedding":[1]}]}"#, true),
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
                true,
            ),
        ] {
            assert_eq!(Answer::read(&[body.as_bytes()]).is_sound(), want, "{body}");
        }
    }

    #[test]
    fn a_call_of_a_tool_is_seen() {
        for (body, want) in [
            (r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]}}]}"#, true),
            (r#"{"choices":[{"message":{"content":"x","tool_calls":[]}}]}"#, false),
            (r#"{"choices":[{"message":{"content":"x","tool_calls":null}}]}"#, false),
            (r#"{"content":[{"type":"tool_use","name":"x"}]}"#, true),
            (r#"{"output":[{"type":"function_call","name":"x"}]}"#, true),
            (r#"{"output":{"message":{"content":[{"toolUse":{}}]}}}"#, true),
            (r#"{"content":[{"type":"text","text":"tool_use"}]}"#, false),
        ] {
            assert_eq!(Answer::read(&[body.as_bytes()]).calls_tools, want, "{body}");
        }
    }
}
