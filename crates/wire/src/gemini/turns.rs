//! The turns of a conversation as contents and their parts.

use std::borrow::Cow;
use std::collections::HashMap;

use domain::conversation::{Media, Part, Speaker, Turn};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Generation, proof};
use crate::media;
use crate::translation::Untranslatable;

#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) parts: Vec<PartBody<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

impl<'a> PartBody<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    fn signature(signature: &'a str) -> Self {
        Self { thought_signature: Some(signature), ..Self::text("") }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    file_uri: Cow<'a, str>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    response: Response,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartBody<'a>>,
}

/// The names by which Gemini knows what a function gave. Its text stays text: as JSON, its large numbers would lose
/// their last digits.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    Output(String),
    Error(String),
}

/// What Google says to send for the first call of a turn that Gemini did not make, as no signature is there for it
/// (ai.google.dev/gemini-api/docs/thought-signatures).
const UNSIGNED: &str = "skip_thought_signature_validator";

/// The arguments of a call that has none.
const NO_ARGUMENTS: &str = "{}";

pub(super) fn contents(turns: &[Turn], generation: Generation) -> Result<Vec<Content<'_>>, Untranslatable> {
    let mut reader = Reader { generation, names: HashMap::new() };
    let mut contents: Vec<Content<'_>> = Vec::with_capacity(turns.len());
    let mut only_results_before = false;
    for (index, turn) in turns.iter().enumerate() {
        let place = |what: &str| format!("messages[{index}]: {what}");
        let (role, parts) = match turn.by {
            Speaker::System => {
                let reason = "instructions stand before the conversation here";
                return Err(Untranslatable::new(place("a system message"), reason));
            }
            Speaker::User => ("user", reader.user(&turn.parts, &place)?),
            Speaker::Assistant => ("model", reader.model(&turn.parts, &place)?),
        };
        if parts.is_empty() {
            continue;
        }
        let only_results =
            turn.by == Speaker::User && parts.iter().all(|part| part.function_response.is_some());
        // The results of parallel calls belong into one content.
        match contents.last_mut() {
            Some(last) if only_results && only_results_before => last.parts.extend(parts),
            _ => contents.push(Content { role: Some(role), parts }),
        }
        only_results_before = only_results;
    }
    Ok(contents)
}

/// What is known of the turns so far.
struct Reader<'a> {
    generation: Generation,
    /// The tool that a call names, by the call's id.
    names: HashMap<&'a str, &'a str>,
}

impl<'a> Reader<'a> {
    fn user(
        &self,
        parts: &'a [Part],
        place: &dyn Fn(&str) -> String,
    ) -> Result<Vec<PartBody<'a>>, Untranslatable> {
        let mut bodies = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Result { id, parts, is_error } => {
                    bodies.push(self.result(Outcome { id, parts, is_error: *is_error }, place)?);
                }
                Part::Call { .. } | Part::Thought { .. } | Part::SealedThought(_) | Part::Refusal(_) => {
                    return Err(Untranslatable::new(place("a part"), "only the model says this"));
                }
                _ => bodies.extend(shown(part, place)?),
            }
        }
        Ok(bodies)
    }

    fn model(
        &mut self,
        parts: &'a [Part],
        place: &dyn Fn(&str) -> String,
    ) -> Result<Vec<PartBody<'a>>, Untranslatable> {
        let mut bodies: Vec<PartBody<'a>> = Vec::with_capacity(parts.len());
        // A signature that came with a call stands before it, or before all words where a dialect has no place but that.
        let mut signature = None;
        let mut is_first_call = true;
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Thought { text, proof } => {
                    bodies.extend(signature.take().map(PartBody::signature));
                    let own = proof.as_deref().and_then(proof::own);
                    let is_before = matches!(parts.get(index + 1), Some(Part::Call { .. } | Part::Text(_)));
                    signature = own.filter(|_| is_before);
                    let rest = own.filter(|_| !is_before);
                    if !text.is_empty() || rest.is_some() {
                        let thought = (!text.is_empty()).then_some(true);
                        bodies.push(PartBody { thought, thought_signature: rest, ..PartBody::text(text) });
                    }
                }
                Part::Call { id, name, arguments } => {
                    self.names.insert(id, name);
                    let unsigned = is_first_call && self.generation == Generation::Third;
                    let thought_signature = signature.take().or_else(|| unsigned.then_some(UNSIGNED));
                    is_first_call = false;
                    let args = object(arguments).ok_or_else(|| {
                        Untranslatable::new(place("the arguments of a call"), "a JSON object here")
                    })?;
                    let function_call = Some(FunctionCall { id, name, args });
                    bodies.push(PartBody { function_call, thought_signature, ..PartBody::default() });
                }
                // Only its own provider can read it, and needs it; to others it says nothing.
                Part::SealedThought(_) => {}
                Part::Refusal(text) => bodies.push(PartBody::text(text)),
                Part::Result { .. } => {
                    return Err(Untranslatable::new(place("a result"), "the model has none"));
                }
                _ => bodies.extend(shown(part, place)?),
            }
        }
        // Else it is that of the words, and stands after them.
        bodies.extend(signature.map(PartBody::signature));
        Ok(bodies)
    }

    fn result(
        &self,
        outcome: Outcome<'a>,
        place: &dyn Fn(&str) -> String,
    ) -> Result<PartBody<'a>, Untranslatable> {
        let Outcome { id, parts, is_error } = outcome;
        let name = self.names.get(id.as_str()).copied();
        let name =
            name.ok_or_else(|| Untranslatable::new(place("a result"), "no call before it has its id"))?;
        let (mut texts, mut media) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(text) => texts.push(text.as_str()),
                Part::CachePoint(_) => {}
                _ if self.generation == Generation::Second => {
                    let reason = "only text is read here; Gemini 3 and later read images, too";
                    return Err(Untranslatable::new(place("a result"), reason));
                }
                _ => media.extend(shown(part, place)?),
            }
        }
        let text = texts.join("\n");
        let response = if is_error { Response::Error(text) } else { Response::Output(text) };
        let function_response = Some(FunctionResponse { id, name, response, parts: media });
        Ok(PartBody { function_response, ..PartBody::default() })
    }
}

/// What a call gave.
struct Outcome<'a> {
    id: &'a String,
    parts: &'a [Part],
    is_error: bool,
}

/// A part that any side may show; none for what says nothing.
fn shown<'a>(part: &'a Part, place: &dyn Fn(&str) -> String) -> Result<Option<PartBody<'a>>, Untranslatable> {
    let (media, fallback) = match part {
        Part::Text(text) => return Ok((!text.is_empty()).then(|| PartBody::text(text))),
        Part::Image { media, .. } => (media, None),
        Part::Document { media, .. } => (media, Some("application/pdf")),
        Part::Audio(media) => (media, None),
        Part::CachePoint(_) => return Ok(None),
        _ => return Err(Untranslatable::new(place("a part"), "cannot stand here")),
    };
    Ok(Some(match media {
        Media::Inline { kind, base64 } => {
            let inline_data = Some(Blob { mime_type: media::kind(kind), data: base64 });
            PartBody { inline_data, ..PartBody::default() }
        }
        Media::Url(url) => {
            let mime_type = kind_of(url).or(fallback);
            let file_data = Some(File { mime_type, file_uri: Cow::Borrowed(url) });
            PartBody { file_data, ..PartBody::default() }
        }
        Media::Stored(id) if id.starts_with("files/") => {
            let file_uri = Cow::Owned(format!("https://generativelanguage.googleapis.com/v1beta/{id}"));
            PartBody { file_data: Some(File { mime_type: fallback, file_uri }), ..PartBody::default() }
        }
        Media::Stored(_) => {
            return Err(Untranslatable::new(place("a stored file"), "it is at another provider"));
        }
    }))
}

/// The kind of what is at `url`, as far as its ending tells.
fn kind_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        _ => return None,
    })
}

fn object(arguments: &str) -> Option<&RawValue> {
    let text = if arguments.trim().is_empty() { NO_ARGUMENTS } else { arguments };
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    raw.get().starts_with('{').then_some(raw)
}
