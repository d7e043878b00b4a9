//! Sentence embeddings in this process: a BERT encoder on threads of its own behind the port `Embedder`.
//!
//! Reading order: this file (the service), [`bert`] (the forward pass), [`matrix`] and [`vector`] (its arithmetic),
//! [`weights`] (its file), [`cache`].
//! Calls of few texts (questions) and of many (documents) have a thread each: a question never waits for documents,
//! and documents take only the time that questions, the server and the chat model's worker leave.

mod bert;
mod cache;
mod matrix;
mod vector;
mod weights;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use domain::id::ContentHash;
use domain::ports::{BoxFuture, EmbedError, Embedder};
use parking_lot::{Condvar, Mutex};
use tokenizers::Tokenizer;
use tokio::sync::oneshot;

use self::bert::{Bert, Scratch, Shape};
use self::cache::Cache;

/// Tokens of one forward pass, as long as it is of several texts. Larger ones gain nothing on a CPU (what is between
/// two steps no longer fits its caches) and make a caller who left known later.
const PASS_TOKENS_MAX: usize = 256;
/// Room that a thread keeps while it waits: enough for a question, and nothing beside the weights' 90 MB.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;
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

/// The calls that wait for one thread.
#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Line {
    fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        // Dropping the jobs tells their callers.
        waiting.jobs.clear();
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next job; `None` when the line is closed.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        while !waiting.is_closed {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut waiting);
        }
        None
    }
}

/// A call on its way.
struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Vec<f32>>, EmbedError>>,
}

impl SentenceEmbedder {
    /// Reads the model into memory (about 90 MB for all-MiniLM-L6-v2) and starts its threads.
    /// Blocks for as long as reading takes.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what is wrong with it.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let shape = read_shape(&config.shape)?;
        let tokenizer = read_tokenizer(&config.tokenizer)?;
        let bert = Bert::load(&config.weights, &shape).map_err(|error| OpenError::Weights {
            path: config.weights.clone(),
            reason: error.to_string(),
        })?;
        let encoder = Arc::new(Encoder {
            bert,
            tokenizer,
            tokens_max: config.tokens_max.clamp(2, shape.max_position_embeddings),
        });
        let questions = encoder.start("embed-questions", 0)?;
        let documents = encoder.start("embed-documents", DOCUMENTS_NICENESS)?;
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

    fn enqueue(&self, texts: Vec<String>) -> Result<Answer, EmbedError> {
        let is_question = texts.len() <= QUESTION_TEXTS_MAX;
        let line = if is_question { &self.shared.questions } else { &self.shared.documents };
        let (reply, answer) = oneshot::channel();
        let mut waiting = line.waiting.lock();
        if waiting.is_closed {
            return Err(EmbedError("the embedder has stopped".to_owned()));
        }
        if waiting.jobs.len() >= self.shared.waiting_max {
            return Err(EmbedError("too many calls are waiting".to_owned()));
        }
        waiting.jobs.push_back(Job { texts, reply });
        drop(waiting);
        line.changed.notify_one();
        Ok(answer)
    }
}

type Answer = oneshot::Receiver<Result<Vec<Vec<f32>>, EmbedError>>;

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
                    .enqueue(missing)?
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
        self.shared.encoder.tokenizer.encode_fast(text, false).map_or(text.len(), |encoding| encoding.len())
    }

    fn tokens_max(&self) -> usize {
        // Two are its first and its last, which mean something to it alone.
        self.shared.encoder.tokens_max.saturating_sub(2)
    }
}

/// The model and its tokenizer.
struct Encoder {
    bert: Bert,
    tokenizer: Tokenizer,
    tokens_max: usize,
}

impl Encoder {
    /// Starts a thread of that niceness that serves the line it returns.
    fn start(self: &Arc<Self>, name: &'static str, niceness: i32) -> Result<Arc<Line>, OpenError> {
        let line = Arc::new(Line::default());
        let (encoder, served) = (Arc::clone(self), Arc::clone(&line));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // On Linux niceness is a thread's own. Without it the thread works all the same.
                _ = rustix::process::nice(niceness);
                // Also when a forward pass panics: callers must see an error and not wait for ever.
                let _close = Close(&served);
                let mut scratch = Scratch::default();
                while let Some(job) = served.next() {
                    let vectors = encoder.embed(&job, &mut scratch);
                    _ = job.reply.send(vectors);
                    if scratch.bytes() > SCRATCH_BYTES_KEPT {
                        scratch = Scratch::default();
                    }
                }
            })
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        Ok(line)
    }

    fn embed(&self, job: &Job, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts = job.texts.iter().map(|text| self.tokenize(text)).collect::<Result<Vec<_>, _>>()?;
        let mut vectors = Vec::with_capacity(texts.len());
        let mut left = texts.as_slice();
        while !left.is_empty() {
            if job.reply.is_closed() {
                return Err(EmbedError("nobody waits for it".to_owned()));
            }
            let (pass, later) = left.split_at(texts_of_a_pass(left));
            let made = self.bert.forward(pass, scratch);
            vectors.extend(made.map_err(|error| EmbedError(format!("the forward pass failed: {error}")))?);
            left = later;
        }
        Ok(vectors)
    }

    /// Token ids of a text.
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| EmbedError(format!("a text could not be tokenized: {error}")))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > self.tokens_max {
            // The closing token stays, as in training.
            let last = ids.last().copied();
            ids.truncate(self.tokens_max - 1);
            ids.extend(last);
        }
        if ids.is_empty() {
            return Err(EmbedError("a text without tokens has no vector".to_owned()));
        }
        Ok(ids)
    }
}

/// How many of `texts`, at least one, a forward pass takes.
fn texts_of_a_pass(texts: &[Vec<u32>]) -> usize {
    let mut n_tokens = 0;
    let fits = |text: &&Vec<u32>| {
        n_tokens += text.len();
        n_tokens <= PASS_TOKENS_MAX
    };
    texts.iter().take_while(fits).count().max(1)
}

struct Close<'a>(&'a Line);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn read_shape(path: &std::path::Path) -> Result<Shape, OpenError> {
    let bytes = std::fs::read(path).map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
    let shape: Shape = serde_json::from_slice(&bytes)
        .map_err(|error| OpenError::Shape { path: path.to_owned(), reason: error.to_string() })?;
    if shape.is_sound() {
        Ok(shape)
    } else {
        Err(OpenError::Shape { path: path.to_owned(), reason: "its sizes do not fit together".to_owned() })
    }
}

fn read_tokenizer(path: &std::path::Path) -> Result<Tokenizer, OpenError> {
    let bytes = std::fs::read(path).map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
    let unreadable =
        |error: tokenizers::Error| OpenError::Tokenizer { path: path.to_owned(), reason: error.to_string() };
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(unreadable)?;
    // The file's own settings pad every text to a fixed length.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(unreadable)?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests;
