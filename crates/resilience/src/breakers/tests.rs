//! Permits, changes and restarts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::fault::{Fault, Kind, Retry};
use domain::time::Timestamp;
use testkit::{ConstantRng, ManualClock};

use super::*;

const WALL: Timestamp = Timestamp(1_800_000_000_000_000);

fn target() -> TargetId {
    TargetId::from("openai/gpt")
}

fn breakers(wall: Timestamp) -> (Breakers, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(wall));
    (Breakers::new(Config::default(), clock.clone(), Arc::new(ConstantRng(0))), clock)
}

/// Opens the target's breaker and waits until it is half-open.
fn half_open(breakers: &Breakers, clock: &ManualClock) {
    open(breakers);
    clock.advance(Duration::from_secs(30));
}

fn open(breakers: &Breakers) {
    let fatal = Fault::provider(Kind::RouteFatal);
    assert_eq!(breakers.admit(&target()).unwrap().fail(&fatal), Change::Opened);
}

#[test]
fn a_permit_frees_the_probe_whatever_happens_to_it() {
    let caller = Fault::provider(Kind::Caller);
    type End = fn(Permit, &Fault);
    let ends: [(&str, End); 3] = [
        ("dropped", |permit, _| drop(permit)),
        ("panicked", |permit, _| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            let panicked = catch_unwind(AssertUnwindSafe(move || {
                let _permit = permit;
                panic!("in the middle of a call");
            }));
            std::panic::set_hook(hook);
            assert!(panicked.is_err());
        }),
        ("failed by the caller's fault", |permit, fault| assert_eq!(permit.fail(fault), Change::None)),
    ];
    for (name, end) in ends {
        let (breakers, clock) = breakers(WALL);
        half_open(&breakers, &clock);
        let probe = breakers.admit(&target()).unwrap();
        assert_eq!(breakers.admit(&target()).err(), Some(Refused::Probing), "{name}");
        end(probe, &caller);
        assert_eq!(breakers.snapshot()[0].reading.position, Position::HalfOpen, "{name}");
        assert_eq!(breakers.admit(&target()).unwrap().succeed(), Change::Closed, "{name}");
    }
}

#[test]
fn a_full_target_is_refused_until_a_call_ends_however_it_ends() {
    let clock = Arc::new(ManualClock::starting_at(WALL));
    let bulkhead = bulkhead::Config { calls_max: 2, calls_min: 1, ..bulkhead::Config::default() };
    let breakers = Breakers::with_bulkheads((Config::default(), bulkhead), clock, Arc::new(ConstantRng(0)));
    let (first, second) = (breakers.admit(&target()).unwrap(), breakers.admit(&target()).unwrap());
    assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
    drop(first);
    let third = breakers.admit(&target()).unwrap();
    assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
    second.succeed();
    third.fail(&Fault::provider(Kind::Transient));
    assert_eq!(breakers.snapshot()[0].bulkhead, bulkhead::Reading { calls: 0, limit: 2 });
}

#[test]
fn a_probe_that_finds_no_place_leaves_the_probe_to_the_next() {
    let clock = Arc::new(ManualClock::starting_at(WALL));
    let bulkhead = bulkhead::Config { calls_max: 1, calls_min: 1, ..bulkhead::Config::default() };
    let breakers =
        Breakers::with_bulkheads((Config::default(), bulkhead), clock.clone(), Arc::new(ConstantRng(0)));
    open(&breakers);
    clock.advance(Duration::from_secs(30));
    let probe = breakers.admit(&target()).unwrap();
    assert!(breakers.reset(&target()), "closes, and the call under way keeps its place");
    assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
    drop(probe);
    open(&breakers);
    clock.advance(Duration::from_secs(30));
    assert_eq!(breakers.admit(&target()).unwrap().succeed(), Change::Closed);
}

#[test]
fn of_many_threads_exactly_one_probes() {
    let (breakers, clock) = breakers(WALL);
    half_open(&breakers, &clock);
    let permits: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| breakers.admit(&target()).ok())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(permits.iter().flatten().count(), 1);
}

#[tokio::test]
async fn changes_are_listed_once_with_the_newest_state() {
    let (breakers, clock) = breakers(WALL);
    assert_eq!(breakers.admit(&target()).unwrap().fail(&Fault::provider(Kind::Transient)), Change::None);
    assert_eq!(breakers.drain_changes(), []);
    half_open(&breakers, &clock);
    breakers.changed().await;
    assert_eq!(breakers.admit(&target()).unwrap().fail(&Fault::provider(Kind::Transient)), Change::Opened);
    let changes = breakers.drain_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].opens, 2);
    assert_eq!(changes[0].open_until, Some(WALL.after(Duration::from_secs(90))));
    assert_eq!(breakers.drain_changes(), []);
    assert!(breakers.reset(&target()));
    assert_eq!(breakers.drain_changes()[0].open_until, None);
    breakers.keep_again(target());
    assert_eq!(breakers.drain_changes().len(), 1);
}

#[test]
fn a_probe_given_up_is_a_change_too() {
    let (breakers, clock) = breakers(WALL);
    half_open(&breakers, &clock);
    let _hangs = breakers.admit(&target()).unwrap();
    let _ = breakers.drain_changes();
    clock.advance(Duration::from_secs(31));
    assert!(breakers.snapshot()[0].is_shut());
    assert_eq!(breakers.drain_changes()[0].opens, 2);
}

#[test]
fn state_survives_a_restart() {
    let (first, _) = breakers(WALL);
    open(&first);
    let kept = first.drain_changes();

    let (second, clock) = breakers(WALL.after(Duration::from_secs(10)));
    second.watch([target(), TargetId::from("other/model")]);
    second.restore(kept.clone());
    assert!(matches!(second.admit(&target()).err(), Some(Refused::Open { .. })));
    clock.advance(Duration::from_secs(20));
    let probe = second.admit(&target()).unwrap();
    second.restore(kept); // too late: the target is in use
    assert_eq!(probe.succeed(), Change::Closed);
}

#[test]
fn only_watched_targets_are_kept() {
    let (breakers, _) = breakers(WALL);
    open(&breakers);
    let other = TargetId::from("other/model");
    breakers.watch([target(), other.clone()]);
    let shut: Vec<_> = breakers.snapshot().iter().map(TargetReading::is_shut).collect();
    assert_eq!(shut, [true, false], "openai/gpt keeps its state, other/model is new");
    breakers.watch([other.clone()]);
    assert_eq!(breakers.snapshot().len(), 1);
    assert!(!breakers.reset(&target()));
}

#[test]
fn a_throttled_target_is_shut_for_as_long_as_it_asked() {
    let (breakers, clock) = breakers(WALL);
    let fault = Fault { retry: Retry::After(Duration::from_secs(7)), ..Fault::provider(Kind::Throttled) };
    assert_eq!(breakers.admit(&target()).unwrap().fail(&fault), Change::None);
    assert!(matches!(breakers.admit(&target()).err(), Some(Refused::Quota { .. })));
    clock.advance(Duration::from_secs(7));
    assert!(breakers.admit(&target()).is_ok());
}
