//! The record of a relayed turn: written once, however it ends, also when its caller leaves.

use std::sync::Arc;

use access::limits::Allowance;
use domain::agent::{AgentVersion, Retention};
use domain::interaction::{Door, FinishedTurn, GuardrailVerdict, Interaction, Outcome};
use domain::model::Cost;
use domain::residency::Residency;
use domain::time::{Moment, Timestamp};
use domain::token::Usage;
use routing::{Ask, AttemptLog, Skip, Want};
use sha2::{Digest, Sha256};

use super::RelayTurn;
use crate::parts::{Durability, Pipeline};
use crate::run::closing::Spoken;
use crate::run::known::hash_of;
use crate::steps::record;
use crate::turn::{Recorded, TurnError};

/// What becomes the record.
pub(super) struct Ledger {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) turn: RelayTurn,
    pub(super) attempts: AttemptLog,
    pub(super) started: Moment,
    pub(super) created: Timestamp,
    /// Where the request may be processed, by itself and by its key.
    residency: Residency,
    /// Which rung answers, once one does.
    pub(super) spoken: Option<Spoken>,
    /// Over the bytes that were passed on.
    pub(super) hasher: Sha256,
    is_closed: bool,
    /// The caller's leave, until it has its answer.
    _allowance: Allowance,
}

/// A record on its way to disk.
pub(super) struct Closed {
    pub(super) cost: Cost,
    pub(super) recorded: Result<Recorded, TurnError>,
}

impl Ledger {
    pub(super) fn open(
        pipeline: Arc<Pipeline>,
        (turn, allowance): (RelayTurn, Allowance),
        (started, created): (Moment, Timestamp),
    ) -> Self {
        let residency = turn.residency.narrowed(&turn.principal.grant.residency);
        Self {
            pipeline,
            turn,
            residency,
            attempts: AttemptLog::paid_from(allowance.purse()),
            _allowance: allowance,
            started,
            created,
            spoken: None,
            hasher: Sha256::new(),
            is_closed: false,
        }
    }

    /// The turn's question in the form of `request`.
    pub(super) fn ask<'a, Request>(
        &'a self,
        request: &'a Request,
        want: Want<'a>,
        deadline: Moment,
    ) -> Ask<'a, Request> {
        Ask {
            route: &self.turn.route,
            request,
            deadline,
            prices: &self.turn.snapshot.models,
            scores: &self.turn.snapshot.models,
            residency: &self.residency,
            affinity: self.turn.affinity,
            question: None,
            started: self.started,
            skip: Skip::NONE,
            want,
            log: &self.attempts,
            watcher: self.turn.watcher.as_deref(),
        }
    }

    /// Records that the caller got no answer, or not all of it. Whether that could be written changes nothing for them.
    pub(super) async fn fail(&mut self) {
        let _ = self.close(Outcome::Failed).await;
    }

    /// Writes the record, as durably as the configuration asks. A caller who leaves meanwhile does not stop it.
    pub(super) async fn close(&mut self, outcome: Outcome) -> Closed {
        let finished = self.finish(outcome);
        let cost = finished.interaction.cost;
        let (pipeline, deadline) = (Arc::clone(&self.pipeline), self.turn.deadline);
        let observer = Arc::clone(&self.turn.observer);
        let parts = &self.pipeline.parts;
        let writing = async move {
            let recorded = record::run(&pipeline, finished, deadline).await;
            if recorded != Ok(Recorded::Yes) {
                observer.not_recorded();
            }
            recorded
        };
        let recorded = match parts.config.durability {
            Durability::Async => writing.await,
            Durability::Commit => parts.tasks.spawn(writing).await.unwrap_or(Err(TurnError::NotRecorded)),
        };
        Closed { cost, recorded }
    }

    fn finish(&mut self, outcome: Outcome) -> FinishedTurn {
        self.is_closed = true;
        let attempts = self.attempts.take();
        let (tier, model_used, attempt) = match self.spoken.take() {
            Some(spoken) => (Some(spoken.tier), Some(spoken.model_used), spoken.attempt),
            None => (None, None, self.attempts.n_begun()),
        };
        let interaction = Interaction {
            id: self.turn.interaction.clone(),
            session: None,
            asker: self.turn.principal.asker.clone(),
            user_id: None,
            door: Door::ChatCompletions,
            agent: AgentVersion::none(),
            snapshot: self.turn.snapshot.id.clone(),
            created: self.created,
            latency: self.pipeline.parts.clock.now().since(self.started),
            question: None,
            question_hash: Some(self.turn.request_hash.clone()),
            response: None,
            response_hash: hash_of(self.hasher.finalize_reset().as_ref()),
            outcome,
            tier,
            model_used,
            attempt,
            intent: None,
            guardrail: GuardrailVerdict::default(),
            quality: None,
            citations: Vec::new(),
            usage: attempts.iter().filter_map(|attempt| attempt.usage).fold(Usage::default(), Usage::plus),
            cost: attempts.iter().map(|attempt| attempt.cost).sum(),
            attempts,
            steps: Vec::new(),
            case: None,
            metadata: None,
            retention: Retention::None,
        };
        self.turn.observer.finished(&interaction);
        if let Some(watcher) = &self.turn.watcher {
            watcher.finished(&interaction);
        }
        FinishedTurn { interaction, session: None }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // The caller left: what was used is recorded all the same.
        let finished = self.finish(Outcome::Failed);
        let (pipeline, deadline) = (Arc::clone(&self.pipeline), self.turn.deadline);
        let observer = Arc::clone(&self.turn.observer);
        self.pipeline.parts.tasks.spawn(async move {
            if record::run(&pipeline, finished, deadline).await != Ok(Recorded::Yes) {
                observer.not_recorded();
            }
        });
    }
}
