//! The gate that every request passes: the limits of its key, its tenant and the server, looked at and taken at once.
//!
//! Reading order: this file (whose meters there are), `chain` (those of one request), `refusal` (what it is told).

mod chain;
mod refusal;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

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
use super::budget::BudgetReading;
use super::meter::{Begins, LevelReading, Meter, Now, Wanted};
use super::refusals::Refusals;
use super::settings::{Config, InvalidLimit, KeyLimitsConfig, LimitsConfig, Unpriced};
use chain::Granted;

pub(super) use chain::Chain;
pub use chain::Standing;
pub use refusal::{Refusal, Why};

/// All meters, by whose they are.
pub struct Meters {
    /// When this process began to count.
    began: Timestamp,
    given: ArcSwap<Given>,
    /// Keys that were named by [`Meters::set_key`] or have asked for something.
    keys: RwLock<HashMap<KeyId, Arc<Meter>>>,
    /// Periods of the usual budget of keys for which all that spent something before `began` have a meter.
    met: RwLock<BTreeSet<Period>>,
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
            met: RwLock::default(),
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
        let meter = self.key(key, now);
        // Until it is done no change of the defaults passes it by, as one that has its own.
        let _keys = self.keys.write();
        meter.configure_own(limits, (&self.given.load().key_limits, now));
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

    /// When this process began to count.
    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    /// Periods of the usual budget of keys of which nobody asked yet who spent something before.
    pub(super) fn unmet(&self) -> Vec<Period> {
        let (usual, met) = (self.given.load().key_limits.budgets, self.met.read());
        Period::ALL
            .into_iter()
            .filter(|period| usual.of(*period).is_some() && !met.contains(period))
            .collect()
    }

    /// From now on those who spent something in `period` have a meter.
    pub(super) fn meet<T>(&self, period: Period, askers: &[(Asker, T)], now: Now) {
        let keys = askers.iter().map(|(asker, _)| &asker.key).filter(|key| **key != KeyId::open());
        keys.for_each(|key| drop(self.key(key, now)));
        self.met.write().insert(period);
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
