//! The walk down the ladder.
//!
//! Reading order: this file (the walk, and one call), `candidate` (who may be called next), `hedge` (a second call beside
//! a slow one).

use domain::fault::{Fault, Kind, Origin, Retry};
use domain::interaction::Chosen;
use domain::model::{Difficulty, Overrides, Route, RouteTier, Target, TargetKind, Tier};
use domain::ports::{CallError, ModelError};
use domain::residency::Residency;
use domain::spending::NotCovered;
use domain::time::Moment;
use resilience::breaker::Refused;
use resilience::deadline::{Below, Deadline};
use resilience::policy::{self, Attempts, Next};

use crate::answer;
use crate::ask::{Answering, Ask, Dispatched, Reason, Skipped, Unanswered, Want, Why};
use crate::attempt::{Running, Start, place};
use crate::call;
use crate::form::{Form, Pieces, Placed};
use crate::router::Router;
use crate::strategy::{self, Demand, Facts, Ordered, Weighed};
use candidate::{Candidate, Wait, endpoint};
use hedge::Standing;

mod candidate;
mod hedge;
#[cfg(test)]
mod residency;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// Walks the tiers of `ask` in their order.
pub(crate) async fn walk<F: Form>(router: &Router, ask: &Ask<'_, F>) -> Dispatched<Pieces<F::Piece>> {
    let attempts = Attempts::new(&router.parts.policy, ask.log.n_failed_remote());
    let mut walk = Walk { router, ask, attempts, last: None, last_tier: None, skipped: Vec::new() };
    let tiers = &ask.route.tiers;
    if leaves_its_places(ask.route, ask.residency) {
        return Err(walk.unanswered(Reason::Residency));
    }
    for (index, tier) in tiers.iter().enumerate().skip(ask.skip.first_index()) {
        if !asks_models(tier) {
            continue;
        }
        let now = router.parts.clock.now();
        let below = match tiers.iter().skip(index + 1).any(asks_models) {
            true => Below::ModelTier,
            false => Below::Nothing,
        };
        let share = Deadline::at(ask.deadline).share(now, below);
        if share.is_over(now) {
            return Err(walk.unanswered(Reason::OutOfTime));
        }
        match walk.tier(&Rung { index, tier, share }).await {
            Ok(answering) => return Ok(answering),
            Err(Leave::Down) => {}
            Err(Leave::Stop) => return Err(walk.unanswered(Reason::Stopped)),
        }
    }
    let was_left_out = walk.skipped.iter().any(|skipped| skipped.why == Why::AttemptsUsedUp);
    let reason = match (&walk.last, was_left_out) {
        (None, _) => Reason::NoCandidate,
        (Some(_), true) => Reason::AttemptsUsedUp,
        (Some(_), false) => Reason::Exhausted,
    };
    Err(walk.unanswered(reason))
}

/// Whether no target of `route` may be asked, wherever the walk begins.
fn leaves_its_places(route: &Route, residency: &Residency) -> bool {
    let mut targets = route.tiers.iter().flat_map(|tier| &tier.targets).peekable();
    targets.peek().is_some() && !targets.any(|target| target.is_within(residency))
}

fn asks_models(tier: &RouteTier) -> bool {
    tier.tier != Tier::Degraded && !tier.targets.is_empty()
}

/// A tier on the walk.
struct Rung<'a> {
    index: usize,
    tier: &'a RouteTier,
    /// When it must be over.
    share: Deadline,
}

/// How a tier is left without an answer.
enum Leave {
    /// To the next tier.
    Down,
    /// For good.
    Stop,
}

struct Walk<'a, F> {
    router: &'a Router,
    ask: &'a Ask<'a, F>,
    attempts: Attempts,
    last: Option<CallError>,
    last_tier: Option<Tier>,
    skipped: Vec<Skipped>,
}

impl<'a, F: Form> Walk<'a, F> {
    async fn tier(&mut self, rung: &Rung<'a>) -> Result<Answering<Pieces<F::Piece>>, Leave> {
        self.attempts.enter_tier();
        let request = self.ask.request.for_tier(rung.tier.overrides);
        let mut standing = self.standing(rung.tier);
        let mut retry_index = 0;
        let mut next = self.sibling(&mut standing);
        while let Some(candidate) = next {
            let target = candidate.target;
            standing.called.push(endpoint(target));
            self.attempts.start(place(target));
            let ended = match self.hedge_after(target) {
                None => place_call((self.router, self.ask), rung, candidate, &request).await,
                // Boxed, as it holds two calls.
                Some(after) => {
                    Box::pin(self.hedged(rung, (candidate, &request), (after, &mut standing))).await
                }
            };
            let error = match ended {
                Ok(answering) => return Ok(answering),
                Err(error) => error,
            };
            let fault = &error.error.fault;
            let (then, retry) = (policy::next(fault), fault.retry);
            self.last = Some(error);
            self.last_tier = Some(tier_of(rung.tier, target));
            next = match then {
                Next::Stop => return Err(Leave::Stop),
                Next::OtherTarget => self.sibling(&mut standing),
                // Another target needs no wait.
                Next::SameTarget => match self.sibling(&mut standing) {
                    Some(sibling) => Some(sibling),
                    None => {
                        let wait = Wait { retry, retry_index, share: rung.share };
                        retry_index += 1;
                        self.again(target, wait).await
                    }
                },
            };
        }
        Err(Leave::Down)
    }

    fn standing(&mut self, tier: &'a RouteTier) -> Standing<'a> {
        let Ordered { mut targets, mut why, below } = self.order(tier);
        if let Want::Rest { broken } = self.ask.want {
            targets.retain(|target| target.id != *broken);
            why = Chosen::Continued;
        }
        let skipped = |target: &Target| Skipped { target: target.id.clone(), why: Why::BelowFloor };
        self.skipped.extend(below.into_iter().map(skipped));
        Standing { untried: targets, why, before: None, called: Vec::new() }
    }

    /// The targets of `tier` in the order in which they are called; those where the request must not be come last.
    fn order(&self, tier: &'a RouteTier) -> Ordered<'a> {
        let Self { router, ask, .. } = self;
        let (within, outside): (Vec<_>, Vec<_>) =
            tier.targets.iter().partition(|target| target.is_within(ask.residency));
        let request = AsAsked { ask, overrides: tier.overrides };
        let facts = Facts {
            rng: &*router.parts.rng,
            breakers: &router.parts.breakers,
            prices: ask.prices,
            today: router.parts.clock.wall().day(),
            scores: ask.scores,
            affinity: ask.affinity,
            awaits: ask.request.awaits(),
            request: &request,
        };
        let mut ordered = strategy::order(tier.strategy, within, &facts);
        ordered.targets.extend(outside);
        ordered
    }

    fn unanswered(self, reason: Reason) -> Box<Unanswered> {
        let fault = match (&self.last, reason) {
            (Some(error), _) => error.error.fault,
            (None, Reason::OutOfTime) => {
                Fault { origin: Origin::Mainstay, kind: Kind::Timeout, retry: Retry::Never }
            }
            (None, Reason::Residency) => {
                Fault { origin: Origin::Mainstay, kind: Kind::Caller, retry: Retry::Never }
            }
            (None, _) => shut(&self.skipped, self.router.parts.clock.now()),
        };
        let route = self.ask.route.name.clone();
        let (last, reply) = match self.last {
            Some(CallError { error, reply, .. }) => (Some(error), reply),
            None => (None, None),
        };
        Box::new(Unanswered {
            route,
            reason,
            fault,
            skipped: self.skipped,
            last,
            last_tier: self.last_tier,
            reply,
        })
    }
}

/// Makes one call, up to its first text.
async fn place_call<F: Form>(
    (router, ask): (&Router, &Ask<'_, F>),
    rung: &Rung<'_>,
    candidate: Candidate<'_>,
    request: &F::Tier,
) -> Result<Answering<Pieces<F::Piece>>, CallError> {
    let Candidate { target, chosen, model, permit } = candidate;
    let tier = tier_of(rung.tier, target);
    let parts = &router.parts;
    let priced = (target, ask.prices.get(&target.model));
    let hold = ask.log.cover(priced, F::weight(request)).map_err(|why| not_covered(target, why))?;
    let running = Running::begin(Start {
        clock: &parts.clock,
        log: ask.log,
        target,
        chosen,
        tier,
        model: ask.prices.get(&target.model),
        turn_started: ask.started,
        permit,
        hold,
        awaits: ask.request.awaits(),
        prompt: F::prompt(request),
    });
    let attempt = running.n();
    let place = ask.request.place(place(target));
    let limits = parts.policy.limits(place, running.began(), rung.share);
    let end = match ask.want {
        Want::Begun | Want::Rest { .. } => ask.request.end(&limits, running.began(), &parts.policy),
        // While there is time for another call.
        Want::Whole => limits.end,
    };
    let trace = ask.watcher.and_then(|watcher| watcher.call(attempt));
    let (model_id, region) = (target.model.clone(), target.region.clone());
    let placed = Placed { model: model_id, region, deadline: end, trace, meter: running.meter() };
    let start = F::start(request, &*model, placed);
    let opened = call::open(start, running, limits).await;
    let released = match (opened, ask.want) {
        (Ok(mut opened), want) => {
            opened.limits.end = end;
            let stream = answer::stream(opened);
            if want == Want::Whole { answer::whole::<F::Piece>(stream).await } else { Ok(stream) }
        }
        (Err(error), _) => Err(error),
    };
    match released {
        Ok(stream) => Ok(Answering {
            tier,
            tier_index: rung.index,
            model: target.model.clone(),
            target: target.id.clone(),
            attempt,
            until: end,
            stream,
        }),
        Err(error) => {
            let (target, kind) = (&target.id, error.error.fault.kind.name());
            tracing::warn!(target.id = %target, fault.kind = kind, attempt, %error, "`{target}` failed");
            Err(error)
        }
    }
}

/// A call that nothing pays for is not made; a cheaper target may be.
fn not_covered(target: &Target, why: NotCovered) -> ModelError {
    let detail = format!("`{}` was not called: {why}", target.id);
    ModelError { fault: Fault { retry: Retry::Elsewhere, ..Fault::unavailable() }, detail }
}

/// The rung that a target's answers are reported as: whoever runs the model names it.
fn tier_of(tier: &RouteTier, target: &Target) -> Tier {
    match target.kind {
        TargetKind::Embedded => Tier::Embedded,
        TargetKind::Remote => tier.tier,
    }
}

/// The request as a tier asks it, for strategies.
struct AsAsked<'a, F> {
    ask: &'a Ask<'a, F>,
    overrides: Overrides,
}

impl<F: Form> Weighed for AsAsked<'_, F> {
    fn demand(&self) -> Demand {
        self.ask.request.demand(self.overrides)
    }

    fn difficulty(&self) -> Difficulty {
        // An answer that did not hold says more than the question.
        if self.ask.log.n_answered() > 0 {
            return Difficulty::Hard;
        }
        self.ask.request.difficulty(self.ask.question)
    }
}

/// No target may be called: says when the first of them may be, where that is known.
fn shut(skipped: &[Skipped], now: Moment) -> Fault {
    let first = skipped.iter().filter_map(|skipped| skipped.why.until()).min();
    // Where all of them asked to slow down, so is the caller.
    let is_quota = |skipped: &Skipped| matches!(skipped.why, Why::Refused(Refused::Quota { .. }));
    let fault = match !skipped.is_empty() && skipped.iter().all(is_quota) {
        true => Fault::provider(Kind::Throttled),
        false => Fault::unavailable(),
    };
    match first {
        Some(until) => Fault { retry: Retry::After(until.since(now)), ..fault },
        None => fault,
    }
}
