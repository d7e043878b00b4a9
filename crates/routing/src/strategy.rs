//! In which order the targets of a tier are called. A strategy computes; it calls nothing and waits for nothing.
//!
//! Reading order: this file (all strategies), [`weighted`], [`latency`], [`cost`], then [`mod@difficulty`] with
//! [`question`] (what a request says of itself).

use std::collections::{BTreeMap, VecDeque};

use domain::id::ModelId;
use domain::interaction::Chosen;
use domain::model::{Difficulty, Model, Prefer, Quality, Sticky, Strategy, Target};
use domain::ports::{Rng, Scoreboard};
use domain::time::Day;
use resilience::breakers::{Answer, Breakers};

pub use weighted::Affinity;

mod cost;
mod difficulty;
mod latency;
mod question;
mod weighted;

pub(crate) use cost::Demand;
pub(crate) use difficulty::difficulty;
pub(crate) use question::Question;

/// What strategies decide by.
pub(crate) struct Facts<'a> {
    pub(crate) rng: &'a dyn Rng,
    pub(crate) breakers: &'a Breakers,
    pub(crate) prices: &'a BTreeMap<ModelId, Model>,
    /// The day whose prices hold.
    pub(crate) today: Day,
    pub(crate) scores: &'a dyn Scoreboard,
    /// What the request has in common with others that go the same way.
    pub(crate) affinity: Option<Affinity>,
    /// What its first text is.
    pub(crate) awaits: Answer,
    pub(crate) request: &'a dyn Weighed,
}

/// A request as far as strategies look at it; each is worked out only where one asks.
pub(crate) trait Weighed {
    /// How many tokens it may take.
    fn demand(&self) -> Demand;
    /// How much it asks of a model.
    fn difficulty(&self) -> Difficulty;
}

/// The targets of a tier, in their order.
pub(crate) struct Ordered<'a> {
    /// To be called, best first.
    pub(crate) targets: VecDeque<&'a Target>,
    /// Why the first one is first.
    pub(crate) why: Chosen,
    /// Not to be called: nobody found them good enough.
    pub(crate) below: Vec<&'a Target>,
}

/// Puts `targets` in the order of `strategy`.
pub(crate) fn order<'a>(strategy: Strategy, targets: Vec<&'a Target>, facts: &Facts<'_>) -> Ordered<'a> {
    let of = |targets: Vec<&'a Target>, why| Ordered { targets: targets.into(), why, below: Vec::new() };
    if let Strategy::QualityFloor { floor, prefer } = strategy {
        return good_enough(targets, (floor, prefer), facts);
    }
    if targets.len() < 2 {
        return of(targets, Chosen::Only);
    }
    match strategy {
        Strategy::Priority => of(targets, Chosen::Priority),
        Strategy::Weighted(sticky) => {
            let affinity = facts.affinity.filter(|_| sticky == Sticky::On);
            let why = if affinity.is_some() { Chosen::Sticky } else { Chosen::Weighted };
            of(weighted::order(targets, affinity, facts.rng), why)
        }
        Strategy::LeastLatency => of(latency::order(targets, facts), Chosen::LeastLatency),
        Strategy::LowestCost => of(cost::order(targets, facts), Chosen::LowestCost),
        Strategy::ByDifficulty => by_difficulty(targets, facts),
        Strategy::QualityFloor { .. } => of(targets, Chosen::QualityFloor),
    }
}

/// Those that are at least as good as the floor; one that nobody measured is not.
fn good_enough<'a>(
    targets: Vec<&'a Target>,
    (floor, prefer): (Quality, Prefer),
    facts: &Facts<'_>,
) -> Ordered<'a> {
    let is_good = |target: &&Target| facts.scores.quality(&target.model).is_some_and(|found| found >= floor);
    let (good, below): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_good);
    let why = if good.len() < 2 { Chosen::Only } else { Chosen::QualityFloor };
    let good = match (good.len(), prefer) {
        (0 | 1, _) => good,
        (_, Prefer::Cheapest) => cost::order(good, facts),
        (_, Prefer::Fastest) => latency::order(good, facts),
    };
    Ordered { targets: good.into(), why, below }
}

/// Those meant for requests like this one first; the others stand below them, for when those fail.
fn by_difficulty<'a>(mut targets: Vec<&'a Target>, facts: &Facts<'_>) -> Ordered<'a> {
    let difficulty = facts.request.difficulty();
    let why = match difficulty {
        Difficulty::Easy => Chosen::Easy,
        Difficulty::Hard => Chosen::Hard,
    };
    targets.sort_by_key(|target| target.takes != Some(difficulty));
    Ordered { targets: targets.into(), why, below: Vec::new() }
}

#[cfg(test)]
mod tests;
