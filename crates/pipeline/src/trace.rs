//! Times each step of a turn and keeps its result in a word.

use std::future::Future;
use std::sync::Arc;

use domain::interaction::StepRecord;
use domain::ports::Clock;
use domain::time::Moment;
use parking_lot::Mutex;

use crate::listener::{Listener, StepState};

/// The steps of one turn.
pub struct Trace {
    clock: Arc<dyn Clock>,
    listener: Listener,
    started: Moment,
    steps: Mutex<Vec<StepRecord>>,
}

/// A step's result in a word, for records, metrics and traces.
pub trait Word {
    /// The word; one of a few.
    fn word(&self) -> &'static str;
}

impl Trace {
    /// Starts now.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, listener: Listener) -> Self {
        let started = clock.now();
        Self { clock, listener, started, steps: Mutex::new(Vec::with_capacity(12)) }
    }

    /// When the turn began.
    #[must_use]
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The steps so far, in the order in which they ended.
    #[must_use]
    pub fn steps(&self) -> Vec<StepRecord> {
        self.steps.lock().clone()
    }

    /// Runs one step under its name.
    pub async fn step<T: Word>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        self.listener.step(name, StepState::Started);
        let began = self.clock.now();
        let result = work.await;
        let took = self.clock.now().since(began);
        let record =
            StepRecord { name, started: began.since(self.started), took, outcome: result.word().to_owned() };
        tracing::debug!(step = name, took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), outcome = result.word(), "`{name}` ended");
        self.steps.lock().push(record);
        self.listener.step(name, StepState::Finished);
        result
    }
}
