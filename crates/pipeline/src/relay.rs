//! The short path: a bare model asked with the caller's own bytes. Dispatch, pass on, record; no agent, no prompt.
//!
//! Guardrails are the caller's key's, or none; while there are no keys, there are none.
//!
//! Reading order: this file (the path), `weight` (what it may use), `ledger` (its record, whatever happens).

use std::sync::Arc;

use access::limits::{Refusal, Standing};
use bytes::Bytes;
use domain::chat::{Delivery, Relayed, RelayedPortion};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::id::{ContentHash, InteractionId};
use domain::interaction::{Interaction, Outcome};
use domain::model::{Cost, Route, Tier};
use domain::ports::{ModelError, RelayedStream, Watcher};
use domain::principal::Principal;
use domain::residency::Residency;
use domain::time::Moment;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use registry::snapshot::Snapshot;
use resilience::deadline::DEGRADED_RESERVE;
use resilience::shedding::{Arrival, Class, Shed, Work};
use routing::{Affinity, Ask, Passing, Skip, Unanswered};
use sha2::{Digest, Sha256};

use crate::parts::Pipeline;
use crate::run::closing::Spoken;
use crate::run::known::hash_of;
use crate::turn::{Recorded, TurnError};

mod ledger;
mod weight;

use ledger::Ledger;

/// Is told of each relayed turn when it ends, also when the caller left.
pub trait Observer: Send + Sync {
    /// It ended so.
    fn finished(&self, interaction: &Interaction);
    /// Its record could not be written.
    fn not_recorded(&self);
}

/// A request for a bare model.
#[derive(Clone)]
pub struct RelayTurn {
    /// The id its record will have.
    pub interaction: InteractionId,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// What it is served from.
    pub snapshot: Arc<Snapshot>,
    /// The ladder it takes.
    pub route: Arc<Route>,
    /// The caller's request.
    pub relayed: Arc<Relayed>,
    /// [`hash`] of the body as received.
    pub request_hash: ContentHash,
    /// When an answer must have begun, or be whole where it is no stream.
    pub deadline: Moment,
    /// When a stream must be over, where the caller limits its time.
    pub streams_until: Option<Moment>,
    /// Where the request says that it may be processed; its key may allow less.
    pub residency: Residency,
    /// What it has in common with requests that go the same way.
    pub affinity: Option<Affinity>,
    /// How urgent it is.
    pub class: Class,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// Who watches it from outside, where someone does.
    pub watcher: Option<Arc<dyn Watcher>>,
}

impl RelayTurn {
    /// When waiting for a place has no use any more: no model may be asked then, and the refusal is still in time.
    fn models_due(&self) -> Moment {
        Moment(self.deadline.0.saturating_sub(DEGRADED_RESERVE))
    }
}

/// SHA-256 of `bytes`; large bodies are hashed where blocking is allowed.
#[must_use]
pub fn hash(bytes: &[u8]) -> ContentHash {
    hash_of(Sha256::digest(bytes).as_ref())
}

/// A relayed answer that has begun.
pub struct Relaying {
    /// Which rung answers.
    pub tier: Tier,
    /// As reported: `<provider>/<model>` or `FALLBACK:…`.
    pub model_used: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Where the limits of who asked are now.
    pub standing: Standing,
    /// The answer.
    pub answer: Answer,
}

/// How the answer comes.
pub enum Answer {
    /// Whole, and recorded.
    Whole(Whole),
    /// As it is made.
    Streamed(BoxStream<'static, Passed>),
}

/// An answer in one piece.
#[derive(Debug)]
pub struct Whole {
    /// The provider's own bytes.
    pub bytes: Bytes,
    /// Of all attempts.
    pub cost: Cost,
    /// Whether its record is on disk.
    pub recorded: Recorded,
}

/// A part of a streamed answer.
#[derive(Debug, Clone)]
pub enum Passed {
    /// The provider's own bytes, in whole frames; the last ones hold the end marker.
    Bytes(Bytes),
    /// The record could not be written; the last bytes follow.
    Unrecorded,
    /// The answer ends here although it is not complete: no end marker comes.
    Broken(Broken),
}

/// Why an answer ends that is not complete.
#[derive(Debug, Clone)]
pub enum Broken {
    /// The provider stopped.
    Incomplete(ModelError),
    /// The record could not be written, and the configuration refuses to answer without.
    NotRecorded,
}

/// A request for a bare model that gets an error: never a degraded answer.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its key, its tenant or the server has not enough left; it leaves no record.
    #[error(transparent)]
    Limited(Box<Refusal>),
    /// It was not taken on; it leaves no record.
    #[error(transparent)]
    Shed(#[from] Shed),
    /// No model answers.
    #[error(transparent)]
    Unanswered(Box<Unanswered>),
    /// The provider stopped before its answer was whole.
    #[error("the answer is not complete: {0}")]
    Incomplete(ModelError),
    /// The record could not be written, and the configuration refuses to answer without.
    #[error(transparent)]
    NotRecorded(#[from] TurnError),
}

impl Pipeline {
    /// Passes `turn` on and its answer back. Dropped, the call is cancelled, and recorded as far as it came.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn relay(self: &Arc<Self>, turn: RelayTurn) -> Result<Relaying, Refused> {
        let weight = weight::of(&turn.relayed);
        let (allowance, standing) = self.admit_relay(&turn, weight).map_err(Refused::Limited)?;
        let passing =
            Passing { relayed: Arc::clone(&turn.relayed), weight, streams_until: turn.streams_until };
        let delivery = turn.relayed.delivery;
        let started = (self.parts.clock.now(), self.parts.clock.wall());
        let work = match delivery {
            Delivery::Whole => Work::Whole,
            Delivery::Streamed => Work::Stream,
        };
        let arrival = Arrival { route: &turn.route.name, class: turn.class, work, due: turn.models_due() };
        let mut place = self.parts.gate.enter(arrival).await?;
        let residency = turn.residency.narrowed(&turn.principal.grant.residency);
        let mut ledger = Ledger::open(Arc::clone(self), (turn, allowance), started);
        let ask = Ask {
            route: &ledger.turn.route,
            request: &passing,
            deadline: ledger.turn.deadline,
            prices: &ledger.turn.snapshot.models,
            scores: &ledger.turn.snapshot.models,
            residency: &residency,
            affinity: ledger.turn.affinity,
            question: None,
            started: ledger.started,
            skip: Skip::NONE,
            log: &ledger.attempts,
            watcher: ledger.turn.watcher.as_deref(),
        };
        let answering = match self.parts.router.relay(ask).await {
            Ok(answering) => answering,
            Err(unanswered) => {
                // Whether that could be written changes nothing for the caller.
                let _ = ledger.close(Outcome::Failed).await;
                return Err(Refused::Unanswered(unanswered));
            }
        };
        // Held until a whole answer is recorded; a stream has its answer.
        place.answered();
        let spoken = Spoken::of(&answering);
        ledger.spoken = Some(spoken.clone());
        let answer = match delivery {
            Delivery::Whole => Answer::Whole(whole(answering.stream, ledger).await?),
            Delivery::Streamed => {
                let stream = streamed(answering.stream, ledger);
                Answer::Streamed(self.end_in_time(stream, answering.until))
            }
        };
        Ok(Relaying {
            tier: spoken.tier,
            model_used: spoken.model_used,
            attempt: spoken.attempt,
            standing,
            answer,
        })
    }
}

async fn whole(mut stream: RelayedStream, mut ledger: Ledger) -> Result<Whole, Refused> {
    let portion = match stream.next().await {
        Some(portion) => portion.map_err(|error| error.error),
        None => Err(ended()),
    };
    let bytes = match portion {
        Ok(RelayedPortion { bytes, .. }) => bytes,
        Err(error) => {
            let _ = ledger.close(Outcome::Failed).await;
            return Err(Refused::Incomplete(error));
        }
    };
    ledger.hasher.update(&bytes);
    let closed = ledger.close(Outcome::Answered).await;
    Ok(Whole { bytes, cost: closed.cost, recorded: closed.recorded? })
}

/// A stream on its way through; the fields are dropped in this order, so that a cut call is in the record.
struct Streaming {
    stream: RelayedStream,
    ledger: Ledger,
}

enum State {
    Open(Box<Streaming>),
    Last(Bytes),
    End,
}

fn streamed(stream: RelayedStream, ledger: Ledger) -> BoxStream<'static, Passed> {
    unfold(State::Open(Box::new(Streaming { stream, ledger })), |state| async {
        match state {
            State::Open(streaming) => Some(next(streaming).await),
            State::Last(bytes) => Some((Passed::Bytes(bytes), State::End)),
            State::End => None,
        }
    })
    .boxed()
}

async fn next(mut streaming: Box<Streaming>) -> (Passed, State) {
    let Streaming { stream, ledger } = &mut *streaming;
    match stream.next().await {
        Some(Ok(RelayedPortion { bytes, done: None, .. })) => {
            ledger.hasher.update(&bytes);
            (Passed::Bytes(bytes), State::Open(streaming))
        }
        // The end marker waits for the record.
        Some(Ok(RelayedPortion { bytes, done: Some(_), .. })) => {
            ledger.hasher.update(&bytes);
            match ledger.close(Outcome::Answered).await.recorded {
                Ok(Recorded::Yes) => (Passed::Bytes(bytes), State::End),
                Ok(Recorded::No) => (Passed::Unrecorded, State::Last(bytes)),
                Err(_) => (Passed::Broken(Broken::NotRecorded), State::End),
            }
        }
        Some(Err(error)) => {
            let _ = ledger.close(Outcome::Failed).await;
            (Passed::Broken(Broken::Incomplete(error.error)), State::End)
        }
        None => {
            let _ = ledger.close(Outcome::Failed).await;
            (Passed::Broken(Broken::Incomplete(ended())), State::End)
        }
    }
}

fn ended() -> ModelError {
    let fault = Fault { origin: Origin::Mainstay, kind: Kind::Truncated, retry: Retry::Never };
    ModelError { fault, detail: "the stream ended before the answer was whole".to_owned() }
}
