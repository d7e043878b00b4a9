//! Thoughts in chat completions. OpenAI has no field for them; `reasoning_content` (DeepSeek's and most servers') holds
//! their words, and `reasoning_details` (OpenRouter's, openrouter.ai/docs, read 2026-11) also their proof, which some
//! providers want back when tools are called.

use domain::conversation::{Block, Delta, Event, Part};
use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;

/// An entry of `reasoning_details`, or what a frame of a stream adds to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    #[serde(rename = "type", default)]
    kind: String,
    /// Which entry a frame adds to: OpenAI's SDK merges lists by it, and breaks where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What other providers' models tell in place of their thoughts.
    #[serde(default, skip_serializing)]
    summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Detail {
    pub(super) fn text(text: Option<String>, signature: Option<String>) -> Self {
        let kind = "reasoning.text".to_owned();
        Self { kind, index: None, text, summary: None, signature, data: None }
    }

    pub(super) fn sealed(data: &str) -> Self {
        let data = Some(data.to_owned());
        Self { kind: "reasoning.encrypted".to_owned(), data, ..Self::text(None, None) }
    }

    /// The same as what a frame adds to the entry `index`.
    pub(super) fn at(self, index: u64) -> Self {
        Self { index: Some(index), ..self }
    }

    /// Its words, and its proof.
    fn said(self) -> (String, String) {
        (self.text.or(self.summary).unwrap_or_default(), self.signature.unwrap_or_default())
    }

    fn has_words(&self) -> bool {
        self.text.as_ref().or(self.summary.as_ref()).is_some_and(|words| !words.is_empty())
    }

    /// Adds `more` if that is a further piece of this entry.
    fn merge(&mut self, more: &Self) -> bool {
        let is_same = self.index.is_some() && self.index == more.index && self.kind == more.kind;
        if is_same {
            let pieces = [
                (&mut self.text, &more.text),
                (&mut self.summary, &more.summary),
                (&mut self.signature, &more.signature),
                (&mut self.data, &more.data),
            ];
            for (whole, piece) in pieces {
                if let Some(piece) = piece {
                    whole.get_or_insert_default().push_str(piece);
                }
            }
        }
        is_same
    }
}

/// The thoughts of a message: of its details when there are any, else of its plain words.
pub(super) fn read(content: Option<String>, details: Vec<Detail>) -> Vec<Part> {
    if details.is_empty() {
        let plain = content.filter(|text| !text.is_empty());
        return plain.map(|text| Part::Thought { text, proof: None }).into_iter().collect();
    }
    let mut whole: Vec<Detail> = Vec::with_capacity(details.len());
    for detail in details {
        // Callers that know nothing of `index` send a stream's entries back as the pieces that they came in.
        if !whole.last_mut().is_some_and(|last| last.merge(&detail)) {
            whole.push(detail);
        }
    }
    whole
        .into_iter()
        .filter_map(|detail| match detail {
            Detail { data: Some(data), .. } => Some(Part::SealedThought(data)),
            Detail { text: None, summary: None, signature: None, .. } => None,
            detail => {
                let (text, proof) = detail.said();
                Some(Part::Thought { text, proof: Some(proof).filter(|proof| !proof.is_empty()) })
            }
        })
        .collect()
}

/// The fields of a message that holds `parts`: words, details.
pub(super) fn write(parts: &[Part]) -> (Option<String>, Vec<Detail>) {
    let mut words = String::new();
    let mut details = Vec::new();
    for part in parts {
        match part {
            Part::Thought { text, proof } => {
                words.push_str(text);
                details.push(Detail::text(Some(text.clone()), proof.clone()));
            }
            Part::SealedThought(data) => details.push(Detail::sealed(data)),
            _ => {}
        }
    }
    let has_proof = details.iter().any(|detail| detail.signature.is_some() || detail.data.is_some());
    let words = Some(words).filter(|words| !words.is_empty());
    (words, if has_proof { details } else { Vec::new() })
}

/// Tells one thought of a stream from the next.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    /// The provider's number of the open one.
    index: Option<u64>,
    /// Whether its proof has come.
    is_proven: bool,
}

impl Thoughts {
    /// What a frame adds: `words` of the plain field, and `details`.
    pub(super) fn add(
        &mut self,
        (words, details): (String, Vec<Detail>),
        blocks: &mut Blocks,
        events: &mut Vec<Event>,
    ) {
        // Who tells words in both fields tells the same ones.
        if !details.iter().any(Detail::has_words) {
            self.words(words, blocks, events);
        }
        for mut detail in details {
            let is_next = match (self.index, detail.index) {
                (Some(open), Some(index)) => open != index,
                // Without a number, what follows a proof is another thought's.
                (_, None) => self.is_proven,
                (None, Some(_)) => false,
            };
            if is_next {
                self.close(blocks, events);
            }
            if let Some(data) = detail.data.take() {
                self.close(blocks, events);
                blocks.open(Block::SealedThought(data), events);
                blocks.close(events);
                continue;
            }
            let index = detail.index;
            let (words, proof) = detail.said();
            self.words(words, blocks, events);
            self.index = index;
            self.is_proven |= !proof.is_empty();
            blocks.add(Block::Thought, Delta::Proof(proof), events);
        }
    }

    /// Words; after a proof they are another thought's.
    fn words(&mut self, words: String, blocks: &mut Blocks, events: &mut Vec<Event>) {
        if self.is_proven && !words.is_empty() {
            self.close(blocks, events);
        }
        blocks.add(Block::Thought, Delta::Text(words), events);
    }

    fn close(&mut self, blocks: &mut Blocks, events: &mut Vec<Event>) {
        *self = Self::default();
        if blocks.current() == Some(&Block::Thought) {
            blocks.close(events);
        }
    }
}
