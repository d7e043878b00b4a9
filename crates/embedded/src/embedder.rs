//! Sentence embeddings in this process: a BERT encoder on threads of its own behind the port `Embedder`.
//!
//! Reading order: this file (the service), [`mod@line`] (calls that wait, and the thread that serves them), [`encoder`] (from
//! texts to vectors), [`bert`] (the forward pass), [`matrix`] and [`vector`] (its arithmetic), [`weights`] (its file),
//! [`cache`].
//! Calls of few texts (questions) and of many (documents) have a thread each: a question never waits for documents,
//! and documents take only the time that questions, the server and the chat model's worker leave.

mod bert;
mod cache;
mod encoder;
mod line;
mod matrix;
mod vector;
mod weights;

use std::path::PathBuf;
use std::sync::Arc;

use domain::id::ContentHash;
use domain::ports::{BoxFuture, EmbedError, Embedder};
use parking_lot::Mutex;

use self::cache::Cache;
use self::encoder::Encoder;
use self::line::Line;

/// A call of at most this many texts is a question.
const QUESTION_TEXTS_MAX: usize = 4;
/// Weighs a tenth of an ordinary thread: two threads of llama.cpp wait for each other at every matrix, so that a
/// third busy thread of equal weight on two cores makes an answer several times slower.
const DOCUMENTS_NICENESS: i32 = 10;

/// What an embedder is made from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The weights, `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json` with the model's special tokens.
    pub tokenizer: PathBuf,
    /// `config.json` with the model's shape.
    pub shape: PathBuf,
    /// The weights' SHA-256: the model's identity.
    pub model: ContentHash,
    /// Most tokens read of a text, special ones included.
    pub tokens_max: usize,
    /// Vectors kept by the hash of their text.
    pub cache_entries_max: usize,
    /// Calls that may wait, for questions and for documents each.
    pub waiting_max: usize,
}

impl Config {
    /// The usual settings: 256 tokens, 2,048 vectors kept.
    #[must_use]
    pub fn new(files: Files, model: ContentHash) -> Self {
        Self {
            weights: files.weights,
            tokenizer: files.tokenizer,
            shape: files.shape,
            model,
            tokens_max: 256,
            cache_entries_max: 2_048,
            waiting_max: 256,
        }
    }
}

/// The files of a sentence encoder.
#[derive(Debug, Clone)]
pub struct Files {
    /// The weights, `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `config.json`.
    pub shape: PathBuf,
}

/// An embedder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file is not there or cannot be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `config.json` is not of a model that this encoder runs.
    #[error("{path} does not describe a BERT encoder: {reason}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// `tokenizer.json` is unreadable.
    #[error("{path} is not a tokenizer: {reason}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The weights do not fit the shape.
    #[error("the weights in {path} could not be loaded: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No thread could be started.
    #[error("could not start the embedder's threads: {0}")]
    Thread(String),
}

/// A sentence embedder; a cheap handle, its threads end with the last one.
#[derive(Clone)]
pub struct SentenceEmbedder {
    shared: Arc<Shared>,
}

struct Shared {
    model: ContentHash,
    encoder: Arc<Encoder>,
    cache: Mutex<Cache>,
    waiting_max: usize,
    questions: Arc<Line>,
    documents: Arc<Line>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.questions.close();
        self.documents.close();
    }
}

impl SentenceEmbedder {
    /// Reads the model into memory (about 90 MB for all-MiniLM-L6-v2) and starts its threads.
    /// Blocks for as long as reading takes.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what is wrong with it.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let encoder = Arc::new(Encoder::open(&config)?);
        let questions = Line::served_by(&encoder, "embed-questions", 0)?;
        let documents = Line::served_by(&encoder, "embed-documents", DOCUMENTS_NICENESS)
            // Else the first thread would wait for ever, with the weights in memory.
            .inspect_err(|_| questions.close())?;
        Ok(Self {
            shared: Arc::new(Shared {
                model: config.model,
                encoder,
                cache: Mutex::new(Cache::new(config.cache_entries_max)),
                waiting_max: config.waiting_max,
                questions,
                documents,
            }),
        })
    }

    fn line_of(&self, texts: &[String]) -> &Line {
        let is_question = texts.len() <= QUESTION_TEXTS_MAX;
        if is_question { &self.shared.questions } else { &self.shared.documents }
    }
}

impl Embedder for SentenceEmbedder {
    fn model(&self) -> &ContentHash {
        &self.shared.model
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            let keys: Vec<_> = texts.iter().map(|text| cache::key(text)).collect();
            let mut vectors: Vec<Option<Arc<[f32]>>> = {
                let mut cache = self.shared.cache.lock();
                keys.iter().map(|key| cache.get(key)).collect()
            };
            let missing: Vec<String> = texts
                .into_iter()
                .zip(&vectors)
                .filter_map(|(text, vector)| vector.is_none().then_some(text))
                .collect();
            if !missing.is_empty() {
                let made = self
                    .line_of(&missing)
                    .enqueue(missing, self.shared.waiting_max)?
                    .await
                    .map_err(|_| EmbedError("the embedder has stopped".to_owned()))??;
                let mut made = made.into_iter();
                let mut cache = self.shared.cache.lock();
                for (key, vector) in keys.iter().zip(&mut vectors).filter(|(_, vector)| vector.is_none()) {
                    let Some(new) = made.next() else {
                        return Err(EmbedError("a text was left without a vector".to_owned()));
                    };
                    let new: Arc<[f32]> = new.into();
                    cache.put(*key, Arc::clone(&new));
                    *vector = Some(new);
                }
            }
            Ok(vectors.into_iter().flatten().map(|vector| vector.to_vec()).collect())
        })
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.shared.encoder.count_tokens(text)
    }

    fn tokens_max(&self) -> usize {
        self.shared.encoder.tokens_max()
    }
}

#[cfg(test)]
mod tests;
