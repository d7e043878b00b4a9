//! What is tried again, how often in an outage, and when a throttled target is asked again.

use domain::chat::Finish;
use domain::fault::{Fault, Kind, Retry};
use domain::interaction::AttemptResult;

use super::*;
use crate::Reason;
use crate::scripted::{Act, FOREVER};

/// A breaker that counts and never opens for it.
fn never_opens() -> breaker::Config {
    breaker::Config { failures_max: u32::MAX, calls_min: u32::MAX, ..breaker::Config::default() }
}

#[tokio::test(start_paused = true)]
async fn a_full_outage_makes_at_most_1210_calls_of_1000() {
    let dead = Scripted::fails(Kind::Transient);
    let breaker = never_opens();
    let house = House::with(&[&dead], Settings { breaker, policy: policy::Config::default() });
    for _ in 0..1_000 {
        house.answer().await.unwrap_err();
    }
    assert!((1_200..=1_210).contains(&dead.n_calls()), "{}", dead.n_calls());
    let unanswered = house.answer().await.unwrap_err();
    assert!(unanswered.skipped.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn with_two_fallbacks_each_provider_gets_its_share_and_a_fifth() {
    let models = [Kind::Transient, Kind::Timeout, Kind::Transient].map(Scripted::fails);
    let breaker = never_opens();
    let house = House::with(&models.each_ref(), Settings { breaker, policy: policy::Config::default() });
    let mut calls_max = 0;
    for _ in 0..1_000 {
        let log = AttemptLog::default();
        house.ask(&log).await.unwrap_err();
        calls_max = calls_max.max(log.n_begun());
    }
    assert_eq!(calls_max, 3, "never more than three attempts in one request");
    for model in &models {
        assert!(model.n_calls() <= 1_210, "{}", model.n_calls());
    }
    // The first attempt at a fallback is not a retry: it needs no budget.
    assert!(models[1].n_calls() >= 1_000, "{}", models[1].n_calls());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_after_the_first_text() {
    let breaks = [
        (Act::Fail(Fault::provider(Kind::Transient)), "truncated"),
        (Act::Fail(Fault::provider(Kind::Content)), "content"),
        (Act::Wait(FOREVER), "truncated"),
    ];
    for (act, want) in breaks {
        let primary = Scripted::always(vec![Act::Say("half an "), act]);
        let fallback = Scripted::answers("never asked");
        let house = House::new(&[&primary, &fallback]);
        let log = AttemptLog::default();
        let (text, error) = read(house.ask(&log).await.unwrap().stream).await;
        assert_eq!((text.as_str(), error.unwrap().fault.kind.name()), ("half an ", want));
        assert_eq!((primary.n_calls(), fallback.n_calls()), (1, 0));
        assert_eq!(results(&log.take()), [("p0/m", want)]);
        let counted = u32::from(want == "truncated");
        assert_eq!(house.router.health()[0].failures, counted, "{want}");
    }
    // A stream that just ends is no whole answer either.
    let house = House::new(&[&Scripted::always(vec![Act::Say("half an ")])]);
    let (_, error) = read(house.ask(&AttemptLog::default()).await.unwrap().stream).await;
    assert_eq!(error.unwrap().fault, Fault::provider(Kind::Truncated));
}

#[tokio::test(start_paused = true)]
async fn before_the_first_text_every_failure_is_tried_again() {
    for script in [
        vec![],                                            // an empty stream
        vec![Act::Fail(Fault::provider(Kind::Truncated))], // an error as first event
        vec![Act::Say(""), Act::Done(Finish::Stop)],       // an empty answer
        vec![Act::Wait(FOREVER)],                          // silence after accepting
        vec![Act::AcceptAfter(FOREVER)],                   // silence before
    ] {
        let name = format!("{script:?}");
        let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
        let house = House::new(&[&Scripted::new([script, good])]);
        let log = AttemptLog::default();
        let answering = house.ask(&log).await.unwrap();
        assert_eq!((answering.tier, answering.attempt), (Tier::Primary, 2), "{name}");
        assert_eq!(read(answering.stream).await.0, "hello");
        assert!(
            matches!(log.take()[0].result, AttemptResult::Failed(Kind::Transient | Kind::Timeout)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_is_asked_again_when_it_said_and_left_alone_until_then() {
    let asks_for = |seconds| Fault {
        retry: Retry::After(Duration::from_secs(seconds)),
        ..Fault::provider(Kind::Throttled)
    };
    let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
    let (primary, fallback) =
        (Scripted::new([vec![Act::Refuse(asks_for(5))], good]), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    let started = house.clock.now();
    let (first, second) = tokio::join!(house.answer(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.answer().await
    });
    assert_eq!(second.unwrap().1, Tier::Fallback, "others skip it meanwhile");
    assert_eq!(first.unwrap().1, Tier::Primary);
    let took = house.clock.now().since(started);
    assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5_250), "{took:?}");
    assert_eq!(house.router.health()[0].failures, 0, "being asked to slow down never counts");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_is_no_retry() {
    // A share of 60 s with a tier below is 29.925 s.
    let fault = Fault { retry: Retry::After(Duration::from_secs(30)), ..Fault::provider(Kind::Throttled) };
    let (primary, fallback) = (Scripted::always(vec![Act::Refuse(fault)]), Scripted::answers("hello"));
    let house = House::new(&[&primary, &fallback]);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    assert_eq!((primary.n_calls(), house.clock.now()), (1, started));
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    assert_eq!(primary.n_calls(), 1, "its gate is shut");
    assert!(house.router.health()[0].quota_for.is_some());
}

#[tokio::test(start_paused = true)]
async fn where_all_asked_to_slow_down_so_is_who_comes_next() {
    let wait = Duration::from_mins(2);
    let fault = Fault { retry: Retry::After(wait), ..Fault::provider(Kind::Throttled) };
    let throttled = || Scripted::always(vec![Act::Refuse(fault)]);
    let (one, two) = (throttled(), throttled());
    let house = House::new(&[&one, &two]);
    house.answer().await.unwrap_err();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((one.n_calls(), two.n_calls(), unanswered.reason), (1, 1, Reason::NoCandidate));
    assert_eq!((unanswered.fault.kind, unanswered.fault.retry), (Kind::Throttled, Retry::After(wait)));
}

#[tokio::test(start_paused = true)]
async fn that_a_target_was_not_asked_for_want_of_attempts_is_told() {
    let (ill, well) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&ill, &ill, &well]);
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((well.n_calls(), unanswered.reason), (0, Reason::AttemptsUsedUp));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_that_names_no_wait_is_left_alone_for_a_second() {
    let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
    let primary = Scripted::new([vec![Act::Refuse(Fault::provider(Kind::Throttled))], good]);
    let house = House::new(&[&primary]);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap().0, "hello");
    let took = house.clock.now().since(started);
    assert!(took >= Duration::from_secs(1) && took <= Duration::from_millis(1_201), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_here_never_use_up_the_attempts_of_a_turn() {
    let (ill, remote) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&ill, &remote]).embed(0);
    let log = AttemptLog::default();
    for generation in 0..3 {
        let answering = house.ask(&log).await.unwrap();
        assert_eq!(answering.tier, Tier::Fallback, "generation {generation}");
        read(answering.stream).await;
    }
    assert_eq!((ill.n_calls(), remote.n_calls()), (5, 3));
}
