//! A question asked of several collections at once.

use std::sync::Arc;

use domain::document::{Passage, Retrieved, Search};
use domain::id::ContentHash;
use domain::ports::{BoxFuture, Retriever, SearchError};
use tokio::task::spawn_blocking;

use super::Library;
use crate::generation::Generation;

impl Retriever for Library {
    fn search(&self, search: Search) -> BoxFuture<'_, Result<Retrieved, SearchError>> {
        Box::pin(self.found(search))
    }
}

impl Library {
    /// The vector of a query, if one of the generations can use it. Without one, words do the search.
    async fn query_vector(
        &self,
        generations: &[Arc<Generation>],
        query: &str,
    ) -> Option<(ContentHash, Vec<f32>)> {
        let embedder = self.embedder()?;
        if !generations.iter().any(|generation| generation.model() == Some(embedder.model())) {
            return None;
        }
        match embedder.embed(vec![query.to_owned()]).await {
            Ok(mut vectors) => vectors.pop().map(|vector| (embedder.model().clone(), vector)),
            Err(error) => {
                tracing::warn!(%error, "a question could not be embedded, searching by words alone");
                None
            }
        }
    }

    async fn found(&self, search: Search) -> Result<Retrieved, SearchError> {
        let current = self.current.load_full();
        let generations = search
            .collections
            .iter()
            .map(|name| {
                current
                    .get(name)
                    .cloned()
                    .ok_or_else(|| SearchError(format!("there is no collection `{name}`")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let vector = self.query_vector(&generations, &search.query).await;
        let searched = spawn_blocking(move || {
            let found = generations.iter().map(|generation| {
                let usable = vector.as_ref().filter(|(model, _)| generation.model() == Some(model));
                generation.search(&search, usable.map(|(_, vector)| vector.clone()))
            });
            found.collect::<Result<Vec<Retrieved>, _>>().map(|found| merged(found, search.limit))
        });
        match searched.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(SearchError(error.to_string())),
            Err(error) => Err(SearchError(format!("the search did not end: {error}"))),
        }
    }
}

/// The passages of the collections that can answer (of all, when none can), best first, with the judgement
/// of the collection that is surest beyond its threshold.
fn merged(found: Vec<Retrieved>, limit: usize) -> Retrieved {
    let surplus = |one: &Retrieved| one.confidence - one.abstain_below;
    let Some(surest) = found.iter().max_by(|left, right| surplus(left).total_cmp(&surplus(right))) else {
        return Retrieved::default();
    };
    let (confidence, abstain_below) = (surest.confidence, surest.abstain_below);
    let is_any = found.iter().any(Retrieved::is_answerable);
    let mut passages: Vec<Passage> =
        found.into_iter().filter(|one| !is_any || one.is_answerable()).flat_map(|one| one.passages).collect();
    passages.sort_by(|left, right| right.score.total_cmp(&left.score));
    passages.truncate(limit);
    Retrieved { passages, confidence, abstain_below }
}
