//! What guards one target: its breaker, its bulkhead, how long its answers take, and what was refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::time::Moment;
use parking_lot::Mutex;

use crate::breaker::{self, Breaker, Refused};
use crate::bulkhead::{self, Bulkhead};
use crate::ewma::PeakEwma;
use crate::latency::Rolling;

/// What guards one target.
pub(super) struct Guards {
    pub(super) breaker: Mutex<Breaker>,
    pub(super) bulkhead: Mutex<Bulkhead>,
    /// How long it took to the answer, for each kind of answer.
    waits: [Mutex<Rolling>; Answer::COUNT],
    /// The same, for choosing among targets.
    averages: [Mutex<PeakEwma>; Answer::COUNT],
    refused_by_breaker: AtomicU64,
    refused_by_quota: AtomicU64,
    refused_as_full: AtomicU64,
}

/// What a call waits for. The times differ, so they are known apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its first text.
    Begun,
    /// The whole of it.
    Whole,
}

impl Answer {
    const COUNT: usize = 2;

    fn index(self) -> usize {
        match self {
            Self::Begun => 0,
            Self::Whole => 1,
        }
    }
}

/// Calls of a target that were not made since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Its breaker was open, or its probe under way.
    pub breaker: u64,
    /// It had asked to slow down.
    pub quota: u64,
    /// It had as many calls as it may have.
    pub full: u64,
}

impl Guards {
    pub(super) fn closed((breaker, bulkhead): (breaker::Config, bulkhead::Config), now: Moment) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(breaker)),
            bulkhead: Mutex::new(Bulkhead::new(bulkhead)),
            waits: Default::default(),
            averages: std::array::from_fn(|_| Mutex::new(PeakEwma::new(now))),
            refused_by_breaker: AtomicU64::new(0),
            refused_by_quota: AtomicU64::new(0),
            refused_as_full: AtomicU64::new(0),
        }
    }

    /// So long do `percent` of the answers of that kind take at most; `None` when fewer than `least` are known.
    pub(super) fn wait(&self, answer: Answer, (percent, least): (u32, u32), now: Moment) -> Option<Duration> {
        self.waits.get(answer.index())?.lock().quantile(percent, least, now)
    }

    pub(super) fn note_wait(&self, answer: Answer, waited: Duration, now: Moment) {
        if let Some(waits) = self.waits.get(answer.index()) {
            waits.lock().note(waited, now);
        }
        self.average(answer, |average| average.note(waited, now));
    }

    /// Does something to the average of that kind of answer.
    pub(super) fn average<T>(&self, answer: Answer, act: impl FnOnce(&mut PeakEwma) -> T) -> Option<T> {
        Some(act(&mut self.averages.get(answer.index())?.lock()))
    }

    pub(super) fn count(&self, refused: Refused) {
        let count = match refused {
            Refused::Open { .. } | Refused::Probing => &self.refused_by_breaker,
            Refused::Quota { .. } => &self.refused_by_quota,
            Refused::Full => &self.refused_as_full,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> Refusals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Refusals {
            breaker: read(&self.refused_by_breaker),
            quota: read(&self.refused_by_quota),
            full: read(&self.refused_as_full),
        }
    }
}
