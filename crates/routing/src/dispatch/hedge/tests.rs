//! Slow calls with a rival beside them, on paused time.

use std::sync::Arc;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Finish, Relayed, Tools, UsageFrame};
use domain::fault::{Fault, Kind};
use domain::interaction::Attempt;
use domain::model::Tier;
use domain::ports::Clock;
use domain::spending::{Input, Weight};
use resilience::hedge::Reading;

use super::*;
use crate::ask::Passing;
use crate::attempt::AttemptLog;
use crate::dispatch::tests::House;
use crate::scripted::{Act, Scripted, read};

/// As many answers as must be known before one can be unusually late.
const KNOWN: usize = 100;

fn after(ms: u64, then: Vec<Act>) -> Vec<Act> {
    [vec![Act::Wait(Duration::from_millis(ms))], then].concat()
}

fn says(text: &'static str) -> Vec<Act> {
    vec![Act::Say(text), Act::Done(Finish::Stop)]
}

fn fails() -> Vec<Act> {
    vec![Act::Fail(Fault::provider(Kind::Transient))]
}

/// A model that answers within 10 ms until its usual time is known, then does `then`, then the first again.
fn usual_then(then: Vec<Act>) -> Arc<Scripted> {
    let usual = || after(10, says("usual"));
    Scripted::new((0..KNOWN).map(|_| usual()).chain([then, usual()]))
}

impl House {
    fn hedging(models: &[&Arc<Scripted>]) -> Self {
        let mut house = Self::new(models);
        house.route.hedge = Hedge::On;
        house
    }

    /// One request: its text (or none), its attempts, and how long it took.
    async fn one(&self) -> (Option<String>, Vec<Attempt>, Duration) {
        let (log, began) = (AttemptLog::default(), self.clock.now());
        let text = match self.ask(&log).await {
            Ok(answering) => Some(read(answering.stream).await.0),
            Err(_) => None,
        };
        (text, log.take(), self.clock.now().since(began))
    }

    /// The request after the usual ones.
    async fn late(&self) -> (Option<String>, Vec<Attempt>, Duration) {
        for _ in 0..KNOWN {
            assert_eq!(self.one().await.0.as_deref(), Some("usual"));
        }
        self.one().await
    }
}

fn results(attempts: &[Attempt]) -> Vec<(&str, Tier, &str)> {
    let result = |attempt: &Attempt| attempt.result.name();
    attempts.iter().map(|attempt| (attempt.target.as_str(), attempt.tier, result(attempt))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins_and_the_other_call_is_cancelled_and_recorded() {
    let slow = usual_then(after(5_000, says("late")));
    let rival = Scripted::always(after(20, says("rival")));
    let house = House::hedging(&[&slow, &rival]);
    let (text, attempts, took) = house.late().await;
    assert_eq!(text.as_deref(), Some("rival"));
    assert!(took < Duration::from_millis(100), "{took:?}");
    let want = [("p0/m", Tier::Primary, "cancelled"), ("p1/m", Tier::Fallback, "answered")];
    assert_eq!(results(&attempts), want);
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((slow.n_cut(), rival.n_calls()), (1, 1), "the call itself is cancelled");
    assert_eq!(house.router.hedges(), Reading { won: 1, ..Reading::default() });
    let health = house.router.health();
    assert!(health.iter().all(|health| health.failures == 0 && health.calls.calls == 0), "{health:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_is_no_better_changes_nothing() {
    for (rival, first, want_text, want) in [
        (after(5_000, says("rival")), after(300, says("late")), Some("late"), [("answered"), ("cancelled")]),
        (fails(), after(300, says("late")), Some("late"), ["answered", "transient"]),
        (after(500, says("rival")), after(300, fails()), Some("rival"), ["transient", "answered"]),
    ] {
        let slow = usual_then(first);
        let house = House::hedging(&[&slow, &Scripted::always(rival)]);
        let (text, attempts, _) = house.late().await;
        assert_eq!(text.as_deref(), want_text);
        assert_eq!(attempts.iter().map(|attempt| attempt.result.name()).collect::<Vec<_>>(), want);
    }
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_walk_goes_on_within_its_attempts() {
    let slow = usual_then(after(300, fails()));
    let (rival, last) = (Scripted::always(fails()), Scripted::answers("last"));
    let house = House::hedging(&[&slow, &rival, &last]);
    let (text, attempts, _) = house.late().await;
    assert_eq!(house.router.hedges(), Reading { failed: 1, ..Reading::default() });
    // Two attempts a tier, three a request: nothing is left after the rival's second try.
    assert_eq!((text, attempts.len()), (None, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_unless_the_route_says_so_and_enough_is_known() {
    let rival = Scripted::always(after(20, says("rival")));
    let slow = usual_then(after(5_000, says("late")));
    let house = House::new(&[&slow, &rival]);
    assert_eq!(house.late().await.0.as_deref(), Some("late"));
    let slow = Scripted::always(after(5_000, says("late")));
    let house = House::hedging(&[&slow, &rival]);
    assert_eq!(house.one().await.0.as_deref(), Some("late"), "nobody knows what is usual");
    assert_eq!(rival.n_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rival_is_another_target_that_may_be_called_and_runs_elsewhere() {
    let slow = usual_then(after(5_000, says("late")));
    let rival = Scripted::always(after(20, says("rival")));
    let house = House::hedging(&[&slow, &rival]).embed(1);
    assert_eq!(house.late().await.0.as_deref(), Some("late"), "our own cores are not for rivals");

    let slow = usual_then(after(5_000, says("late")));
    let house = House::hedging(&[&slow, &rival]);
    let fatal = Fault::provider(Kind::RouteFatal);
    let permit = house.router.breakers().admit(&"p1/m".into()).expect("closed");
    permit.fail(&fatal);
    assert_eq!(house.late().await.0.as_deref(), Some("late"), "its breaker is open");
    assert_eq!(rival.n_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn of_10_000_requests_at_most_2_percent_are_hedged() {
    // Three in a hundred take very long: more than may be hedged.
    let script = |n: u32| after(if n % 33 == 32 { 5_000 } else { 10 }, says("first"));
    let slow = Scripted::new((0..10_000).map(script));
    let rival = Scripted::always(after(20, says("rival")));
    let house = House::hedging(&[&slow, &rival]);
    let mut n_two = 0_u64;
    for n in 1..=10_000 {
        let (text, attempts, took) = house.one().await;
        assert!(text.is_some());
        if attempts.len() == 2 {
            n_two += 1;
            assert_eq!((attempts[0].result.name(), attempts[1].result.name()), ("cancelled", "answered"));
            assert!(took < Duration::from_millis(100), "{took:?}");
        }
        assert!(n_two * 100 <= n * 2, "{n_two} of {n}");
    }
    let Reading { won, lost, failed, capped } = house.router.hedges();
    assert_eq!((won, lost, failed), (n_two, 0, 0));
    assert!(won >= 150 && capped > 50, "{won} won, {capped} capped");
    assert_eq!(u64::try_from(rival.n_calls()).unwrap(), won);
}

#[test]
fn requests_that_name_tools_are_asked_once() {
    for (tools, want) in [(Tools::Named, false), (Tools::None, true)] {
        let relayed = Relayed {
            dialect: Dialect::OpenAiChat,
            model: "m".to_owned(),
            body: Bytes::new(),
            fields: Vec::new(),
            delivery: Delivery::Streamed,
            usage: UsageFrame::Unwanted,
            tools,
            headers: Vec::new(),
        };
        let weight = Weight { input: Input::AtMost(0), output_max: None, answers: 1 };
        let passing = Passing { relayed: Arc::new(relayed), streams_until: None, weight };
        assert_eq!(passing.leaves_nothing_behind(), want);
    }
}
