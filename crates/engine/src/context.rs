//! The context of a model: the sequences of tokens that it has read, and with how many threads it reads more.
//!
//! Reading order: [`Context::place`] (a sequence for a prompt, with what is cached of it), [`Context::read`],
//! [`Context::choose_threads`].

use std::num::NonZeroU32;

use embedded::frames::FailureKind;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use crate::answer::{Failure, count};
use crate::model::{LoadError, Model, Prompt, backend, default_threads};
use crate::prefix::{Slots, Token};
use crate::threads::Threads;

/// Prompts kept besides those of the running answers, each of another agent.
const N_KEPT: usize = 3;

/// How to run a model.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Context in tokens, shared by all answers and what is kept.
    pub n_ctx: u32,
    /// Threads; 0 for as many as others leave, at most [`default_threads`].
    pub threads: u32,
    /// Answers made at once.
    pub parallel: u32,
}

/// An answer's part of a batch.
pub(crate) struct Share {
    pub(crate) id: u64,
    pub(crate) slot: usize,
    pub(crate) tokens: Vec<LlamaToken>,
    pub(crate) is_prompt: bool,
    /// Where in the batch its last token's logits are, if they are wanted.
    pub(crate) logits: Option<i32>,
}

/// A sequence for a prompt.
pub(crate) struct Placed {
    pub(crate) slot: usize,
    /// Tokens of the prompt that are in it already.
    pub(crate) n_kept: usize,
}

/// What a model has read, with the books on it.
pub(crate) struct Context<'m> {
    model: &'m Model,
    config: Config,
    /// Most tokens of a batch.
    n_batch: usize,
    llama: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Slots,
    n_ctx: usize,
    pub(crate) threads: Threads,
    /// Threads of `llama`.
    n_threads: u32,
}

impl<'m> Context<'m> {
    /// An empty context for batches of `n_batch` tokens.
    pub(crate) fn new(model: &'m Model, config: Config, n_batch: usize) -> Result<Self, LoadError> {
        let threads = match config.threads {
            0 => Threads::measured(default_threads()),
            threads => Threads::fixed(threads),
        };
        let n_threads = threads.now();
        let llama = new_llama(model, config, (n_batch, n_threads))?;
        let n_ctx = usize::try_from(llama.n_ctx()).unwrap_or(0);
        let (batch, slots) = (LlamaBatch::new(n_batch, 1), Slots::new(n_slots(config), n_ctx));
        Ok(Self { model, config, n_batch, llama, batch, slots, n_ctx, threads, n_threads })
    }

    /// In tokens.
    pub(crate) fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// Threads it computes with now.
    pub(crate) fn n_threads(&self) -> u32 {
        self.n_threads
    }

    /// llama.cpp's own, with the logits of what was read last.
    pub(crate) fn llama(&self) -> &LlamaContext<'m> {
        &self.llama
    }

    /// Tokens in `slot`.
    pub(crate) fn len(&self, slot: usize) -> usize {
        self.slots.len(slot)
    }

    /// A sequence for `prompt` and an answer of `output_max` tokens, with what is cached of it; `None` while there is no
    /// room.
    pub(crate) fn place(&mut self, prompt: &Prompt, output_max: usize) -> Result<Option<Placed>, Failure> {
        let numbers: Vec<Token> = prompt.tokens.iter().map(|token| token.0).collect();
        let Some(plan) = self.slots.plan(&numbers, prompt.head, output_max) else { return Ok(None) };
        let slot = plan.slot;
        if let Some(from) = plan.copy_from {
            self.forget(slot, 0);
            let kept = u32::try_from(plan.keep).ok();
            let copied = self.llama.copy_kv_cache_seq(sequence(from), sequence(slot), Some(0), kept);
            if let Err(error) = copied {
                // The books say that it holds the copy.
                self.clear(slot);
                self.slots.release(slot);
                return Err(Failure::new(FailureKind::Engine, error.to_string()));
            }
        }
        for dropped in plan.drop {
            self.forget(dropped, 0);
        }
        if self.forget(slot, plan.keep) {
            return Ok(Some(Placed { slot, n_kept: plan.keep }));
        }
        // This model cannot forget a part.
        self.forget(slot, 0);
        self.slots.keep(slot, 0);
        Ok(Some(Placed { slot, n_kept: 0 }))
    }

    /// Its answer is over: what is in `slot` stays until the room is wanted.
    pub(crate) fn release(&mut self, slot: usize) {
        self.slots.release(slot);
    }

    /// Empties `slot`, in the store and in the books.
    pub(crate) fn clear(&mut self, slot: usize) {
        self.slots.clear(slot);
        self.forget(slot, 0);
    }

    /// Reads the shares in one batch.
    pub(crate) fn read(&mut self, shares: &mut [Share]) -> Result<(), Failure> {
        self.batch.clear();
        for share in shares.iter_mut() {
            let first = self.slots.len(share.slot);
            for (index, token) in share.tokens.iter().enumerate() {
                let wants_logits = share.logits.is_some() && index + 1 == share.tokens.len();
                let position = i32::try_from(first + index).unwrap_or(i32::MAX);
                if wants_logits {
                    share.logits = Some(self.batch.n_tokens());
                }
                self.batch
                    .add(*token, position, &[sequence(share.slot)], wants_logits)
                    .map_err(|error| Failure::new(FailureKind::Engine, error.to_string()))?;
            }
        }
        self.threads.begin();
        let decoded = self.llama.decode(&mut self.batch);
        self.threads.end();
        decoded.map_err(|error| {
            Failure::new(FailureKind::Engine, format!("llama.cpp could not go on: {error}"))
        })?;
        for share in shares {
            let numbers: Vec<Token> = share.tokens.iter().map(|token| token.0).collect();
            self.slots.extend(share.slot, &numbers);
        }
        Ok(())
    }

    /// Reads `n_tokens` to get the weights into memory, and forgets them.
    pub(crate) fn warm_up(&mut self, n_tokens: usize) -> Result<(), Failure> {
        let tokens = vec![LlamaToken(0); n_tokens];
        self.read(&mut [Share { id: 0, slot: 0, tokens, is_prompt: true, logits: Some(0) }])?;
        self.clear(0);
        Ok(())
    }

    /// Computes with as many threads as the others leave. llama.cpp's context keeps the number that it was made with, so a
    /// new one takes over what is cached: 60 ms for 830 tokens of the 1.5B model. The same numbers come out, but for
    /// attention over 512 tokens and more, which is summed in as many parts as there are threads.
    pub(crate) fn choose_threads(&mut self) {
        self.threads.look();
        let n_threads = self.threads.now();
        if n_threads == self.n_threads {
            return;
        }
        match self.taken_over(n_threads) {
            Some(llama) => {
                tracing::debug!(threads = n_threads, "computing with {n_threads} threads");
                self.llama = llama;
                self.n_threads = n_threads;
            }
            // No memory for it, or a model whose state cannot be copied: go on as before.
            None => self.threads.fix(self.n_threads),
        }
    }

    fn taken_over(&self, n_threads: u32) -> Option<LlamaContext<'m>> {
        let mut llama = new_llama(self.model, self.config, (self.n_batch, n_threads)).ok()?;
        for slot in self.slots.in_use() {
            let state = self.llama.state_seq_get(sequence(slot), LlamaStateSeqFlags::empty()).ok()?;
            llama.state_seq_set(&state, sequence(slot)).ok()?;
        }
        Some(llama)
    }

    /// Drops what is stored of `slot` from token `keep` on; false when this model cannot forget a part.
    fn forget(&mut self, slot: usize, keep: usize) -> bool {
        self.llama
            .clear_kv_cache_seq(u32::try_from(slot).ok(), u32::try_from(keep).ok(), None)
            .unwrap_or(false)
    }
}

fn new_llama(
    model: &Model,
    config: Config,
    (n_batch, n_threads): (usize, u32),
) -> Result<LlamaContext<'_>, LoadError> {
    let n_threads = i32::try_from(n_threads).unwrap_or(1);
    let n_batch = count(n_batch);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(config.n_ctx))
        .with_n_batch(n_batch)
        .with_n_ubatch(n_batch)
        .with_n_seq_max(count(n_slots(config)))
        // Without it each sequence has its part of the context, and copying part of one ends the process.
        .with_kv_unified(true)
        .with_n_threads(n_threads)
        .with_n_threads_batch(n_threads);
    model
        .llama
        .new_context(backend(), params)
        .map_err(|error| LoadError::Context { n_ctx: config.n_ctx, reason: error.to_string() })
}

/// Sequences: one for each running answer and some to keep.
fn n_slots(config: Config) -> usize {
    N_KEPT + usize::try_from(config.parallel).unwrap_or(1)
}

fn sequence(slot: usize) -> i32 {
    i32::try_from(slot).unwrap_or(0)
}
