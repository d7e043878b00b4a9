//! From texts to vectors: the tokenizer, and as many forward passes as there have to be.

use domain::ports::EmbedError;
use tokenizers::Tokenizer;

use super::bert::{Bert, Scratch, Shape};
use super::line::Job;
use super::{Config, OpenError};

/// Tokens of one forward pass, as long as it is of several texts. Larger ones gain nothing on a CPU (what is between
/// two steps no longer fits its caches) and make a caller who left known later.
const PASS_TOKENS_MAX: usize = 256;

/// The model and its tokenizer.
pub(super) struct Encoder {
    bert: Bert,
    tokenizer: Tokenizer,
    tokens_max: usize,
}

impl Encoder {
    /// Reads the model and its tokenizer into memory.
    pub(super) fn open(config: &Config) -> Result<Self, OpenError> {
        let shape = read_shape(&config.shape)?;
        let tokenizer = read_tokenizer(&config.tokenizer)?;
        let bert = Bert::load(&config.weights, &shape).map_err(|error| OpenError::Weights {
            path: config.weights.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { bert, tokenizer, tokens_max: config.tokens_max.clamp(2, shape.max_position_embeddings) })
    }

    pub(super) fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.encode_fast(text, false).map_or(text.len(), |encoding| encoding.len())
    }

    /// Most tokens of a text that it reads.
    pub(super) fn tokens_max(&self) -> usize {
        // Two are its first and its last, which mean something to it alone.
        self.tokens_max.saturating_sub(2)
    }

    /// The vectors of the texts of `job`, pass by pass, while someone waits for them.
    pub(super) fn embed(&self, job: &Job, scratch: &mut Scratch) -> Result<Vec<Vec<f32>>, EmbedError> {
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
