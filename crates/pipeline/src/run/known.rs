//! What is known of a turn while it runs, and the record that it leaves.

use std::time::Duration;

use domain::agent::Retention;
use domain::chat::Role;
use domain::hex;
use domain::id::ContentHash;
use domain::interaction::{Door, FinishedTurn, GuardrailVerdict, IntentVerdict, Interaction, Outcome};
use domain::session::{Session, SessionMessage, SessionTurn};
use domain::token::Usage;
use registry::snapshot::{Serving, Snapshot};
use routing::AttemptLog;
use sha2::{Digest, Sha256};

use crate::run::closing::Ending;
use crate::trace::Trace;
use crate::turn::Turn;

/// What is known of a turn before it ends.
pub(super) struct Known<'a> {
    pub(super) turn: &'a Turn,
    pub(super) snapshot: &'a Snapshot,
    pub(super) serving: &'a Serving,
    pub(super) session: Option<&'a Session>,
    /// The text as the guardrails let it through, masked where they mask. Until they have, and when they block it,
    /// nothing of it is kept: not the text, not what came with it, not even a hash.
    pub(super) question: Option<String>,
    pub(super) guardrail: GuardrailVerdict,
    pub(super) intent: Option<IntentVerdict>,
    pub(super) attempts: AttemptLog,
}

/// Lifetime of the session of an agent whose retention names none.
const SESSION_TTL: Duration = Duration::from_secs(24 * 3_600);

impl Known<'_> {
    /// The guardrails also looked at text that the model wrote.
    pub(super) fn add_guardrail(&mut self, other: &GuardrailVerdict) {
        self.guardrail.action = self.guardrail.action.max(other.action);
        self.guardrail.findings.extend(other.findings.iter().cloned());
    }

    /// The record of the turn, and the reply's text.
    pub(super) fn close(self, ending: Ending, trace: &Trace) -> (FinishedTurn, String) {
        let agent = &self.serving.loaded.agent;
        let retention = match self.turn.door {
            Door::Generate | Door::Relayed(_) => agent.retention_generate,
            Door::Query => agent.retention,
        };
        let keeps_texts = retention != Retention::None;
        let attempts = self.attempts.take();
        let usage = attempts.iter().filter_map(|attempt| attempt.usage).fold(Usage::default(), Usage::plus);
        let cost = attempts.iter().map(|attempt| attempt.cost).sum();
        let session = self.session_turn(&ending, retention, trace);
        let (tier, model_used, attempt) = match ending.spoken {
            Some(spoken) => (Some(spoken.tier), Some(spoken.model_used), spoken.attempt),
            None => (None, None, 0),
        };
        let metadata = self.turn.metadata.clone().filter(|_| keeps_texts && self.question.is_some());
        let interaction = Interaction {
            id: self.turn.interaction.clone(),
            session: self.session.map(|session| session.id.clone()),
            asker: self.turn.principal.asker.clone(),
            user_id: self.turn.user_id.clone(),
            door: self.turn.door,
            agent: agent.version.clone(),
            snapshot: self.snapshot.id.clone(),
            created: trace.created(),
            latency: trace.now().since(trace.started()),
            question_hash: self.question.as_deref().map(content_hash),
            question: self.question.filter(|_| keeps_texts),
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
            metadata,
            retention,
        };
        (FinishedTurn { interaction, session }, ending.response)
    }

    /// The record of a turn whose caller left before its reply. The conversation is as if it had not been asked: sent
    /// again, the message is answered.
    pub(super) fn left(self, trace: &Trace) -> FinishedTurn {
        let continued =
            self.session.filter(|session| session.turn_count > 0).map(|session| session.id.clone());
        let attempt = self.attempts.n_begun();
        let known = Self { session: None, ..self };
        let (mut finished, _) = known.close(Ending::said(Outcome::Failed, String::new()), trace);
        let interaction = &mut finished.interaction;
        (interaction.session, interaction.attempt, interaction.response) = (continued, attempt, None);
        finished
    }

    fn session_turn(&self, ending: &Ending, retention: Retention, trace: &Trace) -> Option<SessionTurn> {
        let session = self.session?;
        let at = trace.created().after(trace.now().since(trace.started()));
        let message = |role: Role, text: &str| SessionMessage {
            role,
            text: text.to_owned(),
            at,
            interaction: self.turn.interaction.clone(),
        };
        let mut messages = Vec::new();
        if retention != Retention::None {
            messages.extend(self.question.as_deref().map(|question| message(Role::User, question)));
            messages.push(message(Role::Assistant, &ending.response));
        }
        let ttl = match retention {
            Retention::Session(ttl) => ttl,
            Retention::None | Retention::Record => SESSION_TTL,
        };
        Some(SessionTurn {
            id: session.id.clone(),
            tenant: self.turn.principal.asker.tenant.clone(),
            user_id: self.turn.user_id.clone(),
            created: session.created,
            message_id: self.turn.message_id.clone(),
            messages,
            clarifications: ending.clarifications,
            ttl,
        })
    }
}

/// SHA-256 of `text`.
pub(super) fn content_hash(text: &str) -> ContentHash {
    ContentHash::new(hex::of(&Sha256::digest(text.as_bytes())))
}
