//! Questions by what they mean: the earlier ones that a new one is like.

use std::collections::VecDeque;

use parking_lot::RwLock;

use crate::form::Form;
use crate::key::Key;

/// A question, as far as it is compared with others. Its text is not in it.
#[derive(Debug, Clone)]
pub struct Question {
    /// Of everything beside the question that its answer depends on: only within it are questions compared.
    pub within: Key,
    /// Its vector, of length 1.
    pub vector: Box<[f32]>,
    /// What tells it apart from questions that look like it.
    pub form: Form,
    /// The least cosine of two that are alike.
    pub likeness_min: f32,
}

impl Question {
    /// The cosine between the two.
    #[must_use]
    pub fn likeness(&self, other: &Self) -> f32 {
        if self.vector.len() != other.vector.len() {
            return 0.0;
        }
        self.vector.iter().zip(&other.vector).map(|(one, two)| one * two).sum()
    }

    /// Whether the answer to `other` may do for this one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.within == other.within
            && self.form.is_same(&other.form)
            && self.likeness(other) >= self.likeness_min
    }
}

/// The latest questions that have answers, oldest first. All are looked at: 2,000 of them take a fraction of a
/// millisecond.
#[derive(Debug)]
pub(crate) struct Alike {
    questions: RwLock<VecDeque<(Key, Question)>>,
    questions_max: usize,
}

/// Most questions whose answers are looked at.
const FOUND_MAX: usize = 4;

impl Alike {
    pub(crate) fn new(questions_max: usize) -> Self {
        Self { questions: RwLock::default(), questions_max }
    }

    /// The keys of the answers to questions that `question` is like, the most like first.
    pub(crate) fn find(&self, question: &Question) -> Vec<Key> {
        let questions = self.questions.read();
        let alike = questions.iter().filter(|(_, other)| question.is_like(other));
        let mut found: Vec<(f32, Key)> = alike.map(|(key, other)| (question.likeness(other), *key)).collect();
        drop(questions);
        found.sort_by(|one, two| two.0.total_cmp(&one.0));
        found.into_iter().take(FOUND_MAX).map(|(_, key)| key).collect()
    }

    pub(crate) fn put(&self, key: Key, question: Question) {
        let mut questions = self.questions.write();
        questions.retain(|(other, _)| *other != key);
        while questions.len() >= self.questions_max {
            questions.pop_front();
        }
        questions.push_back((key, question));
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.questions.write().retain(|(other, _)| other != key);
    }
}
