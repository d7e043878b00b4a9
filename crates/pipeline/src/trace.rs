//! Times each step of a turn and keeps its result in a word.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::interaction::StepRecord;
use domain::ports::Clock;
use domain::time::{Moment, Timestamp};
use parking_lot::Mutex;

use crate::listener::{Listener, StepState};

/// The steps of one turn.
pub struct Trace {
    clock: Arc<dyn Clock>,
    listener: Listener,
    started: Moment,
    created: Timestamp,
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
        let (started, created) = (clock.now(), clock.wall());
        Self { clock, listener, started, created, steps: Mutex::new(Vec::with_capacity(12)) }
    }

    /// When the turn began.
    #[must_use]
    pub fn started(&self) -> Moment {
        self.started
    }

    /// When the turn began, on the wall clock.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Now, on the clock of its steps.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
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
        self.note(name, (began, self.clock.now().since(began)), result.word());
        self.listener.step(name, StepState::Finished);
        result
    }

    /// Keeps a step that ran within another one.
    pub fn note(&self, name: &'static str, (began, took): (Moment, Duration), outcome: &'static str) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(step = name, took_us, outcome, "`{name}` ended");
        let started = began.since(self.started);
        self.steps.lock().push(StepRecord { name, started, took, outcome: outcome.to_owned() });
    }
}
