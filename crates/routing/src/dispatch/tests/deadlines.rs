//! How the time of a request is shared between its attempts.

use domain::chat::Finish;
use domain::fault::{Kind, Origin};
use domain::interaction::AttemptResult;
use domain::time::Moment;

use super::*;
use crate::ask::Reason;
use crate::scripted::Act;

#[tokio::test(start_paused = true)]
async fn a_hanging_primary_leaves_the_fallback_its_share_of_the_deadline() {
    for (deadline_s, want_s) in [
        (60, 29.925), // two attempts: 15 s, and what its share leaves
        (10, 4.925),  // one attempt, cut by its share
    ] {
        let (primary, fallback) = (Scripted::hangs(), Scripted::answers("hello"));
        let house = House::new(&[&primary, &fallback]);
        let log = AttemptLog::default();
        let started = house.clock.now();
        let answering = house.ask_within(&log, Duration::from_secs(deadline_s)).await.unwrap();
        let took = house.clock.now().since(started).as_secs_f64();
        assert!((took - want_s).abs() < 0.01, "{took} of {deadline_s}");
        assert_eq!(answering.tier, Tier::Fallback);
        assert!(log.take().iter().all(|attempt| attempt.result == AttemptResult::Failed(Kind::Timeout)));
        assert_eq!(usize::try_from(primary.n_cut()).unwrap(), primary.n_calls(), "the calls are cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_hangs_the_reserve_is_left_for_the_degraded_answer() {
    let models = [Scripted::hangs(), Scripted::hangs(), Scripted::hangs()];
    let house = House::new(&models.each_ref()).embed(2);
    let started = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Exhausted, Kind::Timeout));
    let left = started.after(DEADLINE).since(house.clock.now());
    assert!(left >= Duration::from_millis(145), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_cannot_open_a_breaker() {
    let house = House::new(&[&Scripted::hangs()]);
    for _ in 0..20 {
        let unanswered = house.ask_within(&AttemptLog::default(), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(unanswered.fault.origin, Origin::Mainstay);
    }
    assert_eq!(house.router.health()[0].failures, 0);
    // Silence past the limit counts.
    house.ask(&AttemptLog::default()).await.unwrap_err();
    assert!(house.router.health()[0].failures >= 2);
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_means_no_call() {
    let model = Scripted::answers("hello");
    let house = House::new(&[&model]);
    let unanswered = house.ask_within(&AttemptLog::default(), Duration::from_millis(150)).await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::OutOfTime, Kind::Timeout));
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_here_may_take_their_whole_share_and_are_not_counted() {
    let slow = Scripted::always(vec![
        Act::Wait(Duration::from_secs(25)),
        Act::Say("slow "),
        Act::Wait(Duration::from_secs(20)),
        Act::Say("but whole"),
        Act::Done(Finish::Stop),
    ]);
    let (first, second) = (Scripted::fails(Kind::Transient), Scripted::fails(Kind::Transient));
    let mut house = House::new(&[&first, &second, &slow]).embed(2);
    house.route.tiers[2].tier = Tier::Fallback; // reported as embedded wherever it stands
    let log = AttemptLog::default();
    let answering = house.ask(&log).await.unwrap();
    assert_eq!((answering.tier, answering.attempt), (Tier::Embedded, 4));
    let (text, error) = read(answering.stream).await;
    assert!(text == "slow but whole" && error.is_none(), "{text} {error:?}");
    assert_eq!(log.take()[3].first_token, Some(Duration::from_secs(25)));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_call_is_its_share() {
    let (dead, alive) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive]);
    house.answer().await.unwrap();
    assert_eq!(dead.calls.lock()[0].deadline, Moment(Duration::from_millis(29_925)));
    assert_eq!(alive.calls.lock()[0].deadline, Moment(Duration::from_millis(59_850)));
}
