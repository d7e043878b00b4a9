//! The part that serves: it loads collections, keeps one current generation of each and searches them.
//!
//! Reading order: this file (loading), `embedding` (the vectors that are missing), `searching`.

mod embedding;
mod searching;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::document::{Chunk, Document};
use domain::id::{CollectionName, ContentHash};
use domain::ports::{EmbedError, Embedder, PassageStore, StoreError};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::chunk::{Measure, chunks};
use crate::corpus::Corpus;
use crate::evaluation::{Evaluation, evaluate};
use crate::extract::{ExtractError, FileKind, SourceFile, extract};
use crate::generation::{Generation, Vectors, asked};
use crate::question::{Questions, calibration, headings, of_sections};

pub use embedding::Progress;

/// A collection could not be loaded or embedded. What was served before is still served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be taken in.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// Two files make the same document.
    #[error("`{0}` and `{1}` are the same document")]
    Twice(String, String),
    /// The store did not take or give passages.
    #[error("could not keep or read the passages of `{collection}`")]
    Store {
        /// The collection.
        collection: CollectionName,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The embedder failed.
    #[error("could not embed the passages of `{collection}`")]
    Embed {
        /// The collection.
        collection: CollectionName,
        /// Why.
        #[source]
        source: EmbedError,
    },
    /// The index could not be built.
    #[error("could not index `{collection}`: {detail}")]
    Index {
        /// The collection.
        collection: CollectionName,
        /// Why.
        detail: String,
    },
}

/// What a collection holds after loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Documents.
    pub documents: usize,
    /// Their chunks.
    pub chunks: usize,
    /// Labelled questions.
    pub questions: usize,
    /// What happened to the store.
    pub content: Content,
}

/// Whether the store had the collection as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The same documents and chunks were there.
    Unchanged,
    /// The collection was written.
    Replaced,
}

/// Collections, searchable.
pub struct Library {
    store: Arc<dyn PassageStore>,
    embedder: RwLock<Option<Arc<dyn Embedder>>>,
    /// The current generation of each collection; replaced as a whole, never changed.
    current: ArcSwap<HashMap<CollectionName, Arc<Generation>>>,
    /// Whoever replaces a generation holds the one permit, so that none undoes the other's work.
    turn: Semaphore,
}

type Documents = Vec<(Document, Vec<Chunk>)>;

impl Library {
    /// An empty library. Without an embedder it searches by words alone.
    #[must_use]
    pub fn new(store: Arc<dyn PassageStore>, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { store, embedder: RwLock::new(embedder), current: ArcSwap::default(), turn: Semaphore::new(1) }
    }

    /// Uses `embedder` from the next [`Library::load`] or [`Library::embed`] on.
    pub fn set_embedder(&self, embedder: Arc<dyn Embedder>) {
        *self.embedder.write() = Some(embedder);
    }

    /// Makes `files` the content of `collection`: documents (`.md`, `.txt`) and labelled questions
    /// (`calibration*.jsonl`). When it returns, the collection can be searched, by words at least; by
    /// vectors too when the store has all of them already. [`Library::embed`] is to be called after it.
    ///
    /// # Errors
    /// [`LoadError`] when a file is at fault or the store fails; the former content is still served.
    pub async fn load(
        &self,
        collection: &CollectionName,
        files: Vec<SourceFile>,
    ) -> Result<Loaded, LoadError> {
        let _turn = self.turn().await;
        let name = collection.clone();
        let (documents, questions) = blocking(collection, move || read(&name, &files)).await??;
        let (generation, content) = self.built(collection, documents, Arc::new(questions)).await?;
        let loaded = Loaded {
            documents: generation.corpus.documents.len(),
            chunks: generation.corpus.chunks.len(),
            questions: generation.questions.len(),
            content,
        };
        let generation = match self.embedder() {
            Some(embedder) => {
                let needed = generation.embeddables();
                let known = self.known(collection, embedder.model(), &needed).await?;
                self.with_vectors(collection, generation, known).await?
            }
            None => generation,
        };
        self.swap(collection, generation);
        Ok(loaded)
    }

    /// How well `collection` is searched and judged, measured on its labelled questions: recall, and
    /// cross-validated abstention. `None` when there is no such collection.
    ///
    /// # Errors
    /// [`LoadError`] when the embedder or the index fails.
    pub async fn evaluate(&self, collection: &CollectionName) -> Result<Option<Evaluation>, LoadError> {
        let Some(generation) = self.current.load().get(collection).cloned() else { return Ok(None) };
        let vectors = match (generation.model(), self.embedder()) {
            (Some(_), Some(embedder)) => {
                let known = self.known(collection, embedder.model(), &generation.embeddables()).await?;
                known.by_hash
            }
            _ => HashMap::new(),
        };
        let asked = asked(&generation.questions, &vectors);
        let evaluation =
            blocking(collection, move || evaluate(&generation.corpus, generation.dense(), &asked)).await?;
        evaluation.map(Some).map_err(|error| index_error(collection, &error))
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        self.turn.acquire().await.expect("the semaphore is never closed")
    }

    fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.embedder.read().clone()
    }

    fn swap(&self, collection: &CollectionName, generation: Arc<Generation>) {
        self.current.rcu(|current| {
            let mut next = HashMap::clone(current);
            next.insert(collection.clone(), generation.clone());
            next
        });
    }

    /// Cuts, keeps (when something changed) and indexes documents.
    async fn built(
        &self,
        collection: &CollectionName,
        documents: Vec<Document>,
        questions: Arc<Questions>,
    ) -> Result<(Arc<Generation>, Content), LoadError> {
        let store_error = |source| LoadError::Store { collection: collection.clone(), source };
        let embedder = self.embedder();
        let measured_by = embedder.as_ref().map(|embedder| embedder.model().clone());
        let measure = embedder.clone();
        let cut: Documents = blocking(collection, move || {
            let cut = |document: Document| {
                let chunks = chunks(&document, measure_of(measure.as_ref()));
                (document, chunks)
            };
            documents.into_iter().map(cut).collect()
        })
        .await?;
        let stored = self.store.documents(collection).await.map_err(store_error)?;
        let content = if is_same(&stored, &cut) { Content::Unchanged } else { Content::Replaced };
        drop(stored);
        if content == Content::Replaced {
            self.store.replace(collection, cut.clone()).await.map_err(store_error)?;
        }
        let generation = blocking(collection, move || {
            let corpus = Corpus::build(cut, measure_of(embedder.as_ref()))?;
            Generation::of_words(corpus, questions, measured_by)
        })
        .await?
        .map_err(|error| index_error(collection, &error))?;
        Ok((Arc::new(generation), content))
    }

    /// The vectors that the store has.
    async fn known(
        &self,
        collection: &CollectionName,
        model: &ContentHash,
        needed: &[(ContentHash, String)],
    ) -> Result<Vectors, LoadError> {
        let hashes = needed.iter().map(|(hash, _)| hash.clone()).collect();
        let found = self.store.vectors(model, hashes).await;
        let found = found.map_err(|source| LoadError::Store { collection: collection.clone(), source })?;
        Ok(Vectors { model: model.clone(), by_hash: found.into_iter().collect() })
    }

    /// The generation with vectors, if none is missing; else as it was.
    async fn with_vectors(
        &self,
        collection: &CollectionName,
        generation: Arc<Generation>,
        vectors: Vectors,
    ) -> Result<Arc<Generation>, LoadError> {
        let words_alone = generation.clone();
        let built = blocking(collection, move || generation.with_vectors(&vectors)).await?;
        let built = built.map_err(|error| index_error(collection, &error))?;
        Ok(built.map_or(words_alone, Arc::new))
    }
}

/// Whether `files` can be loaded: everything that [`Library::load`] checks before it keeps and indexes them.
///
/// # Errors
/// [`LoadError`] with the file at fault.
pub fn check(collection: &CollectionName, files: &[SourceFile]) -> Result<(), LoadError> {
    read(collection, files).map(drop)
}

/// Reads the files of a collection.
fn read(collection: &CollectionName, files: &[SourceFile]) -> Result<(Vec<Document>, Questions), LoadError> {
    let of_kind = |kind: FileKind| files.iter().filter(move |file| file.kind() == kind);
    let mut documents: Vec<Document> = Vec::new();
    let mut paths: HashMap<String, String> = HashMap::new();
    for file in of_kind(FileKind::Document) {
        let document = extract(collection, file)?;
        if let Some(other) = paths.insert(document.id.to_string(), file.path.clone()) {
            return Err(LoadError::Twice(other, file.path.clone()));
        }
        documents.push(document);
    }
    // The same content in another order is the same collection.
    documents.sort_by(|left, right| left.id.cmp(&right.id));
    let known = headings(&documents);
    let mut questions = Questions::default();
    for file in of_kind(FileKind::Calibration) {
        questions.calibration.extend(calibration(file, &known)?);
    }
    for file in of_kind(FileKind::Questions) {
        questions.of_sections.extend(of_sections(file, &known)?);
    }
    drop(known);
    Ok((documents, questions))
}

/// Whether the store holds the same documents, cut the same way.
fn is_same(stored: &Documents, cut: &Documents) -> bool {
    let mut stored: Vec<&(Document, Vec<Chunk>)> = stored.iter().collect();
    stored.sort_by(|(left, _), (right, _)| left.id.cmp(&right.id));
    stored.into_iter().eq(cut)
}

fn measure_of(embedder: Option<&Arc<dyn Embedder>>) -> Measure<'_> {
    embedder.map_or(Measure::Words, |embedder| Measure::Embedder(&**embedder))
}

fn index_error(collection: &CollectionName, error: &dyn std::error::Error) -> LoadError {
    LoadError::Index { collection: collection.clone(), detail: error.to_string() }
}

/// Runs `work` where it may take its time.
async fn blocking<T: Send + 'static>(
    collection: &CollectionName,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    spawn_blocking(work).await.map_err(|error| index_error(collection, &error))
}

#[cfg(test)]
mod tests;
