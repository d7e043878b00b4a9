//! The meters that a request passes: all of them give what it wants, or none does.

use std::sync::Arc;

use domain::limit::Level;
use domain::spending::Amounts;
use domain::time::{Moment, Timestamp};

use super::Meters;
use super::refusal::Refusal;
use crate::limits::alert::Alert;
use crate::limits::allowance::KeepsBudget;
use crate::limits::bucket::BucketReading;
use crate::limits::meter::{Begins, Limit, Meter, Settled, Wanted};

/// The meters of one request: its key's, its tenant's and the server's. Always locked in this order.
#[derive(Clone, Default)]
pub(in crate::limits) struct Chain(pub(super) [Option<Arc<Meter>>; 3]);

impl Chain {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Meter> {
        self.0.iter().flatten().map(|meter| &**meter)
    }

    pub(in crate::limits) fn settle(&self, meters: &Meters, began: Timestamp, settled: Settled) {
        if settled == Settled::default() {
            return;
        }
        let mut told = Vec::new();
        for meter in self.iter() {
            meter.settle(began, settled, &mut |alert| told.push(alert));
        }
        told.into_iter().for_each(|alert| meters.alerts.tell(alert));
    }

    pub(in crate::limits) fn leave(&self, began: Timestamp, free: Amounts) {
        self.iter().for_each(|meter| meter.leave(began, free));
    }

    /// Takes `wanted` from all, or from none.
    pub(super) fn take(&self, now: Moment, wanted: &Wanted) -> Result<Granted, Box<(Refusal, Vec<Alert>)>> {
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
                let standing = match tells(meter) {
                    true => Standing { requests: state.requests(), tokens: state.tokens() },
                    false => Standing::default(),
                };
                return Err(Box::new((Refusal { standing, ..refusal }, alerts)));
            }
            if state.has_budget() {
                granted.keeps_budget = KeepsBudget::Yes;
            }
            *place = Some(state);
        }
        for (meter, state) in self.iter().zip(locked.iter_mut().flatten()) {
            state.take(wanted);
            if wanted.begins == Begins::Now && tells(meter) {
                granted.standing.requests = tighter(granted.standing.requests, state.requests());
                granted.standing.tokens = tighter(granted.standing.tokens, state.tokens());
            }
        }
        Ok(granted)
    }
}

/// Whether callers are told how a meter stands: the server's would tell them what others use.
fn tells(meter: &Meter) -> bool {
    *meter.level() != Level::Server
}

/// What was granted, and where that leaves who asked.
pub(super) struct Granted {
    pub(super) keeps_budget: KeepsBudget,
    pub(super) standing: Standing,
}

/// Where a request leaves who asked: the tightest of its key's and its tenant's limits.
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
