//! `retrieve`: finds the passages an answer may rest on.

use domain::agent::Agent;
use domain::chat::Role;
use domain::document::{Passage, Retrieved, Search};
use domain::session::Session;

use crate::parts::Parts;
use crate::trace::Word;
use crate::turn::Turn;

/// What was found.
#[derive(Debug)]
pub(crate) enum Retrieval {
    /// The agent answers from no collection.
    NotAsked,
    /// Passages, and whether they are good enough.
    Found(Retrieved),
    /// The search failed: nothing may be claimed.
    Failed,
}

/// How sure it is that the passages hold the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// Nearer to certain than to abstaining.
    Sure,
    /// Above abstaining.
    Likely,
}

impl Retrieval {
    /// How sure it is that the passages hold the answer.
    pub(crate) fn certainty(&self) -> Certainty {
        match self {
            Self::Found(found) if found.is_sure() => Certainty::Sure,
            _ => Certainty::Likely,
        }
    }

    /// The passages when they are good enough to answer from; else none.
    pub(crate) fn passages(&self) -> &[Passage] {
        match self {
            Self::Found(found) if found.is_answerable() => &found.passages,
            Self::NotAsked | Self::Found(_) | Self::Failed => &[],
        }
    }
}

impl Word for Retrieval {
    fn word(&self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Found(found) if found.is_answerable() => "answerable",
            Self::Found(_) => "below_abstain",
            Self::Failed => "failed",
        }
    }
}

/// Passages put in front of the model: prompt tokens are the price of an answer.
const PASSAGES_MAX: usize = 2;
/// Tokens of each.
const PASSAGE_TOKENS_MAX: usize = 110;

/// What is looked for, and for whom.
pub(crate) struct Wanted<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) agent: &'a Agent,
    pub(crate) question: &'a str,
    pub(crate) earlier: &'a [&'a str],
}

pub(crate) async fn run(parts: &Parts, wanted: Wanted<'_>) -> Retrieval {
    let Wanted { turn, agent, question, earlier } = wanted;
    if agent.knowledge.is_empty() {
        return Retrieval::NotAsked;
    }
    let query = match earlier.last() {
        Some(before) => format!("{before} {question}"),
        None => question.to_owned(),
    };
    let search = Search {
        collections: agent.knowledge.clone(),
        query,
        limit: PASSAGES_MAX,
        passage_tokens: PASSAGE_TOKENS_MAX,
    };
    match parts.before(turn.models_due(), parts.retriever.search(search)).await {
        Some(Ok(found)) => Retrieval::Found(found),
        Some(Err(error)) => {
            tracing::error!(interaction.id = %turn.interaction, %error, "could not search the knowledge");
            Retrieval::Failed
        }
        None => {
            tracing::error!(interaction.id = %turn.interaction, "the search did not end in time");
            Retrieval::Failed
        }
    }
}

/// Content words from which a question stands on its own.
const OWN_CONTENT_WORDS: usize = 3;

/// The person's earlier questions that `question` refers to: the last one, when `question` is too short
/// to stand alone ("and for joint accounts?").
pub(crate) fn earlier_questions<'a>(session: Option<&'a Session>, question: &str) -> Vec<&'a str> {
    let refers_back = language::content_words(question).len() < OWN_CONTENT_WORDS;
    session
        .filter(|_| refers_back)
        .and_then(|session| session.recent.iter().rev().find(|message| message.role == Role::User))
        .map(|message| message.text.as_str())
        .into_iter()
        .collect()
}
