//! Vectors for what has none yet, batch by batch, while words alone do the search.

use std::sync::Arc;

use domain::id::{CollectionName, ContentHash};
use domain::ports::{EmbedError, Embedder};

use super::{Library, LoadError};
use crate::generation::Generation;

/// Texts embedded in one call: what is lost when the server stops in the middle.
const BATCH_TEXTS: usize = 32;

/// How far embedding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Texts that have vectors.
    pub done: usize,
    /// All texts.
    pub total: usize,
}

/// How the embedding of a collection ended.
#[derive(PartialEq, Eq)]
enum Embedded {
    /// It has all its vectors.
    Whole,
    /// It was loaded anew meanwhile.
    Overtaken,
}

impl Library {
    /// Embeds what has no vector yet, in all collections, telling `progress` after every batch. When it
    /// returns, all collections are searched by words and vectors. Does nothing without an embedder.
    /// Cancel-safe: finished batches are kept.
    ///
    /// # Errors
    /// [`LoadError`] when the embedder or the store fails; searching goes on by words.
    pub async fn embed(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<(), LoadError> {
        let Some(embedder) = self.embedder() else { return Ok(()) };
        let collections: Vec<CollectionName> = self.current.load().keys().cloned().collect();
        for collection in collections {
            // Once more for each time that the collection was loaded anew meanwhile; vectors are kept.
            while self.embed_one(&collection, &embedder, progress).await? == Embedded::Overtaken {}
        }
        Ok(())
    }

    async fn embed_one(
        &self,
        collection: &CollectionName,
        embedder: &Arc<dyn Embedder>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Embedded, LoadError> {
        let Some(generation) = self.measured(collection, embedder).await? else {
            return Ok(Embedded::Whole);
        };
        let needed = generation.embeddables();
        let mut vectors = self.known(collection, embedder.model(), &needed).await?;
        let missing: Vec<&(ContentHash, String)> =
            needed.iter().filter(|(hash, _)| !vectors.by_hash.contains_key(hash)).collect();
        let total = needed.len();
        progress(Progress { done: vectors.by_hash.len(), total });
        for batch in missing.chunks(BATCH_TEXTS) {
            vectors.by_hash.extend(self.embedded(collection, embedder, batch).await?);
            progress(Progress { done: vectors.by_hash.len(), total });
        }
        let whole = self.with_vectors(collection, generation.clone(), vectors).await?;
        let _turn = self.turn().await;
        let is_current =
            self.current.load().get(collection).is_some_and(|current| Arc::ptr_eq(current, &generation));
        if !is_current {
            return Ok(Embedded::Overtaken);
        }
        self.swap(collection, whole);
        Ok(Embedded::Whole)
    }

    /// The current generation when it has no vectors of `embedder`, with chunks measured by it: they are cut
    /// anew if they were estimated.
    async fn measured(
        &self,
        collection: &CollectionName,
        embedder: &Arc<dyn Embedder>,
    ) -> Result<Option<Arc<Generation>>, LoadError> {
        let _turn = self.turn().await;
        let current = self.current.load().get(collection).cloned();
        let Some(generation) = current.filter(|current| current.model() != Some(embedder.model())) else {
            return Ok(None);
        };
        if generation.measured_by.as_ref() == Some(embedder.model()) {
            return Ok(Some(generation));
        }
        let documents = generation.corpus.documents.clone();
        let (generation, _) = self.built(collection, documents, generation.questions.clone()).await?;
        self.swap(collection, generation.clone());
        Ok(Some(generation))
    }

    /// Embeds one batch and keeps its vectors.
    async fn embedded(
        &self,
        collection: &CollectionName,
        embedder: &Arc<dyn Embedder>,
        batch: &[&(ContentHash, String)],
    ) -> Result<Vec<(ContentHash, Vec<f32>)>, LoadError> {
        let texts: Vec<String> = batch.iter().map(|(_, text)| text.clone()).collect();
        let n_texts = texts.len();
        let embed_error = |source| LoadError::Embed { collection: collection.clone(), source };
        let vectors = embedder.embed(texts).await.map_err(embed_error)?;
        if vectors.len() != n_texts {
            let detail = format!("{n_texts} texts gave {} vectors", vectors.len());
            return Err(embed_error(EmbedError(detail)));
        }
        let made: Vec<(ContentHash, Vec<f32>)> =
            batch.iter().zip(vectors).map(|((hash, _), vector)| (hash.clone(), vector)).collect();
        let kept = self.store.put_vectors(embedder.model(), made.clone()).await;
        kept.map_err(|source| LoadError::Store { collection: collection.clone(), source })?;
        Ok(made)
    }
}
