//! OpenAI's older completions of a prompt.

use serde_json::{Value, json};

use super::{Asked, Form, Said, event, said_as};
use crate::upstream::Received;

pub(super) struct Completions;

impl Form for Completions {
    fn asked(&self, _: &Received, body: &Value) -> Asked {
        let prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default();
        Asked { n_prompt_words: prompt.split_whitespace().count(), ..Asked::as_openai_says(body) }
    }

    fn frame(&self, data: &str, asked: &Asked) -> Vec<u8> {
        said_as(data, |said| completion(said, asked)).map_or_else(|| event(data), |frame| event(&frame))
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        said_as(body, |said| completion(said, asked)).unwrap_or_else(|| body.to_owned())
    }
}

fn completion(said: &Said, asked: &Asked) -> Value {
    let text = said.text.as_deref().unwrap_or_default();
    let choice = json!({ "text": text, "index": 0, "logprobs": null, "finish_reason": said.finish });
    let has_choice = said.text.is_some() || said.finish.is_some();
    let choices = if has_choice { vec![choice] } else { Vec::new() };
    let mut fields = vec![
        ("id", json!("cmpl-mock")),
        ("object", json!("text_completion")),
        ("created", json!(7)),
        ("model", json!(asked.model)),
        ("choices", json!(choices)),
    ];
    fields.extend(said.usage.clone().map(|usage| ("usage", usage)));
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
