//! The row of an interaction, and the rule of what is not kept.

use domain::agent::{AgentVersion, Retention};
use domain::document::Citation;
use domain::interaction::{Attempt, Finding, GuardrailVerdict, IntentVerdict, Interaction, StepRecord};
use domain::principal::Asker;
use domain::time::Timestamp;
use domain::token::Usage;

use super::parts::{
    StoredCitation, StoredFinding, StoredIntent, StoredQuality, StoredStep, from_json, to_json,
};
use super::{Unreadable, duration, micros, names};

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
    pub(crate) expires: Option<i64>,
}

/// When the turn was over.
pub(crate) fn finished(interaction: &Interaction) -> Timestamp {
    interaction.created.after(interaction.latency)
}

/// What is written in the place of texts.
struct Texts {
    question: Option<String>,
    response: Option<String>,
    metadata: Option<String>,
    citations: Option<String>,
    reasons: Option<String>,
}

impl Texts {
    /// The texts as they may be kept: none at all under [`Retention::None`], whatever the caller left in.
    fn kept(interaction: &Interaction) -> Self {
        if interaction.retention == Retention::None {
            return Self { question: None, response: None, metadata: None, citations: None, reasons: None };
        }
        let citations: Vec<&str> =
            interaction.citations.iter().map(|citation| citation.passage.text.as_str()).collect();
        let reasons: Option<Vec<&str>> = interaction
            .quality
            .as_ref()
            .map(|quality| quality.checks.iter().map(|check| check.reason.as_str()).collect());
        Self {
            question: interaction.question.clone(),
            response: interaction.response.clone(),
            metadata: interaction.metadata.clone(),
            citations: Some(to_json(&citations)),
            reasons: reasons.map(|reasons| to_json(&reasons)),
        }
    }
}

fn list<'a, D, S>(values: &'a [D]) -> String
where
    S: From<&'a D> + serde::Serialize,
{
    to_json(&values.iter().map(S::from).collect::<Vec<S>>())
}

impl From<&Interaction> for InteractionRow {
    fn from(interaction: &Interaction) -> Self {
        let texts = Texts::kept(interaction);
        let (retention_ttl, expires) = match interaction.retention {
            Retention::Session(ttl) => (Some(micros(ttl)), Some(finished(interaction).after(ttl).0)),
            Retention::None | Retention::Record => (None, None),
        };
        Self {
            id: interaction.id.as_str().to_owned(),
            session: interaction.session.as_ref().map(|id| id.as_str().to_owned()),
            tenant: interaction.asker.tenant.as_str().to_owned(),
            key: interaction.asker.key.as_str().to_owned(),
            user_id: interaction.user_id.clone(),
            door: interaction.door.name().to_owned(),
            agent: interaction.agent.name.as_str().to_owned(),
            agent_version: interaction.agent.version.clone(),
            snapshot: interaction.snapshot.as_str().to_owned(),
            created: interaction.created.0,
            latency: micros(interaction.latency),
            question: texts.question,
            question_hash: interaction.question_hash.as_ref().map(|hash| hash.as_str().to_owned()),
            response: texts.response,
            response_hash: interaction.response_hash.as_str().to_owned(),
            outcome: interaction.outcome.name().to_owned(),
            tier: interaction.tier.map(|tier| tier.name().to_owned()),
            model_used: interaction.model_used.clone(),
            attempt: interaction.attempt,
            intent: interaction.intent.as_ref().map(|intent| to_json(&StoredIntent::from(intent))),
            guardrail_action: interaction.guardrail.action.name().to_owned(),
            findings: list::<Finding, StoredFinding>(&interaction.guardrail.findings),
            quality: interaction.quality.as_ref().map(|quality| to_json(&StoredQuality::from(quality))),
            quality_reasons: texts.reasons,
            citations: list::<Citation, StoredCitation>(&interaction.citations),
            citation_texts: texts.citations,
            steps: list::<StepRecord, StoredStep>(&interaction.steps),
            case_id: interaction.case.as_ref().map(|id| id.as_str().to_owned()),
            metadata: texts.metadata,
            retention: interaction.retention.name().to_owned(),
            retention_ttl,
            expires,
        }
    }
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
