//! How many tokens a request has, at Bedrock and at Gemini: one for each word.

use serde_json::{Value, json};

use super::bedrock::Converse;
use super::gemini;
use super::{Asked, Form, Said};
use crate::upstream::Received;

pub(super) struct Bedrock;
pub(super) struct Gemini;

impl Form for Bedrock {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        Converse.asked(request, body.pointer("/input/converse").unwrap_or(&Value::Null))
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        match Said::of(body) {
            Some(_) => json!({ "inputTokens": asked.n_prompt_words }).to_string(),
            None => body.to_owned(),
        }
    }

    fn error(&self, status: u16, body: &str) -> String {
        Converse.error(status, body)
    }

    fn error_fields(&self, status: u16, body: &str) -> String {
        Converse.error_fields(status, body)
    }
}

impl Form for Gemini {
    fn asked(&self, request: &Received, body: &Value) -> Asked {
        gemini::Gemini.asked(request, body.get("generateContentRequest").unwrap_or(&Value::Null))
    }

    fn whole(&self, body: &str, asked: &Asked) -> String {
        match Said::of(body) {
            Some(_) => json!({ "totalTokens": asked.n_prompt_words }).to_string(),
            None => body.to_owned(),
        }
    }

    fn error(&self, status: u16, body: &str) -> String {
        gemini::Gemini.error(status, body)
    }
}
