//! The cost ledger: one entry for every call of a model, and the sums that reports show.

use std::collections::BTreeMap;

use crate::id::{AgentName, InteractionId, ModelId, TenantId};
use crate::interaction::Attempt;
use crate::model::{Model, Tier};
use crate::money::Amount;
use crate::price::{Cost, PriceVersion};
use crate::principal::Asker;
use crate::time::Timestamp;
use crate::token::Usage;

/// One call of a model, as it was billed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When its turn began.
    pub at: Timestamp,
    /// The turn.
    pub interaction: InteractionId,
    /// Who asked.
    pub asker: Asker,
    /// The agent; `-` for a relayed turn.
    pub agent: AgentName,
    /// The call.
    pub attempt: Attempt,
}

impl Entry {
    /// What it used: as its provider said, else as estimated; `None` when it used nothing.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.attempt.usage.or(self.attempt.estimate)
    }

    /// Prices it anew with what `models` say now of the day on which it was made, so that a corrected price corrects the
    /// past.
    pub fn reprice(&mut self, models: &BTreeMap<ModelId, Model>) {
        let attempt = &mut self.attempt;
        let prices = models.get(&attempt.model).and_then(|model| model.prices.on(self.at.day()));
        let used = (attempt.usage, attempt.estimate);
        let (version, cost) = match (prices, used) {
            (_, (None, None)) => (None, Cost::FREE),
            (None, _) if attempt.tier == Tier::Embedded => (None, Cost::FREE),
            (None, _) => (None, Cost::Unpriced),
            (Some(prices), (Some(usage), _)) => (Some(prices.version.clone()), Cost::Exact(prices.of(usage))),
            (Some(prices), (None, Some(usage))) => {
                (Some(prices.version.clone()), Cost::Estimated(prices.of(usage)))
            }
        };
        (attempt.prices, attempt.cost) = (version, cost);
    }
}

/// The place of an entry in the ledger: entries are read in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When its turn began.
    pub at: Timestamp,
    /// The turn.
    pub interaction: InteractionId,
    /// The call's number.
    pub n: u32,
}

impl From<&Entry> for Place {
    fn from(entry: &Entry) -> Self {
        Self { at: entry.at, interaction: entry.interaction.clone(), n: entry.attempt.n }
    }
}

/// Which entries to read, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Of this tenant; `None` for those of all.
    pub tenant: Option<TenantId>,
    /// Of turns that began at or after this time.
    pub from: Option<Timestamp>,
    /// Of turns that began before this time.
    pub until: Option<Timestamp>,
    /// Behind this one (the last of the page before).
    pub after: Option<Place>,
    /// At most this many.
    pub limit: usize,
}

/// What sums are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The day in UTC.
    Day,
    /// The model.
    Model,
    /// The target: the model at a provider, in a region.
    Target,
    /// The agent.
    Agent,
    /// The tenant.
    Tenant,
    /// The key.
    Key,
    /// The version of the prices.
    Prices,
}

impl Group {
    /// All, for parsing.
    pub const ALL: [Self; 7] =
        [Self::Day, Self::Model, Self::Target, Self::Agent, Self::Tenant, Self::Key, Self::Prices];

    /// The stable name used in queries, bodies and exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Target => "target",
            Self::Agent => "agent",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Prices => "prices",
        }
    }

    /// The group of `entry`.
    #[must_use]
    pub fn of(self, entry: &Entry) -> String {
        match self {
            Self::Day => entry.at.day().to_string(),
            Self::Model => entry.attempt.model.as_str().to_owned(),
            Self::Target => entry.attempt.target.as_str().to_owned(),
            Self::Agent => entry.agent.as_str().to_owned(),
            Self::Tenant => entry.asker.tenant.as_str().to_owned(),
            Self::Key => entry.asker.key.as_str().to_owned(),
            Self::Prices => entry.attempt.prices.as_ref().map_or("-", PriceVersion::as_str).to_owned(),
        }
    }
}

/// Tokens of many calls, by kind as in [`Usage`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read, with the three below.
    pub input: u64,
    /// Generated, with those of reasoning.
    pub output: u64,
    /// Read from a cache.
    pub cached_input: u64,
    /// Written to a cache, with those for an hour.
    pub cache_write_input: u64,
    /// Written to a cache for an hour.
    pub cache_write_hour_input: u64,
    /// Said by the model to itself.
    pub reasoning_output: u64,
}

impl Tokens {
    fn add(&mut self, usage: Usage) {
        for (sum, count) in [
            (&mut self.input, usage.input),
            (&mut self.output, usage.output),
            (&mut self.cached_input, usage.cached_input),
            (&mut self.cache_write_input, usage.cache_write_input),
            (&mut self.cache_write_hour_input, usage.cache_write_hour_input),
            (&mut self.reasoning_output, usage.reasoning_output),
        ] {
            *sum = sum.saturating_add(u64::from(count.0));
        }
    }
}

/// Sums over some entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// Answers that were given again, without a call.
    pub cached_answers: u64,
    /// What these had cost the first time.
    pub saved: Amount,
    /// Those whose tokens are estimated.
    pub estimated_calls: u64,
    /// Those whose model has no price: what they cost is not in the amounts.
    pub unpriced_calls: u64,
    /// Tokens of all of them.
    pub tokens: Tokens,
    /// What the calls cost whose providers said what they used.
    pub exact: Amount,
    /// What the others cost, about.
    pub estimated: Amount,
}

impl Sums {
    /// Adds `entry`.
    pub fn add(&mut self, entry: &Entry) {
        self.saved = self.saved.plus(entry.attempt.saved);
        if !entry.attempt.is_call() {
            self.cached_answers += 1;
            return;
        }
        self.calls += 1;
        if let Some(usage) = entry.used() {
            self.tokens.add(usage);
        }
        match entry.attempt.cost {
            Cost::Exact(amount) => self.exact = self.exact.plus(amount),
            Cost::Estimated(amount) => {
                self.estimated_calls += 1;
                self.estimated = self.estimated.plus(amount);
            }
            Cost::Unpriced => self.unpriced_calls += 1,
        }
    }

    /// All that is known to have been spent.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.exact.plus(self.estimated)
    }
}

/// At most so many groups are told apart; what belongs to further ones is summed together.
const GROUPS_MAX: usize = 10_000;

/// Stands for the groups that are not told apart.
pub const OTHERS: &str = "(others)";

/// A report: entries summed by group.
#[derive(Debug, Clone)]
pub struct Report {
    by: Vec<Group>,
    groups: BTreeMap<Vec<String>, Sums>,
    total: Sums,
}

impl Report {
    /// Of nothing yet, by these groups together.
    #[must_use]
    pub fn new(by: Vec<Group>) -> Self {
        Self { by, groups: BTreeMap::new(), total: Sums::default() }
    }

    /// What the lines are by.
    #[must_use]
    pub fn by(&self) -> &[Group] {
        &self.by
    }

    /// Adds `entry`.
    pub fn add(&mut self, entry: &Entry) {
        self.total.add(entry);
        let mut key: Vec<String> = self.by.iter().map(|group| group.of(entry)).collect();
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            key.iter_mut().for_each(|part| OTHERS.clone_into(part));
        }
        self.groups.entry(key).or_default().add(entry);
    }

    /// Each group with its sums, in order of the groups.
    pub fn lines(&self) -> impl Iterator<Item = (&[String], &Sums)> {
        self.groups.iter().map(|(key, sums)| (key.as_slice(), sums))
    }

    /// The sums over all.
    #[must_use]
    pub fn total(&self) -> &Sums {
        &self.total
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::interaction::AttemptResult;
    use crate::model::Prices;
    use crate::money::Nanos;
    use crate::token::TokenCount;

    fn entry(model: &str, day: i64, cost: Cost) -> Entry {
        let usage = Some(Usage::of(TokenCount(3), TokenCount(2)));
        let is_estimate = matches!(cost, Cost::Estimated(_));
        let attempt = Attempt {
            n: 1,
            tier: Tier::Primary,
            target: model.into(),
            model: model.into(),
            chosen: None,
            started: Duration::ZERO,
            latency: Duration::ZERO,
            first_token: None,
            usage: usage.filter(|_| !is_estimate),
            estimate: usage.filter(|_| is_estimate),
            prices: None,
            cost,
            saved: Amount::ZERO,
            result: AttemptResult::Answered,
            finish: None,
        };
        Entry {
            at: Timestamp(day * 86_400_000_000),
            interaction: "int_1".into(),
            asker: Asker::default(),
            agent: "-".into(),
            attempt,
        }
    }

    #[test]
    fn lines_add_up_to_the_total() {
        let mut report = Report::new(vec![Group::Day, Group::Model]);
        for entry in [
            entry("p/a", 0, Cost::Exact(Amount(1))),
            entry("p/a", 0, Cost::Estimated(Amount(20))),
            entry("p/b", 1, Cost::Unpriced),
        ] {
            report.add(&entry);
        }
        let lines: Vec<_> = report.lines().map(|(key, sums)| (key.join(" "), *sums)).collect();
        let names: Vec<_> = lines.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["1970-01-01 p/a", "1970-01-02 p/b"]);
        let (first, second) = (lines[0].1, lines[1].1);
        assert_eq!((first.calls, first.estimated_calls, first.amount()), (2, 1, Amount(21)));
        assert_eq!((second.unpriced_calls, second.amount(), second.tokens.input), (1, Amount::ZERO, 3));
        let total = report.total();
        assert_eq!(
            (total.calls, total.exact, total.estimated, total.tokens.output),
            (3, Amount(1), Amount(20), 6)
        );
    }

    #[test]
    fn an_answer_given_again_is_no_call_and_costs_nothing() {
        let mut again = entry("p/a", 0, Cost::FREE);
        let attempt = &mut again.attempt;
        (attempt.result, attempt.usage, attempt.saved) = (AttemptResult::Cached, None, Amount(7));
        let prices = Prices::flat("v2", Nanos(10), Nanos(100));
        let priced = Model { prices: prices.into(), ..Model::unknown("p/a".into()) };
        again.reprice(&BTreeMap::from([(priced.id.clone(), priced)]));
        let mut sums = Sums::default();
        for entry in [&entry("p/a", 0, Cost::Exact(Amount(7))), &again, &again] {
            sums.add(entry);
        }
        assert_eq!((sums.calls, sums.cached_answers, sums.tokens.input), (1, 2, 3));
        assert_eq!((sums.amount(), sums.saved, again.attempt.cost), (Amount(7), Amount(14), Cost::FREE));
    }

    #[test]
    fn groups_are_bounded_and_nothing_is_lost() {
        let mut report = Report::new(vec![Group::Day]);
        for day in 0..12_000 {
            report.add(&entry("p/a", day, Cost::Exact(Amount(1))));
        }
        assert_eq!(report.lines().count(), GROUPS_MAX + 1);
        let in_lines: Amount = report.lines().map(|(_, sums)| sums.amount()).sum();
        assert_eq!((in_lines, report.total().amount()), (Amount(12_000), Amount(12_000)));
    }

    #[test]
    fn a_corrected_price_corrects_the_past() {
        let prices = Prices::flat("v2", Nanos(10), Nanos(100));
        let priced = Model { prices: prices.into(), ..Model::unknown("p/a".into()) };
        let models = BTreeMap::from([(priced.id.clone(), priced)]);
        let embedded = |mut entry: Entry| {
            entry.attempt.tier = Tier::Embedded;
            entry
        };
        let mut refused = entry("p/a", 0, Cost::FREE);
        refused.attempt.usage = None;
        for (mut entry, want) in [
            (entry("p/a", 0, Cost::Exact(Amount(1))), Cost::Exact(Amount(230))),
            (entry("p/a", 0, Cost::Unpriced), Cost::Exact(Amount(230))),
            (entry("p/a", 0, Cost::Estimated(Amount(1))), Cost::Estimated(Amount(230))),
            (entry("p/b", 0, Cost::Exact(Amount(1))), Cost::Unpriced),
            (embedded(entry("embedded/default", 0, Cost::FREE)), Cost::FREE),
            (refused, Cost::FREE),
        ] {
            entry.reprice(&models);
            assert_eq!(entry.attempt.cost, want, "{}", entry.attempt.model);
        }
    }
}
