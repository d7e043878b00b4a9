//! A second call beside one that takes unusually long.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use domain::interaction::Chosen;
use domain::model::{Hedge, Target, TargetKind};
use domain::ports::CallError;
use futures_util::future::{Either, select};
use resilience::hedge::{End, Hedges, PERCENTILE};
use resilience::policy::Place;

use super::candidate::{Candidate, Endpoint, budget, endpoint};
use super::{Rung, Walk, asks_models, place_call};
use crate::ask::Answering;
use crate::form::{Form, Pieces};

#[cfg(test)]
mod tests;

/// Who may be called in a tier: those not tried yet, and the providers that were.
pub(super) struct Standing<'a> {
    /// Best first.
    pub(super) untried: VecDeque<&'a Target>,
    /// Why the first of all was first.
    pub(super) why: Chosen,
    /// The one that was looked at last.
    pub(super) before: Option<&'a Target>,
    pub(super) called: Vec<Endpoint<'a>>,
}

impl<'a> Standing<'a> {
    /// Why `target` is called, if it is, after those that were looked at.
    pub(super) fn step_to(&mut self, target: &'a Target) -> Chosen {
        match self.before.replace(target) {
            None => self.why,
            Some(before) if before.model == target.model => Chosen::Failover,
            Some(_) => Chosen::Next,
        }
    }
}

/// The second call.
struct Rival<'a, F: Form> {
    rung: Rung<'a>,
    candidate: Candidate<'a>,
    /// `None` when it is asked the same as the first.
    request: Option<F::Tier>,
}

/// Counts a hedge as lost when nobody waits for it any more.
struct Hedged<'a> {
    hedges: &'a Hedges,
    end: End,
}

impl Drop for Hedged<'_> {
    fn drop(&mut self) {
        self.hedges.count(self.end);
    }
}

impl<'a, F: Form> Walk<'a, F> {
    /// How long `target` is waited for before another one is asked beside it; `None` when none is. Only the first call
    /// of a turn is hedged, and only one that leaves nothing behind.
    pub(super) fn hedge_after(&self, target: &Target) -> Option<Duration> {
        let Self { router, ask, .. } = self;
        let may_be = ask.route.hedge == Hedge::On
            && ask.log.n_begun() == 0
            && target.kind == TargetKind::Remote
            && ask.request.leaves_nothing_behind();
        if !may_be {
            return None;
        }
        router.hedges.deposit();
        let config = router.hedges.config();
        let breakers = &router.parts.breakers;
        let usual = breakers.wait(&target.id, ask.request.awaits(), (PERCENTILE, config.calls_min))?;
        Some(usual.max(config.after_min))
    }

    /// Calls `candidate`, and after a while a rival: the first good answer wins, the other call is cancelled and
    /// recorded so.
    pub(super) async fn hedged(
        &mut self,
        rung: &Rung<'a>,
        (candidate, request): (Candidate<'a>, &F::Tier),
        (after, standing): (Duration, &mut Standing<'a>),
    ) -> Result<Answering<Pieces<F::Piece>>, CallError> {
        let (router, ask) = (self.router, self.ask);
        let (clock, target) = (&router.parts.clock, candidate.target);
        let began = clock.now();
        let mut first = pin!(place_call((router, ask), rung, candidate, request));
        if let Either::Left((ended, _)) = select(first.as_mut(), clock.sleep_until(began.after(after))).await
        {
            return ended;
        }
        let Some(rival) = self.rival(rung, target, standing) else { return first.await };
        let mut hedged = Hedged { hedges: &router.hedges, end: End::Lost };
        let waited = clock.now().since(began);
        tracing::debug!(target.id = %target.id, rival.id = %rival.candidate.target.id, "`{}` takes unusually long after {waited:?}: `{}` is asked beside it", target.id, rival.candidate.target.id);
        let second_request = rival.request.as_ref().unwrap_or(request);
        let second = pin!(place_call((router, ask), &rival.rung, rival.candidate, second_request));
        match select(first, second).await {
            Either::Left((Ok(answering), _)) => Ok(answering),
            Either::Left((Err(error), second)) => match second.await {
                Ok(answering) => {
                    hedged.end = End::Won;
                    Ok(answering)
                }
                Err(_) => {
                    hedged.end = End::Failed;
                    Err(error)
                }
            },
            Either::Right((Ok(answering), _)) => {
                hedged.end = End::Won;
                // Else only its fast answers would be known, and it would be hedged sooner and sooner.
                let waited = clock.now().since(began);
                router.parts.breakers.note_wait(&target.id, ask.request.awaits(), waited);
                Ok(answering)
            }
            Either::Right((Err(_), first)) => {
                let ended = first.await;
                hedged.end = if ended.is_ok() { End::Lost } else { End::Failed };
                ended
            }
        }
    }

    /// Another target, of the same tier where there is one, else of those below. It costs a hedge, an attempt, and one
    /// of the retries of the provider of `slow`, which the first call might have had.
    fn rival(&mut self, rung: &Rung<'a>, slow: &Target, standing: &mut Standing<'a>) -> Option<Rival<'a, F>> {
        if !self.attempts.may_start(Place::Remote) {
            return None;
        }
        let hedges = &self.router.hedges;
        if !hedges.withdraw() {
            hedges.count(End::Capped);
            return None;
        }
        let Some(rival) = self.free_rival(rung, slow, standing) else {
            hedges.give_back();
            return None;
        };
        if !self.router.budgets.withdraw(&budget(slow)) {
            hedges.give_back();
            hedges.count(End::Capped);
            return None;
        }
        let target = rival.candidate.target;
        standing.untried.retain(|untried| untried.id != target.id);
        standing.called.push(endpoint(target));
        self.attempts.start(Place::Remote);
        Some(rival)
    }

    fn free_rival(&self, rung: &Rung<'a>, slow: &Target, standing: &Standing<'a>) -> Option<Rival<'a, F>> {
        let free = |target: &'a Target| {
            if target.kind != TargetKind::Remote || target.id == slow.id {
                return None;
            }
            self.candidate((target, Chosen::Hedge)).ok()
        };
        let sibling = standing.untried.iter().find_map(|target| free(target));
        if let Some(candidate) = sibling {
            let rung = Rung { index: rung.index, tier: rung.tier, share: rung.share };
            return Some(Rival { rung, candidate, request: None });
        }
        let below = self.ask.route.tiers.iter().enumerate().skip(rung.index + 1);
        below.filter(|(_, tier)| asks_models(tier)).find_map(|(index, tier)| {
            let candidate = self.order(tier).targets.into_iter().find_map(free)?;
            let request = Some(self.ask.request.for_tier(tier.overrides));
            Some(Rival { rung: Rung { index, tier, share: rung.share }, candidate, request })
        })
    }
}
