//! The row of a call.

use domain::interaction::Attempt;
use domain::ledger::Entry;
use domain::money::{Amount, Nanos};
use domain::price::{Cost, PriceVersion};
use domain::principal::Asker;
use domain::time::Timestamp;
use domain::token::Usage;

use super::{Unreadable, duration, names};

/// One row of `attempts`.
#[derive(Debug)]
pub(crate) struct AttemptRow {
    pub(crate) at: i64,
    pub(crate) interaction: String,
    pub(crate) n: u32,
    pub(crate) tenant: String,
    pub(crate) key: String,
    pub(crate) agent: String,
    pub(crate) tier: String,
    pub(crate) target: String,
    pub(crate) model: String,
    pub(crate) started: i64,
    pub(crate) latency: i64,
    pub(crate) first_token: Option<i64>,
    pub(crate) result: String,
    pub(crate) is_estimate: bool,
    pub(crate) used: Option<Usage>,
    pub(crate) prices: Option<String>,
    pub(crate) cost: Option<i64>,
    pub(crate) cost_rest: i64,
    pub(crate) chosen: Option<String>,
    pub(crate) saved: i64,
    pub(crate) saved_rest: i64,
}

impl TryFrom<&AttemptRow> for Attempt {
    type Error = Unreadable;

    fn try_from(row: &AttemptRow) -> Result<Self, Unreadable> {
        let amount = row.cost.map(|nanos| Amount::from_parts(Nanos(nanos), row.cost_rest));
        Ok(Self {
            n: row.n,
            tier: names::tier(&row.tier)?,
            target: row.target.as_str().into(),
            model: row.model.as_str().into(),
            chosen: row.chosen.as_deref().map(names::chosen).transpose()?,
            started: duration(row.started),
            latency: duration(row.latency),
            first_token: row.first_token.map(duration),
            usage: row.used.filter(|_| !row.is_estimate),
            estimate: row.used.filter(|_| row.is_estimate),
            prices: row.prices.as_deref().map(PriceVersion::new),
            cost: match (amount, row.is_estimate) {
                (None, _) => Cost::Unpriced,
                (Some(amount), false) => Cost::Exact(amount),
                (Some(amount), true) => Cost::Estimated(amount),
            },
            saved: Amount::from_parts(Nanos(row.saved), row.saved_rest),
            result: names::attempt_result(&row.result)?,
            finish: None,
        })
    }
}

impl TryFrom<AttemptRow> for Entry {
    type Error = Unreadable;

    fn try_from(row: AttemptRow) -> Result<Self, Unreadable> {
        let attempt = Attempt::try_from(&row).map_err(|Unreadable(reason)| {
            Unreadable(format!("attempt {} of {}: {reason}", row.n, row.interaction))
        })?;
        Ok(Self {
            at: Timestamp(row.at),
            interaction: row.interaction.into(),
            asker: Asker { tenant: row.tenant.into(), key: row.key.into() },
            agent: row.agent.into(),
            attempt,
        })
    }
}
