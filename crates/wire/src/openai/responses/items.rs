//! What an answer is made of: messages, calls of functions, reasoning.

use domain::chat::Finish;
use domain::conversation::{Ending, Part};
use serde_json::{Value, json};

use crate::face::About;

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// Names the item that holds `part`, the `index`th of the answer.
pub(super) fn id(part: &Part, (about, index): (&About, usize)) -> String {
    let prefix = match part {
        Part::Call { .. } => "fc",
        Part::Thought { .. } | Part::SealedThought(_) => "rs",
        _ => "msg",
    };
    format!("{prefix}_{}{index:02x}", about.id)
}

/// What stands before the proof of a thought without words, which would be taken for a sealed thought when it comes back.
pub(super) const WORDLESS: &str = "proof:";

/// The item that holds `part`, the `index`th of the answer; `None` for what answers do not hold.
pub(super) fn item(part: &Part, (about, index): (&About, usize), status: Status) -> Option<Value> {
    let id = id(part, (about, index));
    let status_name = status.name();
    // An item that has only begun is empty.
    let is_whole = status == Status::Completed;
    let message = |content: Value| {
        let content = if is_whole { json!([content]) } else { json!([]) };
        json!({ "id": id, "type": "message", "status": status_name, "role": "assistant", "content": content })
    };
    Some(match part {
        Part::Text(text) => message(output_text(text)),
        Part::Refusal(text) => message(refusal(text)),
        Part::Call { id: call_id, name, arguments } => json!({
            "id": id, "type": "function_call", "status": status_name, "call_id": call_id, "name": name,
            "arguments": if is_whole { arguments.as_str() } else { "" },
        }),
        Part::Thought { text, proof } => {
            let summary = if is_whole && !text.is_empty() { json!([summary(text)]) } else { json!([]) };
            let item = json!({ "id": id, "type": "reasoning", "summary": summary });
            match proof {
                Some(proof) if is_whole && text.is_empty() => {
                    with(item, "encrypted_content", json!(format!("{WORDLESS}{proof}")))
                }
                Some(proof) if is_whole => with(item, "encrypted_content", json!(proof)),
                _ => item,
            }
        }
        Part::SealedThought(data) => {
            json!({ "id": id, "type": "reasoning", "summary": [], "encrypted_content": data })
        }
        _ => return None,
    })
}

pub(super) fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

pub(super) fn refusal(text: &str) -> Value {
    json!({ "type": "refusal", "refusal": text })
}

pub(super) fn summary(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

/// The whole response: `output` so far, and its ending once there is one.
pub(super) fn response(about: &About, output: &[Value], ending: Option<&Ending>) -> Value {
    let (status, reason) = match ending.map(|ending| ending.finish) {
        None => ("in_progress", None),
        Some(Finish::Length) => ("incomplete", Some("max_output_tokens")),
        Some(Finish::ContentFilter) => ("incomplete", Some("content_filter")),
        Some(Finish::Stop | Finish::StopText | Finish::ToolUse) => ("completed", None),
    };
    let usage = ending.and_then(|ending| ending.usage).map(|usage| {
        json!({
            "input_tokens": usage.input.0,
            "input_tokens_details": { "cached_tokens": usage.cached_input.0 },
            "output_tokens": usage.output.0,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning_output.0 },
            "total_tokens": usage.input.0.saturating_add(usage.output.0),
        })
    });
    json!({
        "id": format!("resp_{}", about.id),
        "object": "response",
        "created_at": about.created,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": reason.map(|reason| json!({ "reason": reason })),
        "instructions": null,
        "max_output_tokens": null,
        "metadata": {},
        "model": about.model,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": false,
        "temperature": null,
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
    })
}

/// The same object with another field.
pub(super) fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert(name.to_owned(), value);
    }
    object
}
