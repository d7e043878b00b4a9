//! Thousands of random histories of one breaker, checked against a plain reading of its rules.

use std::time::Duration;
use testkit::SeededRng;

use super::*;
use crate::chance::below;

/// A call under way, as the test knows it.
struct Call {
    ticket: Ticket,
    /// Index into [`History::events`] at which it started.
    started: usize,
    /// How often the breaker had opened when it started.
    opening: usize,
    probe: bool,
    given_up_at: Moment,
}

/// All completions that count, in order; each breaker rule is read from the whole list anew.
#[derive(Default)]
struct History {
    /// `true` for a failure; for a success the index at which its call started.
    events: Vec<Event>,
    /// Openings seen.
    openings: Vec<Moment>,
    /// Calls settled while closed, since it last opened or closed.
    settled: Vec<Settled>,
}

struct Settled {
    at: Moment,
    is_failure: bool,
    is_slow: bool,
}

enum Event {
    Failure,
    Success { started: usize },
    Closed,
}

impl History {
    /// Failures in a row by the rule: a success cancels those before it if it started after the last of them.
    fn failures_in_a_row(&self) -> usize {
        let mut row: Vec<usize> = Vec::new();
        for (index, event) in self.events.iter().enumerate() {
            match event {
                Event::Failure => row.push(index),
                Event::Success { started } if row.last().is_none_or(|last| last < started) => row.clear(),
                Event::Success { .. } => {}
                Event::Closed => row.clear(),
            }
        }
        row.len()
    }

    fn opened(&mut self, at: Moment) {
        self.openings.push(at);
        self.settled.clear();
    }

    /// Whether the failures in a row or a share of the window's calls open it at `now`.
    fn must_open(&self, config: &Config, now: Moment) -> Option<Cause> {
        if self.failures_in_a_row() >= usize::try_from(config.failures_max).unwrap() {
            return Some(Cause::Failures);
        }
        let part = |at: Moment| at.0.as_nanos() / (config.window / window::PARTS).as_nanos();
        let recent: Vec<_> = self
            .settled
            .iter()
            .filter(|call| part(now) - part(call.at) < u128::from(window::PARTS))
            .collect();
        let reaches = |n: usize, percent: u32| n * 100 >= recent.len() * usize::try_from(percent).unwrap();
        let n_failures = recent.iter().filter(|call| call.is_failure).count();
        let n_slow = recent.iter().filter(|call| call.is_slow).count();
        if recent.len() < usize::try_from(config.calls_min).unwrap() {
            None
        } else if reaches(n_failures, config.failure_percent) {
            Some(Cause::FailureRate)
        } else {
            reaches(n_slow, config.slow_percent).then_some(Cause::Slowness)
        }
    }
}

fn outcome(rng: &SeededRng, seed: u64) -> Outcome {
    // Some targets fail more often than others.
    let n_failures = seed % 11;
    match below(rng, 20) {
        n if n < n_failures => Outcome::Failure,
        0..15 => Outcome::Success,
        15 => Outcome::RouteFatal,
        16 => Outcome::Throttled(None),
        17 => Outcome::Throttled(Some(Duration::from_secs(below(rng, 20)))),
        _ => Outcome::Ignored,
    }
}

/// The open time must be within the rule's bounds for its place in the row.
fn check_open_time(seed: u64, config: &Config, reading: Reading, opened: Moment) {
    let Position::Open { until } = reading.position else { return };
    let doublings = (reading.opens - 1).min(20);
    let least = config.open.saturating_mul(1 << doublings).min(config.open_max);
    let most = if doublings == 0 { least } else { least + least / 10 };
    let time = until.since(opened);
    assert!(time >= least && time <= most, "seed {seed}: open for {time:?}, opening {}", reading.opens);
}

struct Simulation {
    seed: u64,
    /// The longest wait between two events, in milliseconds.
    wait_ms: u64,
    causes: Vec<Cause>,
    rng: SeededRng,
    config: Config,
    breaker: Breaker,
    now: Moment,
    calls: Vec<Call>,
    history: History,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let rng = SeededRng::new(seed);
        // In a third of the histories failures in a row say nothing, so that the shares decide.
        let config = match seed % 3 {
            0 => Config {
                failures_max: u32::MAX,
                calls_min: 4 + u32::from(seed.is_multiple_of(2)) * 16,
                ..Config::default()
            },
            _ => Config::default(),
        };
        Self {
            seed,
            wait_ms: if seed.is_multiple_of(3) { 2_000 } else { 20_000 },
            causes: Vec::new(),
            rng,
            config,
            breaker: Breaker::new(config),
            now: Moment::default(),
            calls: Vec::new(),
            history: History::default(),
        }
    }

    fn read(&mut self) -> Reading {
        self.breaker.read(self.now, &self.rng)
    }

    fn wait(&mut self) {
        let before = self.read();
        self.now = self.now.after(Duration::from_millis(below(&self.rng, self.wait_ms)));
        let after = self.read();
        if after.opens > before.opens {
            // Time alone opens it only by giving up the probe.
            let probe =
                self.calls.iter().find(|call| call.probe && call.opening == self.history.openings.len());
            let given_up_at = probe.expect("a probe was under way").given_up_at;
            assert!(given_up_at <= self.now, "seed {}: given up too early", self.seed);
            self.history.opened(given_up_at);
            check_open_time(self.seed, &self.config, after, given_up_at);
        } else if matches!(before.position, Position::Open { until } if until > self.now) {
            assert_eq!(after.position, before.position, "seed {}: left the open state early", self.seed);
        }
    }

    fn start(&mut self) {
        let before = self.read();
        let admitted = self.breaker.admit(self.now, &self.rng);
        let probing = self.calls.iter().any(|call| call.probe && call.opening == self.history.openings.len());
        match (&admitted, before.position) {
            (_, Position::Open { .. }) => assert!(admitted.is_err(), "seed {}: a call while open", self.seed),
            (Ok(_), Position::HalfOpen) => assert!(!probing, "seed {}: two probes", self.seed),
            (Err(_), Position::Closed) => {
                assert!(before.quota_until.is_some(), "seed {}: refused for no reason", self.seed);
            }
            (Err(_), Position::HalfOpen) => {
                assert!(probing || before.quota_until.is_some(), "seed {}: probe refused", self.seed);
            }
            (Ok(_), Position::Closed) => {}
        }
        assert!(admitted.is_err() || before.quota_until.is_none(), "seed {}: the gate was shut", self.seed);
        if let Ok(ticket) = admitted {
            self.calls.push(Call {
                ticket,
                started: self.history.events.len(),
                opening: self.history.openings.len(),
                probe: before.position == Position::HalfOpen,
                given_up_at: self.now.after(self.config.probe),
            });
        }
    }

    fn finish(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let index = usize::try_from(below(&self.rng, u64::try_from(self.calls.len()).unwrap())).unwrap();
        let Call { mut ticket, started, opening, probe, .. } = self.calls.swap_remove(index);
        let outcome = outcome(&self.rng, self.seed);
        let is_slow = below(&self.rng, 10) < self.seed / 11 % 11;
        if is_slow {
            ticket.mark_slow();
        }
        let before = self.read();
        self.breaker.settle(ticket, outcome, self.now, &self.rng);
        let after = self.read();

        let current = opening == self.history.openings.len();
        if current && !probe && matches!(outcome, Outcome::Success | Outcome::Failure) {
            let is_failure = outcome == Outcome::Failure;
            self.history.settled.push(Settled { at: self.now, is_failure, is_slow });
        }
        let opens = match (current, probe, outcome) {
            (false, ..) | (_, _, Outcome::Throttled(_) | Outcome::Ignored) => false,
            (true, _, Outcome::RouteFatal) | (true, true, Outcome::Failure) => true,
            (true, true, Outcome::Success) => {
                self.history.events.push(Event::Closed);
                self.history.settled.clear();
                assert_eq!(after.position, Position::Closed, "seed {}: a good probe closes", self.seed);
                false
            }
            (true, false, Outcome::Success) => {
                self.history.events.push(Event::Success { started });
                self.must_open(after)
            }
            (true, false, Outcome::Failure) => {
                self.history.events.push(Event::Failure);
                self.must_open(after)
            }
        };
        assert_eq!(after.opens > before.opens, opens, "seed {}: {outcome:?}", self.seed);
        if opens {
            self.history.opened(self.now);
            check_open_time(self.seed, &self.config, after, self.now);
        }
        if after.position == Position::Closed {
            let want = self.history.failures_in_a_row();
            assert_eq!(usize::try_from(after.failures).unwrap(), want, "seed {}", self.seed);
        }
        if let Outcome::Throttled(asked) = outcome {
            let until = self.now.after(asked.unwrap_or(Duration::from_secs(1)));
            assert!(after.quota_until.unwrap_or(self.now) >= until, "seed {}: gate not shut", self.seed);
        }
    }

    /// Whether the rules open it now; if so, the breaker must say why.
    fn must_open(&mut self, after: Reading) -> bool {
        let cause = self.history.must_open(&self.config, self.now);
        if cause.is_some() {
            assert_eq!(after.cause, cause, "seed {}", self.seed);
        }
        self.causes.extend(cause);
        cause.is_some()
    }

    /// Whatever happened, a target that is left alone long enough is tried again.
    fn recovers(&mut self) {
        let longest = self.config.open_max + self.config.open_max / 10 + self.config.probe;
        self.now = self.now.after(longest + Duration::from_secs(20));
        let ticket = self.breaker.admit(self.now, &self.rng);
        assert!(ticket.is_ok(), "seed {}: never tried again: {ticket:?}", self.seed);
        self.breaker.settle(ticket.expect("checked above"), Outcome::Success, self.now, &self.rng);
        assert_eq!(self.read().position, Position::Closed, "seed {}", self.seed);
    }
}

#[test]
fn every_history_keeps_the_rules() {
    let mut openings = 0;
    let mut causes = Vec::new();
    for seed in 0..5_000 {
        let mut simulation = Simulation::new(seed);
        for _ in 0..200 {
            match below(&simulation.rng, 5) {
                0 => simulation.wait(),
                1 | 2 => simulation.start(),
                _ => simulation.finish(),
            }
        }
        openings += simulation.history.openings.len();
        causes.append(&mut simulation.causes);
        simulation.recovers();
    }
    for cause in [Cause::Failures, Cause::FailureRate, Cause::Slowness] {
        let n = causes.iter().filter(|found| **found == cause).count();
        assert!(n > 150, "too few openings for {cause:?}: {n}");
    }
    assert!(openings > 8_000, "the histories must be eventful, but opened only {openings} times");
}
