//! Breakers and bulkheads on the walk: whom they keep calls from, and who probes.

use domain::chat::Finish;
use domain::fault::{Fault, Kind, Retry};
use futures_util::StreamExt;
use futures_util::future::join_all;
use resilience::breaker::{Cause, Refused};
use resilience::bulkhead;

use super::*;
use crate::ask::{Answering, Reason};
use crate::scripted::{Act, FOREVER};

#[tokio::test(start_paused = true)]
async fn the_fifth_failed_attempt_opens_the_breaker_and_then_no_call_is_made() {
    let dead = Scripted::fails(Kind::Transient);
    let house = House::new(&[&dead]);
    for _ in 0..2 {
        house.answer().await.unwrap_err();
    }
    assert_eq!(dead.n_calls(), 4);
    // The fifth opens it; its own turn neither waits nor tries again.
    let before = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!(house.clock.now(), before);
    assert_eq!((dead.n_calls(), unanswered.reason), (5, Reason::Exhausted));
    assert!(matches!(house.position("p0/m"), Position::Open { .. }));

    let before = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((dead.n_calls(), unanswered.reason), (5, Reason::NoCandidate));
    assert_eq!(house.clock.now(), before, "no time is spent on it");
    assert!(matches!(refused(&unanswered)[..], [Why::Refused(Refused::Open { .. })]));
    let Retry::After(wait) = unanswered.fault.retry else { panic!("{:?}", unanswered.fault) };
    assert!(wait > Duration::from_secs(29) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(house.router.health()[0].shut_for, Some(wait));
}

#[tokio::test(start_paused = true)]
async fn after_30_s_exactly_one_of_100_calls_probes() {
    let fatal = Act::Refuse(Fault::provider(Kind::RouteFatal));
    let slow_probe = vec![Act::Wait(Duration::from_secs(2)), Act::Say("back"), Act::Done(Finish::Stop)];
    let (primary, fallback) = (Scripted::new([vec![fatal], slow_probe]), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    house.answer().await.unwrap();
    assert_eq!(primary.n_calls(), 1, "a fatal route is ejected at once");
    house.answer().await.unwrap();
    assert_eq!(primary.n_calls(), 1);

    tokio::time::sleep(Duration::from_secs(30)).await;
    let answers = join_all((0..100).map(|_| house.answer())).await;
    assert_eq!(primary.n_calls(), 2);
    let tiers = answers.iter().map(|answer| answer.as_ref().unwrap().1);
    assert_eq!(tiers.filter(|tier| *tier == Tier::Primary).count(), 1);
    assert_eq!(house.position("p0/m"), Position::Closed);
    assert_eq!(house.answer().await.unwrap().0, "back");
}

#[tokio::test(start_paused = true)]
async fn a_target_slower_than_its_limit_is_left_for_the_next_one_that_has_none() {
    for (slow, want_calls) in
        [(Some(Duration::from_secs(1)), 20), (Some(Duration::from_secs(2)), 25), (None, 25)]
    {
        let sluggish = vec![Act::Wait(Duration::from_secs(2)), Act::Say("at last"), Act::Done(Finish::Stop)];
        let (primary, fallback) = (Scripted::always(sluggish), Scripted::answers("quick"));
        let mut house = House::new(&[&primary, &fallback]);
        house.route.tiers[0].targets[0].slow = slow;
        for _ in 0..25 {
            house.answer().await.unwrap();
        }
        assert_eq!(primary.n_calls(), want_calls, "{slow:?}");
        let health = &house.router.health()[0];
        let want = slow.filter(|slow| slow.as_secs() == 1).map(|_| Cause::Slowness);
        assert_eq!(health.cause, want, "{slow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_every_other_call_is_left_after_twenty() {
    let scripts = (0..40).map(|n| match n % 2 {
        0 => vec![Act::Say("well"), Act::Done(Finish::Stop)],
        _ => vec![Act::Refuse(Fault::provider(Kind::Transient))],
    });
    let (primary, fallback) = (Scripted::new(scripts), Scripted::answers("always"));
    let mut house = House::new(&[&primary, &fallback]);
    // Retries would hide the failures of the first target behind its own successes.
    house.router.parts.policy.attempts_per_tier = 1;
    for _ in 0..40 {
        house.answer().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(primary.n_calls(), 20);
    assert_eq!(house.router.health()[0].cause, Some(Cause::FailureRate));
}

#[tokio::test(start_paused = true)]
async fn calls_too_many_for_a_target_go_on_to_the_next_at_once_and_then_end() {
    let takes = |text| vec![Act::Wait(Duration::from_secs(2)), Act::Say(text), Act::Done(Finish::Stop)];
    let (primary, fallback) = (Scripted::always(takes("first")), Scripted::always(takes("second")));
    let mut house = House::new(&[&primary, &fallback]);
    let bulkhead = bulkhead::Config { calls_max: 4, calls_min: 1, ..bulkhead::Config::default() };
    let guards = (breaker::Config::default(), bulkhead);
    house.router.parts.breakers =
        Breakers::with_bulkheads(guards, house.clock.clone(), Arc::new(SeededRng::new(5)));
    let before = house.clock.now();
    let answers = join_all((0..10).map(|_| house.answer())).await;
    assert_eq!(house.clock.now().since(before), Duration::from_secs(2), "nobody waits in a queue");
    let tiers: Vec<_> = answers.iter().flatten().map(|answer| answer.1).collect();
    assert_eq!(tiers, [[Tier::Primary; 4], [Tier::Fallback; 4]].concat());
    assert_eq!((primary.n_calls(), fallback.n_calls()), (4, 4));
    for answer in &answers[8..] {
        let unanswered = answer.as_ref().unwrap_err();
        assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::NoCandidate, Kind::Unavailable));
        let full = Why::Refused(Refused::Full);
        assert_eq!(refused(unanswered), [full, full]);
    }
    assert_eq!(house.router.health()[0].calls, bulkhead::Reading { calls: 0, limit: 4 });
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_costs_one_call_and_opens_for_longer() {
    let (primary, fallback) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    house.answer().await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    join_all((0..100).map(|_| house.answer())).await;
    assert_eq!(primary.n_calls(), 2);
    let health = &house.router.health()[0];
    let shut_for = health.shut_for.unwrap().as_secs_f64();
    assert!((60.0..=66.0).contains(&shut_for), "{shut_for}");
    assert_eq!((health.opens, health.position.name()), (2, "open"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_cancels_the_call_and_frees_the_probe() {
    let fatal = vec![Act::Refuse(Fault::provider(Kind::RouteFatal))];
    let endless = vec![Act::Say("on "), Act::Say("and on"), Act::Wait(FOREVER)];
    let primary = Scripted::new([fatal, endless]);
    let house = House::new(&[&primary]);
    house.answer().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(30)).await;

    let log = AttemptLog::default();
    let Answering { mut stream, .. } = house.ask(&log).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!(refused(&unanswered), [Why::Refused(Refused::Probing)]);
    drop(stream);
    assert_eq!(primary.n_cut(), 1);
    assert_eq!(results(&log.take()), [("p0/m", "cancelled")]);
    assert_eq!(house.position("p0/m"), Position::HalfOpen);

    // The same when the caller leaves before any text.
    let log = AttemptLog::default();
    let waiting = Scripted::always(vec![Act::Wait(FOREVER)]);
    let house = House::new(&[&waiting]);
    let left = tokio::time::timeout(Duration::from_secs(3), house.ask(&log)).await;
    assert!(left.is_err());
    let attempts = log.take();
    assert_eq!(results(&attempts), [("p0/m", "cancelled")]);
    assert_eq!((attempts[0].latency, waiting.n_cut()), (Duration::from_secs(3), 1));
    assert_eq!(house.router.health()[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_of_a_probe_is_not_given_up() {
    let fatal = vec![Act::Refuse(Fault::provider(Kind::RouteFatal))];
    let mut long = vec![Act::Say("word ")];
    for _ in 0..5 {
        long.extend([Act::Wait(Duration::from_secs(10)), Act::Say("word ")]);
    }
    long.push(Act::Done(Finish::Stop));
    let house = House::new(&[&Scripted::new([fatal, long])]);
    house.answer().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(30)).await;
    house.answer().await.unwrap();
    assert_eq!(house.position("p0/m"), Position::Closed);
}
