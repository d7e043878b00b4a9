//! What a collection is searched with from one swap to the next: immutable, and complete for one kind of
//! search or both.

use std::collections::HashMap;
use std::sync::Arc;

use domain::document::{Retrieved, Search};
use domain::id::ContentHash;

use crate::calibration::{Asked, Judge};
use crate::corpus::{Corpus, Dense};
use crate::dense::LengthError;
use crate::hash;
use crate::passage::{Room, passages};
use crate::precedent::Precedents;
use crate::question::Questions;
use crate::words::WordsError;

/// An index of a collection.
pub(crate) struct Generation {
    pub(crate) corpus: Arc<Corpus>,
    pub(crate) questions: Arc<Questions>,
    /// The embedder whose tokens the chunks were measured with; `None` when they were estimated.
    pub(crate) measured_by: Option<ContentHash>,
    by_words: Arc<Judge>,
    hybrid: Option<Hybrid>,
}

/// What vectors add.
struct Hybrid {
    model: ContentHash,
    dense: Dense,
    judge: Judge,
}

/// Vectors by the hash of what was embedded.
pub(crate) struct Vectors {
    pub(crate) model: ContentHash,
    pub(crate) by_hash: HashMap<ContentHash, Vec<f32>>,
}

/// A generation could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Words(#[from] WordsError),
    #[error(transparent)]
    Lengths(#[from] LengthError),
}

impl Generation {
    /// Searches by words alone.
    pub(crate) fn of_words(
        corpus: Corpus,
        questions: Arc<Questions>,
        measured_by: Option<ContentHash>,
    ) -> Result<Self, BuildError> {
        let by_words = Judge::learn(&corpus, None, &asked(&questions, &HashMap::new()))?;
        Ok(Self {
            corpus: Arc::new(corpus),
            questions,
            measured_by,
            by_words: Arc::new(by_words),
            hybrid: None,
        })
    }

    /// The same by words and `vectors`; `None` when one is missing.
    pub(crate) fn with_vectors(&self, vectors: &Vectors) -> Result<Option<Self>, BuildError> {
        let asked = asked(&self.questions, &vectors.by_hash);
        let Some(mut dense) = self.corpus.dense(&vectors.by_hash)? else { return Ok(None) };
        let precedents: Option<Vec<_>> = self
            .questions
            .precedents()
            .map(|question| Some((question, vectors.by_hash.get(&question_hash(&question.text))?.as_slice())))
            .collect();
        let Some(precedents) = precedents else { return Ok(None) };
        if asked.iter().any(|asked| asked.vector.is_none()) {
            return Ok(None);
        }
        dense.precedents = Precedents::build(&self.corpus, &dense, &precedents)?;
        let judge = Judge::learn(&self.corpus, Some(&dense), &asked)?;
        Ok(Some(Self {
            corpus: self.corpus.clone(),
            questions: self.questions.clone(),
            measured_by: self.measured_by.clone(),
            by_words: self.by_words.clone(),
            hybrid: Some(Hybrid { model: vectors.model.clone(), dense, judge }),
        }))
    }

    /// All that must be embedded for a hybrid search, each once: chunks, sentences and labelled questions.
    pub(crate) fn embeddables(&self) -> Vec<(ContentHash, String)> {
        let mut embeddables = self.corpus.embeddables();
        let questions = self.questions.iter().map(|one| (question_hash(&one.text), one.text.clone()));
        embeddables.extend(questions);
        embeddables.sort_by(|(left, _), (right, _)| left.cmp(right));
        embeddables.dedup_by(|(left, _), (right, _)| left == right);
        embeddables
    }

    /// The model of the vectors; `None` when it searches by words alone.
    pub(crate) fn model(&self) -> Option<&ContentHash> {
        self.hybrid.as_ref().map(|hybrid| &hybrid.model)
    }

    pub(crate) fn dense(&self) -> Option<&Dense> {
        self.hybrid.as_ref().map(|hybrid| &hybrid.dense)
    }

    /// Finds passages; by words alone without a `vector` of the query.
    pub(crate) fn search(&self, search: &Search, vector: Option<Vec<f32>>) -> Result<Retrieved, WordsError> {
        let hybrid = self.hybrid.as_ref().filter(|_| vector.is_some());
        let query = self.corpus.query(&search.query, vector)?;
        let evidence = self.corpus.search(hybrid.map(|hybrid| &hybrid.dense), &query)?;
        let judge = hybrid.map_or(&*self.by_words, |hybrid| &hybrid.judge);
        let room = Room { passages: search.limit, tokens: search.passage_tokens };
        Ok(Retrieved {
            passages: passages(&self.corpus, &query, &evidence, room),
            confidence: judge.confidence(&self.corpus, &query, &evidence) as f32,
            abstain_below: judge.abstain_below() as f32,
        })
    }
}

/// The calibration questions, with the vectors that there are.
pub(crate) fn asked(questions: &Questions, vectors: &HashMap<ContentHash, Vec<f32>>) -> Vec<Asked> {
    let mut n_precedents = 0..;
    let asked = questions.calibration.iter().map(|question| Asked {
        question: question.clone(),
        vector: vectors.get(&question_hash(&question.text)).cloned(),
        precedent: question.document.as_ref().and_then(|_| n_precedents.next()),
    });
    asked.collect()
}

fn question_hash(text: &str) -> ContentHash {
    hash(text.as_bytes())
}
