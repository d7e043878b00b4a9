//! The breaker as calls and time move it.

use std::time::Duration;

use domain::fault::{Fault, Kind, Retry};
use domain::id::TargetId;
use testkit::ConstantRng;

use super::*;

/// No chance at all: nothing is added to open times.
const EXACT: ConstantRng = ConstantRng(0);

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn call(breaker: &mut Breaker, now: Moment, outcome: Outcome) {
    let ticket = breaker.admit(now, &EXACT).expect("admitted");
    breaker.settle(ticket, outcome, now, &EXACT);
}

/// A breaker that opened at second 0 for 30 s.
fn opened() -> Breaker {
    let mut breaker = Breaker::new(Config::default());
    for _ in 0..5 {
        call(&mut breaker, at(0), Outcome::Failure);
    }
    breaker
}

fn position(breaker: &mut Breaker, now: Moment) -> Position {
    breaker.read(now, &EXACT).position
}

#[test]
fn the_fifth_failure_in_a_row_opens_for_exactly_30_s() {
    let mut breaker = Breaker::new(Config::default());
    for n in 1..=4 {
        call(&mut breaker, at(0), Outcome::Failure);
        assert_eq!(position(&mut breaker, at(0)), Position::Closed, "after {n}");
    }
    let ticket = breaker.admit(at(0), &EXACT).unwrap();
    breaker.settle(ticket, Outcome::Failure, at(0), &ConstantRng(u64::MAX));
    assert_eq!(position(&mut breaker, at(0)), Position::Open { until: at(30) });
    let just_before = Moment(Duration::from_millis(29_999));
    assert_eq!(breaker.admit(just_before, &EXACT).unwrap_err(), Refused::Open { until: at(30) });
    assert_eq!(position(&mut breaker, at(30)), Position::HalfOpen);
}

#[test]
fn only_a_success_that_started_after_the_last_failure_resets_the_count() {
    let mut breaker = Breaker::new(Config::default());
    let early = breaker.admit(at(0), &EXACT).unwrap();
    for _ in 0..4 {
        call(&mut breaker, at(0), Outcome::Failure);
    }
    breaker.settle(early, Outcome::Success, at(9), &EXACT);
    assert_eq!(breaker.read(at(9), &EXACT).failures, 4);
    // Started at the same moment as the last failure, but after it.
    call(&mut breaker, at(0), Outcome::Success);
    assert_eq!(breaker.read(at(9), &EXACT).failures, 0);
}

/// Settles a call that was slow.
fn slow_call(breaker: &mut Breaker, now: Moment, outcome: Outcome) {
    let mut ticket = breaker.admit(now, &EXACT).expect("admitted");
    ticket.mark_slow();
    breaker.settle(ticket, outcome, now, &EXACT);
}

#[test]
fn half_of_twenty_failed_calls_open_within_the_window_only() {
    for (gap_s, failed_of_20, want) in [
        (1, 10, Some(Cause::FailureRate)),
        (1, 9, None),
        (3, 10, Some(Cause::FailureRate)),
        (4, 10, None), // 20 calls take longer than a minute
    ] {
        let mut breaker = Breaker::new(Config::default());
        // Never many failures in a row.
        for n in 0..20_u64 {
            let failed = n % 2 == 0 && n / 2 < failed_of_20;
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            assert_eq!(position(&mut breaker, at(n * gap_s)), Position::Closed, "call {n}");
            call(&mut breaker, at(n * gap_s), outcome);
        }
        let reading = breaker.read(at(19 * gap_s), &EXACT);
        assert_eq!(reading.cause, want, "every {gap_s} s, {failed_of_20} failed");
    }
}

#[test]
fn four_of_five_slow_calls_open_whether_they_succeed_or_not() {
    for (n_slow, want) in [(16, Some(Cause::Slowness)), (15, None)] {
        let mut breaker = Breaker::new(Config::default());
        for n in 0..20 {
            match n < 20 - n_slow {
                true => call(&mut breaker, at(n), Outcome::Success),
                false => slow_call(&mut breaker, at(n), Outcome::Success),
            }
        }
        assert_eq!(breaker.read(at(20), &EXACT).cause, want, "{n_slow} slow");
    }
}

#[test]
fn shares_start_anew_after_a_probe() {
    let mut breaker = Breaker::new(Config::default());
    for n in 0..20 {
        slow_call(&mut breaker, at(n), Outcome::Success);
    }
    slow_call(&mut breaker, at(49), Outcome::Success);
    let reading = breaker.read(at(49), &EXACT);
    assert_eq!((reading.position, reading.counts), (Position::Closed, Counts::default()));
}

#[test]
fn throttled_and_ignored_calls_never_count() {
    let mut breaker = Breaker::new(Config::default());
    for second in 0..100 {
        call(&mut breaker, at(second * 2), Outcome::Throttled(None));
        call(&mut breaker, at(second * 2 + 1), Outcome::Ignored);
    }
    let reading = breaker.read(at(1_000), &EXACT);
    assert_eq!((reading.position, reading.failures), (Position::Closed, 0));
    assert_eq!(breaker.read(at(199), &EXACT).counts, Counts::default());
}

#[test]
fn the_quota_gate_holds_for_as_long_as_asked_within_its_bounds() {
    for (asked, want_s) in [(None, 1), (Some(7), 7), (Some(0), 0), (Some(1_000_000), 3_600)] {
        let mut breaker = Breaker::new(Config::default());
        call(&mut breaker, at(0), Outcome::Throttled(asked.map(Duration::from_secs)));
        if want_s > 0 {
            let refused = breaker.admit(at(want_s - 1), &EXACT).unwrap_err();
            assert_eq!(refused, Refused::Quota { until: at(want_s) }, "{asked:?}");
        }
        call(&mut breaker, at(want_s), Outcome::Success);
    }
    // A shorter wish does not open a gate that a longer one shut.
    let mut breaker = Breaker::new(Config::default());
    let late = breaker.admit(at(0), &EXACT).unwrap();
    call(&mut breaker, at(0), Outcome::Throttled(Some(Duration::from_secs(9))));
    breaker.settle(late, Outcome::Throttled(None), at(0), &EXACT);
    assert_eq!(breaker.admit(at(8), &EXACT).unwrap_err(), Refused::Quota { until: at(9) });
}

#[test]
fn a_route_that_is_fatal_is_ejected_at_once() {
    let mut breaker = Breaker::new(Config { failures_max: u32::MAX, ..Config::default() });
    call(&mut breaker, at(0), Outcome::RouteFatal);
    let reading = breaker.read(at(0), &EXACT);
    assert_eq!(
        (reading.position, reading.cause),
        (Position::Open { until: at(30) }, Some(Cause::RouteFatal))
    );
}

#[test]
fn one_probe_at_a_time_and_its_success_closes() {
    let mut breaker = opened();
    let probe = breaker.admit(at(30), &EXACT).unwrap();
    assert_eq!(breaker.admit(at(30), &EXACT).unwrap_err(), Refused::Probing);
    breaker.settle(probe, Outcome::Success, at(31), &EXACT);
    let reading = breaker.read(at(31), &EXACT);
    assert_eq!((reading.position, reading.failures, reading.opens), (Position::Closed, 0, 0));
    assert_eq!(reading.cause, None);
}

#[test]
fn failed_probes_double_the_time_up_to_300_s() {
    let mut breaker = opened();
    let mut now = at(30);
    for want_s in [60, 120, 240, 300, 300] {
        call(&mut breaker, now, Outcome::Failure);
        let until = now.after(Duration::from_secs(want_s));
        assert_eq!(position(&mut breaker, now), Position::Open { until });
        now = until;
    }
    // At most a tenth is added.
    let ticket = breaker.admit(now, &EXACT).unwrap();
    breaker.settle(ticket, Outcome::Failure, now, &ConstantRng(u64::MAX));
    let until = now.after(Duration::from_secs(330));
    assert_eq!(position(&mut breaker, now), Position::Open { until });
}

#[test]
fn a_probe_that_says_nothing_about_the_target_frees_its_place() {
    for outcome in [Outcome::Ignored, Outcome::Throttled(Some(Duration::ZERO))] {
        let mut breaker = opened();
        call(&mut breaker, at(30), outcome);
        assert_eq!(position(&mut breaker, at(30)), Position::HalfOpen, "{outcome:?}");
        call(&mut breaker, at(30), Outcome::Success);
        assert_eq!(position(&mut breaker, at(30)), Position::Closed, "{outcome:?}");
    }
}

#[test]
fn a_hanging_probe_is_given_up_and_its_late_result_ignored() {
    let mut breaker = opened();
    let probe = breaker.admit(at(30), &EXACT).unwrap();
    assert_eq!(position(&mut breaker, at(59)), Position::HalfOpen);
    assert_eq!(position(&mut breaker, at(60)), Position::Open { until: at(120) });
    breaker.settle(probe, Outcome::Success, at(61), &EXACT);
    assert_eq!(position(&mut breaker, at(61)), Position::Open { until: at(120) });
    // Nobody looked for an hour: the next call may probe.
    assert_eq!(position(&mut breaker, at(3_600)), Position::HalfOpen);
}

#[test]
fn a_probe_that_shows_life_is_not_given_up() {
    let mut breaker = opened();
    let probe = breaker.admit(at(30), &EXACT).unwrap();
    for second in [55, 80, 105] {
        breaker.touch(&probe, at(second), &EXACT);
    }
    breaker.settle(probe, Outcome::Success, at(130), &EXACT);
    assert_eq!(position(&mut breaker, at(130)), Position::Closed);
}

#[test]
fn calls_from_before_the_opening_say_nothing_afterwards() {
    let mut breaker = Breaker::new(Config::default());
    let old: Vec<Ticket> = (0..6).map(|_| breaker.admit(at(0), &EXACT).unwrap()).collect();
    for _ in 0..5 {
        call(&mut breaker, at(0), Outcome::Failure);
    }
    call(&mut breaker, at(30), Outcome::Success);
    for ticket in old {
        breaker.settle(ticket, Outcome::Failure, at(31), &EXACT);
    }
    assert_eq!(breaker.read(at(31), &EXACT).failures, 0);
}

#[test]
fn state_survives_a_restart_within_bounds() {
    let wall = Timestamp(1_800_000_000_000_000);
    let entry = opened().entry(TargetId::from("a/b"), at(10), wall);
    assert_eq!((entry.failures, entry.opens), (5, 1));
    assert_eq!(entry.open_until, Some(wall.after(Duration::from_secs(20))));

    for (open_until, wall_now, want) in [
        (entry.open_until, wall.after(Duration::from_secs(5)), Position::Open { until: at(15) }),
        (entry.open_until, wall.after(Duration::from_secs(20)), Position::HalfOpen), // its time is over
        (Some(Timestamp(i64::MAX)), wall, Position::Open { until: at(330) }),        // the clock was set back
        (None, wall, Position::Closed),
    ] {
        let entry = BreakerEntry { open_until, ..entry.clone() };
        let mut restored = Breaker::restored(Config::default(), &entry, at(0), wall_now);
        assert_eq!(position(&mut restored, at(0)), want, "{open_until:?}");
    }
    // A restored half-open breaker probes once, and its failure opens it for the second time.
    let mut restored =
        Breaker::restored(Config::default(), &entry, at(0), wall.after(Duration::from_secs(99)));
    call(&mut restored, at(0), Outcome::Failure);
    assert_eq!(position(&mut restored, at(0)), Position::Open { until: at(60) });
}

#[test]
fn a_reset_closes_and_forgets_calls_under_way() {
    let mut breaker = opened();
    let probe = breaker.admit(at(30), &EXACT).unwrap();
    breaker.reset();
    breaker.settle(probe, Outcome::RouteFatal, at(30), &EXACT);
    assert_eq!(position(&mut breaker, at(30)), Position::Closed);
}

#[test]
fn faults_say_about_their_target_what_their_kind_says() {
    let throttled = Fault { retry: Retry::After(Duration::from_secs(3)), ..Fault::provider(Kind::Throttled) };
    assert_eq!(Outcome::of(&throttled), Outcome::Throttled(Some(Duration::from_secs(3))));
    for (kind, want) in [
        (Kind::Transient, Outcome::Failure),
        (Kind::Timeout, Outcome::Failure),
        (Kind::Truncated, Outcome::Failure),
        (Kind::RouteFatal, Outcome::RouteFatal),
        (Kind::Throttled, Outcome::Throttled(None)),
        (Kind::Caller, Outcome::Ignored),
        (Kind::Content, Outcome::Ignored),
        (Kind::Unavailable, Outcome::Ignored),
    ] {
        assert_eq!(Outcome::of(&Fault::provider(kind)), want, "{kind:?}");
    }
}

#[test]
fn impossible_settings_are_named() {
    for (text, setting) in [
        (r#"{"failures_max": 0}"#, "failures_max"),
        (r#"{"calls_min": 0}"#, "calls_min"),
        (r#"{"failure_percent": 0}"#, "failure_percent"),
        (r#"{"slow_percent": 101}"#, "slow_percent"),
        (r#"{"window": "1ms"}"#, "window"),
        (r#"{"open": "10m"}"#, "open"),
        (r#"{"probe": "0s"}"#, "probe"),
        (r#"{"quota": "2h"}"#, "quota"),
    ] {
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.validate().unwrap_err().setting, setting);
    }
    assert!(serde_json::from_str::<Config>(r#"{"failures": 5}"#).is_err());
    Config::default().validate().unwrap();
}
