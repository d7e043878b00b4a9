//! The row of an interaction, as it is read.

use domain::agent::{AgentVersion, Retention};
use domain::document::Citation;
use domain::interaction::{Attempt, Finding, GuardrailVerdict, IntentVerdict, Interaction, StepRecord};
use domain::principal::Asker;
use domain::time::Timestamp;
use domain::token::Usage;

use super::parts::{StoredCitation, StoredFinding, StoredIntent, StoredQuality, StoredStep, from_json};
use super::{Unreadable, duration, names};

/// One row of `interactions`, column by column.
#[derive(Debug)]
pub(crate) struct InteractionRow {
    pub(crate) id: String,
    pub(crate) session: Option<String>,
    pub(crate) tenant: String,
    pub(crate) key: String,
    pub(crate) user_id: Option<String>,
    pub(crate) door: String,
    pub(crate) agent: String,
    pub(crate) agent_version: String,
    pub(crate) snapshot: String,
    pub(crate) created: i64,
    pub(crate) latency: i64,
    pub(crate) question: Option<String>,
    pub(crate) question_hash: Option<String>,
    pub(crate) response: Option<String>,
    pub(crate) response_hash: String,
    pub(crate) outcome: String,
    pub(crate) tier: Option<String>,
    pub(crate) model_used: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) intent: Option<String>,
    pub(crate) guardrail_action: String,
    pub(crate) findings: String,
    pub(crate) quality: Option<String>,
    pub(crate) quality_reasons: Option<String>,
    pub(crate) citations: String,
    pub(crate) citation_texts: Option<String>,
    pub(crate) steps: String,
    pub(crate) case_id: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) retention: String,
    pub(crate) retention_ttl: Option<i64>,
}

/// When the turn was over.
pub(crate) fn finished(interaction: &Interaction) -> Timestamp {
    interaction.created.after(interaction.latency)
}

impl InteractionRow {
    /// The turn, with its calls.
    pub(crate) fn with(self, attempts: Vec<Attempt>) -> Result<Interaction, Unreadable> {
        let id = self.id.clone();
        read(self, attempts).map_err(|Unreadable(reason)| Unreadable(format!("interaction {id}: {reason}")))
    }
}

fn read(row: InteractionRow, attempts: Vec<Attempt>) -> Result<Interaction, Unreadable> {
    let usage = attempts.iter().filter_map(|attempt| attempt.usage).fold(Usage::NONE, Usage::plus);
    let findings: Vec<StoredFinding> = from_json("findings", &row.findings)?;
    let guardrail = GuardrailVerdict {
        action: names::guardrail_action(&row.guardrail_action)?,
        findings: findings.into_iter().map(Finding::try_from).collect::<Result<_, _>>()?,
    };
    let reasons = texts("quality_reasons", row.quality_reasons.as_deref())?;
    let quality = match row.quality.as_deref() {
        Some(quality) => Some(from_json::<StoredQuality>("quality", quality)?.with_reasons(reasons)),
        None => None,
    };
    let intent = match row.intent.as_deref() {
        Some(intent) => Some(IntentVerdict::from(from_json::<StoredIntent>("intent", intent)?)),
        None => None,
    };
    let cost = attempts.iter().map(|attempt| attempt.cost).sum();
    let steps: Vec<StoredStep> = from_json("steps", &row.steps)?;
    Ok(Interaction {
        id: row.id.into(),
        session: row.session.map(Into::into),
        asker: Asker { tenant: row.tenant.into(), key: row.key.into() },
        user_id: row.user_id,
        door: names::door(&row.door)?,
        agent: AgentVersion { name: row.agent.into(), version: row.agent_version },
        snapshot: row.snapshot.into(),
        created: Timestamp(row.created),
        latency: duration(row.latency),
        question: row.question,
        question_hash: row.question_hash.map(Into::into),
        response: row.response,
        response_hash: row.response_hash.into(),
        outcome: names::outcome(&row.outcome)?,
        tier: row.tier.as_deref().map(names::tier).transpose()?,
        model_used: row.model_used,
        attempt: row.attempt,
        intent,
        guardrail,
        quality,
        citations: citations(&row.citations, row.citation_texts.as_deref())?,
        usage,
        cost,
        attempts,
        steps: steps.into_iter().map(StepRecord::from).collect(),
        case: row.case_id.map(Into::into),
        metadata: row.metadata,
        retention: retention(&row.retention, row.retention_ttl)?,
    })
}

fn texts(column: &str, stored: Option<&str>) -> Result<Vec<String>, Unreadable> {
    match stored {
        Some(stored) => from_json(column, stored),
        None => Ok(Vec::new()),
    }
}

fn citations(stored: &str, stored_texts: Option<&str>) -> Result<Vec<Citation>, Unreadable> {
    let mut texts = texts("citation_texts", stored_texts)?.into_iter();
    let citations: Vec<StoredCitation> = from_json("citations", stored)?;
    Ok(citations.into_iter().map(|citation| citation.with_text(texts.next().unwrap_or_default())).collect())
}

fn retention(name: &str, ttl: Option<i64>) -> Result<Retention, Unreadable> {
    match (name, ttl) {
        ("none", None) => Ok(Retention::None),
        ("session", Some(ttl)) => Ok(Retention::Session(duration(ttl))),
        ("record", None) => Ok(Retention::Record),
        _ => Err(Unreadable(format!("unknown retention `{name}`"))),
    }
}
