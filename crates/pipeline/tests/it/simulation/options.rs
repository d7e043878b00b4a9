//! What a seed decides before anything happens: the house, its visitors, and what goes wrong when.

use std::time::Duration;

use pipeline::parts::{Durability, OnFailure, RecordsConfig};
use registry::routes::{AssuredName, HedgeName, StrategyName};
use resilience::{backoff, breaker, budget, bulkhead, hedge, policy, shedding};
use testkit::SeededRng;

use super::world::Chance;
use crate::house::Extras;

/// A run, as its seed decides it.
#[derive(Debug)]
pub(crate) struct Options {
    /// The models of the route, by tier.
    pub(crate) tiers: Vec<Vec<String>>,
    /// What its route says beside.
    pub(crate) extras: Extras,
    pub(crate) shedding: shedding::Config,
    pub(crate) policy: policy::Config,
    pub(crate) breaker: breaker::Config,
    pub(crate) bulkhead: bulkhead::Config,
    pub(crate) records: RecordsConfig,
    pub(crate) visitors: Visitors,
    /// In the order of their times.
    pub(crate) troubles: Vec<(Duration, Trouble)>,
}

/// Who asks.
#[derive(Debug)]
pub(crate) struct Visitors {
    pub(crate) n_clients: u64,
    pub(crate) n_requests_each: u64,
    /// The longest pause between two requests of a client.
    pub(crate) think_ms: u64,
    /// The longest deadline of a request.
    pub(crate) deadline_ms: u64,
    /// How many percent leave before they have their answer.
    pub(crate) leaving_percent: u64,
    /// How many sessions they share.
    pub(crate) n_sessions: u64,
}

/// Something that goes wrong, or well again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// What one model does from now on.
    Weather(usize, Weather),
    /// What the disk does from now on.
    Disk(DiskMood),
    /// Someone sets the wall clock.
    Jump(i64),
    /// The process ends and starts again.
    Restart(Restart),
    /// The same configuration is read anew.
    Reload,
    /// Someone closes the breaker of one model.
    Reset(usize),
}

/// How a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Answers.
    Fair,
    /// Of a hundred calls so many go wrong, in any way.
    Brownout(u64),
    /// Refuses each call.
    Down,
    /// Says that it will never work.
    Retired,
    /// Asks to slow down.
    Throttling,
    /// Says nothing.
    Silent,
    /// Breaks its answers off.
    Breaking,
    /// Takes its time.
    Slow,
    /// Says what no passage says.
    Wrong,
}

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskMood {
    Well,
    /// A write takes seconds.
    Slow,
    /// No room: writes fail at once.
    Full,
    /// Too many writes wait.
    Busy,
    /// Another process holds the lock: writes wait for it, and fail after a while.
    Locked,
    /// `fsync` fails: nothing of the write is left.
    SyncFails,
    /// Nothing can be read.
    Unreadable,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// As asked: what runs may end.
    Gentle,
    /// `kill -9`.
    Killed,
    /// The power goes: what was not synced is gone too.
    PowerCut,
}

impl Options {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = SeededRng::new(seed);
        let tiers = tiers(&rng);
        let n_remote = tiers.iter().flatten().filter(|model| !model.starts_with("embedded/")).count();
        let extras = Extras {
            slow_ms: rng.percent(40).then(|| rng.between(200, 3_000)),
            hedge: if n_remote > 1 && rng.percent(50) { HedgeName::On } else { HedgeName::Off },
            assured: AssuredName::Off,
            strategy: rng.pick(&STRATEGIES),
        };
        let n_models = u64::try_from(tiers.iter().flatten().count()).expect("few");
        Self {
            tiers,
            extras,
            shedding: shedding(&rng),
            policy: policy(&rng),
            breaker: breaker(&rng),
            bulkhead: bulkhead(&rng),
            records: RecordsConfig {
                durability: if rng.percent(70) { Durability::Commit } else { Durability::Async },
                on_failure: if rng.percent(70) { OnFailure::Answer } else { OnFailure::Refuse },
            },
            visitors: visitors(&rng, seed),
            troubles: troubles(&rng, n_models),
        }
    }

    /// The models of all tiers.
    pub(crate) fn models(&self) -> impl Iterator<Item = &String> {
        self.tiers.iter().flatten()
    }

    /// The tier of a model.
    pub(crate) fn tier_of(&self, model: &str) -> usize {
        let found = self.tiers.iter().position(|tier| tier.iter().any(|name| name == model));
        found.expect("each target is one of the options'")
    }
}

/// Of the tiers with two models.
const STRATEGIES: [StrategyName; 6] = [
    StrategyName::Priority,
    StrategyName::Weighted,
    StrategyName::LeastLatency,
    StrategyName::LowestCost,
    StrategyName::QualityFloor,
    StrategyName::ByDifficulty,
];

/// One to three remote tiers of one or two models, some of the same provider, and often one that runs here.
fn tiers(rng: &SeededRng) -> Vec<Vec<String>> {
    let mut n_models = 0;
    let mut tiers: Vec<Vec<String>> = (0..rng.between(1, 3))
        .map(|tier| {
            let mut models = Vec::new();
            for _ in 0..rng.between(1, 2) {
                n_models += 1;
                let provider = if rng.percent(25) { 0 } else { tier };
                models.push(format!("p{provider}/m{n_models}"));
            }
            models
        })
        .collect();
    if rng.percent(40) {
        tiers.push(vec!["embedded/default".to_owned()]);
    }
    tiers
}

fn number(rng: &SeededRng, least: u64, most: u64) -> u32 {
    u32::try_from(rng.between(least, most)).expect("small")
}

fn policy(rng: &SeededRng) -> policy::Config {
    policy::Config {
        attempts_per_tier: number(rng, 1, 3),
        attempts_per_request: number(rng, 1, 5),
        first_token: rng.millis(1_000, 15_000),
        silence: rng.millis(1_000, 15_000),
        call_max: rng.millis(20_000, 90_000),
        backoff: backoff::Config { first: rng.millis(0, 500), max: rng.millis(500, 10_000) },
        budget: budget::Config { percent: number(rng, 0, 50), burst: number(rng, 0, 10) },
        hedge: hedge::Config {
            percent: number(rng, 1, 10),
            calls_min: number(rng, 1, 20),
            after_min: rng.millis(1, 300),
        },
    }
}

fn breaker(rng: &SeededRng) -> breaker::Config {
    let open = rng.millis(500, 30_000);
    breaker::Config {
        failures_max: number(rng, 1, 8),
        failure_percent: number(rng, 20, 100),
        slow_percent: number(rng, 20, 100),
        calls_min: number(rng, 3, 20),
        window: rng.millis(5_000, 60_000),
        open,
        open_max: open * number(rng, 1, 10),
        probe: rng.millis(1_000, 30_000),
        quota: rng.millis(100, 2_000),
        quota_max: rng.millis(2_000, 60_000),
    }
}

fn bulkhead(rng: &SeededRng) -> bulkhead::Config {
    let calls_max = if rng.percent(50) { number(rng, 1, 6) } else { 1_024 };
    bulkhead::Config {
        calls_max,
        calls_min: calls_max.min(number(rng, 1, 16)),
        forget: rng.millis(1_000, 60_000),
    }
}

/// Half of the gates are wide open.
fn shedding(rng: &SeededRng) -> shedding::Config {
    let requests_max = if rng.percent(50) { number(rng, 1, 8) } else { 2_048 };
    shedding::Config {
        requests_max,
        requests_min: requests_max.min(number(rng, 1, 32)),
        queue_max: number(rng, 0, 8),
        queue_wait: rng.millis(0, 2_000),
        ..shedding::Config::default()
    }
}

/// Most seeds have some dozen requests, one in two hundred has thousands.
fn visitors(rng: &SeededRng, seed: u64) -> Visitors {
    let n_clients = rng.between(1, 16);
    let n_requests = if seed % 200 == 7 { 3_000 } else { rng.between(15, 90) };
    Visitors {
        n_clients,
        n_requests_each: n_requests.div_ceil(n_clients),
        think_ms: rng.pick(&[20, 500, 5_000]),
        deadline_ms: rng.pick(&[2_000, 20_000, 60_000]),
        leaving_percent: rng.pick(&[0, 5, 30]),
        n_sessions: rng.between(1, 8),
    }
}

fn troubles(rng: &SeededRng, n_models: u64) -> Vec<(Duration, Trouble)> {
    let lasts_ms = rng.between(10_000, 180_000);
    let kinds = [
        Weather::Fair,
        Weather::Brownout(20),
        Weather::Brownout(60),
        Weather::Down,
        Weather::Retired,
        Weather::Throttling,
        Weather::Silent,
        Weather::Breaking,
        Weather::Slow,
        Weather::Wrong,
    ];
    let moods = [
        DiskMood::Well,
        DiskMood::Well,
        DiskMood::Slow,
        DiskMood::Full,
        DiskMood::Busy,
        DiskMood::Locked,
        DiskMood::SyncFails,
        DiskMood::Unreadable,
    ];
    let mut troubles: Vec<(Duration, Trouble)> = Vec::new();
    let mut add = |n: u64, trouble: &dyn Fn() -> Trouble| {
        for _ in 0..n {
            troubles.push((rng.millis(0, lasts_ms), trouble()));
        }
    };
    add(rng.between(1, 12), &|| {
        let model = usize::try_from(rng.below(n_models)).expect("few");
        Trouble::Weather(model, rng.pick(&kinds))
    });
    // Half of the seeds have a good disk, so that every record must be there.
    add(rng.below(2) * rng.between(1, 6), &|| Trouble::Disk(rng.pick(&moods)));
    add(rng.below(2) * rng.between(1, 3), &|| {
        Trouble::Jump(rng.pick(&[-86_400, -3_600, -30, 5, 3_600, 34_560_000]))
    });
    add(rng.below(2) * rng.between(1, 4), &|| {
        Trouble::Restart(rng.pick(&[Restart::Gentle, Restart::Killed, Restart::PowerCut]))
    });
    add(rng.below(2), &|| Trouble::Reload);
    add(rng.below(2) * rng.between(1, 3), &|| {
        Trouble::Reset(usize::try_from(rng.below(n_models)).expect("few"))
    });
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}
