//! Turning texts into vectors, in the words of no dialect: what embeddings are translated through.

use crate::token::{TokenCount, Usage};

/// Texts whose vectors are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// One at least, none empty.
    pub texts: Vec<String>,
    /// How long the vectors shall be; `None` leaves it to the model.
    pub dimensions: Option<u32>,
    /// What the vectors are for; `None` leaves it to the model.
    pub purpose: Option<Purpose>,
}

/// What vectors are for: some models make other ones for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be found by queries.
    Document,
    /// To find documents.
    Query,
    /// To be put into classes.
    Classification,
    /// To be put into groups.
    Clustering,
}

/// The vectors of a [`Request`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    /// One for each text, in their order, all of the same length.
    pub vectors: Vec<Vec<f32>>,
    /// What it used; `None` when the provider did not say.
    pub usage: Option<Usage>,
}

impl Vectors {
    /// `vectors` of `n_texts`, for which so many tokens were read; `None` when they are not one for each text, all of
    /// the same length and of numbers.
    #[must_use]
    pub fn checked(vectors: Vec<Vec<f32>>, n_texts: usize, input_tokens: Option<u32>) -> Option<Self> {
        let are_numbers = vectors.iter().flatten().all(|number| number.is_finite());
        let usage = input_tokens.map(|tokens| Usage::of(TokenCount(tokens), TokenCount(0)));
        let made = Self { vectors, usage };
        (made.vectors.len() == n_texts && are_numbers && made.are_alike()).then_some(made)
    }

    /// Whether there are any, all of the same length, which is not zero.
    #[must_use]
    pub fn are_alike(&self) -> bool {
        let length = self.vectors.first().map_or(0, Vec::len);
        length > 0 && self.vectors.iter().all(|vector| vector.len() == length)
    }

    /// Adds those of the texts that follow. What they used is known only as long as each part said it.
    pub fn append(&mut self, mut more: Self) {
        self.usage = match (self.usage, more.usage) {
            (Some(usage), Some(used)) => Some(usage.plus(used)),
            _ => None,
        };
        self.vectors.append(&mut more.vectors);
    }
}
