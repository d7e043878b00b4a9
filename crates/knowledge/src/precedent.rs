//! Questions that were asked before, with the chunk that answers each. Customers' words are often nearer to other
//! customers' words than to the text that answers them, so a chunk is also found by what it was asked (as
//! doc2query expands documents by questions: Nogueira et al., arXiv 1904.08375; here the vectors are compared).

use crate::corpus::{Corpus, Dense};
use crate::dense::{LengthError, VectorIndex};
use crate::question::Question;

/// Questions and the chunks that answer them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Precedents {
    vectors: VectorIndex,
    /// The chunk of each; `None` when its place holds no text.
    chunks: Vec<Option<usize>>,
}

impl Precedents {
    /// Of questions with their vectors. Each belongs to the chunk of its document, and of its section where that
    /// is known, that is nearest to it.
    pub(crate) fn build(
        corpus: &Corpus,
        dense: &Dense,
        asked: &[(&Question, &[f32])],
    ) -> Result<Self, LengthError> {
        let chunk = |(question, vector): &(&Question, &[f32])| {
            let is_its = |chunk: &usize| {
                let chunk = &corpus.chunks[*chunk];
                question.document.as_ref() == Some(&corpus.documents[chunk.document].id)
                    && question.section.as_ref().is_none_or(|section| *section == chunk.heading)
            };
            let nearness = |chunk: &usize| corpus.nearness(dense, *chunk, vector);
            (0..corpus.chunks.len())
                .filter(is_its)
                .max_by(|left, right| nearness(left).total_cmp(&nearness(right)))
        };
        Ok(Self {
            vectors: VectorIndex::build(asked.iter().map(|(_, vector)| *vector))?,
            chunks: asked.iter().map(chunk).collect(),
        })
    }

    /// For each of `n_chunks` chunks the cosine of `query` with the nearest question that it was asked, 0 for
    /// none. The question at `unseen` is left out. Empty without questions.
    pub(crate) fn nearest(&self, query: &[f32], unseen: Option<usize>, n_chunks: usize) -> Vec<f32> {
        let cosines = self.vectors.cosines(query);
        if cosines.is_empty() {
            return Vec::new();
        }
        let mut nearest = vec![0.0_f32; n_chunks];
        for (at, (cosine, chunk)) in cosines.into_iter().zip(&self.chunks).enumerate() {
            if let Some(chunk) = chunk
                && Some(at) != unseen
            {
                nearest[*chunk] = nearest[*chunk].max(cosine);
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_as_near_as_the_nearest_question_that_it_was_asked() {
        let rows: [&[f32]; 4] = [&[1.0, 0.0], &[0.6, 0.8], &[0.0, 1.0], &[0.8, 0.6]];
        let precedents = Precedents {
            vectors: VectorIndex::build(rows.into_iter()).unwrap(),
            chunks: vec![Some(0), Some(0), Some(2), None],
        };
        let query = [0.8, 0.6];
        for (unseen, want) in [
            (None, [0.96, 0.0, 0.6]),
            (Some(1), [0.8, 0.0, 0.6]), // the question itself teaches nothing
            (Some(3), [0.96, 0.0, 0.6]),
        ] {
            let found = precedents.nearest(&query, unseen, 3);
            assert!(found.iter().zip(want).all(|(one, want)| (one - want).abs() < 1e-6), "{found:?}");
        }
        assert!(Precedents::default().nearest(&query, None, 3).is_empty());
    }
}
