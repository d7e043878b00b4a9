//! What a request is expected to cost at a target: its tokens, estimated, and the longest answer that it allows.

use domain::model::Target;
use domain::money::Amount;
use domain::token::{TokenCount, Usage};

use super::Facts;
use crate::attempt::Pricing;

/// How many tokens a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Read by the model.
    pub(crate) input: TokenCount,
    /// Generated at most.
    pub(crate) output_max: TokenCount,
}

/// What is assumed where a request does not limit its answer.
const OUTPUT_MAX: TokenCount = TokenCount(1_000);

impl Demand {
    /// Of a request of about so many tokens.
    pub(crate) fn of(input: TokenCount, output_max: Option<u32>) -> Self {
        Self { input, output_max: output_max.map_or(OUTPUT_MAX, TokenCount) }
    }
}

/// The cheapest first, equals as they are written, those without prices last: unpriced is never free.
pub(super) fn order<'a>(mut targets: Vec<&'a Target>, facts: &Facts<'_>) -> Vec<&'a Target> {
    let demand = facts.request.demand();
    targets.sort_by_cached_key(|target| {
        let cost = expected(target, demand, facts);
        (cost.is_none(), cost)
    });
    targets
}

/// `None` where nobody knows.
fn expected(target: &Target, demand: Demand, facts: &Facts<'_>) -> Option<Amount> {
    match Pricing::of(target, facts.prices.get(&target.model), facts.today) {
        Pricing::Free => Some(Amount::ZERO),
        Pricing::PerToken(prices) => Some(prices.of(Usage::of(demand.input, demand.output_max))),
        Pricing::Unknown => None,
    }
}
