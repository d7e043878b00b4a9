//! One answer on its way: its prompt, what was sampled, and when it is over.

use embedded::frames::{FailureKind, Finish, Generate, Usage};
use llama_cpp_2::ggml_time_us;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use crate::model::{Model, Prompt};
use crate::text::Outlet;

/// What a step brought for one answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Text; may be empty while a character or a possible stop text is incomplete.
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened; no text of the prompt.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// What bounds an answer.
pub(crate) struct Limits {
    /// Context in tokens.
    pub(crate) n_ctx: usize,
    /// Lets only some tokens through.
    pub(crate) grammar: Option<LlamaSampler>,
}

/// An answer being made.
pub(crate) struct Answer {
    pub(crate) id: u64,
    /// Its sequence, once there was room for it.
    pub(crate) slot: Option<usize>,
    pub(crate) prompt: Prompt,
    /// Its place among the prompts to read: tokens asked for before it came, and its own.
    pub(crate) turn: u64,
    sampler: LlamaSampler,
    /// Cut at its limit it would be no JSON.
    must_end: bool,
    outlet: Outlet,
    /// Sampled and not read yet.
    pub(crate) pending: Vec<LlamaToken>,
    /// Most tokens to generate.
    pub(crate) output_max: usize,
    deadline_us: i64,
    usage: Usage,
    prompt_us: i64,
    decode_us: i64,
}

impl Answer {
    /// The answer to `call`, of which nothing is computed yet, under these `limits`.
    pub(crate) fn new(call: &Generate, prompt: Prompt, limits: Limits) -> Self {
        let n_left = limits.n_ctx.saturating_sub(prompt.tokens.len());
        Self {
            id: call.id,
            slot: None,
            turn: 0,
            must_end: limits.grammar.is_some(),
            // A stop text in the middle would leave half a value.
            outlet: Outlet::new(if limits.grammar.is_some() { &[] } else { &call.stop }),
            sampler: sampler(call, limits.grammar),
            pending: Vec::new(),
            output_max: n_left.min(usize::try_from(call.max_tokens).unwrap_or(usize::MAX)),
            deadline_us: ggml_time_us().saturating_add(
                i64::try_from(call.deadline_ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000),
            ),
            usage: Usage { input: count(prompt.tokens.len()), ..Usage::default() },
            prompt,
            prompt_us: 0,
            decode_us: 0,
        }
    }

    /// Its prompt will be read into `slot`, which holds `cached` tokens of it.
    pub(crate) fn place(&mut self, slot: usize, cached: usize) {
        self.slot = Some(slot);
        self.usage.cached = count(cached);
    }

    /// Whether its time is over at `now_us`.
    pub(crate) fn is_late(&self, now_us: i64) -> bool {
        now_us >= self.deadline_us
    }

    /// Some of its prompt was read in `us`.
    pub(crate) fn on_read(&mut self, us: i64) {
        self.prompt_us += us;
    }

    /// What it generated last was read in `us`.
    pub(crate) fn on_decoded(&mut self, us: i64) {
        self.decode_us += us;
    }

    /// Takes the next token from the logits at `index` of the last batch.
    pub(crate) fn sample(
        &mut self,
        model: &Model,
        context: &llama_cpp_2::context::LlamaContext<'_>,
        index: i32,
    ) -> Result<Progress, Failure> {
        let token = self.sampler.sample(context, index);
        if model.ends(token) {
            let text = std::mem::take(&mut self.outlet).finish();
            return Ok(self.done(text, Finish::Stop));
        }
        self.usage.output += 1;
        let release = self.outlet.push(&model.bytes(token));
        if release.is_stopped {
            return Ok(self.done(release.text, Finish::Stop));
        }
        if self.usage.output >= count(self.output_max) {
            if self.must_end {
                return Err(cut());
            }
            let rest = std::mem::take(&mut self.outlet).finish();
            return Ok(self.done(release.text + &rest, Finish::Length));
        }
        self.pending.push(token);
        Ok(Progress::Text(release.text))
    }

    /// Ends one that may not say anything.
    pub(crate) fn end_unsaid(&self) -> Result<Progress, Failure> {
        if self.must_end { Err(cut()) } else { Ok(self.done(String::new(), Finish::Length)) }
    }

    /// Ends it.
    pub(crate) fn done(&self, text: String, finish: Finish) -> Progress {
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
fn sampler(call: &Generate, grammar: Option<LlamaSampler>) -> LlamaSampler {
    let mut chain: Vec<LlamaSampler> = grammar.into_iter().collect();
    if call.temperature <= 0.0 {
        chain.push(LlamaSampler::greedy());
        return LlamaSampler::chain(chain, true);
    }
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

fn cut() -> Failure {
    let detail = "the answer reached its limit of tokens before its JSON was whole";
    Failure::new(FailureKind::Truncated, detail)
}

/// `n` as the frames count.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
