//! Who may be called next: a target that was not tried yet, or the same one again.

use std::borrow::Cow;
use std::sync::Arc;

use domain::fault::Retry;
use domain::id::{ProviderName, RegionName};
use domain::interaction::Chosen;
use domain::model::Target;
use domain::ports::ChatModel;
use resilience::breaker::Position;
use resilience::breakers::Permit;
use resilience::deadline::Deadline;

use super::Walk;
use super::hedge::Standing;
use crate::ask::{Skipped, Want, Why};
use crate::attempt::place;
use crate::form::Form;
use crate::router::Router;

/// Whether a provider was called in this tier before.
#[derive(Clone, Copy)]
enum Visit {
    First,
    Again,
}

/// Someone who may be called now.
pub(super) struct Candidate<'a> {
    pub(super) target: &'a Target,
    pub(super) chosen: Chosen,
    pub(super) model: Arc<dyn ChatModel>,
    pub(super) permit: Permit,
}

/// The wait before the same target is called again.
pub(super) struct Wait {
    pub(super) retry: Retry,
    pub(super) retry_index: u32,
    pub(super) share: Deadline,
}

impl<'a, F: Form> Walk<'a, F> {
    /// A target of the tier that was not called yet. A second call of a provider is a retry, whichever its target.
    pub(super) fn sibling(&mut self, standing: &mut Standing<'a>) -> Option<Candidate<'a>> {
        while let Some(target) = standing.untried.pop_front() {
            let is_again = standing.called.contains(&endpoint(target));
            let visit = if is_again { Visit::Again } else { Visit::First };
            let chosen = standing.step_to(target);
            match self.admit((target, chosen), visit) {
                Ok(candidate) => return Some(candidate),
                Err(why) => self.skipped.push(Skipped { target: target.id.clone(), why }),
            }
        }
        None
    }

    fn admit(&self, (target, chosen): Choice<'a>, visit: Visit) -> Result<Candidate<'a>, Why> {
        if !self.attempts.may_start(place(target)) {
            return Err(Why::AttemptsUsedUp);
        }
        let candidate = self.candidate((target, chosen))?;
        let budgets = &self.router.budgets;
        match visit {
            Visit::First => budgets.deposit(&budget(target)),
            Visit::Again if budgets.withdraw(&budget(target)) => {}
            Visit::Again => return Err(Why::RetryBudget),
        }
        Ok(candidate)
    }

    /// `target`, if it may be called now: the one door that every call goes through.
    pub(super) fn candidate(&self, (target, chosen): Choice<'a>) -> Result<Candidate<'a>, Why> {
        if !target.is_within(self.ask.residency) {
            return Err(Why::Residency);
        }
        if matches!(self.ask.want, Want::Rest { broken } if *broken == target.id) {
            return Err(Why::BrokeOff);
        }
        let model = self.router.model(&target.provider).ok_or(Why::NoProvider)?;
        let permit = self.router.parts.breakers.admit(&target.id).map_err(Why::Refused)?;
        Ok(Candidate { target, chosen, model, permit })
    }

    /// The same target again, after its wait; `None` when it may not be, or the wait does not fit.
    pub(super) async fn again(&mut self, target: &'a Target, wait: Wait) -> Option<Candidate<'a>> {
        let Router { parts, budgets, .. } = self.router;
        if !self.attempts.may_start(place(target)) {
            return None;
        }
        let reading = parts.breakers.read(&target.id);
        if matches!(reading.position, Position::Open { .. }) {
            return None;
        }
        let now = parts.clock.now();
        let gate = reading.quota_until.unwrap_or(now).since(now);
        let retry = match wait.retry {
            Retry::After(asked) => Retry::After(asked.max(gate)),
            Retry::Here => Retry::After(gate),
            other => other,
        };
        let pause = parts.policy.backoff.wait(wait.retry_index, retry, &*parts.rng)?;
        if !wait.share.fits(now, pause) {
            return None;
        }
        let why = if budgets.withdraw(&budget(target)) {
            parts.clock.sleep(pause).await;
            match self.candidate((target, Chosen::Retry)) {
                Ok(candidate) => return Some(candidate),
                Err(why) => why,
            }
        } else {
            Why::RetryBudget
        };
        self.skipped.push(Skipped { target: target.id.clone(), why });
        None
    }
}

/// A target, and why it.
type Choice<'a> = (&'a Target, Chosen);

/// What a target's calls end at: another region of a provider is another address, with other machines behind it.
pub(super) type Endpoint<'a> = (&'a ProviderName, Option<&'a RegionName>);

pub(super) fn endpoint(target: &Target) -> Endpoint<'_> {
    (&target.provider, target.region.as_ref())
}

/// Whose retries a call takes.
pub(super) fn budget(target: &Target) -> Cow<'_, str> {
    match &target.region {
        None => Cow::Borrowed(target.provider.as_str()),
        Some(region) => Cow::Owned(format!("{}@{region}", target.provider)),
    }
}
