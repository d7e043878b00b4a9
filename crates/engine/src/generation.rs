//! One answer, piece by piece: read the prompt behind what is cached of it, then token after token.

use std::num::NonZeroU32;

use embedded::frames::{FailureKind, Finish, Generate, Usage};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::ggml_time_us;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use crate::model::{LoadError, Model, backend, default_threads};
use crate::prefix::{Slots, Token};
use crate::template::Said;
use crate::text::Outlet;
use crate::threads::Threads;

/// Prompts kept, each of another agent.
const N_SLOTS: u32 = 4;
/// Tokens of a prompt read at once: what a cancel waits for, half a second at 60 tokens/s. Measured on the 1.5B
/// model, tokens per CPU second by piece: 22 (8), 34 (16), 36 (32), 39 (64), 40 (128). Fixed, because the rounding
/// of the answer depends on it: the same prompt behind the same cache gives the same answer.
const PIECE_TOKENS: usize = 32;

/// How to run a model.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Context in tokens.
    pub n_ctx: u32,
    /// Threads; 0 for as many as others leave, at most [`default_threads`].
    pub threads: u32,
}

/// A model with its context and what is cached in it.
pub struct Engine<'m> {
    model: &'m Model,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Slots,
    n_ctx: usize,
    pub(crate) threads: Threads,
    /// Threads of `context`.
    n_threads: u32,
}

/// An answer being made.
pub struct Answer {
    slot: usize,
    prompt: Vec<LlamaToken>,
    sampler: LlamaSampler,
    outlet: Outlet,
    /// Sampled and not read yet.
    pending: Option<LlamaToken>,
    output_max: u32,
    deadline_us: i64,
    usage: Usage,
    prompt_us: i64,
    decode_us: i64,
}

/// What a piece of work brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The prompt is being read.
    Reading,
    /// Text of one token; may be empty while a character or a possible stop text is incomplete.
    Text(String),
    /// The answer is whole.
    Done {
        /// The last text.
        text: String,
        /// Why it ended.
        finish: Finish,
        /// What it took.
        usage: Usage,
    },
}

/// An answer cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened; no text of the prompt.
    pub detail: String,
}

impl Failure {
    fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl<'m> Engine<'m> {
    /// Makes a context for `model` and warms it up, so that the first answer does not wait for the disk.
    ///
    /// # Errors
    /// [`LoadError::Context`] when llama.cpp cannot make one.
    pub fn new(model: &'m Model, config: Config) -> Result<Self, LoadError> {
        let threads = match config.threads {
            0 => Threads::measured(default_threads()),
            threads => Threads::fixed(threads),
        };
        let n_threads = threads.now();
        let context = new_context(model, config.n_ctx, n_threads)?;
        let n_ctx = usize::try_from(context.n_ctx()).unwrap_or(0);
        let mut engine = Self {
            model,
            context,
            batch: LlamaBatch::new(PIECE_TOKENS, 1),
            slots: Slots::new(usize::try_from(N_SLOTS).unwrap_or(1), n_ctx),
            n_ctx,
            threads,
            n_threads,
        };
        engine
            .warm_up()
            .map_err(|failure| LoadError::Context { n_ctx: config.n_ctx, reason: failure.detail })?;
        Ok(engine)
    }

    /// Context in tokens.
    #[must_use]
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// Threads it computes with now.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.n_threads
    }

    /// Watches how busy the machine is; to be called now and then while nothing is computed.
    pub fn rest(&mut self) {
        self.threads.look();
    }

    /// Computes with as many threads as the others leave. A context keeps the number that it was made with, so a new
    /// one takes over what is cached: 60 ms for 830 tokens of the 1.5B model. The same numbers come out, but for
    /// attention over 512 tokens and more, which is summed in as many parts as there are threads.
    fn choose_threads(&mut self) {
        self.threads.look();
        let n_threads = self.threads.now();
        if n_threads == self.n_threads {
            return;
        }
        match self.taken_over(n_threads) {
            Some(context) => {
                tracing::debug!(threads = n_threads, "computing with {n_threads} threads");
                self.context = context;
                self.n_threads = n_threads;
            }
            // No memory for it, or a model whose state cannot be copied: go on as before.
            None => self.threads.fix(self.n_threads),
        }
    }

    fn taken_over(&self, n_threads: u32) -> Option<LlamaContext<'m>> {
        let mut context = new_context(self.model, count(self.n_ctx), n_threads).ok()?;
        for slot in self.slots.in_use() {
            let state = self.context.state_seq_get(sequence(slot), LlamaStateSeqFlags::empty()).ok()?;
            context.state_seq_set(&state, sequence(slot)).ok()?;
        }
        Some(context)
    }

    /// Reads a piece to get the weights into memory.
    fn warm_up(&mut self) -> Result<(), Failure> {
        self.decode(0, &[LlamaToken(0); PIECE_TOKENS], Logits::Last)?;
        self.clear(0);
        Ok(())
    }

    /// Plans an answer; nothing is computed yet.
    ///
    /// # Errors
    /// [`Failure`] of kind caller when the prompt is too long or the template refuses it.
    pub fn begin(&mut self, call: &Generate) -> Result<Answer, Failure> {
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
        if n_prompt == 0 || n_prompt >= self.n_ctx {
            let detail =
                format!("the prompt has {n_prompt} tokens, the context of this model {}", self.n_ctx);
            return Err(Failure::new(FailureKind::Caller, detail));
        }
        let room = (self.n_ctx - n_prompt).min(usize::try_from(call.max_tokens).unwrap_or(usize::MAX));
        let numbers: Vec<Token> = prompt.tokens.iter().map(|token| token.0).collect();
        let plan = self.slots.plan(&numbers, prompt.head, room);
        for slot in plan.drop {
            self.forget(slot, 0);
        }
        if let Some(from) = plan.copy_from {
            self.forget(plan.slot, 0);
            let kept = u32::try_from(plan.keep).ok();
            let copied = self.context.copy_kv_cache_seq(sequence(from), sequence(plan.slot), Some(0), kept);
            copied.map_err(|error| Failure::new(FailureKind::Engine, error.to_string()))?;
        } else if !self.forget(plan.slot, plan.keep) {
            self.clear(plan.slot);
        }
        Ok(Answer {
            slot: plan.slot,
            usage: Usage {
                input: count(n_prompt),
                cached: count(self.slots.len(plan.slot)),
                ..Usage::default()
            },
            prompt: prompt.tokens,
            sampler: sampler(call),
            outlet: Outlet::new(&call.stop),
            pending: None,
            output_max: count(room),
            deadline_us: ggml_time_us().saturating_add(
                i64::try_from(call.deadline_ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000),
            ),
            prompt_us: 0,
            decode_us: 0,
        })
    }

    /// Does one piece of work for `answer`: some of its prompt, or one token.
    ///
    /// # Errors
    /// [`Failure`] when its time is over or llama.cpp fails; the answer is over then.
    pub fn advance(&mut self, answer: &mut Answer) -> Result<Progress, Failure> {
        let started = ggml_time_us();
        if started >= answer.deadline_us {
            return Err(Failure::new(FailureKind::Timeout, "the embedded model took too long"));
        }
        if answer.output_max == 0 {
            return Ok(answer.done(String::new(), Finish::Length));
        }
        let read = self.slots.len(answer.slot);
        if let Some(left) = answer.prompt.get(read..).filter(|left| !left.is_empty()) {
            let n = left.len().min(PIECE_TOKENS);
            let is_last = n == left.len();
            let piece = left.get(..n).unwrap_or_default().to_vec();
            self.decode(answer.slot, &piece, if is_last { Logits::Last } else { Logits::None })?;
            answer.prompt_us += ggml_time_us() - started;
            if !is_last {
                return Ok(Progress::Reading);
            }
        } else if let Some(token) = answer.pending.take() {
            self.decode(answer.slot, &[token], Logits::Last)?;
        }
        let token = answer.sampler.sample(&self.context, -1);
        let progress = self.take(answer, token);
        if answer.usage.output > 0 {
            answer.decode_us += ggml_time_us() - started;
        }
        Ok(match progress {
            // The figures are complete only now.
            Progress::Done { text, finish, .. } => answer.done(text, finish),
            other => other,
        })
    }

    /// Deals with a sampled token.
    fn take(&self, answer: &mut Answer, token: LlamaToken) -> Progress {
        if self.model.ends(token) {
            let text = std::mem::take(&mut answer.outlet).finish();
            return answer.done(text, Finish::Stop);
        }
        answer.usage.output += 1;
        let release = answer.outlet.push(&self.model.bytes(token));
        if release.is_stopped {
            return answer.done(release.text, Finish::Stop);
        }
        if answer.usage.output >= answer.output_max {
            let rest = std::mem::take(&mut answer.outlet).finish();
            return answer.done(release.text + &rest, Finish::Length);
        }
        answer.pending = Some(token);
        Progress::Text(release.text)
    }

    /// Reads `tokens` into `slot`. After a failure the slot is empty.
    fn decode(&mut self, slot: usize, tokens: &[LlamaToken], logits: Logits) -> Result<(), Failure> {
        self.choose_threads();
        let first = self.slots.len(slot);
        self.batch.clear();
        for (index, token) in tokens.iter().enumerate() {
            let wants_logits = logits == Logits::Last && index + 1 == tokens.len();
            let position = i32::try_from(first + index).unwrap_or(i32::MAX);
            self.batch
                .add(*token, position, &[sequence(slot)], wants_logits)
                .map_err(|error| Failure::new(FailureKind::Engine, error.to_string()))?;
        }
        self.threads.begin();
        let decoded = self.context.decode(&mut self.batch);
        self.threads.end();
        if let Err(error) = decoded {
            self.clear(slot);
            return Err(Failure::new(FailureKind::Engine, format!("llama.cpp could not go on: {error}")));
        }
        let numbers: Vec<Token> = tokens.iter().map(|token| token.0).collect();
        self.slots.extend(slot, &numbers);
        Ok(())
    }

    /// Empties `slot`, in the store and in the books.
    fn clear(&mut self, slot: usize) {
        self.slots.clear(slot);
        self.forget(slot, 0);
    }

    /// Drops what is stored of `slot` from token `keep` on; false when this model cannot forget a part.
    fn forget(&mut self, slot: usize, keep: usize) -> bool {
        self.context
            .clear_kv_cache_seq(u32::try_from(slot).ok(), u32::try_from(keep).ok(), None)
            .unwrap_or(false)
    }
}

fn new_context(model: &Model, n_ctx: u32, n_threads: u32) -> Result<LlamaContext<'_>, LoadError> {
    let n_threads = i32::try_from(n_threads).unwrap_or(1);
    let n_batch = u32::try_from(PIECE_TOKENS).unwrap_or(32);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(n_ctx))
        .with_n_batch(n_batch)
        .with_n_ubatch(n_batch)
        .with_n_seq_max(N_SLOTS)
        // Without it each sequence has a quarter of the context, and copying part of one ends the process.
        .with_kv_unified(true)
        .with_n_threads(n_threads)
        .with_n_threads_batch(n_threads);
    model
        .llama
        .new_context(backend(), params)
        .map_err(|error| LoadError::Context { n_ctx, reason: error.to_string() })
}

/// Whether the last token's logits are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logits {
    None,
    Last,
}

impl Answer {
    fn done(&self, text: String, finish: Finish) -> Progress {
        let milliseconds = |us: i64| u32::try_from(us / 1_000).unwrap_or(0);
        let usage = Usage {
            prompt_ms: milliseconds(self.prompt_us),
            decode_ms: milliseconds(self.decode_us),
            ..self.usage
        };
        Progress::Done { text, finish, usage }
    }
}

/// Greedy at temperature 0, else seeded sampling from the nucleus. No repeat penalty: answers copy numbers.
fn sampler(call: &Generate) -> LlamaSampler {
    if call.temperature <= 0.0 {
        return LlamaSampler::greedy();
    }
    let mut chain = Vec::new();
    if let Some(top_p) = call.top_p.filter(|top_p| *top_p < 1.0) {
        chain.push(LlamaSampler::top_p(top_p.max(0.0), 1));
    }
    chain.push(LlamaSampler::temp(call.temperature.min(2.0)));
    let seed = call
        .seed
        .unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), call.id));
    // Both halves count; llama.cpp takes 32 bits, of which all ones mean "random".
    let folded = u32::try_from((seed ^ (seed >> 32)) & 0xffff_ffff).unwrap_or(0);
    chain.push(LlamaSampler::dist(folded.min(u32::MAX - 1)));
    LlamaSampler::chain(chain, true)
}

fn sequence(slot: usize) -> i32 {
    i32::try_from(slot).unwrap_or(0)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
