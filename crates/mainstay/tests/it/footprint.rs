//! How soon it answers and how little it takes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Request;
use crate::server::{Start, wait_for};

#[test]
fn it_is_live_within_300_ms() {
    let took = (0..3).map(|_| {
        let began = Instant::now();
        let server = Start::bare().launch();
        let live = || server.get("/health/live").is_ok_and(|live| live.status == 200).then_some(());
        wait_for(Duration::from_secs(20), live).unwrap_or_else(|| panic!("not live: {}", server.log()));
        began.elapsed()
    });
    // Other tests run beside this one: the best of three is what the server itself needs.
    let best = took.min().expect("three");
    assert!(best <= Duration::from_millis(300), "{best:?}");
}

/// The most that it may take, ready and idle: 40 MB, of which some 25 MB are pages of the program's own file.
const RESIDENT_KIB_MAX: u64 = 40_000_000 / 1_024;
/// Freed memory goes back to the system after a second (`.cargo/config.toml`).
const GIVEN_BACK: Duration = Duration::from_secs(3);

#[test]
fn without_a_model_it_takes_40_mb_ready_and_idle() {
    let server = Start::bare().serve();
    std::thread::sleep(GIVEN_BACK);
    let ready_kib = server.status_kib("VmRSS");
    assert!(ready_kib <= RESIDENT_KIB_MAX, "ready: {ready_kib} KiB");

    // The first questions fill every cache there is: those of the patterns, of the search and of the database.
    let questions = [
        "Is my deposit FDIC insured, and up to how much?",
        "What is an overdraft fee?",
        "How do I dispute a charge on my credit card?",
        "Can I talk to a person, please?",
        "Which bird is the fastest?",
    ];
    for question in questions.iter().cycle().take(200) {
        server.query(question);
    }
    std::thread::sleep(GIVEN_BACK);
    let idle_kib = server.status_kib("VmRSS");
    assert!(
        idle_kib <= RESIDENT_KIB_MAX,
        "idle after 200 queries: {idle_kib} KiB, {ready_kib} KiB when ready"
    );
}

#[test]
fn a_request_that_comes_early_waits_for_its_answer() {
    let server = Start::bare().launch();
    let question = r#"{"query":"Is my deposit FDIC insured, and up to how much?"}"#;
    let reply =
        server.wait_until("the port is open", || Request::post("/query", question).send(server.address).ok());
    assert_eq!((reply.status, &reply.json()["outcome"]), (200, &json!("degraded")), "{}", reply.text());
}
