//! The ways a turn can end, and the record that each leaves.

use domain::agent::Retention;
use domain::chat::Role;
use domain::document::{Citation, Passage, Retrieved};
use domain::fault::{Origin, Retry};
use domain::id::{CaseId, ContentHash};
use domain::interaction::{
    Door, FinishedTurn, GuardrailVerdict, Interaction, IntentVerdict, Outcome, QualityVerdict,
};
use domain::model::{Cost, Tier};
use domain::money::Nanos;
use domain::ports::ModelError;
use domain::session::{Session, SessionMessage, SessionTurn};
use domain::time::Timestamp;
use domain::token::Usage;
use registry::snapshot::{Serving, Snapshot};
use registry::texts::Contact;
use routing::{AttemptLog, Unanswered};
use sha2::{Digest, Sha256};

use crate::listener::Listener;
use crate::parts::Pipeline;
use crate::steps::generate::{Asked, Draft, Released};
use crate::trace::Trace;
use crate::turn::{Recorded, Reply, Turn};
use crate::wording;

/// What is known of a turn before it ends.
pub(super) struct Known<'a> {
    pipeline: &'a Pipeline,
    turn: &'a Turn,
    snapshot: &'a Snapshot,
    serving: &'a Serving,
    session: Option<&'a Session>,
    created: Timestamp,
    keeps_question: KeepsQuestion,
    pub(super) guardrail: GuardrailVerdict,
    pub(super) intent: Option<IntentVerdict>,
    pub(super) attempts: AttemptLog,
}

#[derive(PartialEq)]
enum KeepsQuestion {
    AsRetained,
    Never,
}

/// How a turn ends.
pub(super) struct Ending {
    outcome: Outcome,
    response: String,
    spoken: Option<Spoken>,
    citations: Vec<Citation>,
    quality: Option<QualityVerdict>,
    case: Option<CaseId>,
    clarifications: u32,
}

/// Which rung spoke.
pub(crate) struct Spoken {
    pub(crate) tier: Tier,
    pub(crate) model_used: String,
    pub(crate) attempt: u32,
}

const QUOTED_PASSAGE: &str = "QUOTED_PASSAGE";
const DEGRADED_SERVICE: &str = "DEGRADED_SERVICE";
/// Lifetime of the session of an agent that keeps no texts: only its counters live on.
const SESSION_WITHOUT_TEXTS: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

impl Ending {
    /// A reply that needed no rung.
    pub(super) fn said(outcome: Outcome, response: String) -> Self {
        Self { outcome, response, spoken: None, citations: Vec::new(), quality: None, case: None, clarifications: 0 }
    }

    fn spoken(outcome: Outcome, response: String, spoken: Spoken) -> Self {
        Self { spoken: Some(spoken), ..Self::said(outcome, response) }
    }
}

/// The answer given to the same message before.
pub(super) fn repeated(interaction: Interaction) -> Reply {
    let response = interaction.response.clone().unwrap_or_default();
    Reply { interaction, response, recorded: Recorded::Yes }
}

pub(super) fn clarify(choices: &[String], asked_before: u32) -> Ending {
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    let response = wording::clarify(&choices, asked_before);
    Ending { clarifications: asked_before + 1, ..Ending::said(Outcome::Clarify, response) }
}

pub(super) fn escalate(case: CaseId, contact: &Contact, found: Option<&Retrieved>) -> Ending {
    let passage = found.and_then(|found| found.passages.first());
    let response = wording::escalated(&case, contact, passage);
    Ending {
        citations: passage.map(|passage| vec![cite(1, passage)]).unwrap_or_default(),
        case: Some(case),
        ..Ending::said(Outcome::Escalated, response)
    }
}

pub(super) fn answered(asked: &Asked<'_>, draft: Draft, verdict: QualityVerdict) -> Ending {
    let citations = supporting(&draft.text, asked.passages());
    let spoken = draft.spoken();
    Ending { citations, quality: Some(verdict), ..Ending::spoken(Outcome::Answered, draft.text, spoken) }
}

/// The model itself said that the passages do not hold the answer.
pub(super) fn model_declined(asked: &Asked<'_>, draft: &Draft, verdict: QualityVerdict) -> Ending {
    let response = wording::declined(&asked.snapshot.contact);
    Ending { quality: Some(verdict), ..Ending::spoken(Outcome::Declined, response, draft.spoken()) }
}

/// An output guardrail stopped the answer.
pub(super) fn output_blocked(draft: Draft, verdict: QualityVerdict) -> Ending {
    let spoken = draft.spoken();
    let reply = draft.blocked_reply.unwrap_or_else(|| "I cannot share this answer.".to_owned());
    Ending { quality: Some(verdict), ..Ending::spoken(Outcome::Blocked, reply, spoken) }
}

/// No generated answer held: the best passage itself, after what was already released.
pub(super) async fn quoted(asked: &Asked<'_>, draft: Draft, verdict: QualityVerdict, listener: &Listener) -> Ending {
    let Some(passage) = asked.passages().first() else {
        return degraded(asked, Some(verdict), draft.attempt);
    };
    let spoken = draft.spoken();
    if draft.released == Released::Some {
        let closing = wording::closing_quote(passage);
        listener.text(closing.clone()).await;
        let citations = supporting(&format!("{} {}", draft.text, passage.text), asked.passages());
        let ending = Ending::spoken(Outcome::Answered, format!("{}{closing}", draft.text), spoken);
        return Ending { citations, quality: Some(verdict), ..ending };
    }
    let spoken = Spoken { model_used: QUOTED_PASSAGE.to_owned(), ..spoken };
    let ending = Ending::spoken(Outcome::Answered, wording::quoted(passage), spoken);
    Ending { citations: vec![cite(1, passage)], quality: Some(verdict), ..ending }
}

/// No model answered: while the embedded one is on its way, and after a draft that did not hold,
/// the passage is quoted; else the static answer is given.
pub(super) fn without_model(asked: &Asked<'_>, missing: Option<&Unanswered>, regenerations: u32) -> Ending {
    let reason = missing.map_or_else(|| "the prompt could not be rendered".to_owned(), ToString::to_string);
    tracing::warn!(interaction.id = %asked.turn.interaction, reason, "no model answered");
    let is_starting = missing.and_then(|missing| missing.last.as_ref()).is_some_and(is_on_its_way);
    if (regenerations > 0 || is_starting)
        && let Some(passage) = asked.passages().first()
    {
        let tier = asked.serving.route.tiers.last().map_or(Tier::Embedded, |tier| tier.tier);
        let spoken = Spoken { tier, model_used: QUOTED_PASSAGE.to_owned(), attempt: 0 };
        let ending = Ending::spoken(Outcome::Answered, wording::quoted(passage), spoken);
        return Ending { citations: vec![cite(1, passage)], ..ending };
    }
    degraded(asked, None, 0)
}

/// Whether the failure only says that our own model has not started yet.
fn is_on_its_way(error: &ModelError) -> bool {
    error.fault.origin == Origin::Mainstay && matches!(error.fault.retry, Retry::After(_))
}

fn degraded(asked: &Asked<'_>, quality: Option<QualityVerdict>, attempt: u32) -> Ending {
    let response = asked.serving.loaded.degraded.clone();
    let spoken = Spoken { tier: Tier::Degraded, model_used: DEGRADED_SERVICE.to_owned(), attempt };
    Ending { quality, ..Ending::spoken(Outcome::Degraded, response, spoken) }
}

/// The stronger of two verdicts, with the findings of both.
pub(super) fn stronger(mut one: GuardrailVerdict, other: &GuardrailVerdict) -> GuardrailVerdict {
    one.action = one.action.max(other.action);
    one.findings.extend(other.findings.iter().cloned());
    one
}

/// Passages that at least one sentence of the answer rests on; the best one when none stands out.
fn supporting(text: &str, passages: &[Passage]) -> Vec<Citation> {
    let words: Vec<Vec<String>> = passages.iter().map(|passage| language::content_words(&passage.text)).collect();
    let mut used = vec![false; passages.len()];
    for range in language::sentences(text) {
        let sentence = language::content_words(text.get(range).unwrap_or_default());
        if sentence.is_empty() {
            continue;
        }
        let scores = words.iter().map(|words| language::similarity::recall(&sentence, words)).enumerate();
        // The first of equals: passages stand best first.
        let best = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
        if let Some(flag) = best.filter(|(_, score)| *score > 0.0).and_then(|(index, _)| used.get_mut(index)) {
            *flag = true;
        }
    }
    let chosen = passages.iter().zip(&used).filter(|(_, used)| **used).map(|(passage, _)| passage);
    let mut citations: Vec<Citation> = (1..).zip(chosen).map(|(n, passage)| cite(n, passage)).collect();
    if citations.is_empty() {
        citations.extend(passages.first().map(|passage| cite(1, passage)));
    }
    citations
}

fn cite(n: u32, passage: &Passage) -> Citation {
    Citation { n, passage: passage.clone() }
}

impl<'a> Known<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        turn: &'a Turn,
        snapshot: &'a Snapshot,
        (serving, session): (&'a Serving, Option<&'a Session>),
    ) -> Self {
        Self {
            pipeline,
            turn,
            snapshot,
            serving,
            session,
            created: pipeline.parts.clock.wall(),
            keeps_question: KeepsQuestion::AsRetained,
            guardrail: GuardrailVerdict::default(),
            intent: None,
            attempts: AttemptLog::default(),
        }
    }

    /// What a guardrail blocked is kept nowhere, not even as a hash.
    pub(super) fn forget_question(&mut self) {
        self.keeps_question = KeepsQuestion::Never;
    }

    /// The record of the turn, and the reply's text.
    pub(super) fn close(self, ending: Ending, trace: &Trace) -> (FinishedTurn, String) {
        let agent = &self.serving.loaded.agent;
        let retention = match self.turn.door {
            Door::Generate => agent.retention_generate,
            Door::Query => agent.retention,
        };
        let keeps_texts = retention != Retention::None;
        let keeps_question = self.keeps_question == KeepsQuestion::AsRetained;
        let attempts = self.attempts.take();
        let usage = attempts.iter().filter_map(|attempt| attempt.usage).fold(Usage::default(), Usage::plus);
        let cost = attempts.iter().fold(Cost::Exact(Nanos(0)), |sum, attempt| sum.plus(attempt.cost));
        let latency = self.pipeline.parts.clock.now().since(trace.started());
        let question = (keeps_texts && keeps_question).then(|| self.turn.text.clone());
        let session = self.session_turn(&ending, question.as_deref(), retention);
        let (tier, model_used, attempt) = match ending.spoken {
            Some(spoken) => (Some(spoken.tier), Some(spoken.model_used), spoken.attempt),
            None => (None, None, 0),
        };
        let interaction = Interaction {
            id: self.turn.interaction.clone(),
            session: self.session.map(|session| session.id.clone()),
            user_id: self.turn.user_id.clone(),
            door: self.turn.door,
            agent: agent.version.clone(),
            snapshot: self.snapshot.id.clone(),
            created: self.created,
            latency,
            question,
            question_hash: keeps_question.then(|| content_hash(&self.turn.text)),
            response: keeps_texts.then(|| ending.response.clone()),
            response_hash: content_hash(&ending.response),
            outcome: ending.outcome,
            tier,
            model_used,
            attempt,
            intent: self.intent,
            guardrail: self.guardrail,
            quality: ending.quality,
            citations: ending.citations,
            usage,
            cost,
            attempts,
            steps: trace.steps(),
            case: ending.case,
            metadata: self.turn.metadata.clone().filter(|_| keeps_texts),
            retention,
        };
        (FinishedTurn { interaction, session }, ending.response)
    }

    fn session_turn(&self, ending: &Ending, question: Option<&str>, retention: Retention) -> Option<SessionTurn> {
        let session = self.session?;
        let at = self.pipeline.parts.clock.wall();
        let message = |role: Role, text: &str| SessionMessage {
            role,
            text: text.to_owned(),
            at,
            interaction: self.turn.interaction.clone(),
        };
        let mut messages = Vec::new();
        if retention != Retention::None {
            messages.extend(question.map(|question| message(Role::User, question)));
            messages.push(message(Role::Assistant, &ending.response));
        }
        let ttl = match retention {
            Retention::Session(ttl) => ttl,
            Retention::None | Retention::Record => SESSION_WITHOUT_TEXTS,
        };
        Some(SessionTurn {
            id: session.id.clone(),
            user_id: self.turn.user_id.clone(),
            created: session.created,
            message_id: self.turn.message_id.clone(),
            messages,
            clarifications: ending.clarifications,
            ttl,
        })
    }
}

fn content_hash(text: &str) -> ContentHash {
    let digest = Sha256::digest(text.as_bytes());
    ContentHash::new(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
