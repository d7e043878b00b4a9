//! What is said to Gemini and what it says, as golden bodies and recorded answers, and what holds for any of them.

mod answers;
mod requests;
mod streams;

use domain::chat::Finish;
use domain::conversation::Part;

use super::*;

const ANSWER: &[u8] = include_bytes!("../../golden/gemini/answer.json");
const CALLS: &[u8] = include_bytes!("../../golden/gemini/answer-calls.json");
const STREAM: &[u8] = include_bytes!("../../golden/gemini/stream.sse");
const CALLS_STREAM: &[u8] = include_bytes!("../../golden/gemini/stream-calls.sse");

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}
