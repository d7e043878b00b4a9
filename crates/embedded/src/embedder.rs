//! Sentence embeddings in this process: a BERT encoder on a thread of its own behind the port `Embedder`.
//!
//! Reading order: this file (the service), [`bert`] (the forward pass), [`gelu`], [`cache`].
//! Calls of few texts (questions) overtake calls of many (documents) between two batches.

mod bert;
mod cache;
mod gelu;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use domain::id::ContentHash;
use domain::ports::{BoxFuture, EmbedError, Embedder};
use parking_lot::{Condvar, Mutex};
use tokenizers::Tokenizer;
use tokio::sync::oneshot;

use self::bert::{Bert, Shape};
use self::cache::Cache;

/// Texts of one forward pass. Larger batches gain nothing on a CPU and make questions wait longer.
const BATCH_TEXTS_MAX: usize = 8;
/// A call of at most this many texts is a question and overtakes the others.
const QUESTION_TEXTS_MAX: usize = 4;

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
    /// Threads of one forward pass.
    pub threads: usize,
    /// Vectors kept by the hash of their text.
    pub cache_entries_max: usize,
    /// Calls that may wait.
    pub waiting_max: usize,
}

impl Config {
    /// The usual settings: 256 tokens, one thread (leaving the others to the server), 2,048 vectors kept.
    #[must_use]
    pub fn new(files: Files, model: ContentHash) -> Self {
        Self {
            weights: files.weights,
            tokenizer: files.tokenizer,
            shape: files.shape,
            model,
            tokens_max: 256,
            threads: 1,
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
    #[error("the weights in {path} could not be loaded")]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<candle_core::Error>,
    },
    /// No thread could be started.
    #[error("could not start the embedder's threads: {0}")]
    Thread(String),
}

/// A sentence embedder; a cheap handle, its thread ends with the last one.
#[derive(Clone)]
pub struct SentenceEmbedder {
    shared: Arc<Shared>,
}

struct Shared {
    model: ContentHash,
    tokenizer: Arc<Tokenizer>,
    cache: Mutex<Cache>,
    waiting_max: usize,
    line: Arc<Line>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.line.close();
    }
}

/// The waiting calls.
struct Line {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    questions: VecDeque<Job>,
    documents: VecDeque<Job>,
    is_closed: bool,
}

impl Line {
    fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        // Dropping the jobs tells their callers.
        waiting.questions.clear();
        waiting.documents.clear();
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next job, questions first; `None` when the line is closed.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(job) = waiting.questions.pop_front() {
                return Some(job);
            }
            if let Some(job) = waiting.documents.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut waiting);
        }
    }

    /// Puts a job of which a batch was done back in front.
    fn put_back(&self, job: Job) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return;
        }
        waiting.of(&job).push_front(job);
    }
}

impl Waiting {
    fn of(&mut self, job: &Job) -> &mut VecDeque<Job> {
        if job.vectors.len() <= QUESTION_TEXTS_MAX { &mut self.questions } else { &mut self.documents }
    }
}

/// One call on its way: texts not yet embedded (longest first) and the vectors so far.
struct Job {
    left: Option<Vec<Text>>,
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
    reply: oneshot::Sender<Result<Vec<Vec<f32>>, EmbedError>>,
}

struct Text {
    index: usize,
    ids: Vec<u32>,
}

impl SentenceEmbedder {
    /// Reads the model into memory (about 90 MB for all-MiniLM-L6-v2) and starts its thread.
    /// Blocks for as long as reading takes.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what is wrong with it.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let shape = read_shape(&config.shape)?;
        let tokenizer = read_tokenizer(&config.tokenizer)?;
        let bert = Bert::load(&config.weights, &shape).map_err(|source| OpenError::Weights {
            path: config.weights.clone(),
            source: Box::new(source),
        })?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.threads.max(1))
            .thread_name(|index| format!("embed-{index}"))
            .build()
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        let tokenizer = Arc::new(tokenizer);
        let line = Arc::new(Line { waiting: Mutex::default(), changed: Condvar::new() });
        let encoder = Encoder {
            bert,
            tokenizer: Arc::clone(&tokenizer),
            pool,
            tokens_max: config.tokens_max.clamp(2, shape.max_position_embeddings),
        };
        let served = Arc::clone(&line);
        std::thread::Builder::new()
            .name("embedder".to_owned())
            .spawn(move || encoder.serve(&served))
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                model: config.model,
                tokenizer,
                cache: Mutex::new(Cache::new(config.cache_entries_max)),
                waiting_max: config.waiting_max,
                line,
            }),
        })
    }

    fn enqueue(&self, texts: Vec<String>) -> Result<Answer, EmbedError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { left: None, vectors: vec![Vec::new(); texts.len()], texts, reply };
        let line = &self.shared.line;
        let mut waiting = line.waiting.lock();
        if waiting.is_closed {
            return Err(EmbedError("the embedder has stopped".to_owned()));
        }
        if waiting.questions.len() + waiting.documents.len() >= self.shared.waiting_max {
            return Err(EmbedError("too many calls are waiting".to_owned()));
        }
        waiting.of(&job).push_back(job);
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
                    let new: Arc<[f32]> = made.next().expect("one vector for each missing text").into();
                    cache.put(*key, Arc::clone(&new));
                    *vector = Some(new);
                }
            }
            Ok(vectors.into_iter().flatten().map(|vector| vector.to_vec()).collect())
        })
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.shared.tokenizer.encode_fast(text, false).map_or(text.len(), |encoding| encoding.len())
    }
}

/// What the thread owns.
struct Encoder {
    bert: Bert,
    tokenizer: Arc<Tokenizer>,
    pool: rayon::ThreadPool,
    tokens_max: usize,
}

impl Encoder {
    fn serve(self, line: &Line) {
        // Also when a forward pass panics: callers must see an error and not wait for ever.
        let _close = Close(line);
        while let Some(mut job) = line.next() {
            if job.reply.is_closed() {
                continue;
            }
            match self.advance(&mut job) {
                Err(error) => _ = job.reply.send(Err(error)),
                Ok(()) if job.left.as_ref().is_some_and(Vec::is_empty) => {
                    _ = job.reply.send(Ok(job.vectors));
                }
                Ok(()) => line.put_back(job),
            }
        }
    }

    /// Embeds one batch of `job`.
    fn advance(&self, job: &mut Job) -> Result<(), EmbedError> {
        let left = match &mut job.left {
            Some(left) => left,
            left @ None => left.insert(self.tokenize(&std::mem::take(&mut job.texts))?),
        };
        let batch = left.split_off(left.len().saturating_sub(BATCH_TEXTS_MAX));
        let (indexes, ids): (Vec<_>, Vec<_>) = batch.into_iter().map(|text| (text.index, text.ids)).unzip();
        let made = self
            .pool
            .install(|| self.bert.forward(&ids))
            .map_err(|error| EmbedError(format!("the forward pass failed: {error}")))?;
        for (index, vector) in indexes.into_iter().zip(made) {
            if let Some(place) = job.vectors.get_mut(index) {
                *place = vector;
            }
        }
        Ok(())
    }

    /// Token ids of `texts`, sorted by length so that batches waste little on padding.
    fn tokenize(&self, texts: &[String]) -> Result<Vec<Text>, EmbedError> {
        let mut all = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let encoding = self
                .tokenizer
                .encode_fast(text.as_str(), true)
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
            all.push(Text { index, ids });
        }
        all.sort_by_key(|text| text.ids.len());
        Ok(all)
    }
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
    if bert::is_sound(&shape) {
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
