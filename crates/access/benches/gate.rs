//! What the gate costs a request: admitting, covering one call, settling it and letting go, with every limit of all three
//! levels set; alone, and with every core at the same key.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints and measures real time")]

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use access::limits::{Config, LimitsConfig, Meters, Now};
use domain::money::Nanos;
use domain::price::Cost;
use domain::principal::Asker;
use domain::spending::{Amounts, Spent, Worst};
use domain::time::{Moment, Timestamp};
use domain::token::{TokenCount, Usage};

const ROUNDS: u32 = 5_000;
const REPEATS: usize = 300;

fn everything() -> LimitsConfig {
    LimitsConfig {
        rate: Some("1000000000/s".to_owned()),
        burst: Some(1_000_000_000),
        tokens_per_minute: Some(1_000_000_000),
        parallel: Some(100_000),
        budget: Some(["day", "month", "total"].map(|period| format!("1000000000/{period}")).to_vec()),
    }
}

fn meters() -> Arc<Meters> {
    let mut config = Config { server: everything(), ..Config::default() };
    config.tenants.insert("acme".to_owned(), everything());
    let key = everything();
    config.key.rate = key.rate.unwrap_or_default();
    config.key.burst = 1_000_000_000;
    config.key.tokens_per_minute = key.tokens_per_minute;
    config.key.parallel = key.parallel;
    config.key.budget = key.budget.unwrap_or_default();
    Arc::new(Meters::new(&config, now(0)).expect("valid"))
}

fn now(round: u32) -> Now {
    let moment = Moment(Duration::from_micros(u64::from(round) * 20));
    Now { moment, wall: Timestamp(1_795_251_960_000_000 + i64::from(round) * 20) }
}

fn request(meters: &Arc<Meters>, asker: &Asker, round: u32) {
    let worst = Worst::Priced(Amounts { tokens: 900, money: Nanos(1_000_000) });
    let (allowance, standing) = meters.admit(asker, now(round), worst).expect("within all limits");
    black_box(standing);
    let purse = allowance.purse().expect("counted");
    purse.cover(worst).expect("set aside");
    let usage = Some(Usage::of(TokenCount(100), TokenCount(50)));
    purse.settle(worst, Some(Spent { usage, cost: Cost::Exact(Nanos(200_000).into()) }));
}

fn fastest(mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..REPEATS).map(|_| round()).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn main() {
    let asker = Asker { tenant: "acme".into(), key: "3fk20ckqwpe1".into() };
    let shared = meters();
    let admit = fastest(|| {
        let worst = Worst::Priced(Amounts { tokens: 900, money: Nanos(1_000_000) });
        let began = Instant::now();
        for round in 0..ROUNDS {
            drop(black_box(shared.admit(&asker, now(round), worst)));
        }
        began.elapsed()
    });
    println!("admit and let go, all limits of three levels:            {admit:6.0} ns");
    let whole = fastest(|| {
        let began = Instant::now();
        (0..ROUNDS).for_each(|round| request(&shared, &asker, round));
        began.elapsed()
    });
    println!("admit, cover a call, settle it, let go:                  {whole:6.0} ns");
    let plain = Arc::new(Meters::new(&Config::default(), now(0)).expect("valid"));
    let only_rate = fastest(|| {
        let began = Instant::now();
        for round in 0..ROUNDS {
            // A second apart, so that the rate of a key by default is never reached.
            let at = Now { moment: Moment(Duration::from_secs(u64::from(round))), ..now(round) };
            drop(black_box(plain.admit(&asker, at, Worst::Unpriced(900))));
        }
        began.elapsed()
    });
    println!("admit and let go, the rate of a key as it is by default: {only_rate:6.0} ns");
    let open = Asker::default();
    let none = fastest(|| {
        let began = Instant::now();
        for round in 0..ROUNDS {
            drop(black_box(plain.admit(&open, now(round), Worst::Unpriced(900))));
        }
        began.elapsed()
    });
    println!("admit and let go, no key and no limit:                   {none:6.0} ns");
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let crowd = fastest(|| {
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..n_threads {
                scope.spawn(|| (0..ROUNDS).for_each(|round| request(&shared, &asker, round)));
            }
        });
        began.elapsed() / u32::try_from(n_threads).unwrap_or(1)
    });
    println!("the whole of it on {n_threads} cores at one key, each request:      {crowd:6.0} ns");
}
