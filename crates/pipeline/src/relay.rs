//! The short path: a bare model asked with the caller's own bytes. Dispatch, pass on, record; no agent, no prompt.
//!
//! Guardrails are the caller's key's, or none; while there are no keys, there are none.
//!
//! Reading order: this file (the path), `weight` (what it may use; `fetched` is what
//! is not in its body), `repeating` (an earlier answer in the place of a new
//! one; `said` is what an answer says), `answer` (its way to the caller), `ledger` (its record, whatever happens),
//! `continued` (streams that another model goes on with).

use std::sync::Arc;
use std::time::Duration;

use access::limits::{Allowance, Now, Refusal, Standing};
use domain::cache::{Told, Wish};
use domain::chat::{Delivery, Relayed};
use domain::hex;
use domain::id::{ContentHash, InteractionId};
use domain::interaction::Interaction;
use domain::model::{Assured, Route, Tier};
use domain::ports::{ModelError, RelayedStream, Watcher};
use domain::principal::Principal;
use domain::residency::Residency;
use domain::time::Moment;
use futures_util::stream::BoxStream;
use registry::snapshot::Snapshot;
use resilience::deadline::DEGRADED_RESERVE;
use resilience::shedding::{Arrival, Class, Shed, Work};
use routing::{Affinity, Passing, Unanswered, Want};
use sha2::{Digest, Sha256};

use crate::cached::{PassedOn, without_call};
use crate::parts::Pipeline;
use crate::run::closing::Spoken;
use crate::turn::TurnError;

mod answer;
mod continued;
mod fetched;
mod ledger;
mod repeating;
mod said;
mod weight;

use answer::{streamed, whole};
use continued::Continued;
use ledger::Ledger;
use repeating::{Looking, replay};

pub use answer::{Answer, Broken, Passed, Whole};

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
    /// Whether an earlier answer will do.
    pub cache: Wish,
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
    ContentHash::new(hex::of(&Sha256::digest(bytes)))
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
    /// What came of looking for an earlier answer, where the route or the model allows that.
    pub cache: Option<Told>,
    /// The answer.
    pub answer: Answer,
}

/// A request for a bare model that gets an error: never a degraded answer.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its key, its tenant or the server has not enough left; it leaves no record.
    #[error(transparent)]
    Limited(Box<Refusal>),
    /// It asked for an earlier answer alone, and there is none; it leaves no record.
    #[error(transparent)]
    NotCached(TurnError),
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
        let began = Now::of(self.parts.clock.as_ref());
        let admitted = self.admit_relay(&turn, (weight, began));
        let (allowance, standing) = admitted.map_err(Refused::Limited)?;
        let residency = turn.residency.narrowed(&turn.principal.grant.residency);
        let looking = self.look_first(&turn, &residency, weight).await?;
        let cache = looking.told();
        let lead = match looking {
            Looking::Found(told, passed) => {
                // Boxed, as other seldom ways are: its room would be moved about with each request.
                return Box::pin(self.repeat((turn, allowance), (told, &passed), (began, standing))).await;
            }
            Looking::Off => None,
            Looking::Ask(_, lead) => lead,
        };
        let passing =
            Passing { relayed: Arc::clone(&turn.relayed), weight, streams_until: turn.streams_until };
        let delivery = turn.relayed.delivery;
        let assured = match delivery {
            Delivery::Whole => Assured::Off,
            Delivery::Streamed => turn.route.assured,
        };
        let work = match (delivery, assured) {
            (Delivery::Whole, _) | (_, Assured::HoldBack) => Work::Whole,
            (Delivery::Streamed, _) => Work::Stream,
        };
        let arrival = Arrival { route: &turn.route.name, class: turn.class, work, due: turn.models_due() };
        let mut place = self.parts.gate.enter(arrival).await?;
        let mut ledger = Ledger::open(Arc::clone(self), (turn, allowance), began);
        ledger.lead = lead;
        let passing = match assured {
            Assured::Continue => Continued::of(passing),
            Assured::Off | Assured::HoldBack => Err(passing),
        };
        let begun = match passing {
            // Few routes ask for it.
            Ok(continued) => Box::pin(continued.begin(ledger)).await?,
            Err(passing) => begin((passing, assured), ledger).await?,
        };
        // Held until a whole answer is recorded; a stream has its answer.
        place.answered();
        let Begun { spoken, until, source } = begun;
        let answer = match (source, delivery) {
            (Source::Bytes(stream, ledger), Delivery::Whole) => Answer::Whole(whole(stream, ledger).await?),
            (Source::Bytes(stream, ledger), Delivery::Streamed) => {
                Answer::Streamed(self.end_in_time(streamed(stream, ledger), until))
            }
            (Source::Frames(stream), _) => Answer::Streamed(self.end_in_time(stream, until)),
        };
        Ok(Relaying {
            tier: spoken.tier,
            model_used: spoken.model_used,
            attempt: spoken.attempt,
            standing,
            cache,
            answer,
        })
    }

    /// Gives an earlier answer again: no place is taken and no model asked, and it is recorded like any other.
    async fn repeat(
        self: &Arc<Self>,
        allowed: (RelayTurn, Allowance),
        (told, passed): (Told, &PassedOn),
        (began, standing): (Now, Standing),
    ) -> Result<Relaying, Refused> {
        let (delivery, deadline) = (allowed.0.relayed.delivery, allowed.0.deadline);
        let mut ledger = Ledger::open(Arc::clone(self), allowed, began);
        ledger.attempts.add_cached(passed.origin.again(told.came, Duration::ZERO));
        let spoken = without_call(&passed.spoken);
        ledger.spoken = Some(spoken.clone());
        let answer = match delivery {
            Delivery::Whole => Answer::Whole(whole(replay(passed), ledger).await?),
            Delivery::Streamed => {
                Answer::Streamed(self.end_in_time(streamed(replay(passed), ledger), deadline))
            }
        };
        let (tier, model_used, attempt) = (spoken.tier, spoken.model_used, spoken.attempt);
        Ok(Relaying { tier, model_used, attempt, standing, cache: Some(told), answer })
    }
}

/// An answer that someone gives.
struct Begun {
    spoken: Spoken,
    /// When its stream is over at the latest.
    until: Moment,
    source: Source,
}

enum Source {
    /// The provider's bytes, and who records them.
    Bytes(RelayedStream, Box<Ledger>),
    /// Frames of ours.
    Frames(BoxStream<'static, Passed>),
}

async fn begin((passing, assured): (Passing, Assured), mut ledger: Box<Ledger>) -> Result<Begun, Refused> {
    let pipeline = Arc::clone(&ledger.pipeline);
    let router = &pipeline.parts.router;
    let (want, due) = match assured {
        Assured::Off | Assured::Continue => (Want::Begun, ledger.turn.deadline),
        // It may take as long as a stream, which is what it is to whoever waits.
        Assured::HoldBack => {
            (Want::Whole, passing.streams_until.unwrap_or_else(|| ledger.started.after(router.call_max())))
        }
    };
    let answering = router.relay(ledger.ask(&passing, want, due)).await;
    match answering {
        Ok(answering) => {
            let spoken = Spoken::of(&answering);
            ledger.spoken = Some(spoken.clone());
            ledger.gather(answering.tier_index);
            let source = Source::Bytes(answering.stream, ledger);
            Ok(Begun { spoken, until: answering.until, source })
        }
        Err(unanswered) => {
            ledger.fail().await;
            Err(Refused::Unanswered(unanswered))
        }
    }
}
