//! What one request was granted: held while it runs, settled call by call, given back when the last of it is dropped.

use std::sync::Arc;

use domain::model::Cost;
use domain::money::Nanos;
use domain::spending::{Amounts, Assumed, NotCovered, Purse, Spent, Worst};
use domain::time::Timestamp;
use parking_lot::Mutex;

use super::meter::Settled;
use super::meters::{Chain, Meters};

/// Leave to make one request. There is no other way to come by one than [`Meters::admit`], so that no door can forget
/// to ask. Clones share it; dropped, what was set aside and not used is free again.
#[derive(Clone)]
pub struct Allowance {
    account: Option<Arc<Account>>,
}

/// The state of an allowance that something limits.
pub(super) struct Account {
    pub(super) meters: Arc<Meters>,
    pub(super) chain: Chain,
    /// When the request began: its money is that day's.
    pub(super) began: Timestamp,
    pub(super) keeps_budget: KeepsBudget,
    /// What is set aside for the request and for none of its calls.
    free: Mutex<Amounts>,
}

/// Whether money is limited somewhere, so that what has no price cannot be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepsBudget {
    Yes,
    No,
}

impl Account {
    pub(super) fn new(
        (meters, chain): (Arc<Meters>, Chain),
        began: Timestamp,
        (keeps_budget, granted): (KeepsBudget, Amounts),
    ) -> Self {
        Self { meters, chain, began, keeps_budget, free: Mutex::new(granted) }
    }

    /// What a call of `worst` takes; what has no price takes tokens only.
    fn amounts(worst: Worst) -> Amounts {
        match worst {
            Worst::Priced(amounts) => amounts,
            Worst::Unpriced(tokens) => Amounts { tokens, money: Nanos(0) },
        }
    }
}

impl Allowance {
    /// Of a request that nothing limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { account: None }
    }

    pub(super) fn of(account: Account) -> Self {
        Self { account: Some(Arc::new(account)) }
    }

    /// What pays for its calls; `None` when nothing is counted.
    #[must_use]
    pub fn purse(&self) -> Option<Arc<dyn Purse>> {
        let account = self.account.as_ref()?;
        Some(Arc::clone(account) as _)
    }
}

impl std::fmt::Debug for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let free = self.account.as_ref().map(|account| *account.free.lock());
        f.debug_struct("Allowance").field("free", &free).finish_non_exhaustive()
    }
}

impl Purse for Account {
    fn cover(&self, worst: Worst) -> Result<(), NotCovered> {
        if matches!(worst, Worst::Unpriced(_)) && self.keeps_budget == KeepsBudget::Yes {
            return Err(NotCovered::Unpriced);
        }
        let wanted = Self::amounts(worst);
        let mut free = self.free.lock();
        let missing = minus(wanted, *free);
        if missing != Amounts::default() {
            self.meters.extend(&self.chain, self.began, missing).map_err(|_| NotCovered::TooLittle)?;
        }
        *free = minus(*free, wanted);
        Ok(())
    }

    fn settle(&self, worst: Worst, spent: Option<Spent>) {
        let held = Self::amounts(worst);
        let spent = spent.map_or_else(Amounts::default, |spent| used(held, spent));
        // What was set aside and not used waits for the next call of the same request.
        let freed = Amounts { tokens: held.tokens.min(spent.tokens), money: held.money.min(spent.money) };
        self.chain.settle(&self.meters, self.began, Settled { freed, spent });
        let mut free = self.free.lock();
        let rest = minus(held, freed);
        free.tokens = free.tokens.saturating_add(rest.tokens);
        free.money.0 = free.money.0.saturating_add(rest.money.0);
    }

    fn assumed(&self) -> Assumed {
        self.meters.assumed()
    }
}

/// What a call used. What nobody knows is taken at its worst.
fn used(held: Amounts, spent: Spent) -> Amounts {
    let money = match spent.cost {
        Cost::Exact(amount) | Cost::Estimated(amount) => amount.nanos_up(),
        Cost::Unpriced => held.money,
    };
    let tokens = match spent.usage {
        Some(usage) => u64::from(usage.input.0) + u64::from(usage.output.0),
        None => held.tokens,
    };
    Amounts { tokens, money }
}

fn minus(from: Amounts, what: Amounts) -> Amounts {
    Amounts {
        tokens: from.tokens.saturating_sub(what.tokens),
        money: Nanos(from.money.0.saturating_sub(what.money.0).max(0)),
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let free = std::mem::take(self.free.get_mut());
        self.chain.leave(self.began, free);
    }
}
