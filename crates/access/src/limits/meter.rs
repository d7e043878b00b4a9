//! All limits of one level, and what is used of them. Locked for as long as it takes to look and to write.

use std::time::Duration;

use domain::limit::{Level, Limits, Period, Rate};
use domain::money::Nanos;
use domain::ports::Clock;
use domain::spending::Amounts;
use domain::time::{Moment, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use super::alert::Alert;
use super::bucket::{Bucket, BucketReading};
use super::budget::{Budget, BudgetReading};

/// One level's limits and their state.
pub(super) struct Meter {
    level: Level,
    /// Since when it counts.
    began: Timestamp,
    state: Mutex<State>,
}

/// The time on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Rates are measured by this.
    pub moment: Moment,
    /// Days and months by this.
    pub wall: Timestamp,
}

impl Now {
    /// As `clock` has it.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { moment: clock.now(), wall: clock.wall() }
    }
}

/// What is taken of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Whether a request begins; else one that has begun wants more.
    pub(super) begins: Begins,
    pub(super) amounts: Amounts,
    /// When the request began: its money is that day's.
    pub(super) began: Timestamp,
}

/// What becomes of what was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// No longer set aside.
    pub(super) freed: Amounts,
    /// Spent for good.
    pub(super) spent: Amounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Now,
    Before,
}

/// Which limit is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests that may begin; the next one may after that time.
    Requests(Duration),
    /// Tokens; they are there after that time, or never, since there are never as many.
    Tokens(Option<Duration>),
    /// Requests at once.
    Parallel,
    /// Money.
    Budget(BudgetReading),
}

pub(super) struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    parallel: Option<u32>,
    under_way: u32,
    budgets: [Budget; 3],
    /// Whether its limits are not those that the configuration gives to all.
    has_own: bool,
}

/// How a level is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelReading {
    /// Whose.
    pub level: Level,
    /// Requests that may begin.
    pub requests: Option<BucketReading>,
    /// Tokens.
    pub tokens: Option<BucketReading>,
    /// Requests at once.
    pub parallel: Option<u32>,
    /// Requests under way.
    pub under_way: u32,
    /// Those that have an amount.
    pub budgets: Vec<BudgetReading>,
}

const MINUTE: Duration = Duration::from_mins(1);

fn token_rate(per_minute: u64) -> Rate {
    Rate { count: per_minute, per: MINUTE, burst: per_minute }
}

impl Meter {
    /// A meter that knows what came since `began`.
    pub(super) fn new(level: Level, limits: &Limits, (now, began): (Now, Timestamp)) -> Self {
        let budgets = Period::ALL.map(|period| Budget::new(period, now.wall));
        let state =
            State { requests: None, tokens: None, parallel: None, under_way: 0, budgets, has_own: false };
        let meter = Self { level, began, state: Mutex::new(state) };
        meter.configure(limits, now);
        meter
    }

    pub(super) fn level(&self) -> &Level {
        &self.level
    }

    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    pub(super) fn has_own(&self) -> bool {
        self.lock().has_own
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Goes on under other limits; what was used stays used.
    pub(super) fn configure(&self, limits: &Limits, now: Now) {
        let mut state = self.lock();
        set_rate(&mut state.requests, limits.requests, now.moment);
        set_rate(&mut state.tokens, limits.tokens_per_minute.map(token_rate), now.moment);
        state.parallel = limits.parallel;
        for budget in &mut state.budgets {
            budget.set_limit(limits.budgets.of(budget.period()));
        }
    }

    /// Goes on under limits of its own, or under the usual ones where it has none.
    pub(super) fn configure_own(&self, own: Option<&Limits>, (usual, now): (&Limits, Now)) {
        self.lock().has_own = own.is_some();
        self.configure(own.unwrap_or(usual), now);
    }

    /// Settles what was set aside by a request that began at `began`.
    pub(super) fn settle(
        &self,
        began: Timestamp,
        Settled { freed, spent }: Settled,
        tell: &mut dyn FnMut(Alert),
    ) {
        let mut state = self.lock();
        if let Some(bucket) = &mut state.tokens {
            bucket.put_back(freed.tokens.saturating_sub(spent.tokens));
            bucket.take(spent.tokens.saturating_sub(freed.tokens));
        }
        for budget in &mut state.budgets {
            let told = budget.settle(began, freed.money, spent.money);
            if told.is_any()
                && let Some(reading) = budget.reading(began)
            {
                let alert = |share| Alert { level: self.level.clone(), share, budget: reading };
                told.shares().map(alert).for_each(&mut *tell);
            }
        }
    }

    /// A request has ended; `free` is what it had left.
    pub(super) fn leave(&self, began: Timestamp, free: Amounts) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(1);
        if free == Amounts::default() {
            return;
        }
        if let Some(bucket) = &mut state.tokens {
            bucket.put_back(free.tokens);
        }
        for budget in &mut state.budgets {
            budget.free(began, free.money);
        }
    }

    /// What was spent in `period` before this process began.
    pub(super) fn load(&self, period: Period, now: Timestamp, spent: Nanos) {
        let mut state = self.lock();
        for budget in state.budgets.iter_mut().filter(|budget| budget.period() == period) {
            budget.load(now, spent);
        }
    }

    /// Periods that have an amount and whose past is not known.
    pub(super) fn missing(&self) -> Vec<Period> {
        let state = self.lock();
        let missing = state.budgets.iter().filter(|budget| budget.limit().is_some() && !budget.is_loaded());
        missing.map(Budget::period).collect()
    }

    /// All its budgets begin anew.
    pub(super) fn reset(&self) {
        self.lock().budgets.iter_mut().for_each(Budget::reset);
    }

    pub(super) fn read(&self, now: Now) -> LevelReading {
        let mut state = self.lock();
        LevelReading {
            level: self.level.clone(),
            requests: state.requests.as_mut().map(|bucket| bucket.read(now.moment)),
            tokens: state.tokens.as_mut().map(|bucket| bucket.read(now.moment)),
            parallel: state.parallel,
            under_way: state.under_way,
            budgets: state.budgets.iter_mut().filter_map(|budget| budget.reading(now.wall)).collect(),
        }
    }
}

fn set_rate(bucket: &mut Option<Bucket>, rate: Option<Rate>, now: Moment) {
    match (bucket.as_mut(), rate) {
        (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
        (_, rate) => *bucket = rate.map(|rate| Bucket::new(rate, now)),
    }
}

impl State {
    /// Whether `wanted` can be had now.
    pub(super) fn check(&mut self, now: Moment, wanted: &Wanted) -> Result<(), Limit> {
        // Money first: whoever has none need not come again soon.
        for budget in &mut self.budgets {
            budget.check(wanted.began, wanted.amounts.money).map_err(Limit::Budget)?;
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.check(now, wanted.amounts.tokens).map_err(Limit::Tokens)?;
        }
        if wanted.begins == Begins::Before {
            return Ok(());
        }
        if self.parallel.is_some_and(|most| self.under_way >= most) {
            return Err(Limit::Parallel);
        }
        match &mut self.requests {
            Some(bucket) => bucket.check(now, 1).map_err(|wait| Limit::Requests(wait.unwrap_or_default())),
            None => Ok(()),
        }
    }

    /// Takes what was just checked.
    pub(super) fn take(&mut self, wanted: &Wanted) {
        for budget in &mut self.budgets {
            budget.set_aside(wanted.began, wanted.amounts.money);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(wanted.amounts.tokens);
        }
        if wanted.begins == Begins::Now {
            self.under_way = self.under_way.saturating_add(1);
            if let Some(bucket) = &mut self.requests {
                bucket.take(1);
            }
        }
    }

    /// A request was refused for want of money.
    pub(super) fn refused(&mut self, level: &Level, at: Timestamp, of: BudgetReading) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for budget in self.budgets.iter_mut().filter(|budget| budget.period() == of.period) {
            let alert = |share| Alert { level: level.clone(), share, budget: of };
            alerts.extend(budget.refused(at).shares().map(alert));
        }
        alerts
    }

    pub(super) fn has_budget(&self) -> bool {
        self.budgets.iter().any(|budget| budget.limit().is_some())
    }

    /// As of the last look.
    pub(super) fn requests(&self) -> Option<BucketReading> {
        self.requests.as_ref().map(Bucket::reading)
    }

    /// As of the last look.
    pub(super) fn tokens(&self) -> Option<BucketReading> {
        self.tokens.as_ref().map(Bucket::reading)
    }
}
