//! The finished record of a turn: everything needed to say later why it was answered so.
//!
//! Reading order: this file (the record), `attempt` (its calls), `verdict` (what was found of it).

mod attempt;
mod verdict;

use std::time::Duration;

use crate::agent::{AgentVersion, Retention};
use crate::chat::Dialect;
use crate::document::Citation;
use crate::id::{CaseId, ContentHash, InteractionId, SessionId, SnapshotId, TenantId};
use crate::model::Tier;
use crate::price::Cost;
use crate::principal::Asker;
use crate::session::SessionTurn;
use crate::time::Timestamp;
use crate::token::Usage;

pub use attempt::{Attempt, AttemptResult, Chosen};
pub use verdict::{
    Finding, GuardrailAction, GuardrailVerdict, IntentVerdict, QualityCheck, QualityVerdict, Side,
};

/// Which door a turn came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /generate`.
    Generate,
    /// `POST /query`.
    Query,
    /// That of a dialect, with a bare model: relayed, no agent.
    Relayed(Dialect),
}

impl Door {
    /// The stable name used in records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Query => "query",
            Self::Relayed(Dialect::OpenAiChat) => "chat_completions",
            Self::Relayed(Dialect::OpenAiResponses) => "responses",
            Self::Relayed(Dialect::OpenAiCompletions) => "completions",
            Self::Relayed(Dialect::OpenAiEmbeddings) => "embeddings",
            Self::Relayed(Dialect::AnthropicMessages) => "messages",
            Self::Relayed(Dialect::AnthropicCountTokens) => "count_tokens",
            Self::Relayed(Dialect::BedrockConverse) => "converse",
            Self::Relayed(Dialect::BedrockInvoke) => "invoke",
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
        matches!(self.door, Door::Relayed(_))
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
