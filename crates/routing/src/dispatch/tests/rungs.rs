//! Which rung and which target a request goes to next, and what is asked of it there.

use domain::chat::Finish;
use domain::fault::{Fault, Kind, Retry};
use domain::id::ModelId;
use domain::interaction::{AttemptResult, Chosen};

use super::*;
use crate::ask::{Reason, Skip, Want, Why};
use crate::scripted::{Act, FOREVER};

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_held_back_is_tried_again_wherever_it_breaks_off() {
    let broken = Scripted::always(vec![Act::Say("Half an"), Act::Fail(Fault::provider(Kind::Transient))]);
    let silent = Scripted::always(vec![Act::Say("Half an"), Act::Wait(FOREVER)]);
    for first in [broken, silent] {
        let whole = Scripted::always(vec![Act::Say("Whole"), Act::Say("."), Act::Done(Finish::Stop)]);
        let house = House::new(&[&first, &whole]);
        let log = AttemptLog::default();
        let answering = house.ask_changed(&log, |ask| ask.want = Want::Whole).await.expect("an answer");
        assert_eq!((answering.target.as_str(), answering.tier), ("p1/m", Tier::Fallback));
        let results =
            |attempts: Vec<Attempt>| attempts.into_iter().map(|attempt| attempt.result).collect::<Vec<_>>();
        let broke = AttemptResult::Failed(Kind::Truncated);
        assert_eq!(results(log.take()), [broke, broke, AttemptResult::Answered], "before anyone reads it");
        assert_eq!(read(answering.stream).await.0, "Whole.");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_broke_off_is_not_asked_for_the_rest() {
    let (broken, other) = (Scripted::answers("One."), Scripted::answers("Two."));
    let house = House::new(&[&broken, &other]);
    let log = AttemptLog::default();
    // As an ask of any life may hold it.
    let first: &'static TargetId = Box::leak(Box::new(TargetId::from("p0/m")));
    let answering =
        house.ask_changed(&log, |ask| ask.want = Want::Rest { broken: first }).await.expect("an answer");
    assert_eq!(read(answering.stream).await.0, "Two.");
    assert_eq!(broken.n_calls(), 0);
    let attempts = log.take();
    assert_eq!(attempts[0].chosen, Some(Chosen::Continued));
}

#[tokio::test(start_paused = true)]
async fn a_dead_primary_is_tried_twice_and_the_fallback_answers() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive]);
    let log = AttemptLog::default();
    let answering = house.ask(&log).await.unwrap();
    assert_eq!((answering.tier, answering.tier_index, answering.attempt), (Tier::Fallback, 1, 3));
    assert_eq!(answering.model, ModelId::from("p1/m"));
    assert_eq!(read(answering.stream).await.0, "hello");
    let attempts = log.take();
    assert_eq!(results(&attempts), [("p0/m", "transient"), ("p0/m", "transient"), ("p1/m", "answered")]);
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(attempts[1].started <= Duration::from_millis(200), "the backoff has an end");
}

#[tokio::test(start_paused = true)]
async fn overrides_bound_the_tokens_and_replace_the_temperature() {
    let (dead, alive) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("hello"));
    let mut house = House::new(&[&dead, &alive]);
    house.route.tiers[1].overrides = Overrides { max_tokens: Some(300), temperature: Some(0.5) };
    house.answer().await.unwrap();
    let asked = |model: &Scripted| {
        let parameters = model.calls.lock()[0].request.parameters.clone();
        (parameters.max_tokens, parameters.temperature)
    };
    assert_eq!(asked(&dead), (400, 0.0));
    assert_eq!(asked(&alive), (300, 0.5));
    // An override never asks for more than was asked for.
    house.route.tiers[0].overrides.max_tokens = Some(9_999);
    house.router.breakers().reset(&TargetId::from("p0/m")).then_some(()).unwrap();
    house.answer().await.unwrap();
    assert_eq!(dead.calls.lock()[1].request.parameters.max_tokens, 400);
}

#[tokio::test(start_paused = true)]
async fn a_sibling_is_called_at_once_and_a_request_that_fails_everywhere_stops() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("sibling"));
    let mut house = House::new(&[&dead, &alive]);
    let sibling = house.route.tiers.pop().unwrap().targets;
    house.route.tiers[0].strategy = Strategy::Priority;
    house.route.tiers[0].targets.extend(sibling);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap(), ("sibling".to_owned(), Tier::Primary));
    assert_eq!((dead.n_calls(), house.clock.now()), (1, started));

    for kind in [Kind::Caller, Kind::Content] {
        let (primary, fallback) = (Scripted::fails(kind), Scripted::answers("never asked"));
        let house = House::new(&[&primary, &fallback]);
        let unanswered = house.answer().await.unwrap_err();
        assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Stopped, kind));
        assert_eq!((primary.n_calls(), fallback.n_calls()), (1, 0));
    }
    // Too long for one model: another may take it.
    let too_long = Fault { retry: Retry::Elsewhere, ..Fault::provider(Kind::Caller) };
    let (primary, fallback) = (Scripted::always(vec![Act::Refuse(too_long)]), Scripted::answers("longer"));
    let house = House::new(&[&primary, &fallback]);
    assert_eq!(house.answer().await.unwrap(), ("longer".to_owned(), Tier::Fallback));
    assert_eq!((primary.n_calls(), house.router.health()[0].failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_taken_whole_by_the_content_filter_is_a_content_failure() {
    let house = House::new(&[&Scripted::always(vec![Act::Done(Finish::ContentFilter)])]);
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Stopped, Kind::Content));
}

#[tokio::test(start_paused = true)]
async fn later_generations_go_on_where_the_first_one_was_answered() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive, &alive]);
    let log = AttemptLog::default();
    let first = house.ask(&log).await.unwrap();
    let tier_index = first.tier_index;
    read(first.stream).await;
    // The answered attempt does not count, its two failed predecessors do.
    let again = house.ask_changed(&log, |ask| ask.skip = Skip::before(tier_index)).await.unwrap();
    assert_eq!((again.tier_index, again.attempt, dead.n_calls()), (1, 4, 2));
    read(again.stream).await;
    let other = house.ask_changed(&log, |ask| ask.skip = Skip::through(tier_index)).await.unwrap();
    assert_eq!((other.tier_index, other.attempt), (2, 5));
    let nowhere = house.ask_changed(&log, |ask| ask.skip = Skip::through(2)).await.unwrap_err();
    assert_eq!(nowhere.reason, Reason::NoCandidate);
}

#[tokio::test(start_paused = true)]
async fn a_target_without_provider_is_passed_over() {
    let alive = Scripted::answers("hello");
    let mut house = House::new(&[&alive, &alive]);
    house.route.tiers[0].targets = vec![remote("unknown/m", 1)];
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    house.route.tiers.truncate(1);
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.fault, refused(&unanswered)), (Fault::unavailable(), vec![Why::NoProvider]));
    assert_eq!(unanswered.to_string(), "route `standard` has no answer: no target may be called now");
}
