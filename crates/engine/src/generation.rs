//! Several answers at once, step by step: a step reads a piece of the prompt whose turn it is, or one token of each
//! answer that is being generated. Not both in one batch: every token of it would be compared with what is cached of
//! all of them, and measured with four answers it took twice as long to generate so.
//!
//! Reading order: [`Engine::begin`], [`Engine::step`], [`Engine::cancel`]. Prompts are read one after another, the
//! shortest first; a prompt that waits is passed over only by as many tokens as are in front of it when it comes, so
//! none starves.

use embedded::frames::{FailureKind, Generate};
use llama_cpp_2::ggml_time_us;

use crate::answer::{Answer, Limits, count};
pub use crate::answer::{Failure, Progress};
pub use crate::context::Config;
use crate::context::{Context, Share};
use crate::model::{LoadError, Model};
use crate::template::Said;

/// Tokens of a prompt read at once: what a cancel waits for, 0.8 s on two threads. Measured on the 1.5B model with one
/// thread, tokens per second by piece: 23 (8), 34 (16), 32 (24), 37 (32), 40 (64), 41 (256). Not by the speed, because
/// the rounding of the answer depends on it: the same prompt behind the same cache, read by as many threads, gives the
/// same answer.
const PIECE_TOKENS: usize = 64;
/// Fewer than so many that are left of a prompt are read with the piece before, as alone they would take nearly as
/// long as so many.
const REST_TOKENS: usize = 32;
/// How long answers wait for prompts that are read before each gets its next token.
const PATIENCE_US: i64 = 500_000;

/// A model with its context and the answers being made.
pub struct Engine<'m> {
    model: &'m Model,
    pub(crate) context: Context<'m>,
    /// Answers made at once.
    parallel: u32,
    answers: Vec<Answer>,
    /// Prompt tokens read so far.
    n_read: u64,
    /// How long answers have waited for prompts since their last token.
    waited_us: i64,
}

/// What happened to the answer with this id.
pub type News = (u64, Result<Progress, Failure>);

impl<'m> Engine<'m> {
    /// Makes a context for `model` and warms it up, so that the first answer does not wait for the disk.
    ///
    /// # Errors
    /// [`LoadError::Context`] when llama.cpp cannot make one.
    pub fn new(model: &'m Model, config: Config) -> Result<Self, LoadError> {
        let config = Config { parallel: config.parallel.max(1), ..config };
        let mut context = Context::new(model, config, n_batch(config.parallel))?;
        context
            .warm_up(PIECE_TOKENS)
            .map_err(|failure| LoadError::Context { n_ctx: config.n_ctx, reason: failure.detail })?;
        Ok(Self { model, context, parallel: config.parallel, answers: Vec::new(), n_read: 0, waited_us: 0 })
    }

    /// Context in tokens.
    #[must_use]
    pub fn n_ctx(&self) -> usize {
        self.context.n_ctx()
    }

    /// Threads it computes with now.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.context.n_threads()
    }

    /// Whether another answer may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        count(self.answers.len()) < self.parallel
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.answers.is_empty()
    }

    /// Watches how busy the machine is; to be called now and then while nothing is computed.
    pub fn rest(&mut self) {
        self.context.threads.look();
    }

    /// Takes up an answer; nothing is computed yet.
    ///
    /// # Errors
    /// [`Failure`] of kind caller when the prompt is too long or the template refuses it, of kind engine when
    /// too many answers are being made.
    pub fn begin(&mut self, call: &Generate) -> Result<(), Failure> {
        if !self.has_room() {
            return Err(Failure::new(FailureKind::Engine, "too many answers at once"));
        }
        let messages: Vec<Said> = call
            .messages
            .iter()
            .map(|message| Said { role: message.role.clone(), text: message.text.clone() })
            .collect();
        let prompt = self
            .model
            .prompt(&messages)
            .map_err(|error| Failure::new(FailureKind::Caller, error.to_string()))?;
        let n_prompt = prompt.tokens.len();
        let n_ctx = self.context.n_ctx();
        if n_prompt == 0 || n_prompt >= n_ctx {
            let detail = format!("the prompt has {n_prompt} tokens, the context of this model {n_ctx}");
            return Err(Failure::new(FailureKind::Caller, detail));
        }
        let grammar = call.schema.as_deref().map(|schema| self.model.schema_sampler(schema)).transpose();
        let grammar = grammar.map_err(|error| Failure::new(FailureKind::Caller, error.to_string()))?;
        let mut answer = Answer::new(call, prompt, Limits { n_ctx, grammar });
        answer.turn = self.n_read + u64::from(count(n_prompt));
        self.answers.push(answer);
        Ok(())
    }

    /// Gives up the answer with this id; false when there is none.
    pub fn cancel(&mut self, id: u64) -> bool {
        self.remove(id).is_some()
    }

    /// Does one piece of work for all answers; says what it brought. Answers that only had their prompts read, or
    /// wait, are not in it; those that ended are gone.
    pub fn step(&mut self) -> Vec<News> {
        let mut news = self.end_early();
        self.context.choose_threads();
        let reader = match self.next_reader() {
            Ok(reader) => reader,
            Err((id, failure)) => {
                self.remove(id);
                news.push((id, Err(failure)));
                None
            }
        };
        let mut shares = self.shares(reader);
        let is_reading = shares.iter().any(|share| share.is_prompt);
        if shares.is_empty() {
            return news;
        }
        let started = ggml_time_us();
        if let Err(failure) = self.context.read(&mut shares) {
            for share in shares {
                self.context.clear(share.slot);
                self.remove(share.id);
                news.push((share.id, Err(failure.clone())));
            }
            return news;
        }
        self.waited_us = if is_reading { self.waited_us + ggml_time_us() - started } else { 0 };
        for share in shares {
            let Some(answer) = self.answers.iter_mut().find(|answer| answer.id == share.id) else { continue };
            let sampled = share.logits.map(|index| answer.sample(self.model, self.context.llama(), index));
            let took = ggml_time_us() - started;
            if share.is_prompt {
                answer.on_read(took)
            } else {
                answer.on_decoded(took)
            }
            let Some(progress) = sampled else { continue };
            let progress = match progress {
                // The figures are complete only now.
                Ok(Progress::Done { text, finish, .. }) => Ok(answer.done(text, finish)),
                other => other,
            };
            if !matches!(progress, Ok(Progress::Text(_))) {
                self.remove(share.id);
            }
            news.push((share.id, progress));
        }
        news
    }

    /// Ends answers whose time is over, and those that may not say anything.
    fn end_early(&mut self) -> Vec<News> {
        let now = ggml_time_us();
        let mut news = Vec::new();
        for answer in &self.answers {
            if answer.is_late(now) {
                let failure = Failure::new(FailureKind::Timeout, "the embedded model took too long");
                news.push((answer.id, Err(failure)));
            } else if answer.output_max == 0 {
                news.push((answer.id, answer.end_unsaid()));
            }
        }
        for (id, _) in &news {
            self.remove(*id);
        }
        news
    }

    fn remove(&mut self, id: u64) -> Option<Answer> {
        let index = self.answers.iter().position(|answer| answer.id == id)?;
        let answer = self.answers.remove(index);
        if let Some(slot) = answer.slot {
            self.context.release(slot);
        }
        Some(answer)
    }

    /// The answer whose prompt is read now, with a sequence for it.
    fn next_reader(&mut self) -> Result<Option<u64>, (u64, Failure)> {
        let is_unread = |answer: &&Answer| match answer.slot {
            Some(slot) => self.context.len(slot) < answer.prompt.tokens.len(),
            None => true,
        };
        let unread = || self.answers.iter().filter(is_unread);
        let Some(first) = unread().min_by_key(|answer| answer.turn) else { return Ok(None) };
        let (id, is_placed) = (first.id, first.slot.is_some());
        // While there is no room for the first, those that have theirs go on; nobody else gets any.
        let placed = unread().filter(|answer| answer.slot.is_some()).min_by_key(|answer| answer.turn);
        let placed = placed.map(|answer| answer.id);
        if is_placed {
            return Ok(Some(id));
        }
        match self.place(id) {
            Ok(true) => Ok(Some(id)),
            Ok(false) => Ok(placed),
            Err(failure) => Err((id, failure)),
        }
    }

    /// Gives an answer a sequence with what is cached of its prompt; false while there is no room.
    fn place(&mut self, id: u64) -> Result<bool, Failure> {
        let Some(answer) = self.answers.iter_mut().find(|answer| answer.id == id) else { return Ok(false) };
        let Some(placed) = self.context.place(&answer.prompt, answer.output_max)? else { return Ok(false) };
        answer.place(placed.slot, placed.n_kept);
        Ok(true)
    }

    /// What is read in this step: of the prompt of `reader`, or of each answer that is being generated.
    fn shares(&mut self, reader: Option<u64>) -> Vec<Share> {
        let is_generating = self.answers.iter().any(|answer| !answer.pending.is_empty());
        if !is_generating {
            self.waited_us = 0;
        }
        let reading = self.answers.iter().find(|answer| Some(answer.id) == reader);
        if self.waited_us < PATIENCE_US
            && let Some((answer, slot)) = reading.and_then(|answer| Some((answer, answer.slot?)))
        {
            let left = answer.prompt.tokens.get(self.context.len(slot)..).unwrap_or_default();
            let tokens = left.get(..piece_tokens(left.len())).unwrap_or_default().to_vec();
            self.n_read += u64::from(count(tokens.len()));
            let logits = (tokens.len() == left.len()).then_some(0);
            return vec![Share { id: answer.id, slot, tokens, is_prompt: true, logits }];
        }
        let mut shares = Vec::new();
        for answer in &mut self.answers {
            let Some(slot) = answer.slot.filter(|_| !answer.pending.is_empty()) else { continue };
            let tokens = std::mem::take(&mut answer.pending);
            shares.push(Share { id: answer.id, slot, tokens, is_prompt: false, logits: Some(0) });
        }
        shares
    }
}

/// Tokens to read of a prompt of which `left` are left.
fn piece_tokens(left: usize) -> usize {
    if left < PIECE_TOKENS + REST_TOKENS { left } else { PIECE_TOKENS }
}

/// Most tokens of a batch.
fn n_batch(parallel: u32) -> usize {
    usize::try_from(parallel).unwrap_or(1).max(PIECE_TOKENS + REST_TOKENS)
}
