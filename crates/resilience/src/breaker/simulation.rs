//! Thousands of random histories of one breaker, checked against a plain reading of its rules.

use super::*;
use crate::simulated::Seeded;

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
}

fn outcome(rng: &Seeded) -> Outcome {
    match rng.below(20) {
        0..10 => Outcome::Failure,
        10..15 => Outcome::Success,
        15 => Outcome::RouteFatal,
        16 => Outcome::Throttled(None),
        17 => Outcome::Throttled(Some(Duration::from_secs(rng.below(20)))),
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
    rng: Seeded,
    config: Config,
    breaker: Breaker,
    now: Moment,
    calls: Vec<Call>,
    history: History,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let config = Config::default();
        Self {
            seed,
            rng: Seeded::new(seed),
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
        self.now = self.now.after(Duration::from_millis(self.rng.below(20_000)));
        let after = self.read();
        if after.opens > before.opens {
            // Time alone opens it only by giving up the probe.
            let probe =
                self.calls.iter().find(|call| call.probe && call.opening == self.history.openings.len());
            let given_up_at = probe.expect("a probe was under way").given_up_at;
            assert!(given_up_at <= self.now, "seed {}: given up too early", self.seed);
            self.history.openings.push(given_up_at);
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
        let index = usize::try_from(self.rng.below(u64::try_from(self.calls.len()).unwrap())).unwrap();
        let Call { ticket, started, opening, probe, .. } = self.calls.swap_remove(index);
        let outcome = outcome(&self.rng);
        let before = self.read();
        self.breaker.settle(ticket, outcome, self.now, &self.rng);
        let after = self.read();

        let current = opening == self.history.openings.len();
        let opens = match (current, probe, outcome) {
            (false, ..) | (_, _, Outcome::Throttled(_) | Outcome::Ignored) => false,
            (true, _, Outcome::RouteFatal) | (true, true, Outcome::Failure) => true,
            (true, true, Outcome::Success) => {
                self.history.events.push(Event::Closed);
                assert_eq!(after.position, Position::Closed, "seed {}: a good probe closes", self.seed);
                false
            }
            (true, false, Outcome::Success) => {
                self.history.events.push(Event::Success { started });
                false
            }
            (true, false, Outcome::Failure) => {
                self.history.events.push(Event::Failure);
                self.history.failures_in_a_row() >= 5
            }
        };
        assert_eq!(after.opens > before.opens, opens, "seed {}: {outcome:?}", self.seed);
        if opens {
            self.history.openings.push(self.now);
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
    for seed in 0..5_000 {
        let mut simulation = Simulation::new(seed);
        for _ in 0..200 {
            match simulation.rng.below(5) {
                0 => simulation.wait(),
                1 | 2 => simulation.start(),
                _ => simulation.finish(),
            }
        }
        openings += simulation.history.openings.len();
        simulation.recovers();
    }
    assert!(openings > 15_000, "the histories must be eventful, but opened only {openings} times");
}
