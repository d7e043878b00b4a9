//! What comes back: one body of an answer, whole or a piece of a streamed one.

use domain::chat::Finish;
use domain::conversation::{Answer, Ending, Part};
use domain::fault::{Fault, Kind, Retry};
use domain::token::{TokenCount, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{failure, proof};
use crate::lenient;
use crate::stream::StreamError;

/// A piece of an answer, or all of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) said: Vec<Said>,
    /// Why it ended. A call changes what that means.
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
}

/// What one part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    Thought(String),
    /// The proof of what stands before it or, where a call follows, of that one.
    Proof(String),
    /// Always whole.
    Call {
        id: Option<String>,
        name: String,
        arguments: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(default, borrow)]
    candidates: Vec<Candidate<'a>>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default, borrow)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    response_id: Option<String>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    parts: Vec<PartBody<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartBody<'a> {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    thought_signature: Option<String>,
    #[serde(default, borrow)]
    function_call: Option<FunctionCall<'a>>,
    #[serde(default)]
    inline_data: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(default)]
    id: Option<String>,
    name: String,
    #[serde(default, borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageBody {
    #[serde(default, deserialize_with = "lenient::count")]
    prompt_token_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    cached_content_token_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    candidates_token_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    thoughts_token_count: Option<u64>,
}

/// Reads one body.
///
/// # Errors
/// [`StreamError`]: refused, or no answer at all.
pub(super) fn piece(data: &[u8]) -> Result<Piece, StreamError> {
    // A list would be taken for the fields in their order.
    if !data.trim_ascii_start().starts_with(b"{") {
        return Err(StreamError::Malformed);
    }
    let body: Body<'_> = serde_json::from_slice(data).map_err(|_| StreamError::Malformed)?;
    if body.error.is_some_and(|error| error.get() != "null") {
        return Err(StreamError::Refused(failure::classify_event(data)));
    }
    let usage = body.usage_metadata.and_then(usage);
    let is_blocked = body.prompt_feedback.and_then(|feedback| feedback.block_reason).is_some();
    if is_blocked && body.candidates.is_empty() {
        let fault = Fault::provider(Kind::Content);
        return Err(StreamError::GaveUp { fault, reason: "the prompt is blocked", usage });
    }
    let mut piece = Piece {
        id: body.response_id.unwrap_or_default(),
        model: body.model_version.unwrap_or_default(),
        usage,
        ..Piece::default()
    };
    let Some(candidate) = body.candidates.into_iter().find(|candidate| candidate.index == 0) else {
        return Ok(piece);
    };
    for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
        say(part, &mut piece.said)?;
    }
    let reason = candidate.finish_reason.filter(|reason| reason != "FINISH_REASON_UNSPECIFIED");
    piece.finish = reason.as_deref().map(finish).transpose().map_err(|error| error.having_used(usage))?;
    Ok(piece)
}

fn say(part: PartBody<'_>, said: &mut Vec<Said>) -> Result<(), StreamError> {
    let proof = part.thought_signature.map(|signature| Said::Proof(proof::marked(&signature)));
    if let Some(call) = part.function_call {
        said.extend(proof);
        // Without the blanks that Google puts in.
        let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| compact(args.get()));
        said.push(Said::Call { id: call.id.filter(|id| !id.is_empty()), name: call.name, arguments });
        return Ok(());
    }
    // A picture in place of words: no dialect of callers has a place for one.
    if part.inline_data.is_some() {
        return Err(StreamError::Malformed);
    }
    match part.text.filter(|text| !text.is_empty()) {
        Some(text) if part.thought => said.push(Said::Thought(text)),
        Some(text) => said.push(Said::Text(text)),
        None => {}
    }
    said.extend(proof);
    Ok(())
}

/// JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut compact, mut is_text, mut is_escaped) = (String::with_capacity(json.len()), false, false);
    for character in json.chars() {
        if !is_text && character.is_ascii_whitespace() {
            continue;
        }
        is_text ^= character == '"' && !is_escaped;
        is_escaped = is_text && character == '\\' && !is_escaped;
        compact.push(character);
    }
    compact
}

fn finish(reason: &str) -> Result<Finish, StreamError> {
    match reason {
        "STOP" => Ok(Finish::Stop),
        "MAX_TOKENS" => Ok(Finish::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => Ok(Finish::ContentFilter),
        // The conversation came back without what Gemini had put into it: this model can never go on with it.
        "MISSING_THOUGHT_SIGNATURE" => {
            let fault = Fault::caller(Retry::Elsewhere);
            Err(StreamError::GaveUp { fault, reason: "MISSING_THOUGHT_SIGNATURE", usage: None })
        }
        "MALFORMED_FUNCTION_CALL" => Err(StreamError::misspoke("MALFORMED_FUNCTION_CALL", None)),
        "UNEXPECTED_TOOL_CALL" => Err(StreamError::misspoke("UNEXPECTED_TOOL_CALL", None)),
        "TOO_MANY_TOOL_CALLS" => Err(StreamError::misspoke("TOO_MANY_TOOL_CALLS", None)),
        // The model failed (`OTHER`, …), or something of the future: no whole answer.
        _ => Err(StreamError::without_reason(None)),
    }
}

/// Usage that cannot be read is usage not stated; the answer itself is still good.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let body: UsageBody = serde_json::from_str(raw.get()).ok()?;
    let count = |n: u64| TokenCount(u32::try_from(n).unwrap_or(u32::MAX));
    let (tools, thoughts) =
        (body.tool_use_prompt_token_count.unwrap_or(0), body.thoughts_token_count.unwrap_or(0));
    let input = body.prompt_token_count?.saturating_add(tools);
    let output = body.candidates_token_count.unwrap_or(0).saturating_add(thoughts);
    Some(Usage {
        cached_input: count(body.cached_content_token_count.unwrap_or(0)),
        reasoning_output: count(thoughts),
        ..Usage::of(count(input), count(output))
    })
}

/// The id of the `n`th call of an answer where Gemini gave none.
pub(super) fn call_id(answer: &str, n: u32) -> String {
    format!("call_{answer}_{n}")
}

/// Reads an answer that came in one piece.
pub(super) fn whole(body: &[u8]) -> Result<Answer, StreamError> {
    if body.trim_ascii().is_empty() {
        return Err(StreamError::Empty);
    }
    let Piece { id, model, said, finish, usage } = piece(body)?;
    let mut parts: Vec<Part> = Vec::with_capacity(said.len());
    let mut n_calls = 0;
    for said in said {
        match (said, parts.last_mut()) {
            (Said::Text(more), Some(Part::Text(text))) => text.push_str(&more),
            (Said::Text(text), _) => parts.push(Part::Text(text)),
            (Said::Thought(more), Some(Part::Thought { text, proof: None })) => text.push_str(&more),
            (Said::Thought(text), _) => parts.push(Part::Thought { text, proof: None }),
            (Said::Proof(signature), Some(Part::Thought { proof: proof @ None, .. })) => {
                *proof = Some(signature)
            }
            (Said::Proof(signature), _) => {
                parts.push(Part::Thought { text: String::new(), proof: Some(signature) });
            }
            (Said::Call { id: call, name, arguments }, _) => {
                n_calls += 1;
                let id = call.unwrap_or_else(|| call_id(&id, n_calls));
                parts.push(Part::Call { id, name, arguments });
            }
        }
    }
    let came = match n_calls {
        0 if !parts.iter().any(|part| matches!(part, Part::Text(_))) => Came::Nothing,
        0 => Came::Words,
        _ => Came::Calls,
    };
    let finish = ending(finish, came)?;
    Ok(Answer { id, model, parts, ending: Ending { finish, stop: None, usage } })
}

/// What has come of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing that counts; thoughts are no answer.
    #[default]
    Nothing,
    /// Words.
    Words,
    /// Calls, perhaps with words.
    Calls,
}

/// Why an answer ended, if it is one.
pub(super) fn ending(finish: Option<Finish>, came: Came) -> Result<Finish, StreamError> {
    match (finish, came) {
        (Some(Finish::Stop), Came::Calls) => Ok(Finish::ToolUse),
        // A model that stops by itself before its first word has not answered.
        (Some(Finish::Stop) | None, Came::Nothing) => Err(StreamError::Empty),
        (Some(finish), _) => Ok(finish),
        (None, _) => Err(StreamError::Cut),
    }
}
