//! The finished record of a turn: everything needed to say later why it was answered so.

use std::time::Duration;

use crate::agent::{AgentVersion, Retention};
use crate::chat::Finish;
use crate::document::Citation;
use crate::fault;
use crate::id::{CaseId, ContentHash, InteractionId, ModelId, SessionId, SnapshotId, TargetId, TenantId};
use crate::model::Tier;
use crate::money::Amount;
use crate::price::{Cost, PriceVersion};
use crate::principal::Asker;
use crate::session::SessionTurn;
use crate::time::Timestamp;
use crate::token::Usage;

/// Which door a turn came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /generate`.
    Generate,
    /// `POST /query`.
    Query,
    /// `POST /v1/chat/completions` with a bare model: relayed, no agent.
    ChatCompletions,
}

impl Door {
    /// The stable name used in records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Query => "query",
            Self::ChatCompletions => "chat_completions",
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// With an answer (generated or quoted).
    Answered,
    /// "I don't have that information", with contact.
    Declined,
    /// With a question back.
    Clarify,
    /// Handed to a person.
    Escalated,
    /// A guardrail stopped it.
    Blocked,
    /// With the static answer.
    Degraded,
    /// With an error (relayed turns only), or not at all since the caller left.
    Failed,
}

impl Outcome {
    /// All, for labels and parsing.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Declined,
        Self::Clarify,
        Self::Escalated,
        Self::Blocked,
        Self::Degraded,
        Self::Failed,
    ];

    /// The stable name used in bodies, records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Declined => "declined",
            Self::Clarify => "clarify",
            Self::Escalated => "escalated",
            Self::Blocked => "blocked",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// What the guardrails did with a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum GuardrailAction {
    /// Nothing found, or only noted.
    #[default]
    None,
    /// Something was masked.
    Masked,
    /// The turn was stopped.
    Blocked,
}

impl GuardrailAction {
    /// The stable name used in bodies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Masked => "masked",
            Self::Blocked => "blocked",
        }
    }
}

/// What a guardrail found. It never holds the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The policy.
    pub policy: String,
    /// The rule within it.
    pub rule: String,
    /// Where it was found.
    pub side: Side,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

/// Which text a guardrail looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the person wrote.
    Input,
    /// What the model wrote.
    Output,
}

impl Side {
    /// The stable name used in bodies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// The guardrails' verdict on a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardrailVerdict {
    /// The strongest action taken.
    pub action: GuardrailAction,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The intent as detected.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentVerdict {
    /// Its name.
    pub name: String,
    /// Calibrated probability, 0 to 1.
    pub confidence: f32,
}

/// The validator's verdict on an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QualityVerdict {
    /// 0 to 100.
    pub score: u8,
    /// Each dimension.
    pub checks: Vec<QualityCheck>,
    /// How often the answer was generated again.
    pub regenerations: u32,
}

/// One dimension of a quality verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityCheck {
    /// The dimension (`completeness`, `placeholders`, `numbers`, `groundedness`, …).
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Why not, in words a model can act on; empty when it holds.
    pub reason: String,
}

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

/// One step of the pipeline, as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// A name of [`crate::signal::step`].
    pub name: &'static str,
    /// When it started, after the turn's start.
    pub started: Duration,
    /// How long it took.
    pub took: Duration,
    /// Its result in a word.
    pub outcome: String,
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    /// Unique for ever.
    pub id: InteractionId,
    /// The conversation, for `/query`.
    pub session: Option<SessionId>,
    /// Who asked.
    pub asker: Asker,
    /// The user, when the caller said.
    pub user_id: Option<String>,
    /// Which door it came through.
    pub door: Door,
    /// The agent that answered; [`AgentVersion::none`] for a relayed turn.
    pub agent: AgentVersion,
    /// What the replica served from.
    pub snapshot: SnapshotId,
    /// When it began.
    pub created: Timestamp,
    /// From accepting to replying.
    pub latency: Duration,
    /// What was asked; `None` when not kept.
    pub question: Option<String>,
    /// SHA-256 of what was asked (of a relayed turn: of the body as received); `None` when a guardrail forbade even
    /// that.
    pub question_hash: Option<ContentHash>,
    /// What was replied; `None` when not kept.
    pub response: Option<String>,
    /// SHA-256 of what was replied (of a relayed turn: of the answer's bytes as passed on).
    pub response_hash: ContentHash,
    /// How it ended.
    pub outcome: Outcome,
    /// Which rung answered; `None` when the reply needed no rung (blocked, clarify, declined by score).
    pub tier: Option<Tier>,
    /// As reported: `<provider>/<model>`, `FALLBACK:…`, `DEGRADED_SERVICE` or `QUOTED_PASSAGE`; `None` with the tier.
    pub model_used: Option<String>,
    /// The attempt that answered, from 1; 0 when no call was made.
    pub attempt: u32,
    /// The intent, for `/query`.
    pub intent: Option<IntentVerdict>,
    /// The guardrails' verdict.
    pub guardrail: GuardrailVerdict,
    /// The validator's verdict, where an answer was validated.
    pub quality: Option<QualityVerdict>,
    /// The passages the answer rests on.
    pub citations: Vec<Citation>,
    /// Tokens of all attempts.
    pub usage: Usage,
    /// Cost of all attempts.
    pub cost: Cost,
    /// Every call made.
    pub attempts: Vec<Attempt>,
    /// Every step taken.
    pub steps: Vec<StepRecord>,
    /// The case opened, when it was handed to a person.
    pub case: Option<CaseId>,
    /// Whatever else the caller sent along, as the JSON text of an object; `None` when not kept.
    pub metadata: Option<String>,
    /// What is kept of its texts.
    pub retention: Retention,
}

impl Interaction {
    /// Whether no agent had a part in it.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.door == Door::ChatCompletions
    }

    /// Whether its caller got no reply, or only a part of one.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// All that one finished turn writes, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedTurn {
    /// The record.
    pub interaction: Interaction,
    /// What it does to its session, for `/query`.
    pub session: Option<SessionTurn>,
}

/// Which interactions to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct InteractionFilter {
    /// Of this tenant; `None` for those of all.
    pub tenant: Option<TenantId>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Older than this interaction (the last one of the page before).
    pub before: Option<InteractionId>,
    /// At most this many.
    pub limit: usize,
}
