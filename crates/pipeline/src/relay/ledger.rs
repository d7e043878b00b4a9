//! The record of a relayed turn: written once, however it ends, also when its caller leaves.

use std::sync::Arc;
use std::time::Duration;

use access::limits::{Allowance, Now};
use bytes::Bytes;
use cache::Lead;
use domain::agent::{AgentVersion, Retention};
use domain::chat::Done;
use domain::hex;
use domain::id::ContentHash;
use domain::interaction::{Door, FinishedTurn, GuardrailVerdict, Interaction, Outcome};
use domain::model::Cost;
use domain::residency::Residency;
use domain::time::{Moment, Timestamp};
use domain::token::Usage;
use routing::{Ask, AttemptLog, Skip, Want};
use sha2::{Digest, Sha256};

use super::RelayTurn;
use super::repeating::Keeper;
use crate::cached::Kept;
use crate::parts::{Durability, Pipeline};
use crate::run::closing::Spoken;
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
    hasher: Sha256,
    is_closed: bool,
    /// Leave to keep the answer for others who ask the same, until someone gives it.
    pub(super) lead: Option<Lead<Kept>>,
    /// Gathers the answer, where it may be given again.
    pub(super) keeper: Option<Box<Keeper>>,
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
        began: Now,
    ) -> Box<Self> {
        let residency = turn.residency.narrowed(&turn.principal.grant.residency);
        Box::new(Self {
            pipeline,
            turn,
            residency,
            attempts: AttemptLog::paid_from(allowance.purse()),
            _allowance: allowance,
            started: began.moment,
            created: began.wall,
            spoken: None,
            hasher: Sha256::new(),
            is_closed: false,
            lead: None,
            keeper: None,
        })
    }

    /// The tier at `tier_index` gives the answer. Only what the first choice says is kept: what stands in for it is not
    /// given longer than it must be.
    pub(super) fn gather(&mut self, tier_index: usize) {
        let Some(lead) = self.lead.take() else { return };
        match self.turn.route.cache {
            Some(rules) if tier_index == 0 => {
                let bytes_max = self.pipeline.parts.cached.answers.entry_bytes_max();
                self.keeper = Some(Box::new(Keeper::new(lead, rules, bytes_max)));
            }
            _ => lead.give_up(),
        }
    }

    /// The answer is for its own caller alone.
    pub(super) fn keep_nothing(&mut self) {
        if let Some(lead) = self.lead.take() {
            lead.give_up();
        }
    }

    /// These bytes are passed on.
    pub(super) fn passes(&mut self, bytes: &Bytes) {
        self.hasher.update(bytes);
        if let Some(keeper) = &mut self.keeper {
            keeper.take(bytes);
        }
    }

    /// These are, and with them the answer is whole.
    pub(super) fn passes_last(&mut self, bytes: &Bytes, done: Option<Done>) {
        self.hasher.update(bytes);
        if let (Some(keeper), Some(done)) = (&mut self.keeper, done) {
            keeper.take_last(bytes, done.finish);
        }
    }

    /// How long the turn has taken.
    pub(super) fn took(&self) -> Duration {
        self.pipeline.parts.clock.now().since(self.started)
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
        // What nobody gathers is for its own caller alone.
        self.keep_nothing();
        if let Some(keeper) = self.keeper.take() {
            keeper.close(outcome, &self.attempts, self.spoken.as_ref());
        }
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

    fn finish(&mut self, outcome: Outcome) -> Box<FinishedTurn> {
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
            door: Door::Relayed(self.turn.relayed.dialect),
            agent: AgentVersion::none(),
            snapshot: self.turn.snapshot.id.clone(),
            created: self.created,
            latency: self.took(),
            question: None,
            question_hash: Some(self.turn.request_hash.clone()),
            response: None,
            response_hash: ContentHash::new(hex::of(&self.hasher.finalize_reset())),
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
        Box::new(FinishedTurn { interaction, session: None })
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
