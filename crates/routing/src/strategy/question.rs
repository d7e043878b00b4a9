//! What a request says of itself: the last thing that was asked, and what stands around it.

use std::borrow::Cow;

use domain::chat::{ChatRequest, Relayed, Role, Tools};
use serde_json::Value;

/// What difficulty is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    /// What was asked last; empty where that cannot be found.
    pub(crate) text: Cow<'a, str>,
    /// Bytes of the whole request.
    pub(crate) bytes: usize,
    /// Messages of both sides.
    pub(crate) n_messages: usize,
    /// Whether it names tools.
    pub(crate) tools: Tools,
    /// Whether the answer must keep to a schema.
    pub(crate) form: Form,
}

/// What an answer must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Free,
    Schema,
}

/// A larger body is not read: it is hard by its length alone.
const READ_BYTES_MAX: usize = 64 << 10;

impl<'a> Question<'a> {
    /// Of our own request. `asked` is what the person asked, where the request holds more than that.
    pub(crate) fn of_chat(request: &'a ChatRequest, asked: Option<&'a str>) -> Self {
        let last = request.messages.iter().rev().find(|message| message.role == Role::User);
        let text = asked.or_else(|| last.map(|message| message.text.as_str())).unwrap_or_default();
        // What an agent adds to a question, it adds to all of them.
        let bytes = match asked {
            Some(asked) => asked.len(),
            None => request.messages.iter().map(|message| message.text.len()).sum(),
        };
        let form = if request.schema.is_some() { Form::Schema } else { Form::Free };
        Self {
            text: Cow::Borrowed(text),
            bytes,
            n_messages: request.messages.len(),
            tools: Tools::None,
            form,
        }
    }

    /// Of a caller's own request, in any dialect that names its messages `messages`, `input` or `prompt`.
    pub(crate) fn of_relayed(relayed: &Relayed) -> Self {
        let bytes = relayed.body.len();
        let body = (bytes <= READ_BYTES_MAX).then(|| serde_json::from_slice::<Value>(&relayed.body).ok());
        let body = body.flatten().unwrap_or_default();
        let said = ["messages", "input", "prompt", "inputText"].into_iter().find_map(|name| body.get(name));
        let messages = said.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_user = |message: &&Value| message.get("role").is_none_or(|role| role == "user");
        let mut text = String::new();
        match messages.iter().rev().find(is_user) {
            Some(message) => add_texts(message.get("content").unwrap_or(message), &mut text),
            None => add_texts(said.unwrap_or(&Value::Null), &mut text),
        }
        let has_schema = ["response_format", "format", "text"].iter().any(|name| {
            let named = body.get(*name);
            named.is_some_and(|form| form.get("json_schema").is_some() || form.get("schema").is_some())
        });
        Self {
            text: Cow::Owned(text),
            bytes,
            n_messages: messages.len(),
            tools: relayed.tools,
            form: if has_schema { Form::Schema } else { Form::Free },
        }
    }
}

/// A text, or the `text` of each part of a content.
fn add_texts(content: &Value, text: &mut String) {
    match content {
        Value::String(said) => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(said);
        }
        Value::Array(parts) => parts.iter().for_each(|part| add_texts(part, text)),
        Value::Object(part) => {
            if let Some(said) = part.get("text") {
                add_texts(said, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::chat::{Delivery, Dialect, UsageFrame};

    use super::*;

    fn relayed(body: &str) -> Relayed {
        Relayed {
            dialect: Dialect::OpenAiChat,
            model: "m".into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            fields: Vec::new(),
            delivery: Delivery::Whole,
            usage: UsageFrame::Unwanted,
            tools: Tools::None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn the_last_question_is_found_in_every_shape() {
        for (body, want, n_messages) in [
            (r#"{"messages":[{"role":"user","content":"Hi"}]}"#, "Hi", 1),
            (
                r#"{"messages":[{"role":"user","content":"One"},{"role":"assistant","content":"A"},{"role":"user","content":[{"type":"text","text":"Two"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"Three"}]}]}"#,
                "Two\nThree",
                3,
            ),
            (r#"{"messages":[{"role":"user","content":[{"text":"Converse"}]}]}"#, "Converse", 1),
            (r#"{"input":"Respond"}"#, "Respond", 0),
            (r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"Parts"}]}]}"#, "Parts", 1),
            (r#"{"prompt":"Complete"}"#, "Complete", 0),
            (r#"{"messages":[]}"#, "", 0),
            (r#"{"messages":7}"#, "", 0),
            ("not JSON", "", 0),
        ] {
            let relayed = relayed(body);
            let question = Question::of_relayed(&relayed);
            assert_eq!((question.text.as_ref(), question.n_messages), (want, n_messages), "{body}");
            assert_eq!(question.bytes, body.len());
        }
        let schema = relayed(r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{}}}"#);
        assert_eq!(Question::of_relayed(&schema).form, Form::Schema);
    }

    #[test]
    fn a_huge_body_is_not_read() {
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(READ_BYTES_MAX));
        let relayed = relayed(&body);
        let question = Question::of_relayed(&relayed);
        assert_eq!((question.text.as_ref(), question.bytes), ("", body.len()));
    }
}
