//! The soak in its short form: a steady mix of requests, and what leaks or clogs. `bench/soak.sh` is the long one.

use std::time::Duration;

use bench::soak::{self, Plan};
use serde_json::json;
use testkit::{Behaviour, Upstream};

use crate::doors;
use crate::figures::seconds;

/// A rate that two cores hold beside the other tests.
const RATE: f64 = 100.0;
/// Its own memory may grow so much: caches that fill late, and pages that the allocator has not given back yet.
const GROWN_MAX_MB: f64 = 12.0;
/// Open files that may come or go: connections to and fro, and the database's readers.
const FILES_MAX: usize = 40;

#[test]
fn a_steady_mix_leaves_nothing_behind() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = start.serve();
    let messages = [json!({ "role": "user", "content": "Is my deposit insured?" })];
    let plan = Plan {
        url: server.url(),
        pid: server.pid(),
        chat: json!({ "model": "p0/m", "messages": messages }).to_string(),
        generate: json!({ "prompt": "Is my deposit insured?", "use_case": "account_inquiry" }).to_string(),
        rate: RATE,
        seconds: seconds(120) as f64,
        settled: seconds(120) as f64 / 4.0,
        connections: 32,
        look_every: 2.0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(soak::run(&plan)).expect("it goes on to the end");
    assert_eq!((seen.errors, seen.first_error.as_deref()), (0, None), "{}", server.log());
    assert!(seen.requests() as f64 >= plan.rate * plan.seconds - 1.0, "{} were answered", seen.requests());
    // A driver that got no processor counts its own waits, too: far more than this is a server that clogs.
    let (_, last) = seen.p99_ms();
    assert!(last < Duration::from_secs(20).as_millis() as f64, "p99 of the last minutes: {last} ms");
    let looks = seen.settled_looks();
    let half = looks.len() / 2;
    let mean = |looks: &[soak::Look]| looks.iter().map(|look| look.own_mb).sum::<f64>() / looks.len() as f64;
    let grown = mean(&looks[half..]) - mean(&looks[..half]);
    assert!(grown < GROWN_MAX_MB, "its memory grew by {grown:.1} MB: {looks:?}");
    let (fewest, most) = seen.files();
    assert!(most - fewest <= FILES_MAX, "{fewest} to {most} open files: {looks:?}");
    let log = server.log();
    assert!(!log.contains(" ERROR "), "{log}");
}
