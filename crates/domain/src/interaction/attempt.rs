//! One call of a turn to one target: why it was made, how it went, what it cost.

use std::time::Duration;

use crate::chat::Finish;
use crate::fault;
use crate::id::{ModelId, TargetId};
use crate::model::Tier;
use crate::money::Amount;
use crate::price::{Cost, PriceVersion};
use crate::token::Usage;

/// One call to one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// From 1 over all tiers of the turn.
    pub n: u32,
    /// The tier it was made for.
    pub tier: Tier,
    /// The target.
    pub target: TargetId,
    /// The model.
    pub model: ModelId,
    /// Why this target; `None` in records from before that was kept.
    pub chosen: Option<Chosen>,
    /// When it started, after the turn's start.
    pub started: Duration,
    /// How long it took.
    pub latency: Duration,
    /// To the first text, where one came.
    pub first_token: Option<Duration>,
    /// What it used, where the provider said.
    pub usage: Option<Usage>,
    /// About what it used, where the provider accepted the call and did not say.
    pub estimate: Option<Usage>,
    /// The prices that made the cost; `None` when it used nothing or has none.
    pub prices: Option<PriceVersion>,
    /// What it cost.
    pub cost: Cost,
    /// What an answer that was given again had cost the first time, as far as that is known.
    pub saved: Amount,
    /// How it ended.
    pub result: AttemptResult,
    /// Why the model stopped, where it said so; told to who watches, and not kept in records.
    pub finish: Option<Finish>,
}

impl Attempt {
    /// Whether a model was called: not where an earlier answer was given again.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.result != AttemptResult::Cached
    }
}

/// Why a target was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// Its tier has no other that could be.
    Only,
    /// It is written first.
    Priority,
    /// Chance and its weight.
    Weighted,
    /// Chance and its weight, once for all requests of this session, user or key.
    Sticky,
    /// Its answers come soonest.
    LeastLatency,
    /// Its answer is expected to cost least.
    LowestCost,
    /// It is good enough, and the cheapest or fastest of those that are.
    QualityFloor,
    /// The request is easy.
    Easy,
    /// The request is hard.
    Hard,
    /// The one before it in its tier failed or was not to be called.
    Next,
    /// The same, and it is the same model elsewhere.
    Failover,
    /// It is called once more.
    Retry,
    /// It is asked beside one that takes unusually long.
    Hedge,
    /// It goes on with a streamed answer that broke off elsewhere.
    Continued,
    /// It is not called: its answer to the same question is given again.
    CacheHit,
    /// It is not called: its answer to a question like it is given again.
    CacheSemantic,
}

impl Chosen {
    /// All, for parsing.
    pub const ALL: [Self; 16] = [
        Self::Only,
        Self::Priority,
        Self::Weighted,
        Self::Sticky,
        Self::LeastLatency,
        Self::LowestCost,
        Self::QualityFloor,
        Self::Easy,
        Self::Hard,
        Self::Next,
        Self::Failover,
        Self::Retry,
        Self::Hedge,
        Self::Continued,
        Self::CacheHit,
        Self::CacheSemantic,
    ];

    /// The stable name used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Priority => "priority",
            Self::Weighted => "weighted",
            Self::Sticky => "sticky",
            Self::LeastLatency => "least_latency",
            Self::LowestCost => "lowest_cost",
            Self::QualityFloor => "quality_floor",
            Self::Easy => "easy",
            Self::Hard => "hard",
            Self::Next => "next",
            Self::Failover => "failover",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
            Self::Continued => "continued",
            Self::CacheHit => "cache_hit",
            Self::CacheSemantic => "cache_semantic",
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// With an answer.
    Answered,
    /// With a failure.
    Failed(fault::Kind),
    /// Nobody waited for it any more.
    Cancelled,
    /// No call was made: an earlier answer was given again.
    Cached,
}

impl AttemptResult {
    /// The stable name used in records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(kind) => kind.name(),
            Self::Cancelled => "cancelled",
            Self::Cached => "cached",
        }
    }
}
