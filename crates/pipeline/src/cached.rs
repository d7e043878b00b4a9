//! Answers that are given again: what is kept of them, and how they stand in the ledger. What their keys are made of is said
//! where they are looked for: `run/repeating.rs` (agents) and `relay/repeating.rs` (bare models).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Answers, KeyMaker};
use domain::cache::{Came, Rules, Scope};
use domain::document::Citation;
use domain::id::{ModelId, TargetId};
use domain::interaction::{Attempt, AttemptResult, Chosen, QualityVerdict};
use domain::model::Tier;
use domain::money::Amount;
use domain::ports::{Clock, Embedder};
use domain::price::Cost;
use domain::principal::Asker;
use domain::residency::Residency;

use crate::run::closing::Spoken;

/// Who makes vectors of questions, once it is there.
pub type Sentences = Arc<dyn Fn() -> Option<Arc<dyn Embedder>> + Send + Sync>;

/// Where answers are kept.
#[derive(Clone)]
pub struct Cached {
    /// They.
    pub answers: Arc<Answers<Kept>>,
    /// For agents whose answers are given to questions that mean the same.
    pub sentences: Sentences,
}

impl Cached {
    /// Room for answers, and nobody who makes vectors.
    #[must_use]
    pub fn without_vectors(config: &cache::Config, clock: Arc<dyn Clock>) -> Self {
        Self { answers: Answers::new(config, clock), sentences: Arc::new(|| None) }
    }
}

/// An answer that is given again.
#[derive(Clone)]
pub enum Kept {
    /// An agent's.
    Said(Arc<Said>),
    /// A bare model's.
    Passed(Arc<PassedOn>),
}

/// An agent's answer with what it rests on.
pub struct Said {
    pub(crate) response: String,
    pub(crate) citations: Vec<Citation>,
    pub(crate) quality: Option<QualityVerdict>,
    pub(crate) spoken: Spoken,
    pub(crate) origin: Origin,
}

/// A bare model's answer, in the bytes that its caller was given.
pub struct PassedOn {
    /// All but the last portion of a stream.
    pub(crate) body: Bytes,
    /// The end of a stream, or all of a whole answer.
    pub(crate) last: Bytes,
    pub(crate) spoken: Spoken,
    pub(crate) origin: Origin,
}

/// The call that an answer came from.
pub(crate) struct Origin {
    target: TargetId,
    model: ModelId,
    tier: Tier,
    /// What it cost, with the calls before it that came to nothing.
    saved: Amount,
}

impl Origin {
    /// The call among `attempts` that answered; `None` where it stood in for another one, as what it says is not to be given longer
    /// than it must be.
    pub(crate) fn of(attempts: &[Attempt]) -> Option<Self> {
        let answered = attempts.iter().rev().find(|attempt| attempt.result == AttemptResult::Answered)?;
        if matches!(answered.chosen, Some(Chosen::Next | Chosen::Continued)) {
            return None;
        }
        Some(Self {
            target: answered.target.clone(),
            model: answered.model.clone(),
            tier: answered.tier,
            saved: attempts.iter().filter_map(|attempt| attempt.cost.amount()).sum(),
        })
    }

    /// How it stands in the ledger when its answer is given again `started` after a turn began: it costs nothing.
    pub(crate) fn again(&self, came: Came, started: Duration) -> Attempt {
        Attempt {
            n: 1,
            tier: self.tier,
            target: self.target.clone(),
            model: self.model.clone(),
            chosen: Some(if came == Came::Semantic { Chosen::CacheSemantic } else { Chosen::CacheHit }),
            started,
            latency: Duration::ZERO,
            first_token: None,
            finish: None,
            usage: None,
            estimate: None,
            prices: None,
            cost: Cost::FREE,
            saved: self.saved,
            result: AttemptResult::Cached,
        }
    }
}

/// Which rung spoke, without a call.
pub(crate) fn without_call(spoken: &Spoken) -> Spoken {
    Spoken { attempt: 0, ..spoken.clone() }
}

/// What every key has in common: whose answer it is, where it may have been made, and the configuration it was made with.
pub(crate) fn common(
    kind: &str,
    rules: Rules,
    (asker, residency, snapshot): (&Asker, &Residency, &str),
) -> KeyMaker {
    let own = (rules.scope == Scope::Key).then(|| asker.key.as_str().as_bytes());
    let within = match residency {
        Residency::Anywhere => None,
        Residency::Within(_) => Some(residency.to_string()),
    };
    KeyMaker::of(kind)
        .text("tenant", asker.tenant.as_str())
        .maybe("key", own)
        .maybe("residency", within.as_deref().map(str::as_bytes))
        .text("snapshot", snapshot)
}

/// How long a turn waits for another one that asks the same: half of the time it has, so that it can still ask itself.
pub(crate) fn patience(now: domain::time::Moment, due: domain::time::Moment) -> domain::time::Moment {
    now.after(due.since(now) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_in_for_another_is_not_given_again() {
        let origin = Origin {
            target: TargetId::from("us/small"),
            model: ModelId::from("us/small"),
            tier: Tier::Primary,
            saved: Amount::default(),
        };
        for (chosen, is_kept) in [
            (Chosen::Only, true),
            (Chosen::Priority, true),
            (Chosen::Easy, true),
            (Chosen::Retry, true),
            (Chosen::Failover, true),
            (Chosen::Next, false),
            (Chosen::Continued, false),
        ] {
            let attempt = Attempt {
                chosen: Some(chosen),
                result: AttemptResult::Answered,
                ..origin.again(Came::Hit, Duration::ZERO)
            };
            assert_eq!(Origin::of(&[attempt]).is_some(), is_kept, "{chosen:?}");
        }
    }
}
