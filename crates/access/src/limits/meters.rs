//! The gate that every request passes: the limits of its key, its tenant and the server, looked at and taken at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::id::{KeyId, TenantId};
use domain::limit::{Level, Limits, Period};
use domain::money::Nanos;
use domain::ports::Spending;
use domain::principal::Asker;
use domain::spending::{Amounts, Assumed, Worst};
use domain::time::{Moment, Timestamp};
use parking_lot::RwLock;
use tokio::sync::broadcast;

use super::alert::{Alert, Alerts};
use super::allowance::{Account, Allowance, KeepsBudget};
use super::bucket::BucketReading;
use super::budget::BudgetReading;
use super::meter::{Begins, LevelReading, Limit, Meter, Now, Settled, Wanted};
use super::refusals::Refusals;
use super::settings::{Config, InvalidLimit, KeyLimitsConfig, LimitsConfig, Unpriced};

/// All meters, by whose they are.
pub struct Meters {
    /// When this process began to count.
    began: Timestamp,
    given: ArcSwap<Given>,
    /// Keys that were named by [`Meters::set_key`] or have asked for something.
    keys: RwLock<HashMap<KeyId, Arc<Meter>>>,
    alerts: Alerts,
    refusals: Refusals,
    ledger: OnceLock<Arc<dyn Spending>>,
}

/// What the configuration gives.
struct Given {
    unpriced: Unpriced,
    assumed: Assumed,
    /// Of keys that have none of their own.
    key_defaults: Arc<KeyLimitsConfig>,
    key_limits: Limits,
    server: Option<Arc<Meter>>,
    tenants: HashMap<TenantId, Arc<Meter>>,
}

impl Given {
    /// What `config` says, with the meters that there were before it.
    fn after(before: Option<&Self>, config: &Config, now: Now) -> Result<Self, InvalidLimit> {
        let meter = |kept: Option<&Arc<Meter>>, level: Level, limits: &Limits| match kept {
            Some(kept) => {
                kept.configure(limits, now);
                Arc::clone(kept)
            }
            None => Arc::new(Meter::new(level, limits, (now, now.wall))),
        };
        // All that can be wrong is read before anything changes.
        let (server, key_limits) = (config.server.limits()?, config.key.limits()?);
        let tenant =
            |(name, limits): (&String, &LimitsConfig)| Ok((TenantId::from(name.as_str()), limits.limits()?));
        let tenants = config.tenants.iter().map(tenant).collect::<Result<Vec<_>, InvalidLimit>>()?;
        let metered = |(tenant, limits): (TenantId, Limits)| {
            let level = Level::Tenant(tenant.clone());
            let kept = before.and_then(|before| before.tenants.get(&tenant));
            let meter = meter(kept, level, &limits);
            (tenant, meter)
        };
        let is_limited = server != Limits::default();
        Ok(Self {
            unpriced: config.unpriced,
            assumed: config.assumed(),
            key_limits,
            key_defaults: Arc::new(config.key.clone()),
            server: is_limited
                .then(|| meter(before.and_then(|before| before.server.as_ref()), Level::Server, &server)),
            tenants: tenants.into_iter().map(metered).collect(),
        })
    }
}

/// The meters of one request: its key's, its tenant's and the server's. Always locked in this order.
#[derive(Clone, Default)]
pub(super) struct Chain([Option<Arc<Meter>>; 3]);

impl Chain {
    fn iter(&self) -> impl Iterator<Item = &Meter> {
        self.0.iter().flatten().map(|meter| &**meter)
    }

    pub(super) fn settle(&self, meters: &Meters, began: Timestamp, settled: Settled) {
        if settled == Settled::default() {
            return;
        }
        let mut told = Vec::new();
        for meter in self.iter() {
            meter.settle(began, settled, &mut |alert| told.push(alert));
        }
        told.into_iter().for_each(|alert| meters.alerts.tell(alert));
    }

    pub(super) fn leave(&self, began: Timestamp, free: Amounts) {
        self.iter().for_each(|meter| meter.leave(began, free));
    }

    /// Takes `wanted` from all, or from none.
    fn take(&self, now: Moment, wanted: &Wanted) -> Result<Granted, Box<(Refusal, Vec<Alert>)>> {
        let mut granted = Granted { keeps_budget: KeepsBudget::No, standing: Standing::default() };
        let mut locked = [const { None }; 3];
        for (place, meter) in locked.iter_mut().zip(self.iter()) {
            let mut state = meter.lock();
            if let Err(limit) = state.check(now, wanted) {
                let alerts = match limit {
                    Limit::Budget(reading) => state.refused(meter.level(), wanted.began, reading),
                    Limit::Requests(_) | Limit::Tokens(_) | Limit::Parallel => Vec::new(),
                };
                let refusal = Refusal::of(meter.level().clone(), limit, wanted.began);
                let standing = Standing { requests: state.requests(), tokens: state.tokens() };
                return Err(Box::new((Refusal { standing, ..refusal }, alerts)));
            }
            if state.has_budget() {
                granted.keeps_budget = KeepsBudget::Yes;
            }
            *place = Some(state);
        }
        for state in locked.iter_mut().flatten() {
            state.take(wanted);
            if wanted.begins == Begins::Now {
                granted.standing.requests = tighter(granted.standing.requests, state.requests());
                granted.standing.tokens = tighter(granted.standing.tokens, state.tokens());
            }
        }
        Ok(granted)
    }
}

/// What was granted, and where that leaves who asked.
struct Granted {
    keeps_budget: KeepsBudget,
    standing: Standing,
}

/// Where a request leaves who asked: the tightest of its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests that may begin.
    pub requests: Option<BucketReading>,
    /// Tokens.
    pub tokens: Option<BucketReading>,
}

fn tighter(one: Option<BucketReading>, other: Option<BucketReading>) -> Option<BucketReading> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.holds_less_than(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// A request that may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Refusal {
    /// Whose limit.
    pub level: Level,
    /// Why.
    pub why: Why,
    /// After how long the same request may pass; `None` when waiting does not help.
    pub retry_after: Option<Duration>,
    /// Where who asked stands.
    pub standing: Standing,
}

/// Why a request may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A limit is reached.
    Limit(Limit),
    /// There is a budget, and the model has no price.
    Unpriced,
}

impl Refusal {
    fn of(level: Level, limit: Limit, now: Timestamp) -> Self {
        let retry_after = match limit {
            Limit::Requests(wait) => Some(wait),
            Limit::Tokens(wait) => wait,
            // Nobody knows when one of them ends.
            Limit::Parallel => Some(Duration::from_secs(1)),
            Limit::Budget(reading) => (reading.period != Period::Total).then(|| reading.span.end.since(now)),
        };
        Self { level, why: Why::Limit(limit), retry_after, standing: Standing::default() }
    }

    fn sentence(&self) -> String {
        let level = &self.level;
        match self.why {
            Why::Limit(Limit::Requests(_)) => format!("{level} sends requests faster than its limit"),
            Why::Limit(Limit::Tokens(Some(_))) => {
                format!("this request may need more tokens than {level} has left for this minute")
            }
            Why::Limit(Limit::Tokens(None)) => {
                format!(
                    "this request may need more tokens than {level} has for a whole minute; a smaller `max_tokens` lowers that"
                )
            }
            Why::Limit(Limit::Parallel) => format!("{level} has as many requests under way as it may have"),
            Why::Limit(Limit::Budget(reading)) => {
                let (left, limit) = (reading.remaining.usd(), reading.limit.usd());
                let period = reading.period.name();
                format!(
                    "this request may cost more than is left of the budget of {level}: ${left} of ${limit} ({period})"
                )
            }
            Why::Unpriced => {
                format!("the model has no price, so the budget of {level} cannot be kept with it")
            }
        }
    }
}

impl Meters {
    /// Meters for `config`, all unused.
    ///
    /// # Errors
    /// [`InvalidLimit`] as [`Config::validate`] tells it.
    pub fn new(config: &Config, now: Now) -> Result<Self, InvalidLimit> {
        Ok(Self {
            began: now.wall,
            given: ArcSwap::from_pointee(Given::after(None, config, now)?),
            keys: RwLock::default(),
            alerts: Alerts::default(),
            refusals: Refusals::default(),
            ledger: OnceLock::new(),
        })
    }

    /// From now on `config` holds. What was used stays used; whoever had no limits until now has used nothing but what
    /// [`Meters::catch_up`] finds. Keys with limits of their own go by the new defaults when they are adopted again.
    ///
    /// # Errors
    /// [`InvalidLimit`] as [`Config::validate`] tells it; then nothing has changed.
    pub fn configure(&self, config: &Config, now: Now) -> Result<(), InvalidLimit> {
        let next = Arc::new(Given::after(Some(&self.given.load()), config, now)?);
        self.given.store(Arc::clone(&next));
        let keys = self.keys.read();
        keys.values()
            .filter(|meter| !meter.has_own())
            .for_each(|meter| meter.configure(&next.key_limits, now));
        Ok(())
    }

    /// Lets a request of `asker` begin, with `worst` set aside for its first call.
    ///
    /// # Errors
    /// [`Refusal`] with the first limit in the way; then nothing was taken of any.
    pub fn admit(
        self: &Arc<Self>,
        asker: &Asker,
        now: Now,
        worst: Worst,
    ) -> Result<(Allowance, Standing), Box<Refusal>> {
        let given = self.given.load();
        let chain = self.chain(&given, asker, now);
        if chain.0.iter().all(Option::is_none) {
            return Ok((Allowance::unlimited(), Standing::default()));
        }
        let amounts = match worst {
            Worst::Priced(amounts) => amounts,
            Worst::Unpriced(tokens) => Amounts { tokens, money: Nanos(0) },
        };
        let is_refused = given.unpriced == Unpriced::Refuse && matches!(worst, Worst::Unpriced(_));
        if is_refused && let Some(meter) = chain.iter().find(|meter| meter.lock().has_budget()) {
            let (level, standing) = (meter.level().clone(), Standing::default());
            let refusal = Refusal { level, why: Why::Unpriced, retry_after: None, standing };
            self.refusals.count(&refusal.level, refusal.why);
            return Err(Box::new(refusal));
        }
        let wanted = Wanted { begins: Begins::Now, amounts, began: now.wall };
        let taken = chain.take(now.moment, &wanted);
        let Granted { keeps_budget, standing } = taken.map_err(|refused| {
            let refusal = self.told(*refused);
            self.refusals.count(&refusal.level, refusal.why);
            Box::new(refusal)
        })?;
        let keeps_budget = match given.unpriced {
            Unpriced::Refuse => keeps_budget,
            Unpriced::Allow => KeepsBudget::No,
        };
        let account = Account::new((Arc::clone(self), chain), now.wall, (keeps_budget, amounts));
        Ok((Allowance::of(account), standing))
    }

    /// More for a request that has begun.
    pub(super) fn extend(
        &self,
        chain: &Chain,
        began: Timestamp,
        amounts: Amounts,
    ) -> Result<(), Box<Refusal>> {
        let wanted = Wanted { begins: Begins::Before, amounts, began };
        // Buckets fill when the next request begins: what came since is not asked for here.
        let taken = chain.take(Moment::default(), &wanted);
        taken.map(drop).map_err(|refused| Box::new(self.told(*refused)))
    }

    fn told(&self, (refusal, alerts): (Refusal, Vec<Alert>)) -> Refusal {
        alerts.into_iter().for_each(|alert| self.alerts.tell(alert));
        refusal
    }

    fn chain(&self, given: &Given, asker: &Asker, now: Now) -> Chain {
        let key = (asker.key != KeyId::open()).then(|| self.key(&asker.key, now));
        let tenant = given.tenants.get(&asker.tenant).map(Arc::clone);
        Chain([key, tenant, given.server.clone()])
    }

    fn key(&self, key: &KeyId, now: Now) -> Arc<Meter> {
        if let Some(meter) = self.keys.read().get(key) {
            return Arc::clone(meter);
        }
        let mut keys = self.keys.write();
        // Read with the keys locked: else a change of the defaults may miss this one.
        let limits = self.given.load().key_limits.clone();
        // What it asked before would have made one.
        let new = || Arc::new(Meter::new(Level::Key(key.clone()), &limits, (now, self.began)));
        Arc::clone(keys.entry(key.clone()).or_insert_with(new))
    }

    /// Both keys count as one from now on: `key` took the place of `before`.
    pub fn join_keys(&self, before: &KeyId, key: &KeyId, now: Now) {
        let before = self.key(before, now);
        self.keys.write().insert(key.clone(), before);
    }

    /// From now on `key` has these limits; `None` for those of a key without its own. What it used stays used.
    pub fn set_key(&self, key: &KeyId, limits: Option<&Limits>, now: Now) {
        let usual = &self.given.load().key_limits;
        self.key(key, now).configure_own(limits, (usual, now));
    }

    /// From now on the past of budgets is read from `ledger`, and their resets are kept there.
    pub fn rest_on(&self, ledger: Arc<dyn Spending>) {
        let _ = self.ledger.set(ledger);
    }

    /// Where the past of budgets is read; `None` while nobody said.
    #[must_use]
    pub fn ledger(&self) -> Option<&dyn Spending> {
        self.ledger.get().map(AsRef::as_ref)
    }

    pub(super) fn key_defaults(&self) -> Arc<KeyLimitsConfig> {
        Arc::clone(&self.given.load().key_defaults)
    }

    /// Whether `key` has a meter.
    pub(super) fn knows(&self, key: &KeyId) -> bool {
        self.keys.read().contains_key(key)
    }

    /// Whether what `asker` spends is counted for `level`.
    pub(super) fn counts(&self, level: &Level, asker: &Asker) -> bool {
        match level {
            Level::Key(key) => {
                let keys = self.keys.read();
                match (keys.get(key), keys.get(&asker.key)) {
                    (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                    _ => *key == asker.key,
                }
            }
            Level::Tenant(tenant) => *tenant == asker.tenant,
            Level::Server => true,
        }
    }

    /// The level by whose name `level` is counted: of a key in another's place, that one.
    pub(super) fn counted_as(&self, level: &Level) -> Option<Level> {
        self.meter(level).map(|meter| meter.level().clone())
    }

    /// Budgets whose past is not known, and since when what comes is counted.
    pub(super) fn missing(&self) -> Vec<(Level, Period, Timestamp)> {
        let meters = self.all();
        let of = |meter: &Arc<Meter>| {
            let (level, began) = (meter.level().clone(), meter.began());
            meter.missing().into_iter().map(move |period| (level.clone(), period, began)).collect::<Vec<_>>()
        };
        meters.iter().flat_map(of).collect()
    }

    /// Each meter once, in the order of levels.
    fn all(&self) -> Vec<Arc<Meter>> {
        let (given, keys) = (self.given.load(), self.keys.read());
        let mut all: Vec<Arc<Meter>> =
            given.server.iter().chain(given.tenants.values()).chain(keys.values()).cloned().collect();
        all.sort_by(|one, other| one.level().cmp(other.level()));
        all.dedup_by(|one, other| Arc::ptr_eq(one, other));
        all
    }

    /// Adds what a level spent in `period` before this process began.
    pub fn load(&self, level: &Level, period: Period, (now, spent): (Now, Nanos)) {
        if let Some(meter) = self.meter(level) {
            meter.load(period, now.wall, spent);
        }
    }

    /// The budgets of `level` begin anew; `false` when it has none.
    pub fn reset(&self, level: &Level) -> bool {
        let meter = self.meter(level).filter(|meter| meter.lock().has_budget());
        meter.map(|meter| meter.reset()).is_some()
    }

    fn meter(&self, level: &Level) -> Option<Arc<Meter>> {
        match level {
            Level::Key(key) => self.keys.read().get(key).cloned(),
            Level::Tenant(tenant) => self.given.load().tenants.get(tenant).cloned(),
            Level::Server => self.given.load().server.clone(),
        }
    }

    /// How `level` is; `None` when it has no limit.
    #[must_use]
    pub fn read(&self, level: &Level, now: Now) -> Option<LevelReading> {
        self.meter(level).map(|meter| meter.read(now))
    }

    /// The levels that have a budget.
    #[must_use]
    pub fn budgeted(&self) -> Vec<Level> {
        let all = self.all();
        all.iter().filter(|meter| meter.lock().has_budget()).map(|meter| meter.level().clone()).collect()
    }

    /// How many requests were refused, by level and reason.
    #[must_use]
    pub fn refused(&self) -> Vec<((&'static str, &'static str), u64)> {
        self.refusals.read()
    }

    /// What is left of the budgets of the server, of each tenant, and of the key that has least left, by period.
    #[must_use]
    pub fn remaining(&self, now: Now) -> Vec<(Level, BudgetReading)> {
        let mut least: BTreeMap<(Option<Level>, Period), (Level, BudgetReading)> = BTreeMap::new();
        for meter in self.all() {
            let LevelReading { level, budgets, .. } = meter.read(now);
            let whose = (!matches!(level, Level::Key(_))).then(|| level.clone());
            for budget in budgets {
                let one =
                    least.entry((whose.clone(), budget.period)).or_insert_with(|| (level.clone(), budget));
                if budget.remaining < one.1.remaining {
                    *one = (level.clone(), budget);
                }
            }
        }
        least.into_values().collect()
    }

    /// Tells of budgets that are half, mostly and wholly used, from now on.
    #[must_use]
    pub fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.alerts.listen()
    }

    /// What stands in for what the catalogue does not know.
    #[must_use]
    pub fn assumed(&self) -> Assumed {
        self.given.load().assumed
    }
}
